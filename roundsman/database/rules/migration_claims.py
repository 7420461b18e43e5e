"""What should hold of migrations, and the words in which it is told."""

from collections.abc import Iterable, Sequence

from roundsman.report.rules.durations import spoken
from roundsman.report.rules.verdict import Claim, Outcome

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
