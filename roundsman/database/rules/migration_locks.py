"""Who had to wait while migrations ran, for how long, and how long that would be in production.

Source: PostgreSQL, "Explicit Locking", table 13.2; SQLite, "File Locking And Concurrency", section 3.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from roundsman.database.rules.migration_facts import MigrationRun, MigrationStatement

#: Modes that keep a SELECT waiting.
STOPS_READS = frozenset({"AccessExclusiveLock", "EXCLUSIVE"})
#: Modes that keep an INSERT, UPDATE or DELETE waiting.
STOPS_WRITES = STOPS_READS | {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "RESERVED"}


@dataclass(frozen=True, slots=True)
class Hold:
    """A lock that kept others waiting, from the statement that took it to the end of its transaction."""

    table: str
    mode: str
    revision: str
    since: float
    until: float
    projected: float
    """Seconds that it would be held with production's rows."""
    later: tuple[MigrationStatement, ...]
    """Statements that ran while it was held, after the one that took it."""
    taken_by: MigrationStatement

    @property
    def seconds(self) -> float:
        """Seconds that it was held on the copy."""
        return self.until - self.since

    @property
    def stops_reads(self) -> bool:
        """Whether a SELECT waits for it as well."""
        return self.mode in STOPS_READS


def scale(rows: Mapping[str, int], production: Mapping[str, int]) -> dict[str, float]:
    """How many times the rows of the copy production has, by table; at least 1. What is not known is left out.

    A table that is empty on the copy tells nothing of one with rows.
    """
    return {
        table: max(1.0, many / (rows[table] or 1))
        for table, many in production.items()
        if table in rows and (rows[table] or not many)
    }


def unscaled(
    statements: Iterable[MigrationStatement], rows: Mapping[str, int], factors: Mapping[str, float]
) -> list[str]:
    """Tables of the copy that some statements' time grows with, and nobody knows how many times."""
    return sorted({table for one in statements for table in one.tables if table in rows and table not in factors})


def longer(statement: MigrationStatement, factors: Mapping[str, float]) -> float:
    """How many times longer a statement would take: as its largest table is larger, if it read or wrote rows."""
    return max((factors.get(table, 1.0) for table in statement.tables), default=1.0)


def holds(leg: MigrationRun, factors: Mapping[str, float]) -> list[Hold]:
    """Every lock of a leg that kept others waiting, in the order taken. A stronger lock on a table is one of its own.

    Time between statements is Python at work on the rows that they brought: it grows as the largest of them does.
    """
    found = []
    for block in _transactions(leg):
        seen: set[tuple[str, str]] = set()
        end = block[1]
        for place, statement in enumerate(block[0]):
            until = statement.at + statement.seconds if statement.alone else end
            for lock in statement.locks:
                if lock[1] in STOPS_WRITES and lock not in seen:
                    inside = [statement] if statement.alone else block[0][place:]
                    took = _projected(inside, until - statement.at, factors)
                    found.append(
                        Hold(*lock, statement.revision, statement.at, until, took, tuple(inside[1:]), statement)
                    )
            if not statement.alone:
                seen |= set(statement.locks)
    return found


def blocked(found: Iterable[Hold], *, reads: bool, projected: bool = True) -> dict[str, float]:
    """Seconds for which readers (or writers) of each table would wait, the longest at once; first the longest.

    Locks of one transaction on one table overlap, so the longest counts and not their sum.
    """
    longest: dict[str, float] = {}
    for hold in found:
        if hold.stops_reads or not reads:
            took = hold.projected if projected else hold.seconds
            longest[hold.table] = max(longest.get(hold.table, 0.0), took)
    return dict(sorted(longest.items(), key=lambda one: -one[1]))


def projected_seconds(leg: MigrationRun, factors: Mapping[str, float]) -> float:
    """Seconds that a leg would take with production's rows."""
    return _projected(leg.statements, leg.seconds, factors)


def _projected(inside: Sequence[MigrationStatement], seconds: float, factors: Mapping[str, float]) -> float:
    at_work = sum(one.seconds for one in inside)
    between = max(0.0, seconds - at_work)
    most = max((longer(one, factors) for one in inside), default=1.0)
    return sum(one.seconds * longer(one, factors) for one in inside) + between * most


def _transactions(leg: MigrationRun) -> list[tuple[list[MigrationStatement], float]]:
    """The statements of a leg by transaction, each with when it ended."""
    left, found = list(leg.statements), []
    for end in (*leg.ends, max(leg.seconds, *leg.ends, 0.0)):
        inside = [one for one in left if one.at < end]
        if inside:
            found.append((inside, end))
            left = left[len(inside) :]
    return found
