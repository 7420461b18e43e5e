"""Named queries before and after migrations: what is no dearer, what is, and what nobody can tell."""

import pytest

from roundsman.database.rules.judge_migrations import judge_queries
from roundsman.database.rules.migration_facts import MigrationFacts
from roundsman.database.rules.named_queries import NamedQuery
from roundsman.database.rules.query_facts import ObservedQuery, PlanNode, Queries, QueryPlan

QUERY = NamedQuery("latest", "SELECT 1")
SCAN, SEARCH = PlanNode(0, "SCAN", "page"), PlanNode(0, "SEARCH", "page", "page_author")
SLOW = "canceling statement due to statement timeout"


def seen(step=SEARCH, cost=None, blocks=None, not_run=""):
    ran = QueryPlan((step,), cost, blocks) if blocks is not None else None
    return ObservedQuery(QUERY, QueryPlan((step,), cost), ran=ran, not_run=not_run)


#: A query before and after, the outcome, and what is said.
SEEN = [
    (seen(cost=10, blocks=4), seen(cost=11, blocks=4), "pass", "1 query no dearer"),
    (seen(cost=10, blocks=4), seen(SCAN, cost=11, blocks=4), "pass", "1 query no dearer, 1 plan of them another one"),
    (seen(cost=10, blocks=4), seen(SCAN, cost=90, blocks=4), "fail", "latest: SCAN on page, cost 90 (cost 9 times as high)"),
    (seen(cost=10, blocks=4), seen(SCAN, cost=11, blocks=40), "fail", "latest: SCAN on page, cost 11 (pages read 10 times as high)"),
    (seen(cost=10, blocks=4), seen(cost=10, not_run=SLOW), "unknown", f"latest: it was not run: {SLOW}"),
    (seen(cost=10, blocks=4), seen(SCAN, cost=90, not_run=SLOW), "fail", "latest: SCAN on page, cost 90 (cost 9 times as high)"),
    (seen(cost=10, not_run=SLOW), seen(cost=10, blocks=4), "pass", "1 query no dearer"),
    (seen(), seen(), "pass", "1 query no dearer"),
    (seen(), seen(SCAN), "warn", "latest: SCAN on page"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "outcome", "saw"), SEEN)
def test_a_query_is_no_dearer_only_where_that_could_be_compared(before, after, outcome, saw):
    facts = MigrationFacts("any", queries_before=(before,), queries_after=(after,))
    (found,) = judge_queries(Queries(file="shop.sql"), facts)
    assert (outcome, saw) == (str(found.outcome), found.saw)
    assert outcome not in {"warn", "fail"} or found.wanted.startswith("SEARCH using page_author on page")
