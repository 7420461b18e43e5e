"""Intervals of quantiles, from the binomial distribution alone."""

from math import comb

import pytest

from roundsman.report.rules.quantiles import interval, needed, quantile, ranks


@pytest.mark.parametrize(("share", "wanted"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_an_interval_takes_so_many_samples(share, wanted):
    assert wanted == needed(share)


@pytest.mark.parametrize(("count", "share"), [(6, 0.5), (36, 0.9), (72, 0.95), (100, 0.5), (300, 0.95), (368, 0.99)])
def test_an_interval_holds_the_quantile_95_times_in_100_and_is_no_wider_than_that_takes(count, share):
    low, high = ranks(count, share)

    def below(least, most):
        """The chance that from `least` to `most` of the samples are below the quantile."""
        return sum(comb(count, n) * share**n * (1 - share) ** (count - n) for n in range(least, most + 1))

    assert below(low + 1, high) >= 0.95
    assert low == 0 or below(0, low + 1) > 0.025
    assert high == count - 1 or below(high, count) > 0.025


def test_ten_thousand_samples_are_not_too_many():
    """Their binomial coefficients are no floats."""
    assert (4901, 5098) == ranks(10_000, 0.5)
    assert (9456, 9542) == ranks(10_000, 0.95)


def test_quantile_and_interval_are_times_of_the_sample():
    times = [float(rank) for rank in range(1, 101)]
    assert (95, (90, 100)) == (quantile(times, 0.95), interval(times, 0.95))
    assert (50, (40, 61)) == (quantile(times, 0.5), interval(times, 0.5))
    assert (7, (7, 7)) == (quantile([7], 0.95), interval([7], 0.95))
