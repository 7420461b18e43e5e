"""What was seen of the named queries of a database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from roundsman.database.rules.named_queries import NamedQuery
from roundsman.database.rules.query_plan import QueryPlan


@dataclass(frozen=True, slots=True)
class ObservedQuery:
    """A named query: its plan for any values, and what it did with those of the file."""

    query: NamedQuery
    plan: QueryPlan | None = None
    trouble: str = ""
    """Why there is no plan."""
    ran: QueryPlan | None = None
    not_run: str = ""
    """Why it was not run; empty where nobody asked for it."""
    ids: frozenset[int] = frozenset()
    """What pg_stat_statements may call it."""


@dataclass(frozen=True, slots=True)
class TopQuery:
    """A query that takes much of all time."""

    id: int
    text: str
    calls: int
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """All of it. `rows` are estimates by table."""

    dialect: str
    queries: tuple[ObservedQuery, ...]
    rows: Mapping[str, int] = field(default_factory=dict)
    top: tuple[TopQuery, ...] = ()
    top_trouble: str = ""
    """Why nobody can say what takes the most time; empty on SQLite, which does not count."""
    hidden: int = 0
    """Of the top, how many our role may not read."""


@dataclass(frozen=True, slots=True)
class KnownPlan:
    """A plan as the ledger has it."""

    since: datetime
    lines: tuple[str, ...]
    cost: float | None
    blocks: int | None


@dataclass(frozen=True, slots=True)
class PlanHistory:
    """A query's plan by the ledger: since when it has this one, and the one before."""

    since: datetime
    before: KnownPlan | None
