"""Asking a database what it would do for each named query, and what it did.

On PostgreSQL each query goes alone over the extended protocol, which takes no second statement along. SQLite reports
neither a cost nor how many rows it expects.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, Connection

from roundsman.database.copied_database import RehearsalError, address
from roundsman.database.database_file import queries_of
from roundsman.database.migration_errors import without_values
from roundsman.database.read_only import analyzed, numbered, reading
from roundsman.database.rules.named_queries import NamedQuery
from roundsman.database.rules.promise import Database
from roundsman.database.rules.query_facts import (
    ObservedQuery,
    Queries,
    QueryFacts,
    QueryPlan,
    TopQuery,
    from_postgresql,
    from_sqlite,
)

_ROWS = """
SELECT CASE WHEN n.nspname = 'public' THEN c.relname ELSE n.nspname || '.' || c.relname END,
    coalesce(nullif(greatest(c.reltuples, 0), 0), s.n_live_tup, 0)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^(pg_|information_schema)'
"""
_EXTENSION = """
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'
"""
#: What the application asks; questions about the catalogue are ours, or an operator's.
_TOP = """
SELECT queryid, query, calls, total_exec_time / 1000, total_exec_time / nullif(sum(total_exec_time) OVER (), 0)
FROM {}.pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (query ~* '^[[:space:](]*(select|with|values|insert|update|delete|merge)' AND query !~* '\\mpg_'
        OR query = '<insufficient privilege>')
ORDER BY total_exec_time DESC LIMIT {:d}
"""
_NUMBERS = count(1)


def only(variable: str) -> URL:
    """The address in a variable.

    Raises:
        RehearsalError: it is none of a PostgreSQL database.
    """
    url = address(variable)
    if url.get_backend_name() != "postgresql":
        raise RehearsalError(f"saw a URL of {url.get_backend_name()} in {variable}; wanted one of postgresql")
    return url


def _plan_of_postgresql(connection: Connection, query: NamedQuery) -> tuple[QueryPlan, frozenset[int]]:
    """The plan for any values, and what pg_stat_statements calls the query with and without its values written in.

    GENERIC_PLAN came with PostgreSQL 16; a prepared statement whose generic plan is forced does the same since 12.
    """
    numbers = {name: f"${place}" for place, name in enumerate(query.parameters, 1)}
    _ask(connection, "SET LOCAL plan_cache_mode = force_generic_plan")
    # It outlives what is rolled back, and ends with the connection.
    name = f"roundsman_{next(_NUMBERS)}"
    _ask(connection, f"PREPARE {name} AS {query.spelled(numbers.__getitem__)}")
    nulls = f"({', '.join(['NULL'] * len(numbers))})" if numbers else ""
    generic = _explained(connection, f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {name}{nulls}")
    literal = _explained(connection, f"EXPLAIN (VERBOSE, FORMAT JSON) {_written(connection, query)}")
    return generic, generic.ids | literal.ids


def run(connection: Connection, query: NamedQuery) -> QueryPlan:
    """What the query does with the values of the file. It is carried out, and its rows are thrown away."""
    options = "ANALYZE, BUFFERS, TIMING OFF, VERBOSE, FORMAT JSON"
    return _explained(connection, f"EXPLAIN ({options}) {_written(connection, query)}")


def _rows_of_postgresql(connection: Connection) -> dict[str, int]:
    """Rows by table, as the statistics have them."""
    return dict(tuple(row) for row in connection.exec_driver_sql(_ROWS))


def top(connection: Connection, most: int) -> dict[str, Any]:
    """What takes the most time of all."""
    where = connection.exec_driver_sql(_EXTENSION).scalar()
    if where is None:
        return {"top_trouble": "pg_stat_statements is not installed, so nobody knows what takes the most time"}
    found = _ask(connection, _TOP.format(where, most)).fetchall()
    queries = tuple(TopQuery(*row) for row in found if row[0] is not None and row[4] is not None)
    return {"top": queries, "hidden": sum(row[1] == "<insufficient privilege>" for row in found)}


def _written(connection: Connection, query: NamedQuery) -> str:
    """The query with its values written into it."""
    text = query.spelled(lambda name: f"%({name})s", lambda between: between.replace("%", "%%"))
    driver: psycopg.Connection[Any] | None = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 - it is connected
    return psycopg.ClientCursor(driver).mogrify(text, query.limits.params)


def _explained(connection: Connection, sql: str) -> QueryPlan:
    [(plans,)] = _ask(connection, sql).fetchall()
    return from_postgresql(plans[0])


def _ask(connection: Connection, sql: str) -> Any:
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    return cursor.execute(sql, binary=True)


_CALLED = re.compile(r"\b(?:FROM|JOIN|,)\s+\"?(\w+)\"?\s+(?:AS\s+)?(\w+)", re.IGNORECASE)


def _plan_of_sqlite(connection: Connection, query: NamedQuery, tables: Mapping[str, int]) -> QueryPlan:
    """The plan of a query. It speaks of tables as the query calls them."""
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    steps = cursor.execute(f"EXPLAIN QUERY PLAN {query.sql}", query.limits.params).fetchall()
    cursor.close()
    names = {called: table for table, called in _CALLED.findall(query.sql) if table in tables}
    return from_sqlite([(row[0], row[1], row[3]) for row in steps], names)


def _rows_of_sqlite(connection: Connection) -> dict[str, int]:
    """Rows by table, as ANALYZE counted them; by their numbers where it did not."""
    ask = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    counted = analyzed(connection)
    names = connection.exec_driver_sql(ask).scalars().all()
    return {name: counted[name] if name in counted else numbered(connection, name) or 0 for name in names}


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
            rows = _rows_of_sqlite(connection)
            seen = tuple(_planned(connection, query, lambda one: (_plan_of_sqlite(connection, one, rows), frozenset()))
                         for query in queries)  # fmt: skip
            return QueryFacts("sqlite", tuple(map(_uncounted, seen)), rows)
    with reading(url, promised.timeout) as connection:
        seen = tuple(_planned(connection, query, lambda one: _plan_of_postgresql(connection, one)) for query in queries)
        facts = QueryFacts("postgresql", seen, _rows_of_postgresql(connection), **_top(connection, promised.top))
    return replace(facts, queries=tuple(_run(promised, facts.queries))) if promised.run_on else facts


def plans_on(url: URL, promised: Queries, queries: tuple[NamedQuery, ...]) -> tuple[ObservedQuery, ...]:
    """Each query's plan on a copy, where each is run as well. Blocks.

    Raises:
        RehearsalError: it can't be reached or read.
    """
    with reading(url, promised.timeout) as connection:
        if url.get_backend_name() == "sqlite":
            tables = _rows_of_sqlite(connection)
            return tuple(
                _planned(connection, query, lambda one: (_plan_of_sqlite(connection, one, tables), frozenset()))
                for query in queries
            )
        planned = [_planned(connection, query, lambda one: _plan_of_postgresql(connection, one)) for query in queries]
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
        with reading(only(promised.run_on.env), promised.timeout) as connection:
            done = [_ran(connection, seen) for seen in planned]
    except RehearsalError as error:
        done = [replace(seen, not_run=str(error)) for seen in planned]
    yield from done


def _ran(connection: Connection, seen: ObservedQuery) -> ObservedQuery:
    if seen.plan is None:
        return seen
    try:
        with saved(connection):
            return replace(seen, ran=run(connection, seen.query))
    except refusals(connection) as error:
        return replace(seen, not_run=said(error))


def _top(connection: Connection, count: int) -> dict[str, Any]:
    if not count:
        return {}
    try:
        with saved(connection):
            return top(connection, count)
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
