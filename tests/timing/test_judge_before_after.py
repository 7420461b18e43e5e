"""Before and after a release: told in a route's own movement."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from roundsman.report.rules.verdict import Outcome
from roundsman.timing.rules.judge_before_after import RoundTimes, Timed, compare, judge, judge_claims, told
from tests.make import site

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
HIT, MISS = ("/a", "hit"), ("/a", "miss")


def timed_rounds(count, *keys, seed=1, moves=0.03, common=0.0, slower=None, tail=None, hits=100, typical=0.02):
    """Rounds in which routes move by themselves, and all of them together."""
    rng = np.random.default_rng(seed)
    made = []
    for place in range(count):
        together = rng.normal(0, common)
        times = {}
        for key in keys:
            p50 = typical * np.exp(rng.normal(0, moves) + together) * (slower or {}).get(key, 1)
            p95 = 3 * p50 * np.exp(rng.normal(0, moves)) * (tail or {}).get(key, 1)
            plain = key[1] == "hit"
            times[key] = Timed(p50, p95, hits if plain else 0, 100 if plain else 0)
        made.append(RoundTimes(NOW + timedelta(hours=place), times))
    return made


def words(before, after, margin=0.2, **more):
    return {(one.path, one.state): str(one.word) for one in compare(before, after, margin, **more)}


BEFORE = timed_rounds(40, HIT, MISS)


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        ({}, {HIT: "unchanged", MISS: "unchanged"}),
        ({"slower": {MISS: 1.6}}, {HIT: "unchanged", MISS: "slower"}),
        ({"slower": {MISS: 1.25}}, {HIT: "unchanged", MISS: "probably slower"}),
        ({"tail": {HIT: 1.6}}, {HIT: "probably slower", MISS: "unchanged"}),
        ({"slower": {MISS: 0.6}}, {HIT: "unchanged", MISS: "faster"}),
    ],
)
@pytest.mark.parametrize("rounds", [3, 12])
def test_each_cache_state_is_compared_with_its_own_history(after, wanted, rounds):
    assert wanted == words(BEFORE, timed_rounds(rounds, HIT, MISS, seed=9, **after))


def test_one_round_alone_can_be_a_spike_and_says_how_many_more_it_takes():
    [found] = compare(timed_rounds(40, MISS), timed_rounds(1, MISS, seed=9, slower={MISS: 1.6}))
    assert ("not enough data", 1) == (found.word, found.need)
    [now] = compare(timed_rounds(40, MISS), timed_rounds(1 + found.need, MISS, seed=9, slower={MISS: 1.6}))
    assert "slower" == now.word


@pytest.mark.parametrize("since", [1, 3, 24])
def test_spikes_of_single_rounds_are_called_no_slow_release(since):
    """Eight rounds in a hundred are half as slow again, on each of twelve series by themselves."""
    keys = [(f"/{number}", state) for number in range(6) for state in ("hit", "miss")]
    false = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        times = 0.02 * np.exp(rng.normal(0, 0.04, (60 + since, 12)) + 0.4 * (rng.random((60 + since, 12)) < 0.08))
        rounds = [
            RoundTimes(
                NOW + timedelta(hours=hour), {key: Timed(time, 2 * time) for key, time in zip(keys, row, strict=True)}
            )
            for hour, row in enumerate(times.tolist())
        ]
        false += any(str(one.word) == "slower" for one in compare(rounds[:60], rounds[60:]))
    assert false <= 2


def test_a_route_that_moves_by_itself_is_not_called_slower_for_it():
    found = compare(timed_rounds(40, MISS, moves=0.3), timed_rounds(3, MISS, seed=2, moves=0.3, slower={MISS: 1.3}))
    assert ["not enough data"] == [str(one.word) for one in found]
    assert "this route moves by" in told(found[0])
    assert "can't be seen" in told(found[0])
    assert 0 == found[0].need


ROUTES = [(f"/{place}", "miss") for place in range(6)]


@pytest.mark.parametrize(("typical", "word"), [(0.0001, "unchanged"), (0.02, "slower")])
def test_a_change_of_less_than_a_quarter_of_a_millisecond_is_none(typical, word):
    after = timed_rounds(3, HIT, seed=2, typical=typical, slower={HIT: 2.0}, tail={HIT: 0.5})
    assert {HIT: word} == words(timed_rounds(40, HIT, typical=typical), after)


def test_what_all_routes_do_alike_is_no_release():
    after = timed_rounds(2, *ROUTES, seed=3, slower=dict.fromkeys(ROUTES, 1.5))
    assert {"unchanged"} == set(words(timed_rounds(40, *ROUTES, common=0.1), after).values())


def test_what_all_hits_do_alike_does_not_hide_a_slower_miss():
    stored = [(f"/{place}", "hit") for place in range(9)]
    after = timed_rounds(2, MISS, *stored, seed=3, slower=dict.fromkeys(stored, 1.65) | {MISS: 1.6})
    told = words(timed_rounds(40, MISS, *stored), after)
    assert {MISS: "slower"} | dict.fromkeys(stored, "unchanged") == told


def test_one_that_does_what_the_others_do_not_is_found_in_spite_of_them():
    after = timed_rounds(2, *ROUTES, seed=3, slower={**dict.fromkeys(ROUTES, 1.5), ROUTES[0]: 2.5})
    found = words(timed_rounds(40, *ROUTES, common=0.1), after)
    assert "slower" == found.pop(ROUTES[0])
    assert {"unchanged"} == set(found.values())


def test_what_the_controls_did_is_taken_off_the_others():
    """Two routes of which all slowed down: without the control nobody could tell the network from the release."""
    keys = ROUTES[:2]
    before, after = timed_rounds(40, *keys), timed_rounds(3, *keys, seed=3, slower=dict.fromkeys(keys, 1.6))
    assert {"slower"} == set(words(before, after).values())
    found = compare(before, after, controls=["/1"])
    assert ["unchanged", "unchanged"] == [str(one.word) for one in found]
    assert [False, True] == [one.control for one in found]


def busy_hours(first, count, keys, seed, slower=1.0, season=1.5):
    """Hourly rounds from an hour of the first day on; from 9 to 17 o'clock all of them are slower."""
    rng = np.random.default_rng(seed)
    made = []
    for hour in range(first, first + count):
        level = 0.02 * slower * (season if 9 <= hour % 24 < 17 else 1)
        times = {key: level * np.exp(rng.normal(0, 0.05)) for key in keys}
        made.append(RoundTimes(NOW + timedelta(hours=hour), {key: Timed(one, 3 * one) for key, one in times.items()}))
    return made


