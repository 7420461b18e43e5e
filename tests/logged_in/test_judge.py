"""Members, strangers, and what they see of each other."""

import base64
from dataclasses import replace

import pytest

from roundsman.logged_in.rules import unkeyed_headers as reflection
from roundsman.logged_in.rules.cleanup import left
from roundsman.logged_in.rules.judge import judge
from roundsman.logged_in.rules.private_key import Query
from roundsman.logged_in.rules.unkeyed_headers import Injection
from roundsman.logged_in.rules.visit_plan import Cleanup, Visits, order
from roundsman.report.rules.visitor import Visitor
from tests.make import exchange, hit, miss, site

ADA = Visitor("ada", (("Cookie", "s=1"),), ("Ada L. & Co", "ada@members.test"))
BEN = Visitor("ben", (("Cookie", "s=2"),), ("ben@members.test",))
MEMBER = {"cache": {"by": "member"}, "examples": {"not_cached": ["/a"]}}
SHARED = {"bypass": [{"when": "cookie s", "because": "it greets by name"}]}

A, B, N = ({"body": body} for body in (b"hello ada@members.test", b"hello ben@members.test", b"log in"))


def walked(seen):
    """Visits in the order of a member's page, or in that of a shared one; without B when there is one member."""
    turns = {6: "AABNNA", 5: "AANNA", 4: "NNAN"}[len(seen)]
    tried = () if len(seen) > 4 else (Injection("X-Host", "0" * 32, miss()),)
    return Visits((miss(), hit(), miss()), "/a", tuple(zip(turns, seen, strict=True)), injections=tried)


def found(verdict):
    """The claims that do not hold."""
    return {
        f.claim.removeprefix("logged-in-traffic/"): f.outcome.value for f in verdict.findings if f.outcome != "pass"
    }


def visits(*bodies, **more):
    return [miss(cache_control="private", **body, **more) for body in bodies]


SAFE = visits(A, A, B, N, N, A)
CASES = [
    (SAFE, {}),
    ([*visits(A, A), hit(**A), *visits(N, N, A)], {"leak": "fail", "not-from-store": "fail"}),
    ([*visits(A, A, B), hit(**A), hit(**A), *visits(A)], {"leak": "fail", "stored": "fail"}),
    ([*visits(A), hit(**A), *visits(B, N, N, A)], {"not-from-store": "fail"}),
    ([*visits(N, N, N, N, N, N)], {"personal": "unknown"}),
    ([miss(status=302, **A), *SAFE[1:]], {"personal": "unknown"}),
    ([*SAFE[:3], exchange(error="refused"), *SAFE[4:]], {"answers": "unknown"}),
    (visits(A, A, B, N, N, A, set_cookie="t=12345678"), {"set-cookie": "fail"}),
    ([*SAFE[:2], miss(set_cookie="t=12345678; Path=/", **B), miss(set_cookie="t=12345678; Max-Age=9", **N), *SAFE[4:]], {"set-cookie": "fail"}),
    ([miss(set_cookie="t=12345678", **A)] * 2 + SAFE[2:], {"policy": "warn"}),
    ([*SAFE[:3], miss(set_cookie="t=12345678", **N), hit(set_cookie="t=12345678", **N), SAFE[5]], {"set-cookie": "fail"}),
    ([*SAFE[:3], miss(set_cookie="t=12345678", **N), miss(set_cookie="t=12345678", **N), SAFE[5]], {}),
    ([miss(set_cookie=f"t=1234567{who}; Path=/", **step) for who, step in zip("AABNMA", (A, A, B, N, N, A), strict=True)], {"policy": "warn"}),
    (visits(A, A, B, N, N, A, set_cookie=["srv=web-frontend-01", "ab=control.2026", "tz=Europe_Berlin"]), {}),
    (visits(A, A, B, N, N, A, set_cookie="t=kXqZvHtBmWpL"), {"set-cookie": "fail"}),
    (visits(A, A, B, N, N, A, set_cookie="t=0f3ab29c-77de-4b1a-9c01-aa34bc56de78"), {"set-cookie": "fail"}),
    (visits(A, A, B, N, N, A, set_cookie=["lang=en", "t=", "s=deleted; Path=/", "u=12345678; Max-Age=0"]), {}),
    ([exchange(**step) for step in (A, A, B, N, N, A)], {"not-from-store": "unknown", "stored": "unknown", "policy": "warn"}),
    (visits(A, A, N, N, N, A), {"personal": "unknown"}),
    ([*SAFE[:2], miss(status=403, **B), *SAFE[3:]], {"personal": "unknown"}),
    ([*SAFE[:5], miss(status=503, **A)], {"personal": "unknown"}),
    ([*visits(A), hit(**A), *visits(N, N, N, A)], {"personal": "unknown", "not-from-store": "fail"}),
    ([*SAFE[:3], hit(**N), hit(**N), hit(**N)], {"personal": "unknown", "not-from-store": "fail"}),
    ([miss(status=403, **A), *visits(A), hit(**A), *SAFE[3:]], {"leak": "fail", "not-from-store": "fail", "policy": "warn"}),
    ([*SAFE[:3], miss(x_hello=base64.b64encode(b"ada@members.test").decode(), **N), *SAFE[4:]], {"leak": "fail"}),
    ([*SAFE[:3], miss(body=b"Ada L. &amp; Co"), *SAFE[4:]], {"leak": "fail"}),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "wanted"), CASES)
