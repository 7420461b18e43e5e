"""Budgets, and samples too small to hold them against."""

import pytest

from flows.rules.response_time import interval, judge, judge_health, needed, quantile
from flows.rules.site import Health
from tests.rules.make import exchange, hit, miss, site


def seen(kind, *, fast=0, slow=0):
    return [kind(first_byte=0.010)] * fast + [kind(first_byte=0.100)] * slow


BUDGET = {"response_time": {"hit": {"p50": "20ms", "p95": "50ms"}, "miss": {"p95": "50ms"}}}
FINE = seen(miss, fast=80)
CASES = [
    (seen(hit, fast=100) + FINE, {}),
    (seen(hit, fast=95, slow=5) + FINE, {}),
    (seen(hit, fast=93, slow=7) + FINE, {"hit-p95": "warn"}),
    (seen(hit, fast=80, slow=20) + FINE, {"hit-p95": "fail"}),
    (seen(hit, fast=30, slow=70) + FINE, {"hit-p95": "fail", "hit-p50": "fail"}),
    (seen(hit, fast=71) + FINE, {"hit-p95": "unknown"}),
    (seen(hit, fast=100), {"miss-p95": "unknown"}),
    (seen(hit, fast=100) + seen(miss, slow=80), {"miss-p95": "fail"}),
    ([exchange(error="timeout")] * 100, {"answers": "unknown"}),
    (seen(hit, fast=100) + FINE + [exchange(error="timeout")], {"answers": "unknown"}),
    ([miss(status=503)] * 100, {"status": "fail"}),
]


@pytest.mark.parametrize(("samples", "wanted"), CASES)
def test_a_route_fails_its_budget_only_when_the_sample_can_tell(samples, wanted):
    shop = site(BUDGET)
    verdict = judge(shop, shop.rules[0], "/a", samples)
    found = {f.claim.removeprefix("response-time/"): f.outcome.value for f in verdict.findings if f.outcome != "pass"}
    assert wanted == found


def test_an_unknown_says_how_many_samples_it_takes():
    shop = site(BUDGET)
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, fast=71) + FINE)
    finding = next(f for f in verdict.findings if f.outcome == "unknown")
    assert ("71 samples of a hit", "72 of them, which a p95 needs") == (finding.saw, finding.wanted)


def test_the_interval_is_that_of_the_order_statistics():
    times = [float(rank) for rank in range(1, 101)]
    assert (6, 72, 368) == (needed(0.5), needed(0.95), needed(0.99))
    assert (95, (90, 100)) == (quantile(times, 0.95), interval(times, 0.95))
    assert (50, (40, 61)) == (quantile(times, 0.5), interval(times, 0.5))


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(exchange(), "pass"), (exchange(status=503), "fail"), (exchange(error="refused"), "unknown")],
)
def test_a_site_is_up_when_it_says_so(answer, outcome):
    assert outcome == judge_health(site(), Health(path="/health"), answer).outcome
