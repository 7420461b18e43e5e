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
    ([exchange(set_cookie="t=9", **step) for step in (A, A, B, N, N, A)], {"set-cookie": "fail"}),
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
