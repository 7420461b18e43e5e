"""Budgets, and samples too small to hold them against."""

from dataclasses import replace

import pytest

from roundsman.site.rules.site import Health
from roundsman.timing.rules import judge as judging
from roundsman.timing.rules.judge import interval, judge, judge_health, needed, quantile, split
from roundsman.timing.rules.sampling import wants
from tests.make import exchange, hit, miss, site


def seen(kind, *, fast=0, slow=0):
    return [kind(first_byte=0.010)] * fast + [kind(first_byte=0.100)] * slow


def stalled(**more):
    made = hit(**more)
    return replace(made, phases=made.phases._replace(late=0.2))


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
    (seen(hit, fast=100) + seen(exchange, slow=80), {"miss-p95": "unknown"}),
    (seen(hit, fast=80) + seen(stalled, fast=20) + FINE, {"hit-p95": "fail"}),
    ([exchange(error="timeout")] * 100, {"answers": "unknown"}),
    (seen(hit, fast=100) + FINE + [exchange(error="timeout")], {"answers": "unknown"}),
    ([miss(status=503)] * 100, {"status": "fail"}),
    ([miss(status=404)] * 100, {"status": "fail"}),
]


@pytest.mark.parametrize(("samples", "wanted"), CASES)
def test_a_route_fails_its_budget_only_when_the_sample_can_tell(samples, wanted):
    shop = site(BUDGET)
    verdict = judge(shop, shop.rules[0], "/a", samples)
    found = {f.claim.removeprefix("response-time/"): f.outcome.value for f in verdict.findings if f.outcome != "pass"}
    assert wanted == found


@pytest.mark.parametrize(("status", "wanted"), [(403, None), (404, None), (503, "fail")])
def test_a_preview_may_be_refused_to_a_stranger_as_in_cache_headers(status, wanted):
    shop = site({"examples": {"cached": ["/a"], "not_cached": ["/a/p"]}, "response_time": {"miss": {"p95": "50ms"}}})
    verdict = judge(shop, shop.rules[0], "/a/p", [miss("/a/p", status=status)] * 100)
    assert wanted == next((one.outcome for one in verdict.findings if one.claim == "response-time/status"), None)


def test_the_slowest_of_a_budget_are_of_those_that_it_judges():
    shop = site(BUDGET)
    cold = [replace(hit(first_byte=0.3), reused=False)] * 10
    verdict = judge(shop, shop.rules[0], "/a", [*seen(hit, fast=50, slow=50), *cold, *FINE])
    assert {0.1} == {one.phases.first_byte for one in verdict.findings[0].evidence}


KINDS = {
    "everyone": {"examples": {"cached": ["/a"], "not_cached": ["/a/p"]}},
    "member": {"cache": {"by": "member"}, "examples": {"not_cached": ["/a"]}},
    "no bound": {"response_time": {"hit": {}, "miss": {}}},
    "no hit": {"response_time": {"miss": {"p95": "50ms"}}},
    "no budget": {"response_time": None},
}


@pytest.mark.parametrize(
    ("kind", "path", "wanted"),
    [
        ("everyone", "/a", ("hit", "miss")),
        ("everyone", "/a/p", ("miss",)),
        ("member", "/a", ("miss",)),
        ("no bound", "/a", ()),
        ("no hit", "/a", ("miss",)),
        ("no budget", "/a", ()),
    ],
)
def test_only_a_cached_page_for_everyone_has_a_budget_for_hits(kind, path, wanted):
    assert wanted == tuple(one.state for one in wants(site(BUDGET | KINDS[kind]).rules[0], path))


def test_a_page_that_is_never_cached_is_not_judged_for_hits():
    shop = site(BUDGET | KINDS["everyone"])
    verdict = judge(shop, shop.rules[0], "/a/p", FINE)
    assert ["response-time/miss-p95"] == [finding.claim for finding in verdict.findings]


@pytest.mark.parametrize(("kind", "misses"), [("everyone", 0), ("member", 80)])
def test_an_answer_without_a_label_is_a_miss_only_where_no_cache_is_promised(kind, misses):
    hits, missed, _ = split(site(BUDGET | KINDS[kind]).rules[0], "/a", seen(exchange, fast=80))
    assert (0, misses) == (len(hits.times), len(missed.times))


def test_an_unknown_says_how_many_samples_it_takes():
    shop = site(BUDGET)
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, fast=71) + FINE)
    finding = next(f for f in verdict.findings if f.outcome == "unknown")
    assert ("71 samples of a hit", "72 of them, which a p95 needs") == (finding.saw, finding.wanted)


