"""Paths that are not there, and errors that must not be kept."""

import pytest

from roundsman.cache.rules.missing_pages import errors, findings, steps
from tests.make import exchange, hit, miss, site


def promised(missing="<=1m", **more):
    return {"cache": {"by": "everyone", "missing": missing}, **more}


NAMES = [
    ({}, []),
    (promised(paths=["/a/**"], examples={"cached": ["/a/b"]}), ["/a/roundsman-c0ffee"] * 2),
    (promised(paths=["/a", "/a/*.html"]), ["/a/roundsman-c0ffee.html"] * 2),
    (promised(paths=["/a"]), []),
]


@pytest.mark.parametrize(("rule", "wanted"), NAMES)
def test_a_name_that_nobody_has_is_asked_twice_where_the_rule_speaks_of_it(rule, wanted):
    shop = site(rule)
    asked = [step.probe.url.removeprefix(shop.base_url) for step in steps(shop, shop.rules[0], "/a", "c0ffee")]
    assert wanted == asked


def test_a_name_that_an_earlier_rule_decides_is_not_made_up():
    shop = site({"name": "first", "paths": ["/a/**"], "examples": {"cached": ["/a/x"]}}, promised(paths=["/a/**", "/b/**"], examples={"cached": ["/b/x"]}))  # fmt: skip
    assert ["/b/roundsman-c0ffee"] * 2 == [
        step.probe.url.removeprefix(shop.base_url) for step in steps(shop, shop.rules[1], "/b/x", "c0ffee")
    ]


def gone(cache_control="", status=404, answer=miss):
    return answer(cache_control=cache_control, status=status)


def kept(cache_control=""):
    return gone(cache_control, answer=hit)


KEPT = [
    ("<=1m", [gone("max-age=30"), kept("max-age=30")], "pass", "30s; observed MISS, HIT"),
    ("<=1m", [gone("max-age=600"), kept("max-age=600")], "fail", "10m; observed MISS, HIT"),
    ("<=1m", [gone("max-age=600"), gone("max-age=600")], "fail", "10m; observed MISS, MISS"),
    ("<=1m", [gone(), gone()], "pass", "no lifetime; observed MISS, MISS"),
    ("<=1m", [gone(), kept()], "fail", "no lifetime; observed MISS, HIT"),
    ("<=1m", [gone("no-store")] * 2, "pass", "not storable (`no-store`, RFC 9111 5.2.2.5); observed MISS, MISS"),
    ("<=1m", [gone("no-store"), kept("no-store")], "fail", "not storable (`no-store`, RFC 9111 5.2.2.5); observed MISS, HIT"),
    ("10s..1m", [gone(), gone()], "fail", "no lifetime; observed MISS, MISS"),
    ("10s..1m", [gone(status=410, cache_control="max-age=60")] * 2, "pass", "1m; observed MISS, MISS"),
    ("<=1m", [exchange(status=404)] * 2, "unknown", "no lifetime; observed UNKNOWN, UNKNOWN"),
    ("<=1m", [exchange(status=404, cache_control="max-age=600")] * 2, "fail", "10m; observed UNKNOWN, UNKNOWN"),
    ("<=1m", [exchange(error="timeout")], "unknown", "no answer: timeout it was"),
    ("<=1m", [gone(status=500)], "unknown", "500"),
    ("<=1m", [], "unknown", "no name can be made up for /a/** or /a"),
]  # fmt: skip


@pytest.mark.parametrize(("missing", "seen", "outcome", "saw"), KEPT)
def test_what_is_not_there_is_kept_no_longer_than_promised(missing, seen, outcome, saw):
    shop = site(promised(missing))
    *_, found = findings(shop.rules[0], {"missing": seen})
    assert ("cache-headers/missing", outcome, saw) == (found.claim, found.outcome, found.saw)


@pytest.mark.parametrize("seen", [[hit(), hit()], [gone(), hit()], [gone(status=302)] * 2])
def test_a_page_for_a_name_that_nobody_has_is_no_404(seen):
    shop = site(promised())
    [found] = findings(shop.rules[0], {"missing": seen})
    assert ("cache-headers/missing-status", "fail") == (found.claim, found.outcome)


def test_without_a_promise_nothing_is_said():
    assert [] == list(findings(site().rules[0], {}))


ERRORS = [
    (200, [hit()], None),
    (200, [miss(status=503), hit(status=503)], ("fail", "503: MISS, HIT")),
    (200, [miss(status=500)] * 2, ("pass", "500: MISS, MISS")),
    (200, [exchange(status=500, age="9")], ("fail", "500: HIT; Age 9")),
    (200, [exchange(status=500)], ("unknown", "500: UNKNOWN")),
    (503, [miss(status=503), hit(status=503)], None),
    (200, [exchange(error="timeout")], None),
]


@pytest.mark.parametrize(("status", "seen", "wanted"), ERRORS)
def test_no_server_error_comes_from_the_store(status, seen, wanted):
    found = [(one.outcome, one.saw) for one in errors(site({"status": status}).rules[0], seen)]
    assert ([] if wanted is None else [wanted]) == found
