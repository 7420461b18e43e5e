"""Bypass conditions, tried one by one."""

import pytest

from roundsman.cache.rules.bypass import findings, passed_by, steps
from tests.make import NOW, exchange, hit, miss, site


def rule(when, **more):
    return {"bypass": [{"when": when, "because": "it greets by name"}], **more}


ASKED = [
    ("cookie sessionid", [("/a", ()), ("/a", ()), ("/a", (("Cookie", "sessionid=c0ffee"),)), ("/a", (("Cookie", "sessionid=c0ffee"),)), ("/a", ())]),
    ("header x-preview", [("/a", ()), ("/a", ()), ("/a", (("x-preview", "c0ffee"),)), ("/a", (("x-preview", "c0ffee"),)), ("/a", ())]),
    ("query preview", [("/a", ()), ("/a", ()), ("/a?preview=c0ffee", ()), ("/a?preview=c0ffee", ()), ("/a", ())]),
    ("path /a/drafts/**", [("/a", ()), ("/a", ()), ("/a/drafts/roundsman-c0ffee", ()), ("/a/drafts/roundsman-c0ffee", ())]),
    ("path /a/new", [("/a", ()), ("/a", ()), ("/a/new", ()), ("/a/new", ())]),
    # A pattern is tried with a name that it speaks of.
    ("cookie wordpress_logged_in_*", [("/a", ()), ("/a", ()), ("/a", (("Cookie", "wordpress_logged_in_c0ffee=c0ffee"),)), ("/a", (("Cookie", "wordpress_logged_in_c0ffee=c0ffee"),)), ("/a", ())]),
    ("query *", [("/a", ()), ("/a", ()), ("/a?c0ffee=c0ffee", ()), ("/a?c0ffee=c0ffee", ()), ("/a", ())]),
    # A method may change something at the origin.
    ("method POST", []),
]  # fmt: skip


@pytest.mark.parametrize(("when", "wanted"), ASKED)
def test_each_condition_is_tried_twice_with_a_made_up_value_and_then_without(when, wanted):
    shop = site(rule(when))
    asked = [
        (step.probe.url.removeprefix(shop.base_url), step.probe.headers)
        for step in steps(shop, shop.rules[0], "/a", "c0ffee")
    ]
    assert wanted == asked


@pytest.mark.parametrize("when", ["path /a/drafts/**", "path /a/%64rafts/**"])
def test_a_path_that_is_an_example_is_judged_by_its_own_visits(when):
    shop = site(rule(when, examples={"cached": ["/a"], "not_cached": ["/a/drafts/1"]}))
    visits = {"/a": [miss(), hit()], "/a/drafts/1": [miss(), hit()]}
    assert [] == list(steps(shop, shop.rules[0], "/a", "c0ffee"))
    [found] = findings(shop, shop.rules[0], visits, {"head": [hit()]})
    assert ("fail", f"MISS, HIT with {when}") == (found.outcome, found.saw)


