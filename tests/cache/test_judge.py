"""Cache headers, by the RFC and as observed."""

import pytest

from roundsman.cache.rules.judge import examined, judge, judge_rule, late_at, plan
from roundsman.http.copies import RuleVisits
from roundsman.report.rules.redaction import exchange_json
from roundsman.report.rules.visitor import STRANGER, Visitor
from tests.make import NOW, exchange, hit, miss, site

EVERYONE = {"cache": {"by": "everyone", "edge_ttl": "5m..1h", "browser_ttl": "<=20m", "vary": ["accept-encoding"]}}
MEMBER = {"cache": {"by": "member"}, "examples": {"not_cached": ["/a"]}}
BROWSER = {**MEMBER, "cache": {"by": "member", "browser_ttl": "<=5m"}}
NOBODY = {"cache": {"by": "nobody"}, "examples": {"not_cached": ["/a"]}}
PREVIEW = {"examples": {"cached": ["/a"], "not_cached": ["/a/p"]}}
UNSAID = {"cache": {"by": "unsaid"}, "examples": {"not_cached": ["/a"]}}
BEARER = Visitor("ada", headers=(("Authorization", "Bearer ada"),))
BY_RFC_PRIVATE = "by the RFC not storable (`private` without field names, RFC 9111 5.2.2.7)"

AT_EDGE = {"cache": {"by": "everyone", "edge_ttl": "3m", "ttl_source": "edge", "browser_ttl": "0s"}}
AT_EDGE_ALONE = {"cache": {"by": "everyone", "edge_ttl": "3m", "ttl_source": "edge"}}
KEPT_AT_EDGE = {"cache": {"by": "everyone", "ttl_source": "edge"}}
SETTING = "; an edge may have a setting for it"

