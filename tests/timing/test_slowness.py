"""Slow, degraded and down take more than one round."""

import pytest

from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.promises import AlertPolicy
from roundsman.timing.rules.slowness import Memory, SlownessState, remembered, state_of

P, W, U, F = Outcome.PASS, Outcome.WARN, Outcome.UNKNOWN, Outcome.FAIL
LETTERS = {
    "o": SlownessState.OK,
    "d": SlownessState.DEGRADED,
    "s": SlownessState.SLOW,
    "x": SlownessState.DOWN,
    "?": SlownessState.UNKNOWN,
}


def memory(letters, path="/a"):
    return Memory(path, tuple(LETTERS[one] for one in letters))


@pytest.mark.parametrize(
    ("claims", "state"),
    [
        ({"hit-p95": P, "miss-p50": P}, SlownessState.OK),
        ({"hit-p95": P, "miss-p99": F}, SlownessState.SLOW),
        ({"hit-p95": W, "miss-p95": P}, SlownessState.DEGRADED),
        ({"hit-p95": P, "sent": W}, SlownessState.DEGRADED),
        ({"hit-p95": P, "answers": U}, SlownessState.DEGRADED),
        ({"hit-p95": F, "answers": U}, SlownessState.SLOW),
        ({"hit-p95": U, "miss-p95": P}, SlownessState.OK),
        ({"hit-p95": U}, SlownessState.UNKNOWN),
        ({"answers": U}, SlownessState.DOWN),
        ({"status": F}, SlownessState.DOWN),
    ],
)
def test_a_round_finds_a_route_well_slow_degraded_or_down(claims, state):
    assert state == state_of((f"response-time/{name}", outcome) for name, outcome in claims.items())


@pytest.mark.parametrize(
    ("letters", "after", "state"),
    [
        ("s", "2 of 3", "slow"),
        ("os", "2 of 3", "ok"),
        ("oos", "2 of 3", "ok"),
        ("oss", "2 of 3", "slow"),
        ("sso", "2 of 3", "slow"),
        ("soo", "2 of 3", "ok"),
        ("ssoo", "2 of 3", "ok"),
        ("sds", "2 of 3", "slow"),
        ("ods", "2 of 3", "degraded"),
        ("oxs", "2 of 3", "slow"),
        ("xxs", "2 of 3", "down"),
        ("s?s", "2 of 3", "slow"),
        ("???", "2 of 3", "unknown"),
        ("", "2 of 3", "unknown"),
        ("oos", "1 of 1", "slow"),
        ("ssoss", "3 of 5", "slow"),
    ],
)
def test_so_many_of_the_last_rounds_must_agree(letters, after, state):
    assert state == memory(letters).settled(AlertPolicy.of(after, 1, 1.0))


def test_the_heaviest_route_is_told_with_its_count_and_each_other_that_is_not_well():
    routes = [memory("ooo", "/well"), memory("oss", "/slow"), memory("odd", "/doubt")]
    state, says, lines = remembered(routes, AlertPolicy.of("2 of 3", 1, 1.0))
    assert ("slow", "/slow: slow in 2 of the last 3 rounds") == (state, says)
    assert ("/slow: slow in 2 of the last 3 rounds", "/doubt: degraded in 2 of the last 3 rounds") == lines