COOKIE, QUERY, GLOB = "cookie sessionid", "query preview", "path /a/drafts/**"
WARM = [hit(), hit()]
SEEN = [
    # honest edges
    (COOKIE, WARM, [miss(), miss()], [hit()], ("pass", "MISS, MISS with cookie sessionid"), ("pass", "HIT, the same copy after a visit with cookie sessionid")),
    (COOKIE, WARM, [exchange(cf_cache_status="BYPASS")] * 2, [hit()], ("pass", "BYPASS, BYPASS with cookie sessionid"), ("pass", None)),
    (COOKIE, [miss(), hit()], [miss(), miss()], [hit()], ("pass", None), ("pass", None)),
    (QUERY, WARM, [miss(), miss()], [hit()], ("pass", None), ("pass", None)),
    # the copy is handed out, at once or after it was kept apart
    (COOKIE, WARM, [hit(), hit()], [hit()], ("fail", "HIT, HIT with cookie sessionid"), ("pass", None)),
    (COOKIE, WARM, [miss(), hit(body=b"ada")], [hit()], ("fail", "MISS, HIT with cookie sessionid"), ("pass", None)),
    (QUERY, WARM, [miss(), hit()], [hit()], ("fail", "MISS, HIT with query preview"), ("pass", None)),
    # the visit replaced the copy
    (COOKIE, WARM, [miss(body=b"ada")] * 2, [hit(body=b"ada")], ("pass", None), ("fail", "HIT, another body after a visit with cookie sessionid")),
    (COOKIE, [hit(etag='"1"')] * 2, [miss()] * 2, [hit(etag='"2"')], ("pass", None), ("fail", "HIT, another etag after a visit with cookie sessionid")),
    (COOKIE, [hit(age="40")] * 2, [miss()] * 2, [hit(age="0", at=NOW + 1)], ("pass", None), ("fail", "HIT, another birth time after a visit with cookie sessionid")),
    (COOKIE, WARM, [miss()] * 2, [miss()], ("pass", None), ("fail", "MISS, fetched anew after a visit with cookie sessionid")),
    # nothing can be said
    (COOKIE, [hit(age="595")] * 2, [miss()] * 2, [miss()], ("pass", None), ("unknown", "MISS, fetched anew after a visit with cookie sessionid, but its time was up within 5s")),
    (COOKIE, [hit(body=b"1"), hit(body=b"2")], [miss()] * 2, [hit(body=b"3")], ("pass", None), ("unknown", "another body from one plain HIT to the next")),
    (COOKIE, [miss(), miss()], [miss()] * 2, [miss()], ("unknown", "MISS, MISS without it: no warm copy to try it against"), ("unknown", "MISS, MISS without it: no warm copy to try it against")),
    (COOKIE, WARM, [exchange(), exchange()], [hit()], ("unknown", "UNKNOWN, UNKNOWN with cookie sessionid"), ("pass", None)),
    (COOKIE, WARM, [miss(status=503)] * 2, [hit()], ("unknown", "503"), ("pass", None)),
    (COOKIE, WARM, [exchange(error="reset")] * 2, [hit()], ("unknown", "no answer: reset it was"), ("pass", None)),
    (COOKIE, (), (), (), ("unknown", "not tried: the page is not kept"), None),
    (GLOB, WARM, [miss(status=404)] * 2, (), ("unknown", "404 at a made-up path; name one that it speaks of under examples: not_cached"), None),
    (GLOB, WARM, [miss(status=404), hit(status=404)], (), ("fail", "MISS, HIT with path /a/drafts/**"), None),
    (GLOB, WARM, [miss()] * 2, (), ("pass", None), None),
]  # fmt: skip


@pytest.mark.parametrize(("when", "plain", "under", "after", "bypass", "copy_kept"), SEEN)
def test_who_meets_a_condition_gets_no_copy_and_leaves_it_as_it_was(when, plain, under, after, bypass, copy_kept):
    shop = site(rule(when))
    extra = {name: seen for name, seen in (("plain", plain), (when, under), (f"after {when}", after)) if seen}
    found = {one.claim.removeprefix("cache-headers/"): one for one in findings(shop, shop.rules[0], {}, extra)}
    for claim, wanted in (("bypass", bypass), ("copy-kept", copy_kept)):
        assert (wanted is not None) == (claim in found)
        if wanted:
            outcome, saw = wanted
            assert (outcome, saw or found[claim].saw) == (found[claim].outcome, found[claim].saw)


def test_a_finding_names_the_reason_of_the_condition():
    shop = site(rule(COOKIE))
    [found, _] = findings(shop, shop.rules[0], {}, {"plain": WARM, COOKIE: [hit()] * 2, f"after {COOKIE}": [hit()]})
    assert "no HIT with cookie sessionid, because it greets by name" == found.wanted


def test_a_method_that_was_not_tried_is_no_finding():
    shop = site(rule("method POST"))
    assert [] == list(findings(shop, shop.rules[0], {"/a": WARM}, {"head": [hit()]}))


PASSED_BY = [
    ("query preview", "/a?preview=1", True),
    ("query preview", "/a?page=1", False),
    ("query utm_*", "/a?page=1&utm_source=x", True),
    ("query *", "/a?x", True),
    ("query *", "/a", False),
    ("path /a/new/**", "/a/new/1", True),
    ("cookie *", "/a", False),
]


@pytest.mark.parametrize(("when", "path", "wanted"), PASSED_BY)
def test_a_path_or_a_query_alone_can_pass_the_edge_by(when, path, wanted):
    assert wanted is passed_by(site(rule(when)).rules[0], path)
