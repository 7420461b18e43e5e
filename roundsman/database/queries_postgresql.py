"""Plans of PostgreSQL. Each query goes alone over the extended protocol, which takes no second statement along."""

from itertools import count
from typing import Any

import psycopg
from sqlalchemy import URL, Connection

from roundsman.database.copied_database import RehearsalError, address
from roundsman.database.rules.named_queries import NamedQuery
from roundsman.database.rules.query_facts import TopQuery
from roundsman.database.rules.query_plan import QueryPlan, from_postgresql

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


def plan(connection: Connection, query: NamedQuery) -> tuple[QueryPlan, frozenset[int]]:
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


def rows(connection: Connection) -> dict[str, int]:
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
