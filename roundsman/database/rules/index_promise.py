"""The section `indexes:` of a database file: from when on a table counts, and what may be as it is."""

from pydantic import Field

from roundsman.database.rules.acceptance import Reason
from roundsman.report.rules.durations import Duration
from roundsman.site.rules.field_types import Model, Text

_DAY = 86400.0


class Indexes(Model):
    """What is held against the indexes, keys and statistics of a database."""

    small: int = Field(default=1000, ge=0)
    """Rows up to which a table needs no index and no statistics."""
    unused_after: Duration = Field(default=14 * _DAY, ge=_DAY)
    """How long an index must have been watched, on every node, before it may be called unused."""
    bloat_share: float = Field(default=0.3, gt=0, lt=1)
    """The part of a table or index that may be waste."""
    bloat_bytes: int = Field(default=100 * 2**20, gt=0)
    """Bytes of waste that are not worth a word."""
    used_up: float = Field(default=0.7, gt=0, lt=1)
    """The part of a key's or sequence's numbers that may be used."""
    changed: float = Field(default=0.1, gt=0)
    """The part of a table's rows that may have changed since its statistics were made."""
    accept: dict[Text, Reason] = Field(default_factory=dict)
    """Indexes, tables, constraints and sequences that may be as they are, by name, each with the reason, or with
    `{because: ..., until: 2027-01-31}`."""
