"""A window after a release against a route's own windows."""

import math

import numpy as np
import pytest

from roundsman.timing.rules.placebo import moved


def windows(*, tau=0.05, routes=1, count=30, seed=1, together=0.0):
    """Medians of logarithms that move by themselves; those of one window also together."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, tau, (routes, count)) + rng.normal(0, together, count)
    return own - 3


def after(history, ratio=1.0, count=1):
    """So many windows since, all alike; shape (routes, count)."""
    return np.repeat((np.median(history, axis=1) + math.log(ratio))[:, None], count, axis=1)


def test_the_interval_is_that_worked_out_by_hand():
    """21 windows -.10 ... .10: the median is 0 and half of them are within .05; t(.975, 7) = 2.36462."""
    history = np.linspace(-0.10, 0.10, 21)[None, :]
    (found,) = moved(history, np.array([[0.2]]))
    spread = 1.4826 * 0.05 * math.sqrt(1 + math.pi / 42)
    ends = (math.exp(0.2 - 2.36462 * spread), math.exp(0.2 + 2.36462 * spread))
    assert (math.exp(0.2), *ends) == pytest.approx((found.ratio, found.low, found.high), rel=1e-5)
    assert (math.expm1(spread), math.expm1((2.36462 + 0.89603) * spread)) == pytest.approx(
        (found.movement, found.smallest), rel=1e-4
    )


@pytest.mark.parametrize(("ratio", "seen"), [(1.0, False), (1.1, False), (1.5, True), (0.6, True)])
def test_only_what_is_more_than_its_own_movement_is_seen(ratio, seen):
    history = windows(tau=0.08)
    (found,) = moved(history, after(history, ratio))
    assert seen is (found.p <= 0.05) is not (found.low <= 1 <= found.high)


def test_it_says_what_it_cannot_see():
    history = np.linspace(-0.10, 0.10, 21)[None, :]
    (found,) = moved(history, after(history))
    assert "this route moves by 8% by itself from window to window; a change under 28% can't be seen" == found.sentence


def test_what_all_routes_do_alike_is_no_release():
    """The network is 20 % slower; one route of ten is 30 % slower on top."""
    history = windows(tau=0.02, routes=10, together=0.05)
    now = after(history, 1.2)
    now[3] += math.log(1.3)
    assert [3] == [place for place, one in enumerate(moved(history, now)) if one.p <= 0.001]
    alone = [moved(history[[place]], now[[place]])[0] for place in range(10)]
    assert sum(one.p <= 0.05 for one in alone) > 5


def test_routes_that_the_release_did_not_touch_say_what_was_common():
    """Two routes of three are slower: without the third as a control nobody could tell."""
    history = windows(tau=0.02, routes=3, together=0.05)
    now = after(history, 1.2)
    now[:2] += math.log(1.4)
    found = moved(history, now, controls=[2])
    assert [1.4, 1.4, 1.0] == pytest.approx([one.ratio for one in found], rel=0.06)
    assert [True, True, False] == [one.p <= 0.001 for one in found]


def test_a_route_that_never_moves_has_changed_when_it_does():
    still = np.full((1, 20), -3.0)
    assert [1.0, 0.0] == [moved(still, np.array([[to]]))[0].p for to in (-3.0, -2.9)]


def test_a_short_history_is_none():
    with pytest.raises(ValueError, match="saw 19 earlier windows, wanted 20"):
        moved(windows(count=19), np.array([[0.0]]))


def days(*, high=1.5, count=60):
    """Hourly windows of which the busy third is on a level of its own, until the busy hours of the next day begin."""
    hours = (np.arange(count) + 9 - count) % 24
    return windows(count=count) + math.log(high) * ((hours >= 9) & (hours < 17))


@pytest.mark.parametrize(("ratio", "seen"), [(1.5, False), (1.3, False), (1.1, False), (2.2, True), (0.6, True)])
def test_what_many_windows_did_as_well_is_no_change(ratio, seen):
    (found,) = moved(days(), after(windows(count=60), ratio))
    assert seen is (found.p <= 0.05)
    assert found.usual is (ratio in {1.5, 1.3, 1.1})


def test_it_says_how_many_windows_did_as_well():
    (found,) = moved(days(), after(windows(count=60), 1.5))
    assert "16 of 60 earlier windows were as far off: it may be the time of day" == found.sentence


def test_a_whole_day_is_held_against_whole_days():
    history = days()
    (hour,), (day,) = (moved(history, after(history, 1.4, count=count)) for count in (1, 24))
    assert (1.0, True) == (hour.p, day.p <= 0.05)
    assert (60, 37) == (hour.windows, day.windows)


def test_a_few_windows_that_went_wrong_hide_no_change():
    history = windows(count=60)
    history[0, 5:8] += 1
    assert moved(history, after(history, 1.5))[0].p <= 0.01


def test_one_level_after_another_is_usual_even_where_windows_never_differ():
    still = np.full((1, 60), -3.0)
    still[0, 40:56] = -2.5
    assert [1.0, 0.0] == [moved(still, np.array([[to]]))[0].p for to in (-2.5, -2.4)]


def spiky(share, count=60):
    """Windows of which so many, evenly spread, are half as slow again."""
    history = windows(count=count)
    history[0, :: round(1 / share)] += math.log(1.5)
    return history


SPIKES = [(0.02, 1, False), (0.02, 2, True), (0.1, 2, False), (0.1, 3, True), (0.25, 3, False), (0.25, 6, True)]


@pytest.mark.parametrize(("share", "count", "wanted"), SPIKES)
def test_a_change_lasts_when_spikes_of_the_usual_kind_would_hardly_do_as_much(share, count, wanted):
    history = spiky(share)
    (found,) = moved(history, after(history, 1.5, count=count))
    assert wanted is found.lasts(math.log(1.3), 0.005)


def test_it_says_how_many_windows_more_would_tell_a_change_from_spikes():
    history = spiky(0.1)
    (found,) = moved(history, after(history, 1.5))
    needed = found.windows_needed(math.log(1.3), 0.005)
    (then,) = moved(history, after(history, 1.5, count=1 + needed))
    (before,) = moved(history, after(history, 1.5, count=needed))
    assert (True, False) == (then.lasts(math.log(1.3), 0.005), before.lasts(math.log(1.3), 0.005))
