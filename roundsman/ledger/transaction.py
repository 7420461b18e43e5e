"""A transaction that writes, the database's clock, and inserting rows that are not there yet, or many at once."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Connection,
    CursorResult,
    Delete,
    Engine,
    FunctionElement,
    Insert,
    Table,
    Update,
    event,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session

from roundsman.ledger.base import LedgerTable


class NowMs(FunctionElement[int]):
    """The database's clock, in milliseconds since 1970. It moves on within a transaction."""

    type = BigInteger()
    inherit_cache = True


@compiles(NowMs, "sqlite")
def _sqlite_now(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiles(NowMs, "postgresql")
def _postgresql_now(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


def clock(connection: Connection | Session) -> datetime:
    """The database's time now, in UTC: workers need not agree on theirs."""
    return datetime.fromtimestamp(connection.execute(select(NowMs())).scalar_one() / 1000, UTC)


@contextmanager
def writing(engine: Engine, *, patience: float = 30.0, keep: bool = True) -> Iterator[Connection]:
    """A transaction that writes, committed in the end, or rolled back with `keep=False` or on an error.

    Any engine will do. `patience`: seconds that one statement may take, and that the transaction may stand idle, on
    PostgreSQL: the server frees the rows of a worker that was stopped in the midst. SQLite has nothing like it, so
    there a stopped worker holds up every writer: what takes time is done before.
    """
    with engine.connect() as opened:
        connection = opened.execution_options(writes=True)
        begin = _begin_sqlite if engine.dialect.name == "sqlite" else _begin_postgresql
        with begin(connection, patience):
            yield connection
            if not keep:
                connection.get_transaction().rollback()  # type: ignore[union-attr]


@contextmanager
def writing_session(engine: Engine, *, expire_on_commit: bool = True) -> Iterator[Session]:
    """A session in a transaction of the ledger that writes; committed in the end, or rolled back on an error."""
    writer = engine.execution_options(writes=True)
    with Session(writer, expire_on_commit=expire_on_commit) as session, session.begin():
        yield session


def rows_changed(connection: Connection | Session, statement: Update | Delete) -> int:
    """Execute an UPDATE or a DELETE; returns how many rows it changed."""
    return cast("CursorResult[Any]", connection.execute(statement)).rowcount


@contextmanager
def _begin_sqlite(connection: Connection, _patience: float) -> Iterator[None]:
    raw: Any = connection.connection.dbapi_connection
    kept, raw.isolation_level = raw.isolation_level, None  # the driver would begin late, and without the lock
    try:
        # With less, a power cut may take back what was committed, and with it the proof that it was not done yet; the
        # outside may have been told already. No transaction may be open when it is set.
        raw.execute("PRAGMA synchronous=FULL")
        with connection.begin():
            if not raw.in_transaction:  # the ledger's own engine has begun already
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield
    finally:
        raw.isolation_level = kept


@contextmanager
def _begin_postgresql(connection: Connection, patience: float) -> Iterator[None]:
    with connection.begin():
        bound = f"{int(patience * 1000)}"
        connection.execute(_BOUNDS, {"bound": bound})
        if connection.dialect.driver == "psycopg":
            event.listen(connection, "after_cursor_execute", _bound_again)
        yield


def _bound_again(connection: Connection, *executed: Any) -> None:
    """The server forgets the bound of an idle transaction after a pipeline, which is how psycopg executes many rows."""
    *_, for_many = executed
    if for_many:
        raw: Any = connection.connection.dbapi_connection
        raw.execute("SELECT 1")


_BOUNDS = text(
    "SELECT set_config('statement_timeout', :bound, true),"
    " set_config('idle_in_transaction_session_timeout', :bound, true)"
)


def insert_new(target: Engine | Connection | Session, table: type[LedgerTable] | Table, *unique: str) -> Insert:
    """An INSERT that skips a row which is there already.

    `unique` names the columns that make a row the same; when left out, those of every unique constraint do.
    """
    dialect = (target.get_bind() if isinstance(target, Session) else target).dialect.name
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing(index_elements=unique or None)


def insert_row(session: Session, row: LedgerTable, *unique: str) -> int | None:
    """Insert a row unless it is there; returns its new id, or None. `unique` as for `insert_new`."""
    table = type(row)
    new = insert_new(session, table, *unique).values(row.model_dump(exclude={"id"}))
    return session.scalar(new.returning(table.__table__.c.id))


def insert_many(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows within the transaction that is open, all or none.

    COPY on PostgreSQL; on SQLite one prepared statement for all.

    Args:
        connection: In a transaction.
        table: Where to.
        columns: Of the table, by name; what is left out must have a default in the database.
        rows: Their values in the order of the columns, as the driver takes them: a column's own type is not asked.

    Raises:
        DBAPIError: the database refused, or is in trouble.
    """
    quote = connection.dialect.identifier_preparer
    where = f"{quote.format_table(table)} ({', '.join(quote.quote(name) for name in columns)})"
    if connection.dialect.name != "postgresql":
        marks = ", ".join("?" * len(columns))
        if values := [tuple(row) for row in rows]:
            connection.exec_driver_sql(f"INSERT INTO {where} VALUES ({marks})", values)  # noqa: S608 - names of ours
        return
    raw: Any = connection.connection.driver_connection
    statement, driver = f"COPY {where} FROM STDIN", connection.dialect.loaded_dbapi
    try:
        with raw.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except driver.Error as error:
        # Past SQLAlchemy, so that nobody else makes its error of the driver's, by which trouble is told from bad rows.
        if lost := connection.dialect.is_disconnect(error, raw, None):
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            driver.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=connection.dialect,
        ) from error


def insert_values(connection: Connection, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """As `insert_many`, with each value turned into the driver's by its column's type; a column may have none."""
    types = [table.c[name].type.dialect_impl(connection.dialect) if name in table.c else None for name in columns]
    turned = [one.bind_processor(connection.dialect) if one else None for one in types]
    insert_many(
        connection,
        table,
        columns,
        ([turn(value) if turn else value for turn, value in zip(turned, row, strict=True)] for row in rows),
    )