def test_what_a_visitor_must_not_see_is_found(seen, wanted):
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", walked(seen), [ADA, BEN])
    assert wanted == found(verdict)


MD5, SHA1 = "2f1d3c9ab04e5f6a7b8c9d0e1f2a3b4c", "2f1d3c9ab04e5f6a7b8c9d0e1f2a3b4c5d6e7f80"
BACKENDS = [
    "BIGipServerpool_web=1677787402.20480.0000", "BIGipServer~Common~web=rd5o00000000000000000000ffffc0000201o80",
    "BIGipServerweb=vi20010112000000000000000000000030.20480", "BIGipServerweb=!k3vJ0t9Qx1w==", "lb=1677787402.36895.0000",
    f"route={MD5}", f"route={SHA1}", f"route=1551283413.413.2046.853|{MD5}", f"INGRESSCOOKIE=1551283413.413.2046.853|{MD5}",
    f"INGRESSCOOKIE={SHA1}", f"SERVERID={MD5}|1700000000|1700000000", "SERVERID=a1b2c3d4e5f60718", "SERVERID=web-01|ZvA1b|ZvA1c",
    "AWSALB=kXqZvHtB+mWpL/0f3a==", "AWSALBCORS=kXqZvHtB+mWpL", "AWSALBTG=kXqZvHtB+mWpL", "AWSALBTGCORS=kXqZvHtB+mWpL",
    "AWSALBAPP-0=kXqZvHtB+mWpL", "AWSELB=0F3AB29C77DE4B1A", "AWSELBCORS=0F3AB29C77DE4B1A", f"ARRAffinity={MD5 * 2}",
    f"ARRAffinitySameSite={MD5 * 2}", f"ApplicationGatewayAffinity={MD5}", f"ApplicationGatewayAffinityCORS={MD5}",
    'GCLB="CPvp0f3ab29c77de"',
]  # fmt: skip
IDENTITIES = [
    f"JSESSIONID={MD5}", f"JSESSIONID={MD5}.web-01", f"PHPSESSID={MD5}", f"sticky={MD5}", f"xroute={MD5}", f"route_id={MD5}",
    f"Route={MD5}", "route=kXqZvHtBmWpL", "route=0f3ab29c-77de-4b1a-9c01-aa34bc56de78", f"SERVERID=web-01~{MD5}", f"SERVERIDX={MD5}",
    f"myBIGipServer={MD5}", "t=1677787402.20480.1234", "t=1677787402.20480.0000.9", f"AWSALBX={MD5}", f"XAWSALB={MD5}",
    f"ARRAffinityUser={MD5}", f"GCLBX={MD5}", "INGRESSCOOKIE=kXqZvHtBmWpL",
]  # fmt: skip


@pytest.mark.parametrize(
    ("cookie", "wanted"), [*((one, {}) for one in BACKENDS), *((one, {"set-cookie": "fail"}) for one in IDENTITIES)]
)
def test_two_visitors_may_be_sent_to_one_backend_and_not_into_one_session(cookie, wanted):
    """What a load balancer calls its backend is no identity; whatever an application may call a session is one."""
    shop = site(MEMBER)
    seen = visits(A, A, B, N, N, A, set_cookie=f"{cookie}; Path=/; HttpOnly")
    assert wanted == found(judge(shop, shop.rules[0], "/a", walked(seen), [ADA, BEN]))


