"""What was seen while migrations were rehearsed on a copy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from roundsman.database.rules.migration_reach import ReachAttempt
from roundsman.database.rules.query_facts import ObservedQuery

#: Stands for all tables of an SQLite database, which is locked as a whole.
WHOLE = "the database"


@dataclass(frozen=True, slots=True)
class MigrationStatement:
    """One statement of a migration, and what it did to the tables that were there before."""

    sql: str
    at: float
    """Seconds since the leg began, without those in which the rehearsal itself was looking."""
    seconds: float
    revision: str = ""
    """Empty for what Alembic asks before its first step."""
    locks: tuple[tuple[str, str], ...] = ()
    """Table and mode, held after the statement; for one that commits by itself, seen meanwhile."""
    rewritten: tuple[str, ...] = ()
    """Tables and indexes with a new file."""
    scanned: Mapping[str, int] = field(default_factory=dict)
    """Rows read by table. PostgreSQL counts each parallel worker's; SQLite counts none."""
    written: Mapping[str, int] = field(default_factory=dict)
    tables: tuple[str, ...] = ()
    """Tables that its time grows with, also those that are empty on the copy."""
    lock_timeout: bool = True
    """Whether it gives up when it has to wait for a lock."""
    alone: bool = False
    """It was a transaction of its own."""
    times: int = 1
    """How often it was run, one directly after another."""

    @property
    def rows(self) -> int:
        """Rows read and written."""
        return sum(self.scanned.values()) + sum(self.written.values())


@dataclass(frozen=True, slots=True)
class MigrationRun:
    """Alembic's way up or down once."""

    statements: tuple[MigrationStatement, ...] = ()
    ends: tuple[float, ...] = ()
    """When a transaction ended, in seconds since the leg began."""
    revisions: tuple[str, ...] = ()
    """In the order in which they were begun."""
    seconds: float = 0.0
    error: str = ""
    """What stopped it; empty when it came through."""
    wal: int = 0
    """Bytes of write-ahead log. The whole server's: at most as many are the migration's."""
    load: float | None = None
    """Processes at work for each core of this machine during the leg's last minute; None where nobody counted."""


@dataclass(frozen=True, slots=True)
class ColumnShape:
    """A column, as whoever writes to it has to know it."""

    type: str
    required: bool = False
    """Whether it takes no NULL."""
    filled: bool = False
    """Whether it has a value when none is written: a default, a number, or an expression."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A database at rest."""

    schema: tuple[str, ...]
    """One line per thing, sorted."""
    rows: Mapping[str, int]
    sums: Mapping[str, str]
    """A checksum of all values by `table.column`; it tells which row has which value."""
    types: Mapping[str, str]
    statistics: frozenset[str]
    """What the planner knows the distribution of, as `table.column`, or `table` on SQLite."""
    size: int
    broken: tuple[str, ...] = ()
    """What the database itself says is wrong with it."""
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The columns of each table's primary key."""
    relations: Mapping[str, Mapping[str, ColumnShape]] = field(default_factory=dict)
    """The columns of each table and view."""
    things: frozenset[tuple[str, str, str]] = frozenset()
    """What else a release may call by its name: kind, name, and the table that it belongs to, or ""."""
    guards: frozenset[tuple[str, str]] = frozenset()
    """What refuses rows: a constraint or unique index as it is written, and its table."""


@dataclass(frozen=True, slots=True)
class MigrationFacts:
    """A rehearsal: up, down, up, and up once more. What was not reached is None."""

    dialect: str
    start: tuple[str, ...] = ()
    """The golden database's revisions, one for each branch; none before the first migration."""
    heads: tuple[str, ...] = ()
    """The newest migrations of the scripts."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Branch labels by head."""
    ends: tuple[str, ...] = ()
    """What `alembic_version` holds after the upgrade: the heads that no other revision depends on."""
    back: tuple[str, ...] = ()
    """Targets of `alembic downgrade` that take back just what is pending, in order; none when none do."""
    pending: Mapping[str, str] = field(default_factory=dict)
    """Revisions to run with what they say they do, in order."""
    version_table: tuple[str, str] = ("", "alembic_version")
    """Schema and name of the table in which Alembic keeps where a database is, as env.py names it."""
    trouble: str = ""
    """Why Alembic could not say what is pending."""
    remedy: str = ""
    """What leads Alembic to the copy, where the trouble is that it was led elsewhere; then there is no verdict."""
    is_idle: bool = False
    """Alembic said that the migrations ran, and the copy is where it was."""
    attempts: tuple[ReachAttempt, ...] = ()
    """What the commands tried to reach beside the copy."""
    before: Snapshot | None = None
    up: MigrationRun | None = None
    upgraded: Snapshot | None = None
    drift: str | None = None
    """What `alembic check` finds missing; None when it could not be asked."""
    smoke: str | None = None
    """What went wrong with the old release; None when it was not tried."""
    down: MigrationRun | None = None
    downgraded: Snapshot | None = None
    again: MigrationRun | None = None
    upgraded_again: Snapshot | None = None
    once_more: MigrationRun | None = None
    after_all: Snapshot | None = None
    live_revisions: tuple[str, ...] | None = None
    """Production's; None when it could not be asked."""
    live_trouble: str = ""
    live_rows: Mapping[str, int] = field(default_factory=dict)
    queries_before: tuple[ObservedQuery, ...] = ()
    """Named queries on the copy as it was made."""
    queries_after: tuple[ObservedQuery, ...] = ()
    """The same ones after the upgrade."""

    @property
    def upgrades(self) -> tuple[MigrationRun, ...]:
        """Each time that the migrations ran from where they began: what takes time is measured in each of them."""
        again = (self.again,) if self.again and not self.again.error else ()
        return (self.up, *again) if self.up else ()


@dataclass(frozen=True, slots=True)
class RehearsedCopy:
    """What a rehearsal found on its copy, and when: it may be used again while nothing has changed."""

    facts: MigrationFacts
    rehearsed_at: datetime