CASES = [
    (EVERYONE, [miss(), hit(), hit()], {}),
    (EVERYONE, [miss(), miss(), hit()], {}),
    (EVERYONE, [miss(), miss(), miss()], {"hit": ("fail", "MISS, MISS, MISS")}),
    (EVERYONE, [exchange(cache_control="max-age=600")] * 3, {"hit": ("unknown", "UNKNOWN, UNKNOWN, UNKNOWN")}),
    (EVERYONE, [miss(cache_control="max-age=60"), hit()], {"edge-ttl": ("fail", "1m")}),
    (EVERYONE, [miss(cache_control="s-maxage=600, max-age=7200"), hit()], {"browser-ttl": ("fail", "2h")}),
    (EVERYONE, [miss(cache_control="public"), hit()], {"edge-ttl": ("fail", "no explicit lifetime"), "browser-ttl": ("fail", "no explicit lifetime")}),
    (EVERYONE, [miss(vary="Cookie, Accept-Encoding"), hit(vary="Cookie, Accept-Encoding")], {"vary": ("fail", "accept-encoding, cookie")}),
    (EVERYONE, [miss(cache_control="private, max-age=600"), hit()], {"storable": ("fail", "`private` without field names, RFC 9111 5.2.2.7"), "agree": ("fail", f"{BY_RFC_PRIVATE}; observed MISS, HIT: the edge keeps it all the same")}),
    (EVERYONE, [miss(status=500), hit()], {"status": ("fail", "500")}),
    (EVERYONE, [miss(status=302, location="/a"), hit()], {"status": ("fail", "302 to /a")}),
    (EVERYONE, [miss(), exchange(error="timeout")], {"answers": ("unknown", "no answer: timeout it was")}),
    (MEMBER, [exchange(cache_control="private")] * 3, {"not-kept": ("unknown", "UNKNOWN, UNKNOWN, UNKNOWN"), "agree": ("unknown", f"{BY_RFC_PRIVATE}; observed UNKNOWN, UNKNOWN, UNKNOWN")}),
    (MEMBER, [exchange(cache_control="private"), miss(cache_control="private")], {}),
    (MEMBER, [exchange(cache_control="private", age="0"), exchange(cache_control="private", age="4")], {"not-kept": ("fail", "UNKNOWN, HIT"), "agree": ("fail", f"{BY_RFC_PRIVATE}; observed UNKNOWN, HIT: the edge keeps it all the same")}),
    (MEMBER, [miss(cache_control='private="set-cookie", max-age=60')], {"private": ("fail", 'private="set-cookie", max-age=60')}),
    (MEMBER, [miss(cache_control='private="set-cookie", no-store')], {}),
    (MEMBER, [miss(cache_control="no-store")] * 3, {}),
    (BROWSER, [miss(cache_control="private, max-age=9")] * 3, {}),
    (BROWSER, [miss(cache_control="private, max-age=31536000")] * 3, {"browser-ttl": ("fail", "365d")}),
    (MEMBER, [miss(cache_control="max-age=60")] * 3, {"private": ("fail", "max-age=60")}),
    (MEMBER, [miss(cache_control="")] * 3, {"private": ("fail", "no Cache-Control")}),
    (MEMBER, [miss(cache_control="private"), hit(cache_control="private")], {"not-kept": ("fail", "MISS, HIT"), "agree": ("fail", f"{BY_RFC_PRIVATE}; observed MISS, HIT: the edge keeps it all the same")}),
    (MEMBER, [miss(cache_control="private", status=302, location="/login")], {"status": ("fail", "302 to /login: the member is not logged in")}),
    (NOBODY, [miss(cache_control="no-store")] * 3, {}),
    (NOBODY, [miss(cache_control="private")] * 3, {"no-store": ("fail", "private")}),
    (NOBODY, [miss(cache_control="no-store"), miss(cache_control="no-store", status=503)], {"status": ("fail", "503")}),
    (NOBODY, [miss(cache_control="no-store", status=403)] * 3, {}),
    (NOBODY | {"status": 503}, [miss(cache_control="no-store", status=503)] * 3, {}),
    (UNSAID, [miss(), hit()], {}),
    (UNSAID, [miss(status=404), hit(status=404)], {}),
    (UNSAID, [miss(status=500)] * 3, {"status": ("fail", "500")}),
    (UNSAID, [exchange(cache_control="max-age=60")] * 3, {}),
    (UNSAID, [exchange()] * 3, {}),
    (UNSAID, [miss(cache_control="no-store")] * 3, {}),
    (UNSAID, [exchange(cache_control="no-store")] * 3, {"agree": ("unknown", "by the RFC not storable (`no-store`, RFC 9111 5.2.2.5); observed UNKNOWN, UNKNOWN, UNKNOWN")}),
    (UNSAID, [miss(cache_control="no-store"), hit(cache_control="no-store")], {"agree": ("warn", f"by the RFC not storable (`no-store`, RFC 9111 5.2.2.5); observed MISS, HIT: the edge keeps it all the same{SETTING}")}),
    (UNSAID, [exchange(cache_control="no-store", cf_cache_status="DYNAMIC", age="82")] * 2, {"agree": ("warn", "by the RFC not storable (`no-store`, RFC 9111 5.2.2.5); observed HIT behind DYNAMIC (age), HIT behind DYNAMIC (age): a cache behind the edge keeps it all the same; kept all the same, perhaps by cloudflare-cdn-cache-control or cdn-cache-control, which the edge does not show")}),
    (UNSAID, [exchange(status=502, x_cache="Error from cloudfront", age="260")] * 2, {"status": ("fail", "502"), "error-kept": ("fail", "502: HIT (age), HIT (age); Age 260, 260"), "agree": ("warn", "by the RFC not storable (no lifetime, and 502 may not be kept without one, RFC 9111 3); observed HIT (age), HIT (age): the edge or a cache behind it keeps it all the same; an edge may have a setting for it")}),
    (NOBODY, [exchange(cache_control="no-store", x_litespeed_cache="hit,private")] * 2, {}),
    (NOBODY, [exchange(cache_control="private, no-store", cf_cache_status="DYNAMIC", x_vercel_cache="HIT")] * 2, {"not-kept": ("fail", "HIT behind DYNAMIC (x-vercel-cache), HIT behind DYNAMIC (x-vercel-cache)"), "agree": ("warn", "by the RFC not storable (`no-store`, RFC 9111 5.2.2.5); observed HIT behind DYNAMIC (x-vercel-cache), HIT behind DYNAMIC (x-vercel-cache); kept all the same, perhaps by cloudflare-cdn-cache-control or cdn-cache-control, which the edge does not show")}),
    # What else is worth a word where nothing is promised.
    (UNSAID, [miss(set_cookie="lang=en"), hit(set_cookie="lang=en")], {"set-cookie": ("warn", "lang with the same value again, from the store: MISS, HIT")}),
    (UNSAID, [miss(set_cookie="sid=3f2a9c1b0d77e12a90cc")] + [hit(set_cookie="sid=3f2a9c1b0d77e12a90cc")] * 2, {"set-cookie": ("fail", "sid with the same value again, from the store: MISS, HIT, HIT")}),
    (UNSAID, [miss(set_cookie="a=1"), hit()], {"set-cookie": ("warn", "a on a page that is kept: MISS, HIT")}),
    (UNSAID, [miss(set_cookie="lang=en")] * 2, {}),
    (UNSAID, [miss(vary="User-Agent")] * 2, {"vary-sane": ("warn", "Vary: user-agent")}),
    (UNSAID, [miss(vary="*")] * 2, {"vary-any": ("warn", "Vary: *")}),
    (UNSAID, [miss(vary="*", cache_control="no-store")] * 2, {}),
    (UNSAID, [miss(cache_control="no-cache")] * 2, {"validator": ("warn", "no-cache, and no ETag or Last-Modified to ask with")}),
    (UNSAID, [miss(cache_control="no-cache", etag='"1"')] * 2, {}),
    (UNSAID, [miss(last_modified="Thu, 01 Jan 2026 00:00:00 GMT")] * 2, {"dated": ("warn", "last-modified without Date")}),
    (UNSAID, [hit(age="900", server="Vercel", cache_control="public, max-age=0, must-revalidate")] * 3, {}),
    # The edge's own setting says how long, and the headers speak to browsers only.
    (AT_EDGE, [miss(cache_control="no-store", age="0"), hit(cache_control="no-store", age="40")], {}),
    (AT_EDGE_ALONE, [miss(cache_control="", age="0"), hit(cache_control="", age="40")], {}),
    (AT_EDGE_ALONE, [miss(cache_control=""), hit(cache_control="")], {"edge-ttl": ("unknown", "a HIT without an Age, so that nobody sees how long the edge keeps it; leave edge_ttl out")}),
    (AT_EDGE, [hit(cache_control="no-store", age="900")] * 2, {"edge-ttl": ("fail", "a copy with an Age of 15m"), "overdue": ("fail", "HIT with Age 15m of 3m")}),
    (AT_EDGE, [miss(cache_control="no-store")] * 3, {"hit": ("fail", "MISS, MISS, MISS")}),
    (KEPT_AT_EDGE, [miss(cache_control=""), hit(cache_control="")], {}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "seen", "wanted"), CASES)