@pytest.mark.parametrize(
    ("state", "kind"), [("hit", hit), ("miss", miss), ("origin", lambda **how: from_origin(miss(**how)))]
)
def test_a_p99_is_judged_from_368_samples_on_and_a_p95_from_72(state, kind):
    shop = site({"response_time": {state: {"p95": "50ms", "p99": "90ms"}}}, origin="http://10.0.0.5")
    found = [judge(shop, shop.rules[0], "/a", seen(kind, fast=count)).findings for count in (71, 72, 367, 368)]
    said = [tuple(str(one.outcome) for one in some) for some in found]
    assert [("unknown", "unknown"), ("pass", "unknown"), ("pass", "unknown"), ("pass", "pass")] == said
    assert [f"response-time/{state}-p95", f"response-time/{state}-p99"] == [one.claim for one in found[0]]


def from_origin(made):
    return replace(made, probe=replace(made.probe, node="10.0.0.5:80"))


def test_the_origin_is_told_apart_from_the_edge_before_it():
    shop = site(BUDGET, origin="http://10.0.0.5")
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, fast=100) + FINE + [from_origin(miss(first_byte=0.2))] * 80)
    assert "pass" == verdict.outcome
    assert [("hit", 0.01), ("miss", 0.01), ("origin", 0.2)] == [(one.state, max(one.times)) for one in verdict.series]


def test_what_was_too_late_to_be_sent_counts_as_long_as_it_had_waited():
    shop = site(BUDGET)
    lost = exchange(error="dropped")
    lost = replace(lost, phases=lost.phases._replace(first_byte=0.0, total=0.0, late=3.0))
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, fast=80) + FINE + [lost] * 20)
    told = {one.claim: (str(one.outcome), one.saw) for one in verdict.findings}
    sent = ("warn", "20 of 180 were not sent, as all connections waited for answers")
    assert sent == told["response-time/sent"]
    outcome, saw = told["response-time/hit-p95"]
    assert "fail" == outcome
    assert saw.startswith("p95 3000.0ms (")


def test_a_late_start_is_told():
    shop = site(BUDGET)
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, fast=80) + seen(stalled, fast=1) + FINE)
    assert "started up to 200.0ms late" in next(one.saw for one in verdict.findings if one.claim.endswith("hit-p95"))


def test_new_connections_are_told_beside_the_used_ones_and_never_among_them():
    shop = site(BUDGET)
    cold = [replace(one, probe=replace(one.probe, new_connection=True)) for one in seen(hit, slow=10)]
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, fast=80) + cold + FINE)
    saw = next(one.saw for one in verdict.findings if one.claim.endswith("hit-p95"))
    assert "p95 10.0ms (10.0ms to 10.0ms, 80 samples; on a new connection p50 100.0ms)" == saw


def test_a_doubt_says_how_many_samples_would_end_it():
    shop = site(BUDGET)
    verdict = judge(shop, shop.rules[0], "/a", [hit(first_byte=0.001 * rank) for rank in range(10, 54)] * 2 + FINE)
    finding = next(one for one in verdict.findings if one.claim.endswith("hit-p95"))
    assert "warn" == finding.outcome
    assert "at most 50ms; about 360 samples would tell" == finding.wanted


def test_the_interval_is_that_of_the_order_statistics():
    times = [float(rank) for rank in range(1, 101)]
    assert (6, 72, 368) == (needed(0.5), needed(0.95), needed(0.99))
    assert (95, (90, 100)) == (quantile(times, 0.95), interval(times, 0.95))
    assert (50, (40, 61)) == (quantile(times, 0.5), interval(times, 0.5))


def test_a_finding_names_budget_interval_and_its_three_slowest():
    shop = site(BUDGET)
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, fast=90, slow=2) + seen(hit, slow=8) + FINE)
    one, other, third = verdict.findings
    assert ("response-time/hit-p50", "The p50 of a hit is within its budget.") == (one.claim, one.says)
    assert ("p50 10.0ms (10.0ms to 10.0ms, 100 samples)", "at most 20ms") == (one.saw, one.wanted)
    assert ("response-time/hit-p95", "response-time/miss-p95") == (other.claim, third.claim)
    assert "The p95 of a miss is within its budget." == third.says
    assert [0.1] * 3 == [each.phases.first_byte for each in one.evidence]


def test_an_unknown_has_one_example():
    shop = site(BUDGET)
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, fast=5) + FINE)
    assert [1, 1, 3] == [len(finding.evidence) for finding in verdict.findings]


