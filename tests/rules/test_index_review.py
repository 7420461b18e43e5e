"""What is said of indexes that are all right, or not yet wrong."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.rules.index_facts import Index, IndexFacts
from flows.rules.index_review import judge
from flows.rules.index_usage import Watched
from tests.rules.make import database

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)
SHOP = database(indexes={"accept": {"page_old": "asked once a year"}})


def index(name, **more):
    return Index(name, "page", (name,), (name,), **more)


def seen(scans, days):
    """An index that was used so often, the last time so many days ago."""
    return Watched(scans, None, NOW - timedelta(days=days), NOW)


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
