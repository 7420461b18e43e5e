"""The purge queue's tables: what an application says has changed, and how often vendors were asked.

A change here needs a migration beside it in `migrations/versions/`; a test holds the two against each other. Times are
milliseconds since 1970 by the database's own clock, so that workers need not agree on the time.

An application writes one row for what it has changed, in the transaction that changes it or after it, never before:

    INSERT INTO published_change (site, item) VALUES ('shop', '/articles/tomatoes');
    INSERT INTO published_change (site, kind, item) VALUES ('shop', 'key', 'author-7');

All other columns have defaults, on SQLite as on PostgreSQL. One that may write a row twice names it:

    INSERT INTO published_change (site, item, request_key) VALUES ('shop', '/news', 'save-4711') ON CONFLICT DO NOTHING;
"""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, FunctionElement, Index, Table, UniqueConstraint
from sqlalchemy.ext.compiler import compiles
from sqlmodel import Field

from roundsman.ledger.base import LedgerTable


class _WrittenMs(FunctionElement[int]):
    """When a row was written, as its column's default."""

    type = BigInteger()
    inherit_cache = True


@compiles(_WrittenMs, "sqlite")
def _sqlite(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiles(_WrittenMs, "postgresql")
def _postgresql(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)"


def _else(value: Any) -> dict[str, Any]:
    return {"server_default": value}


class PublishedChangeRow(LedgerTable, table=True):
    """One change that copies in the edge have to follow: a route, or all pages with a surrogate key."""

    __tablename__ = "published_change"
    __table_args__ = (
        UniqueConstraint("site", "request_key", "number"),
        Index(None, "site", "state", "due_ms"),
        Index(None, "site", "item", "state"),
        CheckConstraint("kind IN ('route', 'key')", name="ck_published_change_kind"),
    )

    id: int | None = Field(default=None, primary_key=True)
    site: str
    """A name in deployments/sites/."""
    kind: str = Field(default="route", sa_column_kwargs=_else("route"))
    """route or key."""
    item: str
    """A path such as /articles/tomatoes, or a URL of the site; or a surrogate key."""
    request_key: str | None = None
    """Whoever writes the same request twice gives it the same one; then it is there once."""
    number: int = Field(default=0, sa_column_kwargs=_else("0"))
    """Its place in that request."""
    created_ms: int | None = Field(
        default=None, sa_type=BigInteger, nullable=False, sa_column_kwargs=_else(_WrittenMs())
    )
    state: str = Field(default="waiting", sa_column_kwargs=_else("waiting"))
    """waiting, claimed, done, quarantined or dismissed."""
    due_ms: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_else("0"))
    """It rests until then."""
    attempts: int = Field(default=0, sa_column_kwargs=_else("0"))
    """How often it was claimed."""
    lease_token: str | None = None
    """Of the claim that holds it; only that one may say what became of it."""
    lease_until_ms: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_else("0"))
    ended_ms: int | None = Field(default=None, sa_type=BigInteger)
    error: str | None = None
    """What the last attempt met."""


class PurgeBucketRow(LedgerTable, table=True):
    """The tokens left of one vendor's rate, shared by all workers."""

    __tablename__ = "purge_bucket"

    name: str = Field(primary_key=True)
    """The edge's block and what is counted, such as `cloudflare/shop requests`."""
    tokens: float
    at_ms: int = Field(sa_type=BigInteger)
    """When there were so many; in the future while a vendor wants to be left alone."""


CHANGE: Table = PublishedChangeRow.__table__
BUCKET: Table = PurgeBucketRow.__table__
