"""Set-Cookie on a page for everyone."""

import pytest

from roundsman.cache.rules.plain_visits import cookie_findings, replays_token
from tests.make import exchange, hit, miss

CASES = [
    ([miss(), hit()], None, None),
    ([miss(set_cookie="visit=11"), miss(set_cookie="visit=22")], "warn", "visit; by the RFC a cache may keep it, observed MISS, MISS"),
    ([miss(set_cookie="visit=11"), hit(set_cookie="visit=11")], "fail", "visit with the same value again, from the store: MISS, HIT"),
    ([hit(set_cookie="visit=11; Path=/"), hit(set_cookie="visit=11; Path=/")], "fail", "visit with the same value again, from the store: HIT, HIT"),
    ([miss(set_cookie="visit=11"), hit(), hit()], "fail", "visit on a page that is kept: MISS, HIT, HIT"),
    ([miss(set_cookie="edge=1"), hit(set_cookie="edge=2"), hit(set_cookie="edge=3")], "pass", "edge with a new value on each answer, so the edge's own"),
    ([miss(set_cookie=["edge=1", "visit=11"]), hit(set_cookie="edge=2")], "fail", "visit on a page that is kept: MISS, HIT"),
    ([exchange(set_cookie="visit=11")] * 2, "warn", "visit; by the RFC a cache may keep it, observed UNKNOWN, UNKNOWN"),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "outcome", "saw"), CASES)
def test_a_cookie_on_a_page_for_everyone_is_found_and_more_so_when_it_is_kept(seen, outcome, saw):
    found = [(one.outcome, one.saw) for one in cookie_findings(seen)]
    assert ([] if outcome is None else [(outcome, saw)]) == found


def test_no_value_is_told():
    assert "11" not in str(
        [one.saw for one in cookie_findings([miss(set_cookie="visit=11"), hit(set_cookie="visit=11")])]
    )


TOKENS = [
    ("sid=3f2a9c1b0d77e12a90cc", True),
    ("sid=s%3A3f2a9c1b0d77e12a90cc.x", True),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x", True),
    ("visit=11", False),
    # Where a visitor is, which browser it is, and which backend it goes to.
    ("GeoIP=US:CA:San_Francisco:37.78:-122.41:v4", False),
    ("geoData=san francisco|CA|94107|US|NA|-700|broadband", False),
    ("place=%7B%22city%22%3A%22Springfield%22%2C%22zip%22%3A%2212345%22%7D", False),
    ("__cf_bm=3f2a9c1b0d77e12a90cc-1700000000-0", False),
    ("visid_incap_475759=3f2a9c1b0d77e12a90cc", False),
    ("_abck=3F2A9C1B0D77E12A90CC~-1~YAAQ", False),
    ("AWSALB=3f2a9c1b0d77e12a90cc", False),
]


@pytest.mark.parametrize(("cookie", "is_session"), TOKENS)
def test_what_a_store_replays_may_be_a_session_or_not(cookie, is_session):
    assert is_session == replays_token([miss(set_cookie=cookie), hit(set_cookie=cookie)])
