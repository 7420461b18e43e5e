"""Migrations: what was seen while they were rehearsed, what should hold, and what a database file says of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from roundsman.database.rules.acceptance import AcceptedMigration
from roundsman.database.rules.migration_reach import PARTS, ReachAttempt, unknown_parts
from roundsman.database.rules.query_facts import ObservedQuery
from roundsman.report.rules.durations import Duration, spoken
from roundsman.report.rules.verdict import Claim, Outcome

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


CHECK = "migration-rehearsal"
_LOCKS = "PostgreSQL, Explicit Locking, table 13.2"
_ALEMBIC = "Alembic, Commands"

UPGRADE = Claim(f"{CHECK}/db301-upgrade", "The migration runs on a copy of the database.")
TIME = Claim(f"{CHECK}/db302-time", "The migrations end in time.")
READS = Claim(f"{CHECK}/db303-reads", "Readers need not wait for a migration.", _LOCKS)
WRITES = Claim(f"{CHECK}/db303-writes", "Writers need not wait for a migration.", _LOCKS)
REWRITES = Claim(f"{CHECK}/db304-rewrites", "No table or index is written anew.", breach=Outcome.WARN)
ROWS = Claim(f"{CHECK}/db305-rows", "The migration touches few rows.", breach=Outcome.WARN)
HELD = Claim(f"{CHECK}/db306-held", "Nothing else is done while a lock keeps others waiting.", breach=Outcome.WARN)
LOCK_TIMEOUT = Claim(
    f"{CHECK}/db307-lock-timeout",
    "A migration that needs a heavy lock gives up when it has to wait: behind it, everybody waits.",
    "PostgreSQL, lock_timeout",
    breach=Outcome.WARN,
)
STATISTICS = Claim(
    f"{CHECK}/db308-statistics", "The planner knows the tables after the migrations.", "PostgreSQL, ANALYZE",
    breach=Outcome.WARN,
)  # fmt: skip
SMOKE = Claim(f"{CHECK}/db309-old-release", "The old release works on the new schema, which a rollback meets.")
UNTRIED = Claim(SMOKE.id, SMOKE.says, breach=Outcome.WARN)
DOWN = Claim(f"{CHECK}/db310-downgrade", "The migrations can be taken back.", _ALEMBIC)
SCHEMA = Claim(f"{CHECK}/db310-schema", "Down and up again gives the same schema.")
DATA = Claim(f"{CHECK}/db311-data", "Values that a migration has no business with stay as they are.")
BACK = Claim(f"{CHECK}/db311-data-after-downgrade", "Up and down again loses no value.")
SOUND = Claim(f"{CHECK}/db311-sound", "The database finds nothing wrong with itself.", "SQLite, PRAGMA integrity_check")
TWICE = Claim(f"{CHECK}/db312-second-upgrade", "A second upgrade changes nothing.")
GROWTH = Claim(f"{CHECK}/db313-growth", "Disk and write-ahead log grow by little.", breach=Outcome.WARN)
HEADS = Claim(f"{CHECK}/db314-head", "There is one newest migration.", _ALEMBIC)
DRIFT = Claim(f"{CHECK}/db314-check", "The migrations make what the models say.", "Alembic, check")
PRODUCTION = Claim(f"{CHECK}/db315-production", "Production is where the rehearsal began, or where it ended.")
PLANS = Claim(f"{CHECK}/db202-plans", "Queries are as quick after the migrations.", "PostgreSQL, Using EXPLAIN")
#: What a database file may accept of a migration; one that does not even run is no known fault to live with.
ACCEPTABLE = (
    TIME, READS, WRITES, REWRITES, ROWS, HELD, LOCK_TIMEOUT, STATISTICS, SMOKE, DOWN, SCHEMA, DATA, BACK, SOUND, TWICE,
    GROWTH, HEADS, DRIFT, PRODUCTION, PLANS,
)  # fmt: skip
REACH = Claim(f"{CHECK}/db316-reach", "Migrations and the smoke test reach the copy, and no other database.")
#: What an env.py lacks that writes SQL instead of running it.
NOT_CONNECTED = "an env.py that connects to the database (`run_migrations_online`), and commits"
REUSED = Claim(f"{CHECK}/as-rehearsed", "An earlier rehearsal is used again only while nothing has changed since.")
NETWORK = Claim(REACH.id, REACH.says, breach=Outcome.WARN)


def seconds(took: float) -> str:
    """A time to two digits, such as 20s or 0.4ms."""
    return spoken(float(f"{took:.2g}"))


def listed(words: Iterable[str], most: int = 5) -> str:
    """The first of some words, and how many more there are."""
    named = list(words)
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + more


def short(sql: str) -> str:
    """A statement's beginning."""
    return sql if len(sql) <= 80 else f"{sql[:77]}..."


def difference(was: Sequence[str], now: Sequence[str]) -> str:
    """What is gone and what is new between two schemas; "" when they are equal."""
    gone, new = set(was) - set(now), set(now) - set(was)
    return listed([*(f"gone: {short(one)}" for one in sorted(gone)), *(f"new: {short(one)}" for one in sorted(new))], 4)


