"""Inserting rows: only those that are not there yet, or many at once."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from roundsman.ledger.base import LedgerTable


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
