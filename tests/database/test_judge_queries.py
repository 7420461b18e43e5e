"""What is held against the plans of named queries, by plans as PostgreSQL tells them."""

from datetime import UTC, datetime

import pytest

from roundsman.database.rules.acceptance import AcceptedQuery
from roundsman.database.rules.judge_queries import judge
from roundsman.database.rules.named_queries import NamedQuery
from roundsman.database.rules.query_facts import ObservedQuery, Queries, QueryFacts, from_postgresql
from tests.make import database

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)
SHOP = database()


def node(kind, expected, seen, *below, loops=1, side="Outer", **more):
    """A step as EXPLAIN (ANALYZE, FORMAT JSON) tells it."""
    counts = {"Plan Rows": expected, "Actual Rows": seen, "Actual Loops": loops}
    join = {"Join Type": "Inner"} if kind.endswith(("Join", "Loop")) else {}
    said = {"Node Type": kind, "Total Cost": 1, "Parent Relationship": side, "Plans": list(below)}
    return said | counts | join | {name.replace("_", " "): value for name, value in more.items()}


def right(kind, expected, seen, *below, **more):
    return node(kind, expected, seen, *below, side="Inner", **more)


SCAN = node("Index Scan", 200_000, 20)
MANY = node("Index Scan", 20, 200_000)

#: A plan, and the step whose estimate is called wrong; "" where none is.
ESTIMATES = [
    (SCAN, "Index Scan"),
    (MANY, "Index Scan"),
    (node("Index Scan", 99, 1), ""),
    (node("Limit", 20, 20, SCAN), ""),
    (node("Limit", 20, 20, MANY), "Index Scan"),
    (node("Limit", 20, 20, node("Nested Loop", 200_000, 20, SCAN, right("Index Scan", 1, 1, loops=20))), ""),
    (node("Limit", 20, 20, node("Sort", 200_000, 20, SCAN)), "Index Scan"),
    (node("Limit", 20, 20, node("Incremental Sort", 200_000, 20, SCAN)), ""),
    (node("Limit", 20, 20, node("Aggregate", 20, 20, SCAN, Strategy="Hashed")), "Index Scan"),
    (node("Limit", 20, 20, node("Aggregate", 20, 20, SCAN, Strategy="Sorted")), ""),
    (node("Limit", 20, 20, node("Hash Join", 200, 20, node("Seq Scan", 20, 20), right("Hash", 200_000, 20, SCAN))), "Index Scan"),
    (node("Limit", 20, 20, node("Bitmap Heap Scan", 20, 20, node("Bitmap Index Scan", 200_000, 20))), "Bitmap Index Scan"),
    (node("Nested Loop", 50, 0, node("Seq Scan", 50, 0), right("Seq Scan", 200_000, 0, loops=0)), ""),
    (node("Bitmap Heap Scan", 500, 480, node("BitmapOr", 500, 0, node("Bitmap Index Scan", 500, 480))), ""),
    (node("Bitmap Heap Scan", 500, 480, node("BitmapAnd", 500, 0, node("Bitmap Index Scan", 500, 480))), ""),
    (node("Merge Join", 20, 20, SCAN, right("Index Scan", 20, 20)), ""),
    (node("Merge Join", 20, 20, MANY, right("Index Scan", 20, 20)), "Index Scan"),
    (node("Merge Join", 20, 20, node("Index Scan", 20, 20), right("Index Scan", 200_000, 20)), ""),
    (node("Merge Join", 200_000, 200_000, node("Index Scan", 200_000, 200_000), right("Sort", 200, 200_000, node("Seq Scan", 200, 200))), ""),
    (node("Merge Join", 20, 20, node("Index Scan", 20, 20), right("Sort", 200_000, 20, node("Seq Scan", 200_000, 20))), "Seq Scan"),
    (node("Nested Loop", 50, 50, node("Seq Scan", 50, 50), right("Index Scan", 400, 1, loops=50), Join_Type="Semi"), ""),
    (node("Nested Loop", 50, 50, node("Seq Scan", 50, 50), right("Index Scan", 400, 1, loops=50)), "Index Scan"),
    (node("Seq Scan", 50, 50, node("Index Scan", 400, 1, side="SubPlan", loops=50)), ""),
    (node("Result", 1, 1, node("Aggregate", 1, 1, SCAN, side="InitPlan", Strategy="Plain")), "Index Scan"),
    (node("Hash Join", 50, 0, node("Seq Scan", 200_000, 1), right("Hash", 50, 0)), ""),
    (node("Hash Join", 50, 9, node("Seq Scan", 200_000, 1), right("Hash", 50, 9)), "Seq Scan"),
    (node("Hash Join", 50, 0, node("Seq Scan", 200_000, 0), right("Hash", 50, 9)), "Seq Scan"),
]  # fmt: skip


@pytest.mark.parametrize(("plan", "wrong"), ESTIMATES)
def test_an_estimate_is_wrong_only_where_all_rows_were_counted(plan, wrong):
    ran = from_postgresql({"Plan": plan})
    seen = ObservedQuery(NamedQuery("pages", "SELECT 1"), plan=ran, ran=ran)
    (verdict,) = judge(SHOP, Queries(file="shop.sql", top=0), QueryFacts("postgresql", (seen,)), {}, NOW)
    (found,) = [one for one in verdict.findings if one.claim.endswith("db204-estimate")]
    assert ("warn" if wrong else "pass") == str(found.outcome), found.saw
    assert found.saw.startswith(wrong)


@pytest.mark.parametrize(
    ("claim", "until", "outcome", "warning"),
    [
        ("db204", "2026-03-01", "pass", []),
        ("db204", "2026-02-28", "warn", []),
        ("db201", "2026-03-01", "warn", ["`accept` has db201 of pages: nothing is wrong there"]),
    ],
)
def test_a_known_fault_of_a_query_is_accepted_until_its_last_day(claim, until, outcome, warning):
    ran = from_postgresql({"Plan": SCAN})
    seen = ObservedQuery(NamedQuery("pages", "SELECT 1"), plan=ran, ran=ran)
    entry = AcceptedQuery(query="pages", claim=claim, because="skewed", until=until)
    promised = Queries(file="shop.sql", top=0, accept=(entry,))
    (verdict,) = judge(SHOP, promised, QueryFacts("postgresql", (seen,)), {}, NOW)
    (found,) = [one for one in verdict.findings if one.claim.endswith("db204-estimate")]
    assert outcome == str(found.outcome)
    assert warning == [one.saw for one in verdict.findings if one.claim.endswith("/accept")]
