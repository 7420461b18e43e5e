"""What is said of indexes that are all right, or not yet wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from roundsman.database.rules.index_facts import Index, IndexFacts, Table, WatchedIndex
from roundsman.database.rules.judge_indexes import judge
from tests.make import database

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)
SHOP = database(indexes={"accept": {"page_old": "asked once a year"}})


def index(name, **more):
    return Index(name, "page", (name,), (name,), **more)


def seen(scans, days):
    """An index that was used so often, the last time so many days ago."""
    return WatchedIndex(scans, None, NOW - timedelta(days=days), NOW)


KEY, VIEWS, OLD = index("page_pkey", unique=True, constraint=True), index("page_views"), index("page_old")

#: Indexes, uses of them by node, the outcome, and what is said.
USES = [
    ([KEY], {"live": {"page_pkey": seen(0, 60)}}, "pass", "1 index, all in use"),
    ([VIEWS], {"live": {"page_views": seen(9, 0)}}, "pass", "1 index, all in use"),
    ([KEY, VIEWS], {"live": {"page_views": seen(9, 60)}}, "pass", "2 indexes, all in use"),
    ([VIEWS], {"live": {"page_views": seen(0, 60)}, "standby": {"page_views": seen(9, 0)}}, "pass", "1 index, all in use"),
    ([VIEWS, index("b")], {"live": {"page_views": seen(9, 0), "b": seen(0, 13)}}, "pass", "2 indexes, 1 not used in the 13 days of watching: too short to call one unused"),
    ([VIEWS], {"live": {"page_views": seen(0, 60)}, "standby": {"page_views": seen(0, 1)}}, "pass", "1 index, 1 not used in the 1 day of watching: too short to call one unused"),
    ([VIEWS], {}, "pass", "1 index, 1 not used in the 0 days of watching: too short to call one unused"),
    ([VIEWS, OLD], {"live": {"page_views": seen(9, 0), "page_old": seen(0, 60)}}, "pass", "2 indexes, accepted: page_old (asked once a year), all others in use"),
    ([VIEWS], {"live": {"page_views": seen(0, 60)}}, "warn", "page_views on page was never used since its counts began, which were watched for 60 days"),
]  # fmt: skip


@pytest.mark.parametrize(("indexes", "nodes", "outcome", "saw"), USES)
def test_it_says_which_indexes_are_in_use_and_which_are_still_watched(indexes, nodes, outcome, saw):
    verdicts = judge(SHOP, IndexFacts("postgresql", indexes=tuple(indexes)), nodes, NOW)
    told = [one for verdict in verdicts for one in verdict.findings if one.claim.endswith("db104-unused")]
    assert [(outcome, saw)] == [(str(one.outcome), one.saw) for one in told]


#: What a database file accepts; what is said of unused indexes, and of what is accepted for nothing.
ACCEPTED = [
    ({"page_views": "asked once a year"}, "pass", "1 index, accepted: page_views (asked once a year), all others in use", None),
    ({"page_views": {"because": "asked once a year", "until": "2026-03-01"}}, "pass", "1 index, accepted: page_views until 2026-03-01 (asked once a year), all others in use", None),
    ({"page_views": {"because": "asked once a year", "until": "2026-02-28"}}, "warn", "for 60 days; it was accepted until 2026-02-28 (asked once a year), which is over", None),
    ({"page_veiws": "asked once a year"}, "warn", "for 60 days", "`accept` has page_veiws: there is nothing of that name"),
]  # fmt: skip


@pytest.mark.parametrize(("accept", "outcome", "saw", "warning"), ACCEPTED)
def test_an_index_is_accepted_until_its_last_day(accept, outcome, saw, warning):
    shop = database(indexes={"accept": accept})
    verdicts = judge(shop, IndexFacts("postgresql", indexes=(VIEWS,)), {"live": {"page_views": seen(0, 60)}}, NOW)
    findings = [one for verdict in verdicts for one in verdict.findings]
    (found,) = [one for one in findings if one.claim.endswith("db104-unused")]
    assert (outcome, saw) == (str(found.outcome), found.saw[-len(saw) :])
    assert [warning] * bool(warning) == [one.saw for one in findings if one.claim.endswith("/accept")]


#: Rows of its table and bytes of an index that no node has used for 60 days, and whether it is called unused.
TINY = [(0, 8192, False), (1000, 8192, False), (1001, 8192, True), (0, 2**20, True)]


@pytest.mark.parametrize(("rows", "size", "is_unused"), TINY)
def test_an_unused_index_of_a_small_table_is_not_worth_a_word(rows, size, is_unused):
    facts = IndexFacts("postgresql", tables=(Table("page", rows),), indexes=(index("page_views", size=size),))
    verdicts = judge(SHOP, facts, {"live": {"page_views": seen(0, 60)}}, NOW)
    (found,) = [one for verdict in verdicts for one in verdict.findings if one.claim.endswith("db104-unused")]
    assert ("warn" if is_unused else "pass") == found.outcome
    assert is_unused or found.saw == "1 index, all in use"


def warnings(facts, **more):
    """Subject, claim, what was seen and what would mend it, of all that is no pass."""
    return [
        (verdict.subject, one.claim.partition("/")[2][:5], one.saw, one.wanted)
        for verdict in judge(database(**more), facts, {}, NOW)
        for one in verdict.findings
        if one.outcome != "pass"
    ]


def test_many_small_tables_with_the_same_fault_are_one_line():
    names = [f"t{number}" for number in range(10)]
    twice = [Index(f"{name}_{end}", name, ("a",), ("a",)) for name in names for end in ("one", "two")]
    facts = IndexFacts("postgresql", tuple(Table(name, 0, has_key=False) for name in names), tuple(twice))
    (double, keyless) = warnings(facts)
    assert ("shop", "db102", True) == (*double[:2], double[2].startswith("10 times on tables of at most 1000 rows: t0_two is the same"))  # fmt: skip
    assert double[3].count("DROP INDEX CONCURRENTLY") == 10
    assert ("shop", "db109", True) == (*keyless[:2], keyless[2].endswith("; and 5 more"))
    one_of_each = IndexFacts("postgresql", facts.tables[:1], facts.indexes[:2])
    assert ["shop t0", "shop t0"] == [one[0] for one in warnings(one_of_each)], "one fault stands with its table"
    large = IndexFacts("postgresql", tuple(Table(name, 5000) for name in names), tuple(twice))
    assert [f"shop {name}" for name in names] == [one[0] for one in warnings(large)]
    accepted = dict.fromkeys(names, "of the test")
    assert ["db102"] == [one[1] for one in warnings(facts, indexes={"accept": accepted})]


@pytest.mark.parametrize(
    ("dialect", "count", "mend"),
    [("sqlite", 24, "ANALYZE"), ("sqlite", 1, "ANALYZE t0"), ("postgresql", 24, "ANALYZE"), ("postgresql", 2, "ANALYZE t0, t1")],
)  # fmt: skip
def test_tables_without_statistics_are_one_line(dialect, count, mend):
    tables = tuple(Table(f"t{number}", 5000, looked_at=False) for number in range(count))
    (found,) = warnings(IndexFacts(dialect, tables))
    assert ("db111", mend) == (found[1], found[3].partition(";")[0])
    assert count == 1 or found[2].startswith(f"{count} tables without statistics, or with old ones: t0, t1")