#: A table with how many rows it has in production.
Rows = Annotated[int, Field(ge=0)]
#: The name of an environment variable.
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _heads(written: object) -> object:
    is_count = isinstance(written, int) and not isinstance(written, bool) and written > 0
    is_labels = isinstance(written, list | tuple) and written and all(isinstance(one, str) and one for one in written)
    if written is not None and not is_count and not is_labels:
        raise ValueError("wanted a number from 1 on, or a list of branch labels")
    return written


#: How many heads there are, or the labels of the branches that have one each.
Heads = Annotated[int | tuple[str, ...], BeforeValidator(_heads)]


class Protection(StrEnum):
    """How the live database is kept out of reach of what a rehearsal runs."""

    FULL = "full"
    """No network, no file of the live database, and on PostgreSQL a role that owns the copy and nothing else."""
    NETWORK = "network"
    """The same with the golden database's own role: what that makes the server do is not guarded."""
    ENVIRONMENT = "environment"
    """No variable leads to the live database; a written address does."""


def _template(written: str) -> str:
    if unknown := unknown_parts(written):
        wanted = ", ".join(f"{{{part}}}" for part in PARTS)
        raise ValueError(f"no part {{{unknown[0]}}} of an address; wanted {wanted}, or text without braces")
    return written


#: The value of a variable, with parts of the copy's address in braces.
Template = Annotated[str, AfterValidator(_template)]


class MigrationBudget(BaseModel):
    """What the migrations of one release may cost production."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reads_blocked: Duration = Field(default=1.0, description="how long a migration may keep readers of a table waiting")
    writes_blocked: Duration = Field(default=5.0, description="how long it may keep writers waiting")
    time: Duration = Field(default=600.0, description="how long it may take in all")
    rows: int = Field(default=100_000, gt=0, description="rows that one migration may read and write")
    growth: int = Field(default=10 * 2**30, gt=0, description="bytes that disk and write-ahead log may grow by")


class Migrations(BaseModel):
    """Alembic migrations, and the copy that they are rehearsed on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: str = Field(default="alembic.ini", description="Alembic's file, from the project's folder")
    golden: Variable = Field(description="the environment variable with the URL of the database to copy")
    url: Variable = Field(
        default="DATABASE_URL", description="the variable in which Alembic and the smoke test find the copy's URL"
    )
    env: dict[Variable, Template] = Field(
        default_factory=dict,
        description="more variables for Alembic and the smoke test, such as {POSTGRES_SERVER: '{host}'}: in braces one "
        "of {url}, {host}, {port}, {user}, {password} and {database} of the copy",
    )
    guard: Protection = Field(
        default=Protection.FULL,
        description="how the live database is kept out of reach: `full`; `network`, where the golden database's own "
        "role runs the migrations; `environment`, where only variables are withheld, for want of user namespaces",
    )
    python: str = Field(default="python", description="the Python that has Alembic and what the migrations import")
    smoke: tuple[str, ...] = Field(default=(), description="a command that tries the old release on the new schema")
    smoke_timeout: Duration = Field(default=60.0, description="how long the smoke test may take")
    timeout: Duration = Field(default=1800.0, description="how long Alembic may take to go up or down")
    rows: dict[str, Rows] = Field(
        default_factory=dict, description="rows in production by table; what is left out is asked of the database"
    )
    lossy: tuple[Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+){1,2}$")], ...] = Field(
        default=(), description="columns, as table.column, whose values may change"
    )
    heads: Heads | None = Field(
        default=None,
        description="how many newest migrations there are on purpose, or the labels of the branches with one each; "
        "left out, there is one, or one for each branch with a label in its scripts",
    )
    budget: MigrationBudget = Field(default_factory=MigrationBudget)
    accept: tuple[AcceptedMigration, ...] = Field(
        default=(), description="claims that one migration may break until a day, each with the reason"
    )


_TIME = "%Y%m%d%H%M%S"
_NAME = re.compile(r"rehearsal_(?P<project>[a-z0-9_]+)_(?P<time>\d{14})_[0-9a-f]{8}")
#: PostgreSQL cuts a name after 63 bytes.
_MAX_PROJECT_BYTES = 63 - len("rehearsal___") - 14 - 8


def copy_name(project: str, now: datetime, token: str) -> str:
    """Name a copy. `token` is eight hex digits, so that two that begin at once differ."""
    return f"rehearsal_{_plain(project)}_{now.astimezone(UTC):{_TIME}}_{token}"


def is_copy(name: str) -> bool:
    """Whether this is named like a copy, of whatever project."""
    return bool(_NAME.fullmatch(name))


def is_left_over(name: str, project: str, now: datetime, longest: float) -> bool:
    """Whether this is a copy of the project that nobody can be at work on: older than a rehearsal's `longest` seconds.

    What is not named like a copy never is.
    """
    match = _NAME.fullmatch(name)
    if not match or match["project"] != _plain(project):
        return False
    try:
        made = datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return False
    return (now - made).total_seconds() > longest


def _plain(project: str) -> str:
    return (re.sub(r"[^a-z0-9]+", "_", project.lower()).strip("_") or "project")[:_MAX_PROJECT_BYTES]
