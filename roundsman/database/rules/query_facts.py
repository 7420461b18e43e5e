"""Named queries: what a database will do for each, step by step, what it did, and what a database file says of it."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import Field

from roundsman.database.rules.acceptance import AcceptedQuery
from roundsman.database.rules.named_queries import NamedQuery
from roundsman.report.rules.durations import Duration
from roundsman.site.rules.field_types import EnvName, Model, Text

_DIGEST_DIGITS = 16
#: Steps that count no rows.
_UNCOUNTED = frozenset({"BitmapAnd", "BitmapOr"})


@dataclass(frozen=True, slots=True)
class PlanNode:
    """A step of a plan. Estimates and counts are of one loop."""

    depth: int
    kind: str
    """Such as Seq Scan, or SCAN."""
    relation: str = ""
    index: str = ""
    estimated: float = 0.0
    actual: float | None = None
    """Rows that it gave; None when it was not run, or nobody counted them."""
    loops: float = 1.0
    removed: float = 0.0
    """Rows that it looked at and threw away."""
    spilled: str = ""
    """What did not fit into memory; empty when all did."""
    cut: bool = False
    """Whether it may have been stopped before its end: by a LIMIT, or by a join that had seen enough."""
    again: bool = False
    """Whether a row counts as often as it was gone back to, as it does on the right of a merge join."""

    @property
    def words(self) -> str:
        """The step as it is shown."""
        on = f" on {self.relation}" if self.relation and self.relation not in self.kind else ""
        return f"{self.kind}{f' using {self.index}' if self.index else ''}{on}"

    @property
    def examined(self) -> float:
        """Rows that it read from its table, all loops together."""
        return ((self.actual or 0.0) + self.removed) * self.loops if self.relation else 0.0


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """A plan. `cost` is the planner's own unit; `blocks` the pages read, None when it was not run."""

    steps: tuple[PlanNode, ...]
    cost: float | None = None
    blocks: int | None = None
    ids: frozenset[int] = frozenset()
    """What pg_stat_statements calls the query."""

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each step, indented by its depth."""
        return tuple(f"{'  ' * one.depth}{one.words}" for one in self.steps)

    @property
    def fingerprint(self) -> str:
        """Kinds of steps, relations, indexes, and their order. No cost and no count is in it."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()[:_DIGEST_DIGITS]

    @property
    def examined(self) -> float:
        """Rows that it read from tables."""
        return sum(one.examined for one in self.steps)


def from_postgresql(told: Mapping[str, Any]) -> QueryPlan:
    """A plan from one element of what EXPLAIN (FORMAT JSON, VERBOSE) gives."""
    root = told["Plan"]
    ran = "Actual Loops" in root
    blocks = root.get("Shared Hit Blocks", 0) + root.get("Shared Read Blocks", 0) if ran else None
    ids = frozenset({told["Query Identifier"]} if "Query Identifier" in told else ())
    return QueryPlan(tuple(_steps(root, 0)), root["Total Cost"], blocks, ids)


def _steps(node: Mapping[str, Any], depth: int, *, cut: bool = False, again: bool = False) -> Iterator[PlanNode]:
    kind = " ".join(filter(None, (node.get("Partial Mode", "").replace("Simple", ""), node["Node Type"])))
    if node.get("Join Type", "Inner") != "Inner":
        kind = f"{kind} ({node['Join Type']})"
    name, space = node.get("Relation Name", ""), node.get("Schema", "public")
    counted = node.get("Actual Loops") and node["Node Type"] not in _UNCOUNTED
    yield PlanNode(
        depth,
        kind,
        name if space in {"public", ""} else f"{space}.{name}",
        node.get("Index Name", ""),
        node.get("Plan Rows", 0),
        node.get("Actual Rows") if counted else None,
        node.get("Actual Loops", 1) or 1,
        node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0),
        _spilled(node),
        cut,
        again,
    )
    for child in node.get("Plans", ()):
        back = node["Node Type"] == "Merge Join" and child.get("Parent Relationship") == "Inner"
        yield from _steps(child, depth + 1, cut=_cuts(node, child, cut=cut), again=back)


