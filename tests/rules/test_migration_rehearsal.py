"""What is held against a rehearsal of migrations, by what was seen of it."""

import pytest

from flows.rules.migration_facts import Leg, MigrationFacts, Snapshot, Statement
from flows.rules.migration_plan import Migrations
from flows.rules.migration_rehearsal import judge

PLAN = Migrations(golden="SHOP_GOLDEN", url="SHOP_URL", smoke=("true",))


def statistics(*statements):
    """What is said of statistics once these were run; an UPDATE changes all 1000 pages."""
    ran = tuple(Statement(sql, 0, 1, "1", written={"page": 1000} if "UPDATE" in sql else {}) for sql in statements)
    rest = Snapshot((), {"page": 1000, "page_view": 1000}, {}, {}, frozenset(), 0)
    facts = MigrationFacts("postgresql", pending={"1": ""}, before=rest, up=Leg(ran, revisions=("1",)), upgraded=rest)
    (found,) = [one for one in judge("shop", "web", PLAN, facts)[-1].findings if one.claim.endswith("statistics")]
    return str(found.outcome), found.saw


@pytest.mark.parametrize(
    ("sql", "known"),
    [
        ("ANALYZE", True),
        ("analyze;", True),
        ("ANALYZE VERBOSE", True),
        ("ANALYZE page", True),
        ('ANALYZE VERBOSE author, public."page" (id, title);', True),
        ("ANALYZE (VERBOSE, SKIP_LOCKED) Page", True),
        ("ANALYZE page_view", False),
        ("ANALYZE page_view, homepage", False),
        ("ANALYZE author (page)", False),
        ("ANALYZE old.page", False),
    ],
)
def test_a_changed_table_is_known_once_it_was_looked_at_by_name(sql, known):
    seen = statistics("UPDATE page SET views = 1", sql)
    assert ("pass" if known else "warn") == seen[0]
    assert known or seen[1] == "changed, and not looked at since: page"


def test_a_look_before_a_change_is_none_since():
    assert "warn" == statistics("ANALYZE page", "UPDATE page SET views = 1")[0]


#: Rows of the copy, what is known of production's, which tables an ALTER's time grows with, and what is said.
SIZES = [
    ({"user": 1000}, {"user": 1000}, ("user",), "pass"),
    ({"user": 1000}, {"user": 50_000_000}, ("user",), "fail"),
    ({"user": 1000}, {}, ("user",), "unknown"),
    ({"user": 1000}, {"page": 7}, ("user", "page"), "unknown"),
    ({"user": 0}, {"user": 50_000_000}, ("user",), "unknown"),
    ({"user": 0}, {}, ("user",), "unknown"),
    ({"user": 0}, {"user": 0}, ("user",), "pass"),
    ({"user": 1000}, {"user": 0}, ("user",), "pass"),
    ({"user": 1000}, {}, (), "pass"),
    ({"page": 1000}, {}, ("user",), "pass"),
]
PROJECTED = ("db302-time", "db303-reads", "db303-writes", "db305-rows")


@pytest.mark.parametrize(("rows", "production", "grows", "outcome"), SIZES)
@pytest.mark.parametrize("known", ["live", "file"])
def test_what_grows_with_a_table_is_no_pass_while_nobody_knows_how_large_it_is(rows, production, grows, outcome, known):
    """A table that the migration makes itself, and what is instant whatever the size, grow with nothing."""
    plan = PLAN.model_copy(update={"rows": production if known == "file" else {}})
    took = Statement(
        "ALTER", 0, 0.5, "1", (("user", "AccessExclusiveLock"),), scanned={"user": 1000} if any(rows.values()) else {},
        tables=grows,
    )  # fmt: skip
    rest = Snapshot((), rows, {}, {}, frozenset(), 0)
    up = Leg((took,), (0.5,), ("1",), 0.5)
    live = production if known == "live" else {}
    facts = MigrationFacts("postgresql", pending={"1": ""}, before=rest, up=up, upgraded=rest, live_rows=live)
    found = {
        one.claim.partition("/")[2]: one for verdict in judge("shop", "web", plan, facts) for one in verdict.findings
    }
    wanted = dict.fromkeys(PROJECTED, outcome) | ({"db305-rows": "warn"} if outcome == "fail" else {})
    assert wanted == {name: str(found[name].outcome) for name in PROJECTED}
    assert ("has no rows on the copy, or nobody knows" in found["db303-reads"].saw) is (outcome == "unknown")


def test_what_breaks_a_budget_on_the_copy_breaks_it_however_large_production_is():
    took = Statement("ALTER", 0, 2, "1", (("user", "AccessExclusiveLock"),), tables=("user",))
    rest = Snapshot((), {"user": 1000}, {}, {}, frozenset(), 0)
    facts = MigrationFacts(
        "postgresql", pending={"1": ""}, before=rest, up=Leg((took,), (2,), ("1",), 2), upgraded=rest
    )
    found = {one.claim.partition("/")[2]: str(one.outcome) for one in judge("shop", "web", PLAN, facts)[0].findings}
    assert ("fail", "unknown") == (found["db303-reads"], found["db303-writes"])