@pytest.mark.parametrize(("late", "added"), [(0.02, ""), (0.021, "; started up to 21.0ms late")])
def test_a_start_within_twenty_milliseconds_is_in_time(late, added):
    shop, made = site(BUDGET), hit()
    made = replace(made, phases=made.phases._replace(late=late))
    verdict = judge(shop, shop.rules[0], "/a", [made] * 80 + FINE)
    assert verdict.findings[0].saw.endswith(f"80 samples{added})")


@pytest.mark.parametrize(("silent", "claims"), [(100, 4), (101, 1)])
def test_a_route_of_which_half_is_silent_is_judged_by_the_other_half(silent, claims):
    shop = site(BUDGET)
    samples = seen(hit, fast=20) + seen(miss, fast=80) + [exchange(error="timeout")] * silent
    verdict = judge(shop, shop.rules[0], "/a", samples)
    assert claims == len(verdict.findings)
    assert "response-time/answers" == verdict.findings[-1].claim


def test_a_time_on_its_bound_is_within_and_an_interval_from_its_bound_leaves_a_doubt():
    shop = site({"response_time": {"hit": {"p95": "100ms"}}})
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, slow=80))
    assert ["pass"] == [finding.outcome for finding in verdict.findings]
    shop = site({"response_time": {"hit": {"p95": "10ms"}}})
    verdict = judge(shop, shop.rules[0], "/a", seen(hit, fast=93, slow=7))
    assert ["warn"] == [finding.outcome for finding in verdict.findings]


def test_the_times_of_the_origin_are_called_so():
    shop = site({"response_time": {"origin": {"p95": "50ms"}}}, origin="http://10.0.0.5")
    verdict = judge(shop, shop.rules[0], "/a", [from_origin(made) for made in seen(miss, fast=9)])
    assert ["9 samples of the origin"] == [finding.saw for finding in verdict.findings]


def test_only_answers_to_what_was_asked_as_a_hit_count_for_the_hit_rate():
    rule = site(BUDGET, origin="http://10.0.0.5").rules[0]
    hits, *_ = split(rule, "/a", [hit(), miss(), exchange(error="timeout"), from_origin(miss())])
    assert (1, 2) == (hits.hits, hits.asked)


def test_what_was_not_sent_is_said_with_an_example():
    shop = site(BUDGET)
    lost = [exchange(error="dropped")] * 2
    sent = judge(shop, shop.rules[0], "/a", seen(hit, fast=80) + FINE + lost).findings[-1]
    assert ("response-time/sent", "Every sample could be sent in its time.") == (sent.claim, sent.says)
    assert ("none too late to be sent", (lost[0],)) == (sent.wanted, sent.evidence)


def test_a_series_counts_the_hits_among_those_that_were_asked_for():
    hits, misses, origin = split(site(BUDGET).rules[0], "/a", seen(hit, fast=7) + seen(miss, fast=3))
    assert ("/a", "hit", 7, 10) == (hits.path, hits.state, hits.hits, hits.asked)
    assert ("miss", "origin", 0) == (misses.state, origin.state, misses.asked)


@pytest.mark.parametrize(
    ("count", "value", "low", "high", "bound", "samples"),
    [
        (100, 0.06, 0.01, 0.1, 0.05, 2600),
        (93, 0.1, 0.05, 0.2, 0.06, 150),
        (10, 0.2, 0.1, 0.3, 0.1, 11),
        (10, 0.2, 0.1, 2.1, 0.199, 11),
        (40, 0.2, 0.1, 2.1, 0.199, 41),
        (99, 0.2, 0.1, 0.3, 0.1, 100),
        (100, 0.2, 0.1, 0.3, 0.1, 110),
        (100, 0.2, 0.1, 2.1, 0.2, 110),
        (1000, 0.5, 0.1, 2.1, 0.5, 16000),
    ],
)
def test_so_many_samples_would_bring_the_interval_to_the_bound(count, value, low, high, bound, samples):
    assert samples == judging._needed(count, value, low, high, bound)


def test_a_health_page_is_judged_by_the_status_that_is_expected():
    seen = exchange("/health", status=204)
    verdict = judge_health(site(), Health(path="/health", expect=204), seen)
    [finding] = verdict.findings
    assert ("response-time", "/health", "", "/health answers 204.") == (
        verdict.check, verdict.subject, verdict.rule, verdict.expected_result
    )  # fmt: skip
    assert ("response-time/up", "The site says that it is up.", "204", "204", (seen,)) == (
        finding.claim, finding.says, finding.saw, finding.wanted, finding.evidence
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(exchange(), "pass"), (exchange(status=503), "fail"), (exchange(error="refused"), "unknown")],
)
def test_a_site_is_up_when_it_says_so(answer, outcome):
    assert outcome == judge_health(site(), Health(path="/health"), answer).outcome
