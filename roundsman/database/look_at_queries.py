"""Asking a database what it would do for each named query, and what it did."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection

from roundsman.database import queries_postgresql as postgresql
from roundsman.database import queries_sqlite as sqlite
from roundsman.database.copied_database import RehearsalError, address
from roundsman.database.database_file import queries_of
from roundsman.database.migration_errors import without_values
from roundsman.database.read_only import reading
from roundsman.database.rules.named_queries import NamedQuery
from roundsman.database.rules.promise import Database
from roundsman.database.rules.query_facts import ObservedQuery, QueryFacts
from roundsman.database.rules.query_promise import Queries


async def look_at_queries(database: Database, promised: Queries, folder: Path) -> QueryFacts:
    """Have each named query of a database planned, and run where the file says so. Nothing is written.

    Raises:
        RehearsalError: the live database can't be reached or read.
        SiteFileError: the file of named queries is wrong.
    """
    return await asyncio.to_thread(look, database, promised, queries_of(folder / promised.file))


def look(database: Database, promised: Queries, queries: tuple[NamedQuery, ...]) -> QueryFacts:
    """The same, in this thread."""
    url = address(database.url.env)
    if url.get_backend_name() == "sqlite":
        with reading(url, promised.timeout) as connection:
            rows = sqlite.rows(connection)
            seen = tuple(_planned(connection, query, lambda one: (sqlite.plan(connection, one, rows), frozenset()))
                         for query in queries)  # fmt: skip
            return QueryFacts("sqlite", tuple(map(_uncounted, seen)), rows)
    with reading(url, promised.timeout) as connection:
        seen = tuple(_planned(connection, query, lambda one: postgresql.plan(connection, one)) for query in queries)
        facts = QueryFacts("postgresql", seen, postgresql.rows(connection), **_top(connection, promised.top))
    return replace(facts, queries=tuple(_run(promised, facts.queries))) if promised.run_on else facts


def plans_on(url: URL, promised: Queries, queries: tuple[NamedQuery, ...]) -> tuple[ObservedQuery, ...]:
    """Each query's plan on a copy, where each is run as well. Blocks.

    Raises:
        RehearsalError: it can't be reached or read.
    """
    with reading(url, promised.timeout) as connection:
        if url.get_backend_name() == "sqlite":
            tables = sqlite.rows(connection)
            return tuple(
                _planned(connection, query, lambda one: (sqlite.plan(connection, one, tables), frozenset()))
                for query in queries
            )
        planned = [_planned(connection, query, lambda one: postgresql.plan(connection, one)) for query in queries]
        return tuple(_ran(connection, seen) for seen in planned)


def _uncounted(seen: ObservedQuery) -> ObservedQuery:
    """SQLite does not say how many rows it looked at, and a promise about that is not kept by silence."""
    asked = seen.query.limits.max_rows_examined is not None
    return replace(seen, not_run="SQLite does not count rows") if asked else seen


def _planned(connection: Connection, query: NamedQuery, ask: Any) -> ObservedQuery:
    try:
        with saved(connection):
            plan, ids = ask(query)
    except refusals(connection) as error:
        return ObservedQuery(query, trouble=said(error))
    return ObservedQuery(query, plan, ids=ids)


def _run(promised: Queries, planned: tuple[ObservedQuery, ...]) -> Iterator[ObservedQuery]:
    """Run each once. A database that can't be reached makes all of it unknown, and no failure."""
    assert promised.run_on is not None  # noqa: S101 - the caller looked
    try:
        with reading(postgresql.only(promised.run_on.env), promised.timeout) as connection:
            done = [_ran(connection, seen) for seen in planned]
    except RehearsalError as error:
        done = [replace(seen, not_run=str(error)) for seen in planned]
    yield from done


def _ran(connection: Connection, seen: ObservedQuery) -> ObservedQuery:
    if seen.plan is None:
        return seen
    try:
        with saved(connection):
            return replace(seen, ran=postgresql.run(connection, seen.query))
    except refusals(connection) as error:
        return replace(seen, not_run=said(error))


def _top(connection: Connection, count: int) -> dict[str, Any]:
    if not count:
        return {}
    try:
        with saved(connection):
            return postgresql.top(connection, count)
    except refusals(connection) as error:
        return {"top_trouble": said(error)}


def refusals(connection: Connection) -> type[Exception]:
    """What the driver raises when the database refuses."""
    return connection.dialect.loaded_dbapi.Error


def said(error: Exception) -> str:
    """The database's word without the values that it did not like."""
    return without_values(error)


@contextmanager
def saved(connection: Connection) -> Iterator[None]:
    """What is refused in here ends nothing else of the transaction, and what is set in here ends with it."""
    connection.exec_driver_sql("SAVEPOINT one")
    try:
        yield
    finally:
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT one")