def _cuts(node: Mapping[str, Any], child: Mapping[str, Any], *, cut: bool) -> bool:
    """Whether a step may stop one below it before its end, by itself or because it is stopped itself."""
    kind, side = node["Node Type"], child.get("Parent Relationship")
    one_is_enough = node.get("Inner Unique") or node.get("Join Type") in {"Semi", "Anti"}
    nothing_to_find = any(one.get("Actual Rows") == 0 for one in node["Plans"] if one["Node Type"] == "Hash")
    return (
        kind in {"Limit", "Merge Join"}
        # EXISTS and IN ask no further than to the first row.
        or side in {"InitPlan", "SubPlan"}
        or bool(kind == "Nested Loop" and side == "Inner" and one_is_enough)
        or (kind == "Hash Join" and side == "Outer" and nothing_to_find)
        or (cut and not _takes_all(node))
    )


def _takes_all(node: Mapping[str, Any]) -> bool:
    """Whether a step has read all that is below it before it gives its first row."""
    if node["Node Type"] in {"Aggregate", "SetOp"}:
        return node.get("Strategy") in {"Plain", "Hashed"}
    return node["Node Type"] in {"Sort", "Hash", "Bitmap Heap Scan"}


def _spilled(node: Mapping[str, Any]) -> str:
    if node.get("Sort Space Type") == "Disk":
        return f"{node['Node Type']} wrote {node.get('Sort Space Used', 0)} kB to disk"
    if node.get("Hash Batches", 1) > node.get("Original Hash Batches", 1) or node.get("Hash Batches", 1) > 1:
        return f"{node['Node Type']} went to disk in {node['Hash Batches']} batches"
    if node.get("HashAgg Batches", 0) > 1:
        return f"{node['Node Type']} went to disk in {node['HashAgg Batches']} batches"
    return ""


_SQLITE = re.compile(
    r"(?P<kind>SCAN|SEARCH)\s+(?:TABLE\s+)?(?P<table>\S+)(?:\s+AS\s+\S+)?"
    r"(?:\s+USING\s+(?P<how>AUTOMATIC\s+(?:PARTIAL\s+)?(?:COVERING\s+)?INDEX|INTEGER PRIMARY KEY|"
    r"(?:COVERING\s+)?INDEX\s+(?P<index>\S+)))?"
)


def from_sqlite(rows: Sequence[tuple[int, int, str]], names: Mapping[str, str]) -> QueryPlan:
    """A plan from what EXPLAIN QUERY PLAN gives: id, parent, words. `names` are tables by what the query calls them."""
    depth: dict[int, int] = {0: -1}
    steps = []
    for number, parent, words in rows:
        depth[number] = depth.get(parent, -1) + 1
        found = _SQLITE.match(words)
        if found and found["table"] not in {"CONSTANT", "SUBQUERY"}:
            how = found["how"] or ""
            kind = f"{found['kind']} BY AN AUTOMATIC INDEX" if how.startswith("AUTOMATIC") else found["kind"]
            relation = names.get(found["table"], found["table"])
            steps.append(PlanNode(depth[number], kind, relation, found["index"] or ("rowid" if "KEY" in how else "")))
        else:
            steps.append(PlanNode(depth[number], words))
    return QueryPlan(tuple(steps))


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


class RunOn(Model):
    """A database that the queries are run on, by the variable that holds its address."""

    env: EnvName


class Queries(Model):
    """Named queries, and what is held against their plans."""

    file: Text
    """A file of named queries, from the project's folder."""
    run_on: RunOn | None = None
    """Where each is run once with its values, read-only: a golden database or a standby. It is only planned when left
    out, so that what it really reads is not known."""
    large: int = Field(default=10_000, ge=0)
    """Rows from which on a table must not be read from end to end."""
    off_by: float = Field(default=100, gt=1)
    """How many times more or fewer rows than the planner thinks a step may give."""
    costlier: float = Field(default=1.5, gt=1)
    """How many times the cost of the plan before a changed plan may have."""
    more_blocks: float = Field(default=2.0, gt=1)
    """How many times the pages of the plan before it may read."""
    told_for: Duration = Field(default=7 * 86400.0, ge=0)
    """How long a changed plan is told."""
    top: int = Field(default=20, ge=0, le=1000)
    """So many of the queries that take the most time in all should be named."""
    share: float = Field(default=0.01, ge=0, le=1)
    """The part of all queries' time below which one needs no name."""
    timeout: Duration = 10.0
    """For one query."""
    accept: tuple[AcceptedQuery, ...] = ()
    """Claims that one query may break until a day, each with the reason."""
