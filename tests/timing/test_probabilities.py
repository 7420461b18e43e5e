"""Probabilities against those of SciPy 1.17 and against tables worked out by hand."""

import pytest

from roundsman.timing.rules.probabilities import (
    false_discovery,
    fisher,
    fisher_more,
    student,
    student_quantile,
    two_sided,
)


@pytest.mark.parametrize(
    ("t", "df", "wanted"),
    [
        (1.0, 1, 0.5),  # a Cauchy's quartile
        (4.302652729696142, 2, 0.05),
        (3.182446305284263, 3, 0.05),
        (2.2, 11, 0.05008611),
        (-2.045229642132703, 29, 0.05),
        (2.0, 30, 0.05462504),
        (0.0, 7, 1.0),
    ],
)
def test_students_t(t, df, wanted):
    assert wanted == pytest.approx(student(t, df), rel=1e-5)


@pytest.mark.parametrize(
    ("share", "df", "wanted"), [(0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 29, 2.04523), (0.8, 11, 0.875530)]
)
def test_a_quantile_of_students_t_is_where_its_share_lies(share, df, wanted):
    assert wanted == pytest.approx(student_quantile(share, df), rel=1e-5)


def test_a_normal_value_is_beyond_1_96_one_time_in_twenty():
    assert (0.05, 0.05, 1.0) == pytest.approx((two_sided(1.959964), two_sided(-1.959964), two_sided(0)), rel=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "wanted", "more"),
    [
        ((3, 1), (1, 3), 34 / 70, 17 / 70),  # the lady who tasted tea
        ((4, 0), (0, 4), 2 / 70, 1 / 70),
        ((0, 300), (12, 288), 0.0004364767, 1.0),
        ((12, 288), (0, 300), 0.0004364767, 0.0002182384),
        ((0, 10), (0, 10), 1.0, 1.0),
        ((0, 0), (3, 5), 1.0, 1.0),
    ],
)
def test_fishers_exact_test(first, second, wanted, more):
    assert (wanted, more) == pytest.approx((fisher(first, second), fisher_more(first, second)), rel=1e-5)


def test_false_discovery_rates_are_those_of_benjamini_and_hochberg():
    """Three of five: .01 * 5 / 1, .02 * 5 / 2 and .03 * 5 / 3 are all .05."""
    assert [0.05, 0.5, 0.05, 0.9, 0.05] == pytest.approx(false_discovery([0.02, 0.4, 0.01, 0.9, 0.03]))
    assert [0.011, 0.011] == pytest.approx(false_discovery([0.01, 0.011])), "none is more doubtful than a weaker one"
    assert [] == false_discovery([])
