"""A route's history: steps, with the release that they came with, and creeping."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.release import Release
from roundsman.timing.rules.drift import ROUNDS, judge
from roundsman.timing.rules.judge_before_after import RoundTimes, Timed
from tests.make import site

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
MISS = ("/a", "miss")


def at(rounds_ago):
    return NOW - timedelta(hours=rounds_ago)


def timed_rounds(factors, key=MISS, typical=0.02, hours=1):
    noise = np.random.default_rng(7).normal(0, 0.02, len(factors))
    times = typical * np.array(factors) * np.exp(noise)
    ago = range(len(factors) - 1, -1, -1)
    return [RoundTimes(at(hours * back), {key: Timed(time, 2 * time)}) for back, time in zip(ago, times, strict=True)]


def found(rounds, *releases):
    return {
        one.claim.removeprefix("drift/"): (str(one.outcome), one.saw, one.wanted)
        for verdict in judge(site(), rounds, releases, NOW)
        for one in verdict.findings
    }


MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)
STEP = [1.0] * 60 + [1.3] * 12
CREEP = np.linspace(1, 1.5, 80)


def test_nothing_changed_is_said():
    told = found(timed_rounds([1.0] * 50))
    assert {"miss-step", "miss-drift"} == told.keys()
    assert {("pass", "no change in 50 rounds")} == {one[:2] for one in told.values()}


def test_a_step_is_told_with_the_release_that_it_came_with():
    releases = [Release("1.7", at(40)), Release("1.8", at(11.5)), Release("1.9", at(3))]
    outcome, saw, wanted = found(timed_rounds(STEP), *releases)["miss-step"]
    assert "warn" == outcome
    assert saw.startswith("x1.3")
    assert saw.endswith("since 2026-03-08 01:00, with release 1.8")
    assert wanted.startswith("within 5% of ")


def test_a_step_without_a_release_says_so():
    assert found(timed_rounds(STEP), Release("1.7", at(40)))["miss-step"][1].endswith("without a release")


def test_creeping_is_a_verdict_of_its_own():
    told = found(timed_rounds(CREEP))
    assert "pass" == told["miss-step"][0]
    outcome, saw, _ = told["miss-drift"]
    assert "warn" == outcome
    assert saw.endswith("from 2026-03-05 05:00 to 2026-03-08 12:00")


@pytest.mark.parametrize("factors", [[1.0] * 60 + [0.7] * 12, np.linspace(1.5, 1, 80)])
def test_what_became_faster_is_told_and_passes(factors):
    told = found(timed_rounds(factors))
    assert {"pass"} == {one[0] for one in told.values()}
    assert any(one[1].startswith("x0.") for one in told.values())


@pytest.mark.parametrize(("ago", "outcome"), [(6, "warn"), (9, "pass")])
def test_a_new_level_is_news_for_a_week(ago, outcome):
    assert outcome == found(timed_rounds([1.0] * 60 + [1.3] * ago, hours=24))["miss-step"][0]


@pytest.mark.parametrize(
    ("factors", "hours", "outcome", "ratio", "level"),
    [
        ([1.0] * 60 + [2.0] * 24 + [1.8] * 12, 1, "warn", 1.8, 20),  # it recovered by half, and less
        ([1.0] * 60 + [2.0] * 24 + [1.0] * 12, 1, "pass", 1.0, 20),
        ([1.0] * 60 + [1.5] * 24 + [3.0] * 12, 1, "warn", 3.0, 20),
        ([1.0] * 60 + [0.5] * 24 + [0.8] * 12, 1, "pass", 0.5, 20),  # the second one leads to no new level
        ([1.0] * 40 + [2.0] * 20 + [1.8] * 5, 24, "pass", 0.9, 40),  # what was told for its week is told no more
    ],
)
def test_all_steps_that_are_news_are_held_against_the_level_before_them(factors, hours, outcome, ratio, level):
    told, saw, wanted = found(timed_rounds(factors, hours=hours))["miss-step"]
    assert outcome == told
    assert ratio == pytest.approx(float(saw[1:5]), rel=0.04)
    assert level == pytest.approx(float(wanted.removeprefix("within 5% of ").removesuffix("ms")), rel=0.04)


def test_steps_are_told_one_by_one():
    _, saw, _ = found(timed_rounds([1.0] * 60 + [2.0] * 24 + [1.8] * 12), Release("1.8", at(35.5)))["miss-step"]
    assert "in 2 steps: x2.0" in saw
    assert "since 2026-03-07 01:00, with release 1.8; x0.9" in saw
    assert saw.endswith("since 2026-03-08 01:00, without a release")


def test_of_many_steps_the_last_ones_are_told():
    levels = [level for number in range(5) for level in [1.5**number] * 24]
    _, saw, _ = found(timed_rounds(levels))["miss-step"]
    assert "in 4 steps, at last: x" in saw
    assert 3 == saw.count("without a release")


@pytest.mark.parametrize("high", [1.2, 1.5, 3.0])
@pytest.mark.parametrize("until", [9, 12, 16, 20])
def test_the_busy_hours_of_each_day_are_no_step(high, until):
    """Five days of hourly rounds, slower from nine to five, seen at different hours of the last day."""
    factors = [high if 9 <= hour % 24 < 17 else 1.0 for hour in range(96 + until)]
    rounds = [
        replace(timed_round, at=MIDNIGHT + timedelta(hours=hour))
        for hour, timed_round in enumerate(timed_rounds(factors))
    ]
    assert "pass" == found(rounds)["miss-step"][0]


def test_a_step_is_seen_beside_the_busy_hours():
    factors = [(1.5 if 9 <= hour % 24 < 17 else 1.0) * (1.4 if hour >= 96 else 1.0) for hour in range(120)]
    rounds = [
        replace(timed_round, at=MIDNIGHT + timedelta(hours=hour))
        for hour, timed_round in enumerate(timed_rounds(factors))
    ]
    outcome, saw, _ = found(rounds)["miss-step"]
    assert ("warn", "x1.4") == (outcome, saw[:4])


def test_a_route_that_wanders_by_itself_makes_no_step():
    """Each round is much like the one before (0.9), so levels of some hours come and go."""
    false = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        logs = [0.0]
        for _ in range(119):
            logs.append(0.9 * logs[-1] + rng.normal(0, 0.04 * (1 - 0.81) ** 0.5))
        false += found(timed_rounds(np.exp(logs)))["miss-step"][0] == "warn"
    assert false <= 1


def test_less_than_a_clock_can_tell_is_no_change():
    assert "pass" == found(timed_rounds(STEP, typical=0.0005))["miss-step"][0]


@pytest.mark.parametrize(("rounds", "verdicts"), [(0, 0), (9, 0), (10, 1)])
def test_without_enough_rounds_there_is_no_verdict(rounds, verdicts):
    assert verdicts == len(judge(site(), timed_rounds([1.0] * rounds), [], NOW))


def test_a_route_that_no_rule_speaks_of_any_more_has_no_verdict():
    assert [] == judge(site(), timed_rounds([1.0] * ROUNDS, key=("/gone", "hit")), [], NOW)


def test_a_step_never_makes_a_round_red():
    (verdict,) = judge(site(), timed_rounds([1.0] * 60 + [9.0] * 12), [], NOW)
    assert Outcome.WARN == verdict.outcome