def test_a_backend_s_cookie_spares_nothing_else():
    """A session beside it is compared, and a copy that carries it is a copy all the same."""
    shop = site(MEMBER)
    beside = visits(A, A, B, N, N, A, set_cookie=[BACKENDS[0], "sid=kXqZvHtBmWpL"])
    assert {"set-cookie": "fail"} == found(judge(shop, shop.rules[0], "/a", walked(beside), [ADA, BEN]))
    kept = [*visits(A, A), hit(**A, set_cookie=BACKENDS[0]), *visits(N, N, A)]
    assert {"leak": "fail", "not-from-store": "fail"} == found(
        judge(shop, shop.rules[0], "/a", walked(kept), [ADA, BEN])
    )


BYPASS = [
    ([miss(), hit(), miss(), hit()], {}),
    ([miss(), hit(), hit(), hit()], {"bypass": "fail"}),
    ([miss(), miss(), miss(), miss()], {"bypass": "unknown"}),
    ([miss(), hit(), miss(**A), hit(**A)], {"copy-kept": "fail", "leak": "fail"}),
    ([miss(), hit(), exchange(), hit()], {"bypass": "unknown"}),
    ([miss(), hit(), miss(status=503), hit()], {"bypass": "unknown"}),
    ([miss(), hit(), miss(), hit(body=b"another")], {"copy-kept": "fail"}),
    ([miss(), hit(), miss(), miss(body=b"another")], {"copy-kept": "unknown"}),
    ([miss(), hit(), miss(), miss()], {"copy-kept": "unknown"}),
    # The copy looks the same, and holds a cookie that was the member's.
    ([miss(), hit(), miss(set_cookie="t=12345678"), hit(set_cookie="t=12345678")], {"set-cookie": "fail"}),
    ([miss(), hit(), miss(set_cookie="t=12345678"), hit()], {}),
]


@pytest.mark.parametrize(("seen", "wanted"), BYPASS)
def test_a_member_is_not_answered_from_a_warm_shared_copy_and_does_not_replace_it(seen, wanted):
    shop = site(SHARED)
    assert "NNAN" == order(shop.rules[0])
    verdict = judge(shop, shop.rules[0], "/a", walked(seen), [ADA, BEN])
    assert wanted == found(verdict)


def test_without_sentinels_nobody_can_say_whether_a_shared_page_leaks():
    shop = site(SHARED)
    members = [replace(member, sentinels=()) for member in (ADA, BEN)]
    verdict = judge(shop, shop.rules[0], "/a", walked([miss(), hit(), miss(), hit()]), members)
    [leak] = [f for f in verdict.findings if f.claim == "logged-in-traffic/leak"]
    assert ("unknown", "no sentinel to look for", "only one's own sentinels") == (leak.outcome, leak.saw, leak.wanted)


def test_where_a_stranger_gets_a_member_s_page_no_member_is_tried():
    shop = site(SHARED)
    seen = replace(walked([miss(), hit(), miss(), hit()]), steps=(("N", hit(**A)),) * 3)
    assert {"leak": "fail"} == found(judge(shop, shop.rules[0], "/a", seen, [ADA, BEN]))


def test_a_header_that_was_not_tried_is_shown_by_the_first_answer_of_the_route():
    shop = site()
    verdict = judge(shop, shop.rules[0], "/a", Visits((miss(), hit(), miss())), [])
    [finding] = verdict.findings
    assert ("not tried after the leak", "MISS") == (finding.saw, finding.evidence[0].header("x-cache"))


@pytest.mark.parametrize(
    ("when", "saw"),
    [
        (["cookie admin"], "ada sends no cookie admin"),
        (["cookie S"], "ada sends no cookie S"),
        (["header Authorization", "query q"], "ada sends no header Authorization"),
        (["cookie admin", "cookie s"], "MISS"),
        (["cookie admin", "header cookie"], "MISS"),
    ],
)
def test_a_bypass_is_tried_only_by_a_member_who_sends_what_it_names(when, saw):
    shop = site({"bypass": [{"when": condition, "because": "it greets by name"} for condition in when]})
    verdict = judge(shop, shop.rules[0], "/a", walked([miss(), hit(), miss(), hit()]), [ADA, BEN])
    bypass = next(f for f in verdict.findings if f.claim == "logged-in-traffic/bypass")
    assert ("pass" if saw == "MISS" else "unknown", saw) == (bypass.outcome, bypass.saw)


