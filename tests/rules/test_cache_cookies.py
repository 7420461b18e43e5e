"""Set-Cookie on a page for everyone."""

import pytest

from flows.rules.cache_cookies import findings
from tests.rules.make import exchange, hit, miss

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
    found = [(one.outcome, one.saw) for one in findings(seen)]
    assert ([] if outcome is None else [(outcome, saw)]) == found


def test_no_value_is_told():
    assert "11" not in str([one.saw for one in findings([miss(set_cookie="visit=11"), hit(set_cookie="visit=11")])])
