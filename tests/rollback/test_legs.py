"""Where a rehearsal stands, and how it is ended from there."""

import pytest

from roundsman.rollback.rules.plan import (
    COURSE,
    Ending,
    Leg,
    LegResult,
    LegState,
    RehearsalState,
    cut_off,
    ending_of,
    is_safe,
    where,
)

A, B = "1.8.1", "1.8.2"


def stand(last, running=A, *, after="", healthy=True, amiss=(), more=(), given_up=False):
    """All legs up to one were passed, and that one was cut off."""
    begun = COURSE[: COURSE.index(last)]
    steps = (*(LegResult(leg, LegState.PASSED) for leg in begun), LegResult(last, LegState.BEGUN), *more)
    return RehearsalState(steps, A, after, running, healthy, amiss, given_up=given_up)


TRIED = {
    way: (LegResult(leg, LegState.FAILED),)
    for way, leg in (("back", Leg.END_BY_ROLL_BACK), ("deploy", Leg.END_BY_DEPLOY))
}
AMISS = ("/a: status 500 instead of 200",)
CUT = (LegResult(Leg.END_BY_ROLL_BACK, LegState.BEGUN),)

WAYS = [
    ("no command was begun, whatever runs", stand(Leg.FINGERPRINT_BEFORE, "", healthy=False), Ending.NOTHING),
    ("the old version runs", stand(Leg.DEPLOY), Ending.NOTHING),
    # One release back from here would be two.
    ("the rollback was cut off when it had done its work", stand(Leg.ROLL_BACK, A, after=B), Ending.NOTHING),
    ("the old version runs and is not well, after a deploy", stand(Leg.DEPLOY, healthy=False), Ending.ROLL_BACK),
    ("the new version runs, not yet seen to be good", stand(Leg.DEPLOY, B), Ending.ROLL_BACK),
    (
        "the new version runs and is good, the rollback untried",
        stand(Leg.FINGERPRINT_DEPLOYED, B, after=B),
        Ending.ROLL_BACK,
    ),
    ("nobody knows what runs, after a deploy", stand(Leg.VERIFY_DEPLOY, "", healthy=False), Ending.ROLL_BACK),
    ("the new version runs and is good, the rollback did nothing", stand(Leg.ROLL_BACK, B, after=B), Ending.NOTHING),
    (
        "nobody knows what runs, after a rollback",
        stand(Leg.VERIFY_ROLL_BACK, "", after=B, healthy=False),
        Ending.DEPLOY,
    ),
    ("a third version runs after a rollback", stand(Leg.ROLL_BACK, "1.8.0", after=B), Ending.DEPLOY),
    ("the old version is back and a page is amiss", stand(Leg.FINGERPRINT_BACK, after=B, amiss=AMISS), Ending.DEPLOY),
    (
        "the new version lost a page, the rollback did that",
        stand(Leg.ROLL_BACK, B, after=B, amiss=AMISS),
        Ending.DEPLOY,
    ),
    ("the second deploy lost a page", stand(Leg.VERIFY_DEPLOY_AGAIN, B, after=B, amiss=AMISS), Ending.ROLL_BACK),
    # One release back from here would be two, and the deploy may have done nothing yet.
    ("the old version runs and a page is amiss, after a deploy", stand(Leg.DEPLOY, amiss=AMISS), Ending.BY_HAND),
    ("the new version runs, as it should at the end", stand(Leg.VERIFY_DEPLOY_AGAIN, B, after=B), Ending.NOTHING),
    ("the second deploy broke the site", stand(Leg.DEPLOY_AGAIN, "", after=B, healthy=False), Ending.ROLL_BACK),
    ("the way out did not help", stand(Leg.DEPLOY, "", healthy=False, more=TRIED["back"]), Ending.BY_HAND),
    ("neither did the other", stand(Leg.ROLL_BACK, "", after=B, healthy=False, more=TRIED["deploy"]), Ending.BY_HAND),
    ("the way out was cut off, and the new version runs", stand(Leg.DEPLOY, B, more=CUT), Ending.ROLL_BACK),
    ("the way out was cut off, and nobody knows what runs", stand(Leg.DEPLOY, "", more=CUT), Ending.BY_HAND),
    ("somebody has mended it", stand(Leg.DEPLOY, "2.0", more=TRIED["back"], given_up=True), Ending.NOTHING),
    ("nobody has mended it", stand(Leg.DEPLOY, "", healthy=False, more=TRIED["back"], given_up=True), Ending.BY_HAND),
]


@pytest.mark.parametrize(("one", "way"), [row[1:] for row in WAYS], ids=[row[0] for row in WAYS])
def test_a_rehearsal_is_ended_from_where_it_stands(one, way):
    assert way == ending_of(one)


@pytest.mark.parametrize("one", [row[1] for row in WAYS if row[2] is Ending.NOTHING and row[1].running])
def test_where_nothing_is_done_it_may_be_left(one):
    assert is_safe(one)


@pytest.mark.parametrize(
    ("one", "safe", "says"),
    [
        (stand(Leg.PRECHECK), True, "it runs 1.8.1, no command was begun, and is healthy"),
        (stand(Leg.ROLL_BACK, A, after=B), True, "it runs 1.8.1, as before the rehearsal, and is healthy"),
        (stand(Leg.ROLL_BACK, B, after=B), True, "it runs 1.8.2, the new release, and is healthy"),
        (stand(Leg.DEPLOY, B), False, "it runs 1.8.2, which is not what ran before (1.8.1), and is healthy"),
        (stand(Leg.DEPLOY, A, healthy=False), False, "it runs 1.8.1, as before the rehearsal, and is not healthy"),
        (
            stand(Leg.DEPLOY, A, amiss=AMISS),
            False,
            "it runs 1.8.1, as before the rehearsal, and is healthy, but has /a: status 500 instead of 200",
        ),
        (stand(Leg.DEPLOY, ""), False, "which version runs can't be read and is healthy"),
    ],
)
def test_where_it_stands_is_said(one, safe, says):
    assert (safe, says) == (is_safe(one), where(one))


def test_the_leg_that_was_cut_off_is_known():
    assert Leg.ROLL_BACK is cut_off(stand(Leg.ROLL_BACK).steps)
    assert cut_off([LegResult(Leg.PRECHECK, LegState.PASSED)]) is cut_off([]) is None
