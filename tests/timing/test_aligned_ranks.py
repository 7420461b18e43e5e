"""Shifts and tails of samples that are small enough to be worked out by hand, and of made-up services."""

import math
from itertools import combinations

import numpy as np
import pytest

from roundsman.timing.rules.interleaving import Rounds, location, needed, shift, tail


def rounds(*each):
    """Rounds of (baseline's times, candidate's times)."""
    rows = [(t, at, own) for at, arms in enumerate(each) for own, arm in enumerate(arms) for t in arm]
    seconds, label, own = (np.array(column) for column in zip(*rows, strict=True))
    return Rounds.of(seconds.astype(float), label, own.astype(bool))


def made_up(ratio, *, count=60, drift=0.0, seed=1, each=5):
    """A service that slows down over the rounds by exp(drift), and a candidate that is slower by a ratio."""
    rng = np.random.default_rng(seed)
    logs = rng.normal(-3, 0.3, (count, 2 * each)) + np.linspace(0, drift, count)[:, None]
    logs[:, each:] += math.log(ratio)
    label, place = np.indices(logs.shape)
    return Rounds.of(np.exp(logs).ravel(), label.ravel(), place.ravel() >= each)


def test_the_statistic_of_two_rounds_is_that_worked_out_by_hand():
    """Logarithms of 2. Round one: 0 1 | 2 3, less 1.5: -1.5 -.5 | .5 1.5. Round two: 10 11 | 20, less 11: -1 0 | 9.

    Ranks: 1 3 | 5 6 and 2 4 | 7; T - E = (11 - 2 * 15/4) + (7 - 13/3) = 37/6; V = 1/3 * 59/4 + 1/3 * 38/3 = 329/36.
    """
    two = rounds(([1, 2], [4, 8]), ([2**10, 2**11], [2**20]))
    assert 37 / math.sqrt(329) == pytest.approx(location(two))


def test_equal_times_share_the_middle_of_their_ranks():
    """0 1 | 1 2: ranks 1 2.5 | 2.5 4; T - E = 6.5 - 5; V = 1/3 * 4.5."""
    assert math.sqrt(1.5) == pytest.approx(location(rounds(([1, 2], [2, 4]))))


def test_its_variance_is_that_over_all_ways_to_deal_a_round():
    """E and V are exact: a permutation of arms inside the round is all that chance does."""
    times = [3.0, 1.0, 7.0, 2.0, 30.0]
    logs = np.log(times)
    values = np.argsort(np.argsort(logs)) + 1.0
    dealt = [sum(values[list(own)]) for own in combinations(range(5), 2)]
    own = np.array([True, False, True, False, False])
    z = (values[own].sum() - np.mean(dealt)) / np.std(dealt)
    assert z == pytest.approx(location(Rounds.of(np.array(times), np.zeros(5), own)))


@pytest.mark.parametrize("ratio", [0.5, 0.9, 1.0, 1.1, 3.0])
def test_the_ratio_is_found_and_its_interval_holds_it(ratio):
    found = shift(made_up(ratio))
    assert ratio == pytest.approx(found.ratio, rel=0.1)
    assert found.low < ratio < found.high
    assert (found.p < 0.05) is not (found.low < 1 < found.high)


def test_a_service_that_drifts_by_a_factor_of_seven_drifts_for_both_arms():
    still, drifting = shift(made_up(1.1)), shift(made_up(1.1, drift=2.0))
    assert (still.ratio, still.low, still.high) == pytest.approx(
        (drifting.ratio, drifting.low, drifting.high), rel=1e-3
    )


def test_ten_times_the_sample_makes_the_interval_three_times_as_narrow():
    assert math.sqrt(10) == pytest.approx(
        shift(made_up(1.1)).half_width / shift(made_up(1.1, count=600)).half_width, rel=0.15
    )


def test_swapping_the_arms_turns_the_ratio_over():
    one = made_up(1.2)
    other = Rounds.of(np.exp(one.logs), one.label, ~one.candidate)
    assert (1 / shift(one).ratio, shift(one).p) == pytest.approx((shift(other).ratio, shift(other).p), rel=1e-3)
    assert 1 / shift(one).low == pytest.approx(shift(other).high, rel=1e-3)


def test_a_sample_too_small_for_an_interval_has_none():
    found = shift(rounds(([0.01], [0.02])))
    assert (0.0, math.inf, math.inf) == (found.low, found.high, found.half_width)
    assert found.p > 0.05


def test_times_that_are_all_the_same_have_not_shifted():
    found = shift(rounds(*[([0.01] * 5, [0.01] * 5)] * 10))
    assert (1, 1, 1, 1) == pytest.approx((found.ratio, found.low, found.high, found.p), abs=1e-3)


def test_a_round_that_only_one_arm_answered_says_nothing():
    both = [([0.01, 0.03, 0.02], [0.02, 0.04, 0.03])] * 8
    assert shift(rounds(*both)).p == pytest.approx(shift(rounds(*both, ([5.0] * 3, []))).p, abs=0.02)
    assert pytest.approx(location(rounds(([0.01], [0.02]), ([7.0], [])))) == 1.0


def test_no_time_is_too_short_for_a_logarithm():
    assert shift(rounds(([0.0], [0.0]))).p == 1


@pytest.mark.parametrize("arms", [([0.01, 0.02], []), ([], [0.01])])
def test_one_arm_alone_is_no_comparison(arms):
    with pytest.raises(ValueError, match="only one arm"):
        rounds(arms)


def test_a_tail_that_grew_is_seen_where_the_middle_hardly_moved():
    """In each of fifty rounds one of six of the candidate's takes ten times as long; the baseline has none such."""
    same = [0.010, 0.011, 0.012, 0.013, 0.014]
    grown = rounds(*[([*same, 0.015], [*same, 0.15])] * 50)
    found = tail(grown)
    assert (0.0, 50 / 300) == (found.baseline, found.candidate)
    assert 0.15 == pytest.approx(found.limit)
    assert found.p < 1e-6
    assert shift(grown).p > 0.05
    assert 10 == pytest.approx(found.ratio, rel=0.01)


def test_a_tail_is_corrected_for_continuity():
    """One of nineteen reaches p95 in nineteen. T - E = 1 - 9/19 = 10/19, less 1/2 is 1/38; V = 9 * 10 / (19 * 18) * 18/19."""
    found = tail(rounds((list(range(1, 11)), [*range(1, 9), 20])))
    assert (0.0, 1 / 9) == (found.baseline, found.candidate)
    assert math.erfc(1 / 38 / math.sqrt(90 / 361) / math.sqrt(2)) == pytest.approx(found.p)


@pytest.mark.parametrize(
    ("sigma", "change", "wanted"),
    [(0.1, 0.05, 72), (0.2, 0.1, 76), (0.5, 0.1, 456), (0.5, 0.2, 127), (0.8, 0.05, 4423)],
)
def test_a_change_takes_so_many_samples(sigma, change, wanted):
    """Noether's table in the notes of the design."""
    assert wanted == pytest.approx(needed(sigma, change), abs=1)