def test_what_breaks_the_promise_is_found_and_nothing_else(rule, seen, wanted):
    shop = site(rule)
    assert wanted == broken(judge(shop, shop.rules[0], "/a", seen, STRANGER))


def broken(verdict):
    """What is not a pass: outcome and what was seen, by claim."""
    return {
        finding.claim.removeprefix("cache-headers/"): (finding.outcome.value, finding.saw)
        for finding in verdict.findings
        if finding.outcome != "pass"
    }


HIDDEN = "; kept all the same, perhaps by surrogate-control, which the edge does not show"
KEPT_OUT, SHORT = "private, no-store", "max-age=1"
IN_FIELD = "`no-store` in surrogate-control, RFC 9213 2.2 and RFC 9111 5.2.2.5"
TARGETED = [
    ([miss(cache_control=KEPT_OUT), hit(cache_control=KEPT_OUT)], {"storable": ("warn", f"`no-store`, RFC 9111 5.2.2.5{HIDDEN}"), "agree": ("warn", f"by the RFC not storable (`no-store`, RFC 9111 5.2.2.5); observed MISS, HIT{HIDDEN}")}),
    ([miss(cache_control=SHORT), hit(cache_control=SHORT)], {"edge-ttl": ("warn", f"1s{HIDDEN}")}),
    ([miss(cache_control=KEPT_OUT)] * 2, {"storable": ("fail", "`no-store`, RFC 9111 5.2.2.5"), "hit": ("fail", "MISS, MISS")}),
    ([miss(cache_control=KEPT_OUT, surrogate_control="no-store"), hit(surrogate_control="no-store")], {"storable": ("fail", IN_FIELD), "agree": ("fail", f"by the RFC not storable ({IN_FIELD}); observed MISS, HIT: the edge keeps it all the same")}),
    ([miss(cache_control=KEPT_OUT, surrogate_control="max-age=600"), hit(surrogate_control="max-age=600")], {}),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "wanted"), TARGETED)