@pytest.mark.parametrize(
    ("ada", "ben"), [(("",), ("ben@members.test",)), (("members",), ("members",)), ((), ("ben@members.test",))]
)
def test_a_sentinel_that_tells_nobody_apart_is_none(ada, ben):
    shop = site(MEMBER)
    members = [Visitor("ada", ADA.headers, ada), Visitor("ben", BEN.headers, ben)]
    verdict = judge(shop, shop.rules[0], "/a", walked(SAFE), members)
    assert {"personal": "unknown"} == found(verdict)


X, Y = {"body": b"your orders"}, {"body": b"your other orders"}
BY_BODY = [
    ([*visits(X, X), *visits(Y), hit(**X), *visits(N, X)], {"stored": "fail"}),
    ([*visits(X, X), hit(**X), *visits(N, N, X)], {"stored": "fail"}),
    (visits(X, X, Y, N, N, X), {}),
    # Nobody knows who made it.
    ([hit(**X), hit(**X), hit(**X), hit(**X), hit(**X), hit(**X)], {}),
    # It is what strangers get anyway.
    ([*visits(N, N, N), hit(**N), hit(**N), *visits(N)], {}),
    ([*visits(X), hit(**X), *visits(Y, N, N, X)], {}),
    # A page that is the same for everybody and prints the address it was asked by: the stranger met their own copy.
    ([*visits(X, X, X, X), hit(**X), *visits(X)], {}),
]


@pytest.mark.parametrize(("seen", "wanted"), BY_BODY)
def test_without_sentinels_the_body_alone_still_shows_a_copy_that_goes_round(seen, wanted):
    shop = site(MEMBER)
    members = [replace(member, sentinels=()) for member in (ADA, BEN)]
    seen_visits = replace(walked(seen), proof=(miss(**N), hit(**N), miss(**N)))
    verdict = judge(shop, shop.rules[0], "/a", seen_visits, members)
    assert {"personal": "unknown", **wanted} == found(verdict)


SHELL = {"body": b"the application"}
TOKEN = {"set_cookie": "t=eyJhbGciOiJIUzI1NiJ9; Path=/", **SHELL}
FROM_PAGES_WITHOUT_A_SENTINEL = [
    ([miss(**TOKEN), *[hit(**TOKEN)] * 5], {"set-cookie": "fail"}),
    ([miss(**TOKEN), hit(**TOKEN), *[miss(**SHELL)] * 4], {}),
    # What the origin itself gives everybody is nobody's session.
    ([miss(**TOKEN)] * 6, {}),
    ([*[miss(**TOKEN)] * 2, *[hit(**SHELL)] * 4], {}),
]


@pytest.mark.parametrize(("seen", "wanted"), FROM_PAGES_WITHOUT_A_SENTINEL)
def test_a_page_that_is_the_same_for_everyone_hands_no_session_from_the_store_to_another(seen, wanted):
    shop = site(MEMBER)
    seen_visits = replace(walked(seen), proof=(miss(**SHELL), hit(**SHELL), miss(**SHELL)))
    verdict = judge(shop, shop.rules[0], "/a", seen_visits, [ADA, BEN])
    assert {"personal": "unknown", **wanted} == found(verdict)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([], "the site file names no sessions"),
        ([ADA, Visitor("ben", problem="login failed: 403")], "ben: login failed: 403"),
    ],
)
def test_without_members_nothing_can_be_said(members, says):
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", walked(SAFE), members)
    assert ("unknown", says) == (verdict.outcome, verdict.findings[0].saw)


def test_one_member_alone_leaves_something_unknown():
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", walked(visits(A, A, N, N, A)), [ADA])
    assert ["logged-in-traffic/members"] == [f.claim for f in verdict.findings if f.outcome == "unknown"]


@pytest.mark.parametrize(
    ("field", "wanted"), [("no-store", {}), ("max-age=600", {"policy": "warn"}), ('max-age="600"', {})]
)
def test_a_field_of_the_edges_own_opens_what_cache_control_shuts(field, wanted):
    shop = site(MEMBER, targeted_fields=["CDN-Cache-Control"])
    seen = visits(A, A, B, N, N, A, cdn_cache_control=field)
    assert wanted == found(judge(shop, shop.rules[0], "/a", walked(seen), [ADA, BEN]))


