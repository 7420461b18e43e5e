"""Indexes, keys and statistics: what was seen of them, what should hold, and what a database file says of them.

Names are spelled as SQL takes them. How long an index is unused is watched: resets and restores forget the counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import Field

from roundsman.database.rules.acceptance import Reason
from roundsman.report.rules.durations import Duration
from roundsman.report.rules.verdict import Claim, Finding, Outcome
from roundsman.site.rules.field_types import Model, Text


@dataclass(frozen=True, slots=True)
class Index:
    """An index of a table."""

    name: str
    table: str
    keys: tuple[str, ...]
    """What it is sorted by, each with whatever makes it another key: collation, operator class, direction."""
    columns: tuple[str, ...]
    """The column of each key; "" where it is an expression."""
    method: str = "btree"
    unique: bool = False
    constraint: bool = False
    """A constraint needs it, or it is the primary key's."""
    valid: bool = True
    predicate: str = ""
    included: tuple[str, ...] = ()
    size: int = 0
    counted: bool = True
    """Whether the server counts its uses."""
    fill: float = 0.9


@dataclass(frozen=True, slots=True)
class Table:
    """A table, by the statistics: nothing was counted."""

    name: str
    rows: int
    """At least 0; an estimate."""
    size: int = 0
    """Bytes of its rows, without indexes."""
    deletes: int = 0
    """Rows deleted since the server counts."""
    has_key: bool = True
    changed: int = 0
    """Rows changed since its statistics were made."""
    unknown: tuple[str, ...] = ()
    """Columns that the planner knows nothing of."""
    widths: Mapping[str, float] = field(default_factory=dict)
    """Bytes that a row's value takes on average, by column; nulls take none."""
    fill: float = 1.0
    looked_at: bool = True
    """Whether there are statistics at all."""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key: columns of a table, and those of its parent."""

    name: str
    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    parent_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnvalidatedConstraint:
    """A constraint that was added NOT VALID: old rows may break it."""

    name: str
    table: str
    says: str


@dataclass(frozen=True, slots=True)
class NumberCounter:
    """A sequence or a key that runs out of numbers."""

    name: str
    table: str
    kind: str
    """The type that ends it, such as integer."""
    last: int
    most: int
    column: str = ""
    """The column of the table that it ends with; empty when it is the sequence itself that ends."""
    sequence: str = ""
    """What numbers that column."""


@dataclass(frozen=True, slots=True)
class IndexUses:
    """How often an index was used on a node, by its own statistics."""

    scans: int
    reset: datetime | None
    """When that node last forgot its statistics, if it knows."""


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """All of it."""

    dialect: str
    tables: tuple[Table, ...] = ()
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    unproven: tuple[UnvalidatedConstraint, ...] = ()
    counters: tuple[NumberCounter, ...] = ()
    unread: tuple[str, ...] = ()
    """Sequences and short keys that the role may not read."""
    nodes: Mapping[str, Mapping[str, IndexUses]] = field(default_factory=dict)
    """Uses by node and index; a node is called by the variable that holds its address."""
    unseen: Mapping[str, str] = field(default_factory=dict)
    """Nodes that could not be asked, and why."""
    waste: int = 0
    """Bytes of pages that hold nothing, where the database is one file."""
    size: int = 0
    """Bytes of that file."""

    def table(self, name: str) -> Table:
        """A table by its name; one without rows when there is none of that name."""
        return next((one for one in self.tables if one.name == name), Table(name, 0))

    def is_small(self, name: str, most: int) -> bool:
        """Whether a table is known to have at most so many rows."""
        return any(one.name == name and one.rows <= most for one in self.tables)


CHECK = "indexes"
_CREATE = "PostgreSQL, CREATE INDEX, Building Indexes Concurrently"
_WARN = Outcome.WARN

FOREIGN = Claim(f"{CHECK}/db101-foreign-key", "Every foreign key has an index.", "PostgreSQL, Foreign Keys")
QUIET_FOREIGN = Claim(FOREIGN.id, FOREIGN.says, FOREIGN.see, breach=_WARN)
DUPLICATE = Claim(f"{CHECK}/db102-duplicate", "No index is there twice.", breach=_WARN)
PREFIX = Claim(f"{CHECK}/db103-prefix", "No index is the beginning of another one.", breach=_WARN)
UNUSED = Claim(f"{CHECK}/db104-unused", "Every index is used.", "PostgreSQL, pg_stat_all_indexes", breach=_WARN)
INVALID = Claim(f"{CHECK}/db105-invalid", "No index is left over from one that failed to be built.", _CREATE)
BLOAT = Claim(f"{CHECK}/db106-bloat", "Tables and indexes hold little waste.", breach=_WARN)
UNPROVEN = Claim(
    f"{CHECK}/db107-not-valid", "Every constraint holds for old rows too.", "PostgreSQL, ALTER TABLE", breach=_WARN
)
USED_UP = Claim(f"{CHECK}/db108-used-up", "No key and no sequence is about to run out of numbers.")
NO_KEY = Claim(f"{CHECK}/db109-primary-key", "Every table has a primary key.", breach=_WARN)
TYPES = Claim(f"{CHECK}/db110-key-types", "A foreign key has the type of what it refers to.", breach=_WARN)
STATISTICS = Claim(
    f"{CHECK}/db111-statistics", "The planner knows the tables as they are.", "PostgreSQL, ANALYZE", breach=_WARN
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A claim that does not hold of a table: what was seen, the statement that would mend it, and what that costs."""

    claim: Claim
    table: str
    name: str
    """Of the index, constraint, sequence or table; what a database file may accept."""
    saw: str
    mend: str
    cost: str

    def finding(self) -> Finding:
        """The fault as a finding; its mend and cost are what is wanted."""
        return self.claim.against(self.saw, f"{self.mend}; cost: {self.cost}", holds=False)


def size(count: float) -> str:
    """Bytes as people say them: 800 kB, 12 MB, 3.4 GB."""
    for unit, room in (("GB", 2**30), ("MB", 2**20)):
        if count >= room:
            return f"{count / room:.1f} {unit}" if count < 10 * room else f"{count / room:.0f} {unit}"
    return f"{count / 1024:.0f} kB"


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


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


@dataclass(frozen=True, slots=True)
class WatchedIndex:
    """An index on a node: its last count, and since when it has been seen at that count."""

    scans: int
    reset: datetime | None
    since: datetime
    seen_at: datetime


def watched(before: WatchedIndex | None, seen: IndexUses, now: datetime) -> WatchedIndex:
    """Go on watching. Who used it between the last look and a reset is not known, so a reset begins anew."""
    goes_on = before is not None and (before.scans, before.reset) == (seen.scans, seen.reset)
    return WatchedIndex(seen.scans, seen.reset, before.since if goes_on and before else now, now)


def unused_for(nodes: Mapping[str, Mapping[str, WatchedIndex]], index: str, now: datetime) -> timedelta | None:
    """For how long no node has used an index; None when one has, by its own count, or does not have it."""
    seen = [indexes.get(index) for indexes in nodes.values()]
    shortest = [now - one.since for one in seen if one is not None and one.scans == 0]
    return min(shortest) if nodes and len(shortest) == len(seen) else None