def test_a_field_that_the_edge_obeys_and_does_not_show_makes_a_warning_of_what_the_rest_says(seen, wanted):
    shop = site({"cache": {"by": "everyone", "edge_ttl": "5m..1h"}}, targeted_fields=["Surrogate-Control"])
    assert wanted == broken(judge(shop, shop.rules[0], "/a", seen, STRANGER))


OPENED = [
    (MEMBER, "private", "max-age=600", {"private": ("fail", "private; storable: `max-age` in cdn-cache-control, RFC 9213 2.2 and RFC 9111 3")}),
    (NOBODY, "no-store", "max-age=600", {"no-store": ("fail", "no-store; storable: `max-age` in cdn-cache-control, RFC 9213 2.2 and RFC 9111 3")}),
    (MEMBER, "private", "private", {}),
    (MEMBER, "private", "max-age = 600", {"clear": ("warn", "cdn-cache-control can't be read, so it does not count")}),
    (NOBODY, "no-store", "", {}),
    (MEMBER, "no-store, must-understand, max-age=9", "", {"private": ("fail", "no-store, must-understand, max-age=9; storable: `max-age`, RFC 9111 3")}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "said", "field", "wanted"), OPENED)
def test_a_member_s_page_that_a_field_of_the_edge_opens_is_not_kept_private_by_cache_control(rule, said, field, wanted):
    shop = site(rule, targeted_fields=["CDN-Cache-Control"])
    seen = [miss(cache_control=said, cdn_cache_control=field)] * 3
    assert wanted == broken(judge(shop, shop.rules[0], "/a", seen, STRANGER))


def test_no_such_field_excuses_an_edge_that_keeps_what_a_token_asked_for():
    shop = site(MEMBER, targeted_fields=["Surrogate-Control"])
    seen = [miss(cache_control="max-age=60"), hit(cache_control="max-age=60")]
    assert "fail" == broken(judge(shop, shop.rules[0], "/a", seen, BEARER))["agree"][0]


def test_a_preview_that_headers_would_let_a_cache_keep_is_a_warning():
    shop = site(PREVIEW)
    verdict = judge(shop, shop.rules[0], "/a/p", [miss(), miss()], STRANGER)
    assert {"cache-headers/not-storable": "warn", "cache-headers/not-kept": "pass", "cache-headers/agree": "pass"} == {
        finding.claim: finding.outcome for finding in verdict.findings
    }


