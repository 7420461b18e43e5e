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
