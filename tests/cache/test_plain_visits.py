"""Copies that the headers want confirmed, and edges that do not ask."""

import pytest

from roundsman.cache.rules.judge import judge
from roundsman.report.rules.visitor import STRANGER, Visitor
from tests.make import NOW, exchange, hit, miss, site

CACHED = {"cache": {"by": "everyone"}}
UNSAID = {"cache": {"by": "unsaid"}, "examples": {"not_cached": ["/a"]}}
PREVIEW = {"examples": {"not_cached": ["/a"]}}
PAST = {"date": "Thu, 01 Jan 2026 00:00:00 GMT", "expires": "Thu, 01 Jan 2026 00:00:00 GMT"}


def confirmed(rule, seen, visitor=STRANGER, **more):
    """Outcome and sight of the claim; None when it is not spoken of."""
    shop = site(rule, **more)
    verdict = judge(shop, shop.rules[0], "/a", seen, visitor)
    return next(((str(f.outcome), f.saw) for f in verdict.findings if f.claim == "cache-headers/confirmed"), None)


def visits(said, *later, **more):
    return [miss(cache_control=said, **more), *(one(cache_control=said, **more) for one in later or (hit, hit))]


ASKS_FIRST = [
    (visits("no-cache"), "`no-cache`, RFC 9111 5.2.2.4"),
    (visits("public, no-cache, max-age=600"), "`no-cache`, RFC 9111 5.2.2.4"),
    (visits("max-age=0"), "stale: 0 s old of 0 s, RFC 9111 4.2"),
    (visits("max-age=soon"), "stale: 0 s old of 0 s, RFC 9111 4.2"),
    (visits("max-age=600, s-maxage=0"), "stale: 0 s old of 0 s, RFC 9111 4.2, and `s-maxage` forbids a stale copy, RFC 9111 4.2.4"),
    (visits("", **PAST), "stale: 0 s old of 0 s, RFC 9111 4.2"),
    ([hit(cache_control="max-age=0", age="5")] * 3, "stale: 5 s old of 0 s, RFC 9111 4.2"),
    (visits("max-age=600", vary="Accept, *"), "`Vary: *` matches no request, RFC 9111 4.1"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "why"), ASKS_FIRST)
def test_a_copy_that_must_be_confirmed_and_is_used_unasked_is_found(seen, why):
    states = ", ".join("HIT" if one.header("x-cache") == "HIT" else "MISS" for one in seen)
    saw = f"by the RFC {why}; observed {states}: the edge does not ask"
    assert ("fail", saw) == confirmed(PREVIEW, seen)
    # Where nothing is promised, the edge may have a setting for it.
    assert ("warn", f"{saw}; an edge may have a setting for it") == confirmed(UNSAID, seen)
    # Who wants the page kept has told the edge so in another way than by headers.
    assert ("warn", saw) == confirmed(CACHED, seen)


FINE = [
    visits("max-age=600"),
    visits(""),
    visits("public"),
    visits('no-cache="set-cookie", max-age=60'),
    visits("max-age=0, stale-while-revalidate=60"),
    # The origin was asked, or nobody says.
    visits("no-cache", miss, miss),
    visits("no-cache", lambda **said: exchange(cf_cache_status="REVALIDATED", **said)),
    visits("no-cache", lambda **said: exchange(x_cache="HIT from s", x_cache_lookup="HIT from s:80", age="0", **said)),
    visits("no-cache", exchange),
    # Another copy, of which nothing was seen before.
    visits("no-cache", lambda **said: hit(body=b"new", **said)),
    # What may not be kept at all is told as `agree`.
    visits("no-store"),
    # Two clocks that differ by a day.
    visits("max-age=600", date="Wed, 31 Dec 2025 00:00:00 GMT"),
    [hit(cache_control="max-age=60", age="60", at=NOW + 0.6 * turn) for turn in range(3)],
]


@pytest.mark.parametrize("seen", FINE)
def test_a_copy_that_may_be_used_is_not_told(seen):
    assert confirmed(UNSAID, seen) is None


@pytest.mark.parametrize("sign", [{"x_vercel_id": "fra1::x"}, {"x_nf_request_id": "01"}, {"server": "Netlify"}])
def test_an_edge_that_keeps_its_copies_until_the_next_deploy_asks_nobody(sign):
    assert confirmed(PREVIEW, visits("public, max-age=0, must-revalidate", **sign)) is None


def test_a_field_that_the_edge_obeys_and_does_not_show_makes_a_warning_of_it():
    outcome, saw = confirmed(UNSAID, visits("no-cache"), targeted_fields=["Surrogate-Control"])
    assert "warn" == outcome
    assert saw.endswith("kept all the same, perhaps by surrogate-control, which the edge does not show")
    seen = visits("no-cache", surrogate_control="max-age=60")
    assert confirmed(UNSAID, seen, targeted_fields=["Surrogate-Control"]) is None


def test_what_a_member_sent_is_in_no_sentence():
    member = Visitor("ada", headers=(("Cookie", "sessionid=of-ada"),))
    _, saw = confirmed(UNSAID, visits("no-cache"), member)
    assert "of-ada" not in saw