def test_a_visitor_shows_no_secret():
    assert "Visitor(ada)" == repr(ADA)


SEVERITIES = [
    ([*visits(A, A, B), hit(**A), hit(**A), *visits(A)], {"leak": "critical", "stored": "stored"}),
    ([*visits(A), hit(**A), *visits(B, N, N, A)], {"not-from-store": "stored"}),
    ([*SAFE[:3], hit(**N), hit(**N), hit(**N)], {"not-from-store": "policy"}),
    (visits(A, A, B, N, N, A, set_cookie="t=12345678"), {"set-cookie": "critical"}),
    ([miss(cache_control="max-age=60", **step) for step in (A, A, B, N, N, A)], {"policy": "policy"}),
    (SAFE, {}),
]


@pytest.mark.parametrize(("seen", "wanted"), SEVERITIES)
def test_a_leak_weighs_more_than_a_copy_and_a_copy_more_than_a_header(seen, wanted):
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", walked(seen), [ADA, BEN])
    assert wanted == {f.claim.partition("/")[2]: f.severity.value for f in verdict.findings if f.severity}


def test_a_copy_that_is_older_than_its_request_came_from_a_store_whatever_its_label():
    """Such as one that a shield kept: the edge says MISS, and Age tells."""
    shop = site(MEMBER)
    seen = [SAFE[0], miss(cache_control="private", age="30", **A), *SAFE[2:]]
    verdict = judge(shop, shop.rules[0], "/a", walked(seen), [ADA, BEN])
    assert {"not-from-store": "fail"} == found(verdict)


@pytest.mark.parametrize(
    ("headers", "law"),
    [
        ({"Cookie": "s=1"}, "storable: `max-age`"),
        ({"Authorization": "Bearer 1"}, "not storable: the request had Authorization, RFC 9111 3.5"),
    ],
)
def test_both_columns_are_told(headers, law):
    """What headers allow is one thing, what the edge does another, and the sentence names both."""
    shop = site(MEMBER)
    members = [replace(member, headers=tuple(headers.items())) for member in (ADA, BEN)]
    plain = {"cache_control": "max-age=60"}
    seen = [miss(**plain, **A), *(hit(**plain, **A) for _ in range(5))]
    verdict = judge(shop, shop.rules[0], "/a", walked(seen), members)
    assert verdict.by_rfc.startswith(law)
    assert "MISS, HIT, HIT, HIT, HIT, HIT" == verdict.observed
    saw = {f.claim.partition("/")[2]: f.saw for f in verdict.findings}
    assert saw["stored"].startswith(f"the member's copy as a HIT; by the RFC {law}")
    assert saw["not-from-store"].startswith(f"by the RFC {law}")
    assert saw["not-from-store"].endswith("observed MISS, HIT, HIT, HIT")


def untold(**step):
    return exchange(cache_control="public, max-age=60", **step)


KEPT = [
    # what may be stored after the visits, by what was seen of them
    (SAFE, False),
    (visits(A, A, B, A), True),
    ([*visits(A), hit(**A), *visits(B, N, N, A)], True),
    ([*SAFE[:4], hit(**N), hit(**N)], False),
    ([untold(**step) for step in (A, A, B, N, N, A)], True),
    ([exchange(cache_control="private", **step) for step in (A, A, B, N, N, A)], False),
    ([miss(**A), exchange(error="reset", body=b"")], True),
    ([miss(cache_control="no-store", **A), exchange(error="reset", body=b"")], False),
]


@pytest.mark.parametrize(("seen", "kept"), KEPT)
def test_what_may_be_stored_is_purged_with_the_route_itself(seen, kept):
    shop = site(MEMBER)
    steps = tuple(
        (who, replace(one, probe=replace(one.probe, url="http://example.test/a?own")))
        for who, one in zip("AABNNA", seen, strict=False)
    )
    urls = left(shop, shop.rules[0], "/a", Visits(asked="/a?own", steps=steps), [ADA, BEN])
    assert (("http://example.test/a?own", "http://example.test/a") if kept else ()) == urls


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        ([miss(), hit(), miss(**A), hit()], False),
        ([hit(), hit(), hit(), hit()], False),
        ([miss(), hit(), miss(**A), hit(**A)], True),
        ([miss(), hit(), hit(**A), hit()], True),
        ([untold(), untold(), untold(), untold()], False),
    ],
)
def test_a_readers_own_copy_is_not_purged(seen, kept):
    shop = site(SHARED)
    urls = left(shop, shop.rules[0], "/a", walked(seen), [ADA, BEN])
    assert (("http://example.test/a",) if kept else ()) == urls


