"""What rows do to the target: the rows that a statement matched, and the counts that `apply` returns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, event
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext

from roundsman.batch.errors import BatchError, UnmatchedError
from roundsman.batch.rules import Applied

#: Does the effects of some rows, in the transaction that it is given.
Apply = Callable[[Connection, Sequence[Any]], Applied]

_COUNTS = "roundsman_counts"


def each_matched(connection: Connection, statement: Executable, rows: Sequence[Mapping[str, Any]]) -> int:
    """Execute an UPDATE, DELETE or INSERT once for each row, and see that each matched exactly one row of the table.

    As fast as executing it for all rows at once, and counted for each. Returns how many rows that were: all of them.

    Raises:
        UnmatchedError: a row matched none, or several. The kit then finds out which and quarantines it; nothing of the
            chunk was written.
        BatchError: the statement does not count rows, as a SELECT or one with RETURNING.
    """
    counts: list[int] = []
    if not event.contains(connection.engine, "do_executemany", _count_each):
        event.listen(connection.engine, "do_executemany", _count_each)
    if len(rows) > 1:
        result = connection.execute(statement, rows, execution_options={_COUNTS: counts})
    elif rows:
        result = connection.execute(statement, rows[0])
        counts.append(result.rowcount)
    else:
        return 0
    if result.returns_rows or min(counts) < 0 or len(counts) != len(rows):
        raise BatchError(
            "each_matched: saw a statement that returns rows; wanted an UPDATE, DELETE or INSERT of one row"
        )
    for count in counts:
        if count != 1:
            raise UnmatchedError(f"the statement matched {count or 'no'} rows of the table; wanted one for each row")
    return len(rows)


def _count_each(cursor: DBAPICursor, statement: str, parameters: Sequence[Any], context: ExecutionContext) -> bool:
    """The driver adds the counts of all rows up, and what one matched too often would hide what another did not."""
    counts = context.execution_options.get(_COUNTS)
    if counts is None:
        return False
    if context.dialect.driver == "psycopg":
        many: Any = cursor
        many.executemany(statement, parameters, returning=True)
        more = True
        while more:
            counts.append(many.rowcount)
            more = many.nextset()
    else:
        for row in parameters:
            cursor.execute(statement, row)
            counts.append(cursor.rowcount)
    return True


def applied(apply: Apply, connection: Connection, rows: Sequence[Any]) -> Applied:
    """Have rows applied, and hold the counts against them.

    Raises:
        UnmatchedError: fewer were counted than were given, so some may have done nothing.
        BatchError: what `apply` returns says nothing of these rows.
    """
    done = apply(connection, rows)
    if not isinstance(done, Applied):
        raise BatchError(f"apply returned {type(done).__name__}; wanted Applied(changed=..., unchanged=...)")
    counts = (done.changed, done.unchanged)
    if not all(type(count) is int and count >= 0 for count in counts):
        raise BatchError(
            f"apply counted changed={done.changed!r}, unchanged={done.unchanged!r}; wanted numbers of rows"
        )
    if sum(counts) > len(rows):
        raise BatchError(
            f"apply was given {len(rows)} rows and counted {done.changed} changed and {done.unchanged} unchanged; "
            "wanted each row counted once, as one of them"
        )
    if sum(counts) < len(rows):
        raise UnmatchedError(
            "apply counted the row neither as changed nor as unchanged: it did nothing, or Applied(...) leaves it out"
        )
    return done