def around_nine(seed, *, routes=1, since=3, **more):
    """The words on routes after a release at nine in the morning."""
    keys = ROUTES[:routes]
    before = busy_hours(81 - 60, 60, keys, seed, season=more.get("season", 1.5))
    after = busy_hours(81, since, keys, 100 + seed, **more)
    return words(before, after).values()


@pytest.mark.parametrize("routes", [1, 4])
@pytest.mark.parametrize("since", [1, 3, 12])
def test_the_time_of_day_is_called_no_slow_release(routes, since):
    called = {word for seed in range(20) for word in around_nine(seed, routes=routes, since=since)}
    assert {"not enough data"} == called


@pytest.mark.parametrize(
    ("slower", "season", "least"),
    [(1.3, 1.0, 20), (1.5, 1.0, 20), (1.5, 1.5, 20), (1.3, 1.5, 18)],
)
def test_a_slow_release_is_found_beyond_the_time_of_day(slower, season, least):
    called = [word for seed in range(20) for word in around_nine(seed, slower=slower, season=season)]
    assert sum(word in {"slower", "probably slower"} for word in called) >= least


def test_the_time_of_day_is_named_where_it_hides_a_release():
    keys = ROUTES[:1]
    (found,) = compare(busy_hours(21, 60, keys, 1), busy_hours(81, 3, keys, 2))
    (verdict,) = judge(site(), [replace(found, path="/a")], 0.2)
    assert Outcome.UNKNOWN == verdict.outcome
    assert "earlier windows were as far off: it may be the time of day" in verdict.findings[0].saw


@pytest.mark.parametrize(
    ("before", "after", "need"), [(0, 3, 20), (12, 3, 8), (19, 1, 1), (19, 0, 2), (20, 0, 1), (40, 0, 1)]
)
def test_too_few_rounds_say_how_many_more_it_takes(before, after, need):
    found = compare(timed_rounds(before, MISS), timed_rounds(after, MISS, seed=2))
    assert [("not enough data", need)] == [(str(one.word), one.need) for one in found]
    (verdict,) = judge(site(), found, 0.2)
    assert Outcome.UNKNOWN == verdict.outcome
    assert f"needs {need} more round" in verdict.findings[0].wanted


def test_a_route_that_was_timed_now_and_then_keeps_nobody_else_from_being_compared():
    before = timed_rounds(40, HIT, MISS)
    rare = [RoundTimes(one.at, {MISS: one.times[MISS]} if place % 2 else one.times) for place, one in enumerate(before)]
    assert {HIT: "not enough data", MISS: "unchanged"} == words(rare, timed_rounds(3, HIT, MISS, seed=2))


def test_fewer_visits_from_the_store_are_told():
    found = compare(BEFORE, timed_rounds(5, HIT, MISS, seed=2, hits=70))
    (verdict,) = judge(site(), found, 0.2)
    told = {one.claim.partition("/")[2]: (str(one.outcome), one.saw) for one in verdict.findings}
    assert ("warn", "500 of 500 before, 350 of 500 now") == told["hit-ratio"]
    assert {"hit-speed", "miss-speed", "hit-ratio"} == told.keys()


def test_the_verdict_names_ratio_interval_and_rounds():
    (verdict,) = judge(site(), compare(BEFORE, timed_rounds(5, HIT, MISS, seed=2, slower={MISS: 1.6})), 0.2)
    said = {one.claim.partition("/")[2]: (str(one.outcome), one.saw, one.wanted) for one in verdict.findings}
    outcome, saw, wanted = said["miss-speed"]
    assert ("fail", "within 20% of 20ms") == (outcome, wanted)
    assert saw.startswith("slower: x1.6")
    assert saw.endswith("5 rounds since and 40 before")


def test_what_else_came_out_worse_is_told_for_the_whole_site():
    verdict = judge_claims(site(), Outcome.FAIL, "Yes: 1 of 9 claims came out worse with b2")
    assert ("shop", Outcome.FAIL) == (verdict.subject, verdict.outcome)