OWN = f"http://example.test/a?token=hush&__roundsman={'0f' * 16}"
LEFT = walked([*visits(A), hit(**A), *visits(B, N, N, A)])


@pytest.mark.parametrize(
    ("problem", "after", "outcome", "saw"),
    [
        ("", miss(body=b"log in"), "pass", "/a?__roundsman=<random>: purged"),
        ("", hit(**A), "warn", "/a?__roundsman=<random>: purged, and still there; it may stay for as long as the edge likes"),
        ("", exchange(error="refused"), "unknown", "/a?__roundsman=<random>: purged, and no answer since: refused it was"),
        ("403 for " + OWN, miss(), "warn", "/a?__roundsman=<random>: not purged (403 for /a?__roundsman=<random>); it may stay for as long as the edge likes"),
    ],
)  # fmt: skip
def test_what_came_of_the_purge_is_told_without_the_name_that_leads_there(problem, after, outcome, saw):
    shop = site(MEMBER)
    seen = replace(LEFT, cleanup=Cleanup((OWN,), problem, () if problem else (after,)))
    verdict = judge(shop, shop.rules[0], "/a", seen, [ADA, BEN])
    (cleaned,) = [f for f in verdict.findings if f.claim.endswith("/cleaned")]
    assert (outcome, saw) == (cleaned.outcome, cleaned.saw)


def test_a_header_that_was_not_tried_after_a_leak_is_unknown():
    [finding] = reflection.findings(Query.APART, (), hit())
    assert ("unknown", "not tried after the leak") == (finding.outcome, finding.saw)


def test_evidence_holds_no_secret_and_still_tells():
    """Hashes stand for what a header said of a member, and for every cookie."""
    shop = site(MEMBER)
    ada = replace(ADA, headers=(("Authorization", "Bearer token-of-ada"),))
    mine = miss(
        cache_control="private",
        etag='"ada%40members.test"',
        server="token-of-ada",
        set_cookie="t=12345678",
        x_user="ada@members.test",
        **A,
    )
    own = f"{mine.probe.url}?__roundsman={16 * '0f'}"
    mine = replace(mine, probe=replace(mine.probe, headers=ada.headers, url=own))
    verdict = judge(shop, shop.rules[0], "/a", walked([mine, mine, *SAFE[2:]]), [ada, BEN])
    shown = [one for f in verdict.findings for one in f.evidence]
    assert {"cache-control", "x-cache", "etag", "server", "set-cookie"} == {
        name for one in shown for name, _ in one.headers
    }
    text = repr([(one.url, one.headers, one.probe.headers, one.body) for one in shown])
    assert [] == [secret for secret in ("members.test", "token-of-ada", "12345678", "0f0f0f") if secret in text]
    assert "('set-cookie', 't=sha256:" in text


NOT_LOGGED_IN = [
    (
        miss(status=302, location="/login?next=/a", body=b"log in"),
        "302 to /login?...: the stranger's page; ada is not logged in",
    ),
    (miss(status=401, body=b"log in"), "401: the stranger's page; ada is not logged in"),
    (miss(body=b"log in"), "no sentinel of ada: the stranger's page"),
]


@pytest.mark.parametrize(("page", "saw"), NOT_LOGGED_IN)
def test_a_member_who_gets_the_login_instead_of_a_page_is_named(page, saw):
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", walked([page, *visits(A, B, N, N, A)]), [ADA, BEN])
    personal = next(f for f in verdict.findings if f.claim.endswith("/personal") and f.outcome == "unknown")
    assert saw == personal.saw
    assert verdict.outcome == "unknown"


def test_a_member_without_a_sentinel_of_its_own_is_named():
    shop = site(MEMBER)
    twin = replace(BEN, sentinels=("ada@members.test",))
    verdict = judge(shop, shop.rules[0], "/a", walked(SAFE), [ADA, twin])
    assert "ben has no sentinel that is in no other member's" in [finding.saw for finding in verdict.findings]


