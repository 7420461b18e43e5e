"""Histories whose changes are known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from roundsman.timing.rules.change_points import ChangeKind, TimingChange, changes, released


def history(*levels, noise=0.02, seed=1, creep=0.0):
    """Runs on levels of (how many, seconds)."""
    rng = np.random.default_rng(seed)
    logs = np.concatenate([np.full(count, np.log(level)) for count, level in levels])
    return np.exp(logs + rng.normal(0, noise, len(logs)) + np.linspace(0, creep, len(logs)))


@pytest.mark.parametrize(
    ("runs", "wanted"),
    [
        (history((60, 0.1)), []),
        (history((60, 0.1), noise=0.0), []),
        (history((40, 0.1), (20, 0.13)), [("step", 40, 1.3)]),
        (history((40, 0.1), (20, 0.13), noise=0.0), [("step", 40, 1.3)]),
        (history((40, 0.1), (5, 0.13)), [("step", 40, 1.3)]),
        (history((40, 0.13), (20, 0.1)), [("step", 40, 1 / 1.3)]),
        (history((30, 0.1), (30, 0.2), (30, 0.1)), [("step", 30, 2.0), ("step", 60, 0.5)]),
        (history((40, 0.1), (20, 0.103)), []),  # a change that matters to nobody
        (history((40, 0.1), (20, 0.103), noise=0.0), []),
        (history((30, 0.1), (1, 3.0), (30, 0.1)), []),  # one run that went wrong
        (history((30, 0.1), (3, 0.3), (30, 0.1)), []),  # nor are three a level
        (history((80, 0.1), creep=0.4), [("drift", 0, 1.5)]),
        (history((5, 0.1), (4, 0.2)), []),  # too short to have levels
        ([], []),
    ],
)
def test_changes_are_found_and_nothing_else(runs, wanted):
    found = changes(runs)
    assert [(kind, first) for kind, first, _ in wanted] == [(one.kind, one.first) for one in found]
    assert [ratio for _, _, ratio in wanted] == pytest.approx([one.ratio for one in found], rel=0.05)


def test_a_history_that_swings_by_itself_needs_a_larger_change():
    """Autocorrelated runs look like levels; the penalty knows."""
    rng = np.random.default_rng(4)
    wrong = 0
    for _ in range(60):
        noise = rng.normal(0, 0.04, 100)
        for place in range(1, 100):
            noise[place] += 0.5 * noise[place - 1]
        wrong += bool(changes(0.1 * np.exp(noise)))
    assert wrong <= 4


START = datetime(2026, 1, 1, tzinfo=UTC)
RUNS = [START + timedelta(hours=hour) for hour in range(10)]
RELEASES = [
    (START + timedelta(hours=hours), name)
    for hours, name in [(3.5, "a"), (4.0, "b"), (4.2, "c"), (5.0, "d"), (5.1, "e")]
]


def test_a_step_is_of_the_releases_between_the_two_runs_around_it():
    assert ["b", "c", "d"] == released(TimingChange(ChangeKind.STEP, 5, 10, 1.3), RUNS, RELEASES)
    assert [] == released(TimingChange(ChangeKind.STEP, 8, 10, 1.3), RUNS, RELEASES)


def test_a_drift_is_of_no_release():
    assert [] == released(TimingChange(ChangeKind.DRIFT, 0, 10, 1.3), RUNS, RELEASES)