@pytest.mark.parametrize(("status", "wanted"), [(403, None), (404, None), (500, "no server error")])
def test_a_preview_may_be_refused_but_not_break(status, wanted):
    shop = site(PREVIEW)
    verdict = judge(shop, shop.rules[0], "/a/p", [miss(cache_control="private", status=status)] * 3, STRANGER)
    assert wanted == next((finding.wanted for finding in verdict.findings if finding.outcome == "fail"), None)


def test_no_secret_of_a_member_stands_in_the_evidence():
    ada = Visitor("ada", (("Authorization", "Bearer abcdefgh12345678"),), ("ada@members.test",))
    said = {
        "cache_status": 'Souin; fwd=uri-miss; key="GET-/a-Bearer abcdefgh12345678"; stored',
        "etag": '"ada@members.test-3"',
    }
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", [exchange(cache_control="private", **said)] * 3, ada)
    kept = [exchange_json(one) for finding in verdict.findings for one in finding.evidence]
    assert ["cache-status", "Souin; fwd=uri-miss; stored"] in kept[0]["headers"]
    assert not any(secret in str(kept) for secret in ("abcdefgh12345678", "ada@members.test"))


def test_a_member_who_can_not_log_in_leaves_the_page_unknown():
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", [miss()], Visitor("ada", problem="login failed: 403"))
    assert ("unknown", "login failed: 403") == (verdict.outcome, verdict.findings[0].saw)


TWO_COLUMNS = [
    (EVERYONE, [miss(age="0"), hit(age="0"), hit(age="1")], STRANGER, "storable: `max-age`, RFC 9111 3; fresh for 10m", "MISS, HIT, HIT; Age 0, 0, 1"),
    (EVERYONE, [miss(), hit()], STRANGER, "storable: `max-age`, RFC 9111 3; fresh for 10m", "MISS, HIT"),
    (EVERYONE, [miss(status=500), miss(status=500)], STRANGER, "storable: `max-age`, RFC 9111 3; fresh for 10m", "MISS, MISS"),
    (MEMBER, [miss(cache_control="max-age=60"), hit(cache_control="max-age=60")], BEARER, "not storable: the request had Authorization, RFC 9111 3.5", "MISS, HIT"),
    (UNSAID, [exchange(), exchange()], STRANGER, "storable: nothing forbids it and 200 may be kept heuristically, RFC 9111 4.2.2", "UNKNOWN, UNKNOWN"),
    (EVERYONE, [exchange(error="timeout")], STRANGER, "", "no answer"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "seen", "visitor", "by_rfc", "observed"), TWO_COLUMNS)
def test_each_verdict_says_what_the_rfc_lets_and_what_the_edge_did(rule, seen, visitor, by_rfc, observed):
    shop = site(rule)
    verdict = judge(shop, shop.rules[0], "/a", seen, visitor)
    assert (by_rfc, observed) == (verdict.by_rfc, verdict.observed)


def test_where_the_columns_disagree_a_sentence_says_so():
    shop = site(MEMBER)
    seen = [miss(cache_control="max-age=60"), hit(cache_control="max-age=60")]
    verdict = judge(shop, shop.rules[0], "/a", seen, BEARER)
    assert (
        "by the RFC not storable (the request had Authorization, RFC 9111 3.5); observed MISS, HIT: "
        "the edge keeps it and may give it to strangers"
    ) == next(finding.saw for finding in verdict.findings if finding.claim == "cache-headers/agree")


@pytest.mark.parametrize(("age", "wanted"), [("90", "fail"), ("1", "pass")])
def test_a_miss_with_a_copy_that_is_older_than_our_first_visit_came_from_another_tier(age, wanted):
    shop = site(NOBODY)
    seen = [miss(cache_control="no-store", age=age)] * 3
    verdict = judge(shop, shop.rules[0], "/a", seen, STRANGER)
    assert wanted == next(finding.outcome for finding in verdict.findings if finding.claim == "cache-headers/agree")


