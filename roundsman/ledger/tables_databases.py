"""The ledger's tables of reviewed databases: how their indexes are used, and the plans of their named queries.

A change here needs a migration beside it in `migrations/versions/`; a test holds the two against each other.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, UniqueConstraint
from sqlmodel import Field

from roundsman.ledger.base import Json, LedgerTable, UtcTime


class IndexUseRow(LedgerTable, table=True):
    """An index on a node: its last count of uses, and since when it has stood still."""

    __tablename__ = "index_use"

    database: str = Field(primary_key=True)
    node: str = Field(primary_key=True)
    """The variable that holds the node's address."""
    name: str = Field(primary_key=True)
    scans: int = Field(sa_type=BigInteger)
    reset: datetime | None = Field(default=None, sa_type=UtcTime)
    """When the node last forgot its counts."""
    since: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)


class QueryPlanRow(LedgerTable, table=True):
    """A plan of a named query, from when it was first seen until it was last seen."""

    __tablename__ = "query_plan"
    # In this order the constraint's index also answers "which plan had this query last?".
    __table_args__ = (UniqueConstraint("database", "query", "since"),)

    id: int | None = Field(default=None, primary_key=True)
    database: str
    query: str
    since: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)
    statement_hash: str
    """Of the query's text: a query that was written anew has no earlier plan."""
    fingerprint: str
    """Of the kinds of steps, relations, indexes and their order; costs are left out."""
    cost: float | None = None
    """By the planner, in its own unit; None where it names none."""
    blocks: int | None = None
    """Pages that it read when it was run; None when it was not."""
    lines: list[Any] = Field(sa_type=Json)
    """The plan as it is shown, a line for each step."""