LAW = "by the RFC not storable: `private` without field names, RFC 9111 5.2.2.7"
OPEN = "by the RFC storable: `max-age`, RFC 9111 3; fresh for 10m"
ADAS, BENS = "200 with a sentinel of ada", "200 with a sentinel of ben"
#: What is said of a page where nothing is wrong, by what was wanted, and how many exchanges show it.
WELL = {
    "a key that nobody else asks for, or leave to use the real one": ("the edge keeps queries apart; on the real URL, as the site file allows", 0),
    ADAS: ("a sentinel on every visit", 3),
    BENS: ("a sentinel on every visit", 1),
    "only one's own sentinels": ("no sentinel", 6),
    "an answer of their own": ("200 MISS, 200 MISS", 2),
    "no HIT": ("MISS, MISS, MISS, MISS", 4),
    "private or no-store, or a bypass in the rule": (LAW, 1),
}  # fmt: skip
NO_PAGES = {ADAS: None, BENS: None}
SENTENCES = {
    "well": (SAFE, {}),
    "ben gets ada's": ([*visits(A, A), hit(**A), *visits(N, N, A)], {**NO_PAGES, "only one's own sentinels": ("ben got a page of ada", 1), "no HIT": (f"{LAW}, observed MISS, MISS, MISS, HIT", 1)}),
    "a stranger gets ada's": ([*visits(A, A, B), hit(**A), hit(**A), *visits(A)], {**NO_PAGES, "only one's own sentinels": ("stranger got a page of ada", 2), "an answer of their own": (f"the member's copy as a HIT; {LAW}", 2)}),
    "two get another's": ([*visits(A, A), hit(**A), hit(**B), *visits(N, A)], {**NO_PAGES, "only one's own sentinels": ("ben got a page of ada; stranger got a page of ben", 2), "an answer of their own": ("200 HIT, 200 MISS", 2), "no HIT": (f"{LAW}, observed MISS, MISS, MISS, HIT", 1)}),
    "ada is answered from the store": ([*visits(A), hit(**A), *visits(B, N, N, A)], {"no HIT": (f"{LAW}, observed MISS, HIT, MISS, MISS", 1)}),
    "ada is sent to the login": ([miss(status=302, location="/login", **A), *SAFE[1:]], {ADAS: ("302 to /login; ada is not logged in", 1), "no HIT": ("MISS", 1)}),
    "ada is told to log in": ([miss(status=401, **A), *SAFE[1:]], {ADAS: ("401; ada is not logged in", 1), "no HIT": ("MISS", 1)}),
    "ben may not": ([*SAFE[:2], miss(status=403, **B), *SAFE[3:]], {BENS: ("403", 1), "no HIT": ("MISS, MISS, MISS", 3)}),
    "the last visit fails": ([*SAFE[:5], miss(status=503, **A)], {ADAS: ("503", 1)}),
    "ada gets the stranger's": ([*SAFE[:3], hit(**N), hit(**N), hit(**N)], {ADAS: ("no sentinel of ada: the stranger's page", 1), "an answer of their own": ("200 HIT, 200 HIT", 2), "no HIT": ("MISS, MISS, HIT, MISS", 1)}),
    "ada gets a page of nobody": ([*SAFE[:5], miss(cache_control="private", body=b"nobody's")], {ADAS: ("no sentinel of ada", 1)}),
    "one session for all": (visits(A, A, B, N, N, A, set_cookie="t=12345678"), {"a value for each visitor": ("t with the same value for two visitors", 6)}),
    "a session from the store": ([*SAFE[:3], miss(set_cookie="t=12345678", **N), hit(set_cookie="t=12345678", **N), SAFE[5]], {"an answer of their own": ("200 MISS, 200 HIT", 2), "a value for each visitor": ("t with the same value for two visitors", 2)}),
    "one's own session": ([miss(set_cookie="t=12345678", **A), *SAFE[1:]], {"private or no-store, or a bypass in the rule": (OPEN, 1), "a value for each visitor": ("t with a value for each visitor", 1)}),
    "two cookies, one of them shared": ([miss(cache_control="private", set_cookie=["t=12345678", f"u={number}2345678"], **step) for number, step in enumerate((A, A, B, N, N, A))], {"a value for each visitor": ("t with the same value for two visitors", 6)}),
    "a short one is no identity": (visits(A, A, B, N, N, A, set_cookie="t=1x3x5x7"), {}),
    "a cookie that ends is one": (visits(A, A, B, N, N, A, set_cookie="t=12345678; Max-Age=10"), {"a value for each visitor": ("t with the same value for two visitors", 6)}),
}  # fmt: skip


