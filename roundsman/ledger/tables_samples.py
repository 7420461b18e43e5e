"""The ledger's tables for samples of response times and what they are rolled up into.

Times inside a row are whole microseconds or seconds, since there are millions of rows. A change here needs a migration
beside it in `migrations/versions/`; a test holds the two against each other.
"""

from sqlalchemy import BigInteger, UniqueConstraint
from sqlmodel import Field

from roundsman.ledger.base import LedgerTable


class SampleKeyRow(LedgerTable, table=True):
    """What many samples have in common, a `SampleKey`. Its row is the lock on all of them."""

    __tablename__ = "sample_key"
    __table_args__ = (UniqueConstraint("site", "rule", "path", "series", "cache_state", "warm"),)

    id: int | None = Field(default=None, primary_key=True)
    site: str
    rule: str
    path: str
    series: str
    """edge or origin."""
    cache_state: str
    warm: bool
    raw_from: int = Field(default=0, sa_type=BigInteger)
    """Unix seconds, a full hour: older samples are rolled up and deleted, and none is taken any more."""


class SampleRow(LedgerTable, table=True):
    """One answered request. A sample that is the same in everything is the same sample, so it may be sent twice."""

    __tablename__ = "sample"
    # SQLite then keeps the rows in the key's order and without a second copy in an index.
    __table_args__ = ({"sqlite_with_rowid": False},)

    key_id: int = Field(foreign_key="sample_key.id", ondelete="CASCADE", primary_key=True)
    at_us: int = Field(sa_type=BigInteger, primary_key=True)
    """Unix time of its start."""
    first_byte_us: int = Field(primary_key=True)
    """From its start."""
    total_us: int = Field(primary_key=True)
    late_us: int
    """How long after its due time it was started."""
    release: str


class SampleDueRow(LedgerTable, table=True):
    """An hour of a key with samples that are not in its histograms yet."""

    __tablename__ = "sample_due"

    key_id: int = Field(foreign_key="sample_key.id", ondelete="CASCADE", primary_key=True)
    hour: int = Field(sa_type=BigInteger, primary_key=True)
    """Unix seconds of its beginning."""


class HistogramRow(LedgerTable, table=True):
    """The samples of one key in one span, as a `Histogram`, counted from their due times."""

    __tablename__ = "histogram"

    key_id: int = Field(foreign_key="sample_key.id", ondelete="CASCADE", primary_key=True)
    span: int = Field(primary_key=True)
    """Seconds: one of `roundsman.ledger.rules.samples.SPANS`."""
    start: int = Field(sa_type=BigInteger, primary_key=True)
    """Unix seconds."""
    samples: int = Field(sa_type=BigInteger)
    p50_us: int = Field(sa_type=BigInteger)
    """To the first byte, as the next two, so that a history is read without its histograms."""
    p95_us: int = Field(sa_type=BigInteger)
    p99_us: int = Field(sa_type=BigInteger)
    first_byte: bytes
    total: bytes
