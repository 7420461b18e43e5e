"""The probe hit rate and its interval."""

import pytest

from roundsman.cache.rules.plain_visits import hit_rate_findings, wilson
from tests.make import exchange, hit, miss

#: From the score test's own definition: the ends are where |share - end| = z * sqrt(end * (1 - end) / n).
INTERVALS = [(0, 3, 0.0, 0.5615), (3, 3, 0.4385, 1.0), (6, 9, 0.3542, 0.8794), (50, 100, 0.4038, 0.5962)]


@pytest.mark.parametrize(("hits", "count", "low", "high"), INTERVALS)
def test_the_interval_is_wilson_s(hits, count, low, high):
    assert (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4)) == wilson(hits, count)


CASES = [
    ([miss(), hit(), hit()], ["probe hit rate 67% (2 of 3 visits; 95 % interval 21% to 94%)"]),
    ([miss()] * 3, ["probe hit rate 0% (0 of 3 visits; 95 % interval 0% to 56%)"]),
    ([miss(), hit(), exchange()], ["probe hit rate 50% (1 of 2 visits; 95 % interval 9% to 91%)"]),
    ([exchange()] * 3, []),
]


@pytest.mark.parametrize(("seen", "wanted"), CASES)
def test_it_is_told_with_its_count_and_never_fails(seen, wanted):
    found = list(hit_rate_findings(seen))
    assert wanted == [one.saw for one in found]
    assert {"pass"} >= {one.outcome for one in found}
