"""The target database: where effects and checkpoints are written together, and whose clock is the clock."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Connection,
    Engine,
    FunctionElement,
    Table,
    create_engine,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn

from flows.tasks.batch.errors import BatchError
from flows.tasks.batch.tables import OUTBOX, TABLES
from flows.tasks.ledger_tables import LedgerTable

#: Any number that nothing else in the database locks.
_LOCK = 0x6261746368


class NowMs(FunctionElement):
    """The database's clock, in milliseconds since 1970. It moves on within a transaction."""

    type = BigInteger()
    inherit_cache = True


@compiles(NowMs, "sqlite")
def _sqlite_now(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiles(NowMs, "postgresql")
def _postgresql_now(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


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
        yield


_BOUNDS = text(
    "SELECT set_config('statement_timeout', :bound, true),"
    " set_config('idle_in_transaction_session_timeout', :bound, true)"
)


def open_target(variable: str) -> Engine:
    """The database whose address is in an environment variable, as a job's parameters are shown to everybody.

    `dispose()` closes it.

    Raises:
        BatchError: the variable is not set, or holds no such address. It is not quoted: it holds a password.
    """
    try:
        where = make_url(os.environ.get(variable, ""))
    except (ArgumentError, ValueError):
        where = None
    if where is None or where.get_backend_name() not in {"sqlite", "postgresql"}:
        saw = "saw text that is no database URL of that kind" if os.environ.get(variable) else "saw nothing"
        raise BatchError(f"{variable}: {saw}; wanted postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE")
    if where.get_backend_name() == "sqlite":
        return create_engine(where, hide_parameters=True, connect_args={"timeout": 30})
    return create_engine(
        where.set(drivername="postgresql+psycopg"),
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10},
    )


def prepare(engine: Engine) -> None:
    """Make the kit's tables in a target that has them not. Workers that start at once wait for each other.

    A target that an older version made gets the columns that have come since; those may be empty.

    Raises:
        BatchError: the database has a table of the same name that is somebody else's, or is of another kind.
    """
    if engine.dialect.name not in {"sqlite", "postgresql"}:
        raise BatchError(f"the target is a database of {engine.dialect.name}; wanted SQLite or PostgreSQL")
    if _lacks(engine) or any(_lost(engine, table) for table in TABLES):
        with writing(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            LedgerTable.metadata.create_all(connection, tables=TABLES)
            for table in TABLES:
                _complete(connection, table)


def _complete(connection: Connection, table: Table) -> None:
    lost = _lost(connection, table)
    if foreign := sorted(column.name for column in lost if not column.nullable):
        more = "; the outbox of another program?" if table is OUTBOX else ""
        saw = f"table {table.name} of the target without {', '.join(foreign)}{more}"
        raise BatchError(f"saw {saw}; wanted a database, or a schema, in which that name is this project's")
    for column in lost:
        connection.execute(DDL(f"ALTER TABLE {table.name} ADD COLUMN {CreateColumn(column).compile(connection)}"))


def _lost(bind: Engine | Connection, table: Table) -> list[Column[Any]]:
    there = {column["name"] for column in inspect(bind).get_columns(table.name)}
    return [column for column in table.columns if column.name not in there]


def has_tables(engine: Engine) -> bool:
    """Whether the target knows of batch jobs at all."""
    return not _lacks(engine)


def _lacks(engine: Engine) -> bool:
    return not {table.name for table in TABLES} <= set(inspect(engine).get_table_names())
