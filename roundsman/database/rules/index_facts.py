"""What the catalogue of a database says of its indexes, keys and statistics. Names are spelled as SQL takes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


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
