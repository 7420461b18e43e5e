"""A candidate beside its baseline: slower, unchanged, or not enough data to say so."""

from dataclasses import replace

import pytest

from roundsman.timing.rules.interleaving import Arm, Shift, Tail
from roundsman.timing.rules.judge_side_by_side import Speed, Word, compare, settle
from tests.timing.arms import answers, only

FAST = {"x_cache": "HIT"}


def after(one, times):
    """The same answer, with its time multiplied."""
    phases = one.exchange.phases
    return replace(one, exchange=replace(one.exchange, phases=phases._replace(first_byte=phases.first_byte * times)))


def words(*seen, margin=0.05):
    (found,) = compare({"/a": [one for some in seen for one in some]}, margin)
    return {one.state: str(one.word) for one in found.speeds}


@pytest.mark.parametrize(
    ("ratio", "rounds", "wanted"),
    [
        (1.00, 40, "unchanged"),
        (1.02, 40, "unchanged"),  # surely slower, and by too little to matter
        (1.30, 40, "slower"),
        (1.06, 20, "probably slower"),
        (0.70, 40, "faster"),
        (1.00, 3, "not enough data"),
        (1.03, 10, "not enough data"),
    ],
)
def test_a_word_for_each_ratio(ratio, rounds, wanted):
    assert {"miss": wanted} == words(answers(rounds, candidate=ratio))


def test_what_is_slow_matters_only_beyond_the_margin():
    seen = answers(candidate=1.3)
    assert ["slower", "not enough data", "unchanged"] == [
        words(seen, margin=margin)["miss"] for margin in (0.05, 0.325, 0.5)
    ]


@pytest.mark.parametrize(("of_ten_ms", "wanted"), [(1.0, "slower"), (0.04, "unchanged"), (0.1, "slower")])
def test_a_quarter_of_a_millisecond_is_no_change_whatever_its_share(of_ten_ms, wanted):
    seen = [after(one, of_ten_ms) for one in answers(candidate=1.5)]
    assert {"miss": wanted} == words(seen)


def test_misses_that_are_slower_are_found_among_hits_that_are_not():
    """Nine of ten answers come from the store."""
    hits = answers(90, of=lambda *_: FAST)
    misses = answers(10, candidate=1.3, fresh=True, seed=2)
    assert {"hit": "unchanged", "miss": "slower"} == words(hits, misses)


def test_a_cache_that_was_emptied_makes_nothing_slower():
    """The candidate has a quarter of the hits, and each of its hits and misses is as fast as ever."""

    def state(arm, number):
        stored = number % 4 != 0 if arm is not Arm.CANDIDATE else number % 4 == 0
        return FAST if stored else {}

    seen = answers(60, of=state)
    seen = [after(one, 20) if one.exchange.header("x-cache") == "MISS" else one for one in seen]
    (found,) = compare({"/a": seen})
    assert {"hit": "unchanged", "miss": "unchanged"} == {one.state: str(one.word) for one in found.speeds}
    assert ((450, 600), (75, 300)) == (found.hits.baseline, found.hits.candidate)
    assert found.hits.differs
    assert found.hits.change == -0.5


def test_visits_that_asked_for_no_copy_are_no_part_of_the_hit_ratio():
    (found,) = compare({"/a": answers(fresh=True)})
    assert ((0, 0), (0, 0)) == (found.hits.baseline, found.hits.candidate)
    assert not found.hits.differs


def test_a_tail_that_grew_is_probably_slower():
    """One in twelve of the candidate's answers takes ten times as long."""
    seen = answers(60)
    own = [one for one in seen if one.arm is Arm.CANDIDATE][::12]
    slow = [after(one, 10) if one in own else one for one in seen]
    (found,) = compare({"/a": slow}, margin=0.05)
    (speed,) = found.speeds
    assert 1.05 > speed.shift.ratio
    assert (Word.PROBABLY_SLOWER, True) == (speed.word, speed.tail.ratio > 5)


@pytest.mark.parametrize("how", [{"error": "reset"}, {"status": 503}])
def test_what_failed_is_counted_and_has_no_time(how):
    seen = answers(of=lambda arm, number: how if arm is Arm.CANDIDATE and number % 10 == 0 else {})
    (found,) = compare({"/a": seen})
    assert ((0, 400), (20, 200), True) == (found.errors.baseline, found.errors.candidate, found.errors.differs)
    assert [(400, 180)] == [(one.baseline, one.candidate) for one in found.speeds]


