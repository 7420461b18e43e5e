"""The target database: where effects and checkpoints are written together, and whose clock is the clock."""

import os
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Table,
    create_engine,
    inspect,
    make_url,
    text,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.schema import CreateColumn

from roundsman.batch.errors import BatchError
from roundsman.ledger.base import LedgerTable
from roundsman.ledger.tables import OUTBOX, TABLES
from roundsman.ledger.transaction import writing

#: Any number that nothing else in the database locks.
_LOCK = 0x6261746368


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
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {CreateColumn(column).compile(connection)}")


def _lost(bind: Engine | Connection, table: Table) -> list[Column[Any]]:
    there = {column["name"] for column in inspect(bind).get_columns(table.name)}
    return [column for column in table.columns if column.name not in there]


def has_tables(engine: Engine) -> bool:
    """Whether the target knows of batch jobs at all."""
    return not _lacks(engine)


def _lacks(engine: Engine) -> bool:
    return not {table.name for table in TABLES} <= set(inspect(engine).get_table_names())
