"""Cache headers, by the RFC and as observed."""

import pytest

from flows.rules.cache_headers import judge
from flows.rules.visitor import STRANGER, Visitor
from tests.rules.make import exchange, hit, miss, site

EVERYONE = {"cache": {"by": "everyone", "edge_ttl": "5m..1h", "browser_ttl": "<=20m", "vary": ["accept-encoding"]}}
MEMBER = {"cache": {"by": "member"}, "examples": {"not_cached": ["/a"]}}
NOBODY = {"cache": {"by": "nobody"}, "examples": {"not_cached": ["/a"]}}
PREVIEW = {"examples": {"cached": ["/a"], "not_cached": ["/a/p"]}}
UNSAID = {"cache": {"by": "unsaid"}, "examples": {"not_cached": ["/a"]}}

CASES = [
    (EVERYONE, [miss(), hit(), hit()], {}),
    (EVERYONE, [miss(), miss(), hit()], {}),
    (EVERYONE, [miss(), miss(), miss()], {"hit": ("fail", "MISS, MISS, MISS")}),
    (EVERYONE, [exchange(cache_control="max-age=600")] * 3, {"hit": ("unknown", "UNKNOWN, UNKNOWN, UNKNOWN")}),
    (EVERYONE, [miss(cache_control="max-age=60"), hit()], {"edge-ttl": ("fail", "1m")}),
    (EVERYONE, [miss(cache_control="s-maxage=600, max-age=7200"), hit()], {"browser-ttl": ("fail", "2h")}),
    (EVERYONE, [miss(cache_control="public"), hit()], {"edge-ttl": ("fail", "no explicit lifetime"), "browser-ttl": ("fail", "no explicit lifetime")}),
    (EVERYONE, [miss(vary="Cookie, Accept-Encoding"), hit()], {"vary": ("fail", "accept-encoding, cookie")}),
    (EVERYONE, [miss(cache_control="private, max-age=600"), hit()], {"storable": ("fail", "`private` without field names, RFC 9111 5.2.2.7")}),
    (EVERYONE, [miss(status=500), hit()], {"status": ("fail", "500")}),
    (EVERYONE, [miss(status=302, location="/a"), hit()], {"status": ("fail", "302 to /a")}),
    (EVERYONE, [miss(), exchange(error="timeout")], {"answers": ("unknown", "no answer: timeout it was")}),
    (MEMBER, [exchange(cache_control="private")] * 3, {"not-kept": ("unknown", "UNKNOWN, UNKNOWN, UNKNOWN")}),
    (MEMBER, [exchange(cache_control="private"), miss(cache_control="private")], {}),
    (MEMBER, [exchange(cache_control="private", age="0"), exchange(cache_control="private", age="4")], {"not-kept": ("fail", "UNKNOWN, HIT")}),
    (MEMBER, [miss(cache_control='private="set-cookie", max-age=60')], {"private": ("fail", 'private="set-cookie", max-age=60')}),
    (MEMBER, [miss(cache_control='private="set-cookie", no-store')], {}),
    (MEMBER, [miss(cache_control="no-store")] * 3, {}),
    (MEMBER, [miss(cache_control="max-age=60")] * 3, {"private": ("fail", "max-age=60")}),
    (MEMBER, [miss(cache_control="")] * 3, {"private": ("fail", "no Cache-Control")}),
    (MEMBER, [miss(cache_control="private"), hit(cache_control="private")], {"not-kept": ("fail", "MISS, HIT")}),
    (MEMBER, [miss(cache_control="private", status=302, location="/login")], {"status": ("fail", "302 to /login")}),
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
    (UNSAID, [exchange(cache_control="no-store")] * 3, {"agree": ("unknown", "by the RFC not storable (`no-store`, RFC 9111 5.2.2.5), observed UNKNOWN, UNKNOWN, UNKNOWN")}),
    (UNSAID, [miss(cache_control="no-store"), hit(cache_control="no-store")], {"agree": ("fail", "by the RFC not storable (`no-store`, RFC 9111 5.2.2.5), observed MISS, HIT")}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "seen", "wanted"), CASES)
def test_what_breaks_the_promise_is_found_and_nothing_else(rule, seen, wanted):
    shop = site(rule)
    verdict = judge(shop, shop.rules[0], "/a", seen, STRANGER)
    found = {
        finding.claim.removeprefix("cache-headers/"): (finding.outcome.value, finding.saw)
        for finding in verdict.findings
        if finding.outcome != "pass"
    }
    assert wanted == found


def test_a_preview_that_headers_would_let_a_cache_keep_is_a_warning():
    shop = site(PREVIEW)
    verdict = judge(shop, shop.rules[0], "/a/p", [miss(), miss()], STRANGER)
    assert {"cache-headers/not-storable": "warn", "cache-headers/not-kept": "pass"} == {
        finding.claim: finding.outcome for finding in verdict.findings
    }


@pytest.mark.parametrize(("status", "wanted"), [(403, None), (404, None), (500, "no server error")])
def test_a_preview_may_be_refused_but_not_break(status, wanted):
    shop = site(PREVIEW)
    verdict = judge(shop, shop.rules[0], "/a/p", [miss(cache_control="private", status=status)] * 3, STRANGER)
    assert wanted == next((finding.wanted for finding in verdict.findings if finding.outcome == "fail"), None)


def test_a_member_who_can_not_log_in_leaves_the_page_unknown():
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", [miss()], Visitor("ada", problem="login failed: 403"))
    assert ("unknown", "login failed: 403") == (verdict.outcome, verdict.findings[0].saw)