EXAMINED = [
    ({"examples": {"cached": ["/a", "/a/b"]}}, ("/a",)),
    ({"examples": {"cached": ["/a", "/a/b", "/a/c"]}, "purge": {"canary": "/a/c"}}, ("/a", "/a/c")),
    ({"examples": {"cached": ["/a", "/a/b"]}, "purge": {"canary": "/a"}}, ("/a",)),
    ({"examples": {"cached": ["/a"]}, "purge": {"canary": "/a/else"}}, ("/a",)),
    (NOBODY, ()),
]


@pytest.mark.parametrize(("rule", "wanted"), EXAMINED)
def test_more_is_asked_of_the_first_cached_example_and_of_the_canary(rule, wanted):
    shop = site(rule, edge="varnish/shop")
    assert wanted == examined(shop.rules[0])


RICH = {
    "cache": {"by": "everyone", "encodings": ["identity", "br"], "key": {"same": ["query utm_source", "order"], "apart": ["case"]}, "missing": "<=1m"},
    "bypass": [{"when": "cookie sessionid", "because": "it greets"}, {"when": "query preview", "because": "it is new"}],
    "examples": {"cached": ["/a", "/a/b"]},
}  # fmt: skip
PLANS = [
    ({}, [miss(), hit()], 1),
    ({}, [miss(etag='"1"'), hit(etag='"1"')], 2),
    (RICH, [miss(), hit()], 1 + 2 + 2 * 3 + 2 + 6 + 2),
    (RICH, [miss(), miss()], 1 + 2 + 2),
    (RICH, [miss(), exchange(error="timeout")], 0),
    (RICH, [miss(status=404), hit(status=404)], 0),
    (RICH | {"purge": {"canary": "/a/b"}}, [miss(), hit()], 2 * (1 + 2 + 2 * 3 + 2 + 6) + 2),
    (NOBODY, [miss(), hit()], 0),
]


@pytest.mark.parametrize(("rule", "seen", "wanted"), PLANS)
def test_what_is_not_promised_costs_no_request(rule, seen, wanted):
    shop = site(rule, edge="varnish/shop")
    steps = plan(shop, shop.rules[0], dict.fromkeys(shop.rules[0].routes, seen), "c0ffee")
    assert wanted == len(steps)
    assert set(examined(shop.rules[0])) >= {step.route for step in steps}


def test_a_rule_s_hit_rate_stands_once_and_counts_all_its_visits():
    shop = site(RICH)
    visits = {"/a": [miss(), hit(), hit()], "/a/b": [miss(), miss(), hit()]}
    verdicts = judge_rule(shop, shop.rules[0], RuleVisits(visits, {"/a": {"head": [hit()]}}), STRANGER)
    rates = [finding.saw for verdict in verdicts for finding in verdict.findings if "hit-rate" in finding.claim]
    assert ["probe hit rate 50% (3 of 6 visits; 95 % interval 19% to 81%)"] == rates


def test_what_could_not_be_tried_is_unknown_and_not_fine():
    shop = site(RICH)
    visits = {"/a": [miss(), miss(), miss()]}
    [verdict] = judge_rule(shop, shop.rules[0], RuleVisits(visits, {"/a": {"head": [miss()]}}), STRANGER)
    unknown = {finding.claim for finding in verdict.findings if finding.outcome == "unknown"}
    assert {
        "cache-headers/bypass",
        "cache-headers/key-same",
        "cache-headers/key-apart",
        "cache-headers/missing",
    } == unknown


def test_a_visit_two_seconds_later_is_made_only_where_an_age_can_grow():
    shop = site(RICH)
    rule = shop.rules[0]
    assert {"/a": pytest.approx(NOW + 2.101)} == late_at(
        rule, RuleVisits({"/a": [miss(), hit(age="0")], "/a/b": [hit(age="0")]})
    )
    assert {} == late_at(rule, RuleVisits({"/a": [miss(age="0"), hit()]}))
