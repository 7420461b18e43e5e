"""Reading a database in use: in a transaction that can't write, and that gives up before anybody waits for it."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError

from roundsman.database.copied_database import connected, quoted

#: Seconds that one statement may take, and that it may wait for a lock.
STATEMENT_SECONDS, LOCK_SECONDS = 10.0, 1.0
_STEPS_BETWEEN_LOOKS = 100_000


@contextmanager
def reading(url: URL, statement: float = STATEMENT_SECONDS) -> Iterator[Connection]:
    """A connection in one read-only transaction, which is rolled back in the end.

    Args:
        url: Of the database.
        statement: Seconds that one statement may take; for a lock it waits a second at most.

    Raises:
        RehearsalError: it can't be reached or read, or would be written to.
    """
    with connected(url, reads_only=True) as connection:
        if url.get_backend_name() == "sqlite":
            raw: Any = connection.connection.dbapi_connection
            _bound(raw, statement)
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000:.0f}")
            connection.exec_driver_sql("BEGIN")
        else:
            connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {statement * 1000:.0f}")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_SECONDS * 1000:.0f}")
        try:
            yield connection
        finally:
            # What SQLite interrupts it has rolled back already.
            if not connection.invalidated and getattr(connection.connection.dbapi_connection, "in_transaction", True):
                connection.exec_driver_sql("ROLLBACK")


def _bound(raw: sqlite3.Connection, seconds: float) -> None:
    """End whatever takes longer than this after it was begun; SQLite itself has no such bound."""
    begun = time.monotonic()

    def look() -> bool:
        return time.monotonic() - begun > seconds

    def begin(_statement: str) -> None:
        nonlocal begun
        begun = time.monotonic()

    raw.set_trace_callback(begin)
    raw.set_progress_handler(look, _STEPS_BETWEEN_LOOKS)


def analyzed(connection: Connection) -> dict[str, int]:
    """Rows by table of SQLite, as its last ANALYZE counted them."""
    if not connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'").first():
        return {}
    found = dict[str, int]()
    for table, stat in connection.exec_driver_sql("SELECT tbl, stat FROM sqlite_stat1"):
        found[table] = max(found.get(table, 0), int(str(stat).split()[0]))
    return found


def numbered(connection: Connection, table: str) -> int | None:
    """As many rows of SQLite as there are numbers from the first to the last; counting them would read the table.

    There are fewer when numbers were left out. None where there is no such table, or it has no numbers.
    """
    name = quoted(table)
    ask = f"SELECT (SELECT max(rowid) FROM {name}) - (SELECT min(rowid) FROM {name}) + 1"  # noqa: S608 - a quoted name
    try:
        return int(connection.exec_driver_sql(ask).scalar() or 0)
    except DBAPIError:
        return None
