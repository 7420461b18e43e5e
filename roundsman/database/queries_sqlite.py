"""Plans of SQLite, which tells neither a cost nor how many rows it expects."""

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from roundsman.database.read_only import analyzed, numbered
from roundsman.database.rules.named_queries import NamedQuery
from roundsman.database.rules.query_plan import QueryPlan, from_sqlite

_CALLED = re.compile(r"\b(?:FROM|JOIN|,)\s+\"?(\w+)\"?\s+(?:AS\s+)?(\w+)", re.IGNORECASE)


def plan(connection: Connection, query: NamedQuery, tables: Mapping[str, int]) -> QueryPlan:
    """The plan of a query. It speaks of tables as the query calls them."""
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor()
    steps = cursor.execute(f"EXPLAIN QUERY PLAN {query.sql}", query.limits.params).fetchall()
    cursor.close()
    names = {called: table for table, called in _CALLED.findall(query.sql) if table in tables}
    return from_sqlite([(row[0], row[1], row[3]) for row in steps], names)


def rows(connection: Connection) -> dict[str, int]:
    """Rows by table, as ANALYZE counted them; by their numbers where it did not."""
    ask = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    counted = analyzed(connection)
    names = connection.exec_driver_sql(ask).scalars().all()
    return {name: counted[name] if name in counted else numbered(connection, name) or 0 for name in names}