@pytest.mark.parametrize(("seen", "other"), SENTENCES.values(), ids=SENTENCES)
def test_a_finding_names_what_was_seen_and_wanted(seen, other):
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", walked(seen), [ADA, BEN])
    sentences = {finding.wanted: (finding.saw, len(finding.evidence)) for finding in verdict.findings}
    assert {wanted: saw for wanted, saw in (WELL | other).items() if saw} == sentences


@pytest.mark.parametrize(
    ("seen", "sentences"),
    [
        ([miss(), hit(), miss(), hit()], [("MISS", "no HIT for a member", 2), ("the same copy, HIT", "the same copy", 3)]),
        ([miss(), hit(), hit(), hit(body=b"b")], [("HIT", "no HIT for a member", 2), ("another body, HIT", "the same copy", 3)]),
        ([miss(), hit(), miss(status=499), hit()], [("MISS", "no HIT for a member", 2), ("the same copy, HIT", "the same copy", 3)]),
        ([miss(), hit(), miss(status=500), hit()], [("500", "no server error for a member", 2), ("the same copy, HIT", "the same copy", 3)]),
        ([miss(), miss(), miss(), miss()], [("MISS on the second visit", "a warm copy to try a member against", 1)]),
    ],
)  # fmt: skip
def test_a_bypass_is_told_in_these_words(seen, sentences):
    shop = site(SHARED)
    verdict = judge(shop, shop.rules[0], "/a", walked(seen), [ADA, BEN])
    told = [(finding.saw, finding.wanted, len(finding.evidence)) for finding in verdict.findings]
    assert sentences == told[1 : 1 + len(sentences)]
    assert ("no sentinel", "only one's own sentinels", 4) == told[1 + len(sentences)]


SILENT = "`status_header` in the site file, or "
LEAVE = "`allow_shared_key: true` in the rule articles, or `staging: true` in the site file"


@pytest.mark.parametrize(
    ("proof", "saw", "wanted"),
    [
        ((), "not tried: the edge does not say what it did with the query", SILENT + LEAVE),
        ((miss(), miss(), miss()), "not tried: the edge kept no copy under a query of its own", LEAVE),
        ((miss(), hit(), hit()), "not tried: the edge leaves the query out of its key", LEAVE),
    ],
)
def test_where_members_may_not_ask_it_says_what_would_permit_it(proof, saw, wanted):
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", Visits(proof), [ADA, BEN])
    [finding] = verdict.findings
    assert (saw, wanted, "unknown") == (finding.saw, finding.wanted, finding.outcome)
    assert ("", "") == (verdict.by_rfc, verdict.observed)


def test_a_key_of_one_s_own_is_named():
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", replace(walked(SAFE), asked="/a?__roundsman=1"), [ADA, BEN])
    assert "the edge keeps queries apart; under a random one" == verdict.findings[0].saw


def test_each_member_who_can_not_log_in_is_named():
    shop = site(MEMBER)
    members = [Visitor(name, problem="login failed: 403") for name in ("ada", "ben")]
    first = judge(shop, shop.rules[0], "/a", walked(SAFE), members).findings[0]
    assert ("ada: login failed: 403; ben: login failed: 403", "two test members that can log in") == (
        first.saw,
        first.wanted,
    )


def test_one_member_is_one_too_few():
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", walked(visits(A, A, N, N, A)), [ADA])
    assert ("one test member", "two") == next(
        (f.saw, f.wanted) for f in verdict.findings if f.claim == "logged-in-traffic/members"
    )


def test_the_cookie_of_a_bypass_may_be_one_of_many():
    shop = site({"bypass": [{"when": "cookie s", "because": "it greets by name"}]})
    ada = replace(ADA, headers=(("Cookie", "lang=en; s=1"),))
    verdict = judge(shop, shop.rules[0], "/a", walked([miss(), hit(), miss(), hit()]), [ada, BEN])
    assert ("pass", "MISS") == next(
        (f.outcome, f.saw) for f in verdict.findings if f.claim == "logged-in-traffic/bypass"
    )
