"""The order in which arms are asked."""

import random
from collections import Counter

import pytest

from roundsman.timing.rules.interleaving import WARM_UP, Arm, compared, requests, samples_needed, spread_of, turns
from tests.make import site

BOTH = {"examples": {"cached": ["/a"], "not_cached": ["/a/p"]}}


def order(samples=20, seed=1, **rule):
    return turns(site(BOTH | rule).rules[0], samples, random.Random(seed).shuffle)


def test_every_round_of_a_route_has_as_many_of_each_arm_and_kind():
    counted = Counter((one.round, one.path, one.arm, one.fresh) for one in order() if one.round != WARM_UP)
    kinds = [("/a", False), ("/a", True), ("/a/p", False)]
    each = {Arm.BASELINE: 5, Arm.AGAIN: 5, Arm.CANDIDATE: 10}
    assert {(at, path, arm, fresh): each[arm] for at in range(2) for arm in Arm for path, fresh in kinds} == counted


@pytest.mark.parametrize(("samples", "rounds"), [(1, 1), (10, 1), (11, 2), (300, 30)])
def test_there_are_at_least_as_many_samples_as_wanted(samples, rounds):
    assert rounds == 1 + max(one.round for one in order(samples))


def test_connections_are_opened_and_copies_made_before_anything_is_measured():
    made = order()
    assert [(path, arm) for path in ("/a", "/a/p") for arm in Arm] == [(one.path, one.arm) for one in made[:6]]
    assert {WARM_UP} == {one.round for one in made[:6]}
    assert WARM_UP not in {one.round for one in made[6:]}


def test_a_round_is_over_before_the_next_begins_and_is_shuffled():
    made = order()[6:]
    blocks = [(one.round, one.path) for one in made]
    assert sorted(blocks) == blocks
    arms = [[one.arm for one in made if (one.round, one.path) == block] for block in dict.fromkeys(blocks)]
    assert all(sorted(block) != block for block in arms)
    assert order()[6:] != order(seed=2)[6:]


def test_either_release_is_as_often_first():
    first = Counter(next(one.arm for one in order(5, seed) if one.round == 0) for seed in range(600))
    assert 250 < first[Arm.CANDIDATE] < 350
    assert 100 < first[Arm.BASELINE] < 200


@pytest.mark.parametrize(("by", "routes"), [("everyone", ("/a", "/a/p")), ("nobody", ("/a",)), ("member", ())])
def test_a_members_pages_are_left_out(by, routes):
    examples = BOTH if by == "everyone" else {"examples": {"not_cached": ["/a"]}}
    rule = site(examples | {"cache": {"by": by}}).rules[0]
    assert routes == compared(rule)
    assert {*routes} == {one.path for one in turns(rule, 5, random.Random(1).shuffle)}
    assert by == "everyone" or not any(one.fresh for one in turns(rule, 5, random.Random(1).shuffle))


@pytest.mark.parametrize(
    ("spread", "margin", "least", "most"),
    [(0.05, 0.05, 300, 300), (0.3, 0.05, 1000, 1500), (0.5, 0.2, 300, 400), (0.5, 0.05, 3000, 4000)],
)
def test_the_samples_follow_from_how_widely_times_spread_and_from_the_margin(spread, margin, least, most):
    assert least <= samples_needed(spread, margin) <= most


def test_a_spike_does_not_widen_the_spread():
    assert spread_of([0.01] * 20 + [9.0]) == 0
    assert spread_of([0.01 * 1.1**place for place in range(21)]) == pytest.approx(0.71, abs=0.05)


def test_the_requests_of_a_rule_are_counted_as_they_are_asked():
    rule = site(BOTH).rules[0]
    assert requests(rule, 20) == len(order(20))