def test_what_connected_first_is_not_compared():
    seen = [replace(one, exchange=replace(one.exchange, reused=one.round > 0)) for one in answers(41)]
    (found,) = compare({"/a": seen})
    assert [(400, 200)] == [(one.baseline, one.candidate) for one in found.speeds]


def test_baselines_that_differ_say_that_nothing_can_be_told():
    """The second one answers later, though it is the same release: so what is measured is not the release."""
    seen = [after(one, 1.2) if one.arm is Arm.AGAIN else one for one in answers(candidate=1.5)]
    (found,) = compare({"/a": seen})
    assert [(Word.NOT_ENOUGH, True, 0)] == [(one.word, one.biased, one.need) for one in found.speeds]


@pytest.mark.parametrize(("fresh", "state"), [(True, "fresh query"), (False, "unlabelled")])
def test_without_a_word_of_the_cache_what_was_asked_for_is_the_state(fresh, state):
    assert {state: "unchanged"} == words(answers(fresh=fresh, of=lambda *_: {"x_cache": []}))


def test_five_samples_of_a_state_are_left_aside():
    assert {"miss"} == words(answers(), answers(1, of=lambda *_: FAST)).keys()


def test_a_candidate_that_never_answers_has_no_speed():
    (found,) = compare({"/a": answers(of=only(Arm.CANDIDATE, error="refused"))})
    assert ((), (200, 200), True) == (found.speeds, found.errors.candidate, found.errors.differs)


def measured(p, ratio=1.2, width=1.05):
    return Speed(
        "/",
        "miss",
        300,
        300,
        0.01,
        Shift(ratio, ratio / width, ratio * width, p),
        Tail(1.0, 0.05, 0.05, 1.0, 1.0),
        None,
    )


def test_one_find_among_many_that_found_nothing_needs_more_to_be_believed():
    """p = .01 alone is worth .02 beside its own test of the tail, and .4 among nineteen others."""
    (alone,), _ = settle([measured(0.01)], [], 0.05)
    first, *_ = settle([measured(0.01), *[measured(0.8, 1.0)] * 19], [], 0.05)[0]
    assert (Word.SLOWER, Word.NOT_ENOUGH) == (alone.word, first.word)
    assert (0.02, 0.4) == pytest.approx((alone.q, first.q))


def test_what_is_needed_is_enough():
    """So many samples later the same ratio is told."""
    few = compare({"/a": answers(3, candidate=1.02)})[0].speeds[0]
    assert Word.NOT_ENOUGH is few.word
    assert few.candidate < few.need < 2000
    assert Word.UNCHANGED is compare({"/a": answers(few.need // 5, candidate=1.02)})[0].speeds[0].word


def test_routes_keep_their_own_findings():
    found = compare({"/a": answers(), "/b": answers(candidate=1.4, seed=2), "/c": []})
    assert [("/a", ["unchanged"]), ("/b", ["slower"]), ("/c", [])] == [
        (one.path, [str(s.word) for s in one.speeds]) for one in found
    ]


def test_nothing_is_compared_with_nothing():
    assert [] == compare({})


def silent(quick, slow):
    """Answers of a cache that says nothing: plain visits take one time, and those with a query of their own another."""
    plain = answers(candidate=slow[0] / quick, of=lambda *_: {"x_cache": []})
    fresh = answers(candidate=1.0, fresh=True, of=lambda *_: {"x_cache": []})
    scaled = [
        replace(
            one,
            exchange=replace(
                one.exchange,
                phases=one.exchange.phases._replace(first_byte=one.exchange.phases.first_byte * slow[1] / quick),
            ),
        )
        for one in fresh
    ]
    return [*plain, *scaled]


def test_where_a_cache_says_nothing_only_what_it_can_not_have_answered_is_compared():
    """The candidate's cache is cold, so that its plain visits take as long as the origin."""
    [found] = compare({"/a": silent(1.0, (5.0, 5.0))})
    assert ["fresh query"] == [one.state for one in found.speeds]
    assert found.silent == pytest.approx(5.0, rel=0.2)


def test_without_a_cache_plain_visits_are_compared_as_well():
    [found] = compare({"/a": silent(1.0, (1.0, 1.0))})
    assert ["fresh query", "unlabelled"] == [one.state for one in found.speeds]
    assert 0 == found.silent
