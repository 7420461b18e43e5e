"""Which samples are taken, how many, and when."""

from itertools import count, pairwise

import pytest

from roundsman.report.rules.visitor import STRANGER, Visitor
from roundsman.timing.rules.sampling import many, plan, wants
from tests.make import site

BUDGET = {"response_time": {"hit": {"p95": "50ms"}, "miss": {"p95": "50ms"}}}
ORIGIN = {"origin": "http://10.0.0.5:8080"}


def planned(*rules, visitor=STRANGER, **more):
    shop = site(*rules or [BUDGET], **more)
    token = count(1)
    return shop, plan(shop, shop.rules[0], visitor, lambda: str(next(token)))


def test_every_sample_is_due_at_its_own_time_whatever_becomes_of_those_before_it():
    _, made = planned(manners={"rate": 50, "samples": 20})
    assert all(abs(later.probe.at - sooner.probe.at - 0.02) < 1e-9 for sooner, later in pairwise(made))


def test_a_kind_warms_up_once_and_asks_one_in_ten_on_a_new_connection():
    _, made = planned(manners={"samples": 20})
    hits = [one for one in made if "roundsman=" not in one.probe.url]
    assert [True] + [False] * 22 == [one.warms_up for one in hits]
    assert [False] * 11 + [True] + [False] * 10 + [True] == [one.probe.new_connection for one in hits]
    misses = {one.probe.url for one in made if "roundsman=" in one.probe.url}
    assert 23 == len(misses)


def test_the_origin_is_asked_by_the_name_of_the_site():
    _, made = planned(manners={"samples": 20}, **ORIGIN)
    own = [one.probe for one in made if one.probe.node]
    assert 23 == len(own)
    assert {("http://example.test/a", "10.0.0.5:8080")} == {(one.url, one.node) for one in own}


def test_the_origin_keeps_its_own_scheme():
    _, made = planned(manners={"samples": 20}, base_url="https://example.test", origin="http://10.0.0.5")
    assert {("http://example.test/a", "10.0.0.5:80")} == {(o.probe.url, o.probe.node) for o in made if o.probe.node}


def test_a_members_page_is_never_asked_behind_the_edge():
    rule = BUDGET | {"cache": {"by": "member"}, "examples": {"not_cached": ["/a"]}}
    _, made = planned(rule, visitor=Visitor("ada", (("Cookie", "sessionid=ada"),)), **ORIGIN)
    assert made
    assert not [one for one in made if one.probe.node]


@pytest.mark.parametrize(
    ("budget", "kinds"),
    [
        ({"hit": {"p95": "1s"}}, [("edge", "hit")]),
        ({"miss": {"p95": "1s"}}, [("edge", "miss"), ("origin", "")]),
        ({"origin": {"p50": "1s"}}, [("origin", "")]),
        ({"origin": {}}, []),
    ],
)
def test_a_budget_says_what_is_timed(budget, kinds):
    rule = site({"response_time": budget}, **ORIGIN).rules[0]
    assert kinds == [(one.series, one.state) for one in wants(rule, "/a", origin=True)]


@pytest.mark.parametrize(
    ("budget", "manners", "wanted"),
    [
        ({"p50": "1s"}, {}, 38),
        ({"p95": "1s"}, {}, 108),
        ({"p50": "1s", "p95": "1s"}, {}, 108),
        ({"p95": "1s"}, {"precision": 0.1}, 429),
        ({"p95": "1s"}, {"precision": 1}, 72),
        ({"p99": "1s"}, {}, 368),
        ({"p99": "1s"}, {"samples": 30}, 30),
    ],
)
def test_as_many_samples_are_taken_as_the_deepest_quantile_needs(budget, manners, wanted):
    shop = site({"response_time": {"miss": budget}}, manners=manners)
    assert wanted == many(shop, shop.rules[0].response_time.miss)
