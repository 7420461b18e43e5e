"""What can go wrong with a batch job, in words that hold nothing of its rows."""

from sqlalchemy.exc import DataError, DBAPIError


class BatchError(Exception):
    """The job can't go on; says what was seen, what was wanted, and what to do. Trying again changes nothing."""


class SourceChangedError(BatchError):
    """The source is not what it was when the job began."""


class LimitError(BatchError):
    """More bad rows, or fewer rows, than the job may have."""


class FencedError(BatchError):
    """Somebody else has the job: our lease ended before our chunk did. Nothing of it was written."""


class UnmatchedError(Exception):
    """A row that did nothing, such as an UPDATE of something unknown, or did too much. It is held against the row."""


class SourceError(Exception):
    """The source can't be read now, and nothing of what is missing was applied. Trying again may help."""


class TargetError(Exception):
    """The target database can't be used now. Trying again may help."""


#: SQLite's result codes of trouble: busy, locked, no memory, interrupted, I/O, full, can't open, protocol.
_SQLITE = frozenset({5, 6, 7, 9, 10, 13, 14, 15})
#: PostgreSQL's SQLSTATE classes: connection, rollback such as deadlock, resources, locks, operators, system; and 25P0x,
#: a transaction that stood idle for too long.
_POSTGRESQL = ("08", "40", "53", "55", "57", "58", "25P0")


def transient(error: BaseException) -> bool:
    """Whether it is the database that is in trouble, so that the same may work later; not the rows."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        return bool(code & 0xFF in _SQLITE)
    if state := getattr(error.orig, "sqlstate", None):
        return str(state).startswith(_POSTGRESQL)
    return type(error.orig).__name__ == "OperationalError"  # psycopg's for a server that can't be reached


def spoken(error: BaseException) -> str:
    """An error in a few words that may be logged: an exception's text can hold the row that it is about.

    Ours about a row's counts names no value. Of a database's refusal the first line is told, which names tables and
    constraints; the values come after it, except in a `DataError`.
    """
    if isinstance(error, DBAPIError) and not isinstance(error, DataError):
        return f"{type(error).__name__}: {str(error.orig).strip().partition(chr(10))[0]}"
    if isinstance(error, UnmatchedError):
        return f"{type(error).__name__}: {error}"
    return type(error).__name__


def in_full(error: BaseException) -> str:
    """An error with all that it says, for whoever mends the row; kept beside the row and nowhere else."""
    return str(error.orig if isinstance(error, DBAPIError) else error).strip()
