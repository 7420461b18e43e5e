"""Members, strangers, and what they see of each other."""

import base64

import pytest

from flows.rules.logged_in_traffic import judge, order
from flows.rules.visitor import Visitor
from tests.rules.make import exchange, hit, miss, site

ADA = Visitor("ada", (("Cookie", "s=1"),), ("Ada L. & Co", "ada@members.test"))
BEN = Visitor("ben", (("Cookie", "s=2"),), ("ben@members.test",))
MEMBER = {"cache": {"by": "member"}, "examples": {"not_cached": ["/a"]}}
SHARED = {"bypass": [{"when": "cookie s", "because": "it greets by name"}]}

A, B, N = ({"body": body} for body in (b"hello ada@members.test", b"hello ben@members.test", b"log in"))


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
    ([miss(set_cookie="t=12345678", **A)] * 2 + SAFE[2:], {}),
    ([miss(set_cookie=f"t=1234567{who}; Path=/", **step) for who, step in zip("AABNNA", (A, A, B, N, N, A), strict=True)], {}),
    (visits(A, A, B, N, N, A, set_cookie=["lang=en", "t=", "s=deleted; Path=/", "u=12345678; Max-Age=0"]), {}),
    ([exchange(**step) for step in (A, A, B, N, N, A)], {"not-from-store": "unknown", "stored": "unknown"}),
    (visits(A, A, N, N, N, A), {"personal": "unknown"}),
    ([*SAFE[:2], miss(status=403, **B), *SAFE[3:]], {"personal": "unknown"}),
    ([*SAFE[:5], miss(status=503, **A)], {"personal": "unknown"}),
    ([*visits(A), hit(**A), *visits(N, N, N, A)], {"personal": "unknown", "not-from-store": "fail"}),
    ([*SAFE[:3], hit(**N), hit(**N), hit(**N)], {"personal": "unknown", "not-from-store": "fail"}),
    ([miss(status=403, **A), *visits(A), hit(**A), *SAFE[3:]], {"leak": "fail", "not-from-store": "fail"}),
    ([*SAFE[:3], miss(x_hello=base64.b64encode(b"ada@members.test").decode(), **N), *SAFE[4:]], {"leak": "fail"}),
    ([*SAFE[:3], miss(body=b"Ada L. &amp; Co"), *SAFE[4:]], {"leak": "fail"}),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "wanted"), CASES)
def test_what_a_visitor_must_not_see_is_found(seen, wanted):
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", seen, [ADA, BEN])
    found = {
        f.claim.removeprefix("logged-in-traffic/"): f.outcome.value for f in verdict.findings if f.outcome != "pass"
    }
    assert wanted == found


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
]


@pytest.mark.parametrize(("seen", "wanted"), BYPASS)
def test_a_member_is_not_answered_from_a_warm_shared_copy_and_does_not_replace_it(seen, wanted):
    shop = site(SHARED)
    assert "NNAN" == order(shop.rules[0])
    verdict = judge(shop, shop.rules[0], "/a", seen, [ADA, BEN])
    found = {
        f.claim.removeprefix("logged-in-traffic/"): f.outcome.value for f in verdict.findings if f.outcome != "pass"
    }
    assert wanted == found


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
    verdict = judge(shop, shop.rules[0], "/a", [miss(), hit(), miss(), hit()], [ADA, BEN])
    found = next(f for f in verdict.findings if f.claim == "logged-in-traffic/bypass")
    assert ("pass" if saw == "MISS" else "unknown", saw) == (found.outcome, found.saw)


@pytest.mark.parametrize(
    ("ada", "ben"), [(("",), ("ben@members.test",)), (("members",), ("members",)), ((), ("ben@members.test",))]
)
def test_a_sentinel_that_tells_nobody_apart_is_none(ada, ben):
    shop = site(MEMBER)
    members = [Visitor("ada", ADA.headers, ada), Visitor("ben", BEN.headers, ben)]
    verdict = judge(shop, shop.rules[0], "/a", SAFE, members)
    found = {f.claim.removeprefix("logged-in-traffic/"): f.outcome for f in verdict.findings if f.outcome != "pass"}
    assert {"personal": "unknown"} == found


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ([], "the site file names no sessions"),
        ([ADA, Visitor("ben", problem="login failed: 403")], "ben: login failed: 403"),
    ],
)
def test_without_members_nothing_can_be_said(members, says):
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", SAFE, members)
    assert ("unknown", says) == (verdict.outcome, verdict.findings[0].saw)


def test_one_member_alone_leaves_something_unknown():
    shop = site(MEMBER)
    verdict = judge(shop, shop.rules[0], "/a", visits(A, A, N, N, A), [ADA])
    assert ["logged-in-traffic/members"] == [f.claim for f in verdict.findings if f.outcome == "unknown"]


def test_a_visitor_shows_no_secret():
    assert "Visitor(ada)" == repr(ADA)
