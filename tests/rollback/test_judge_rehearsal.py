"""What a rehearsal proved, by what became of its legs."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from roundsman.report.rules.report import Report
from roundsman.rollback.rules.judge_rehearsal import (
    RehearsalOutcome,
    ReleaseRehearsal,
    SettingDifference,
    SettingsComparison,
    judge,
    proves,
    rehearsal_json,
    took,
)
from roundsman.rollback.rules.plan import COURSE, Ending, Leg, LegResult, LegState, RehearsalPlan, RehearsalState
from tests.make import site

SHOP = site(release={"deploy": ["make", "out"], "rollback": ["make", "back"]})
NOW = datetime(2026, 1, 20, tzinfo=UTC)


def legs(last=Leg.VERIFY_DEPLOY_AGAIN, state=LegState.PASSED):
    """The course up to a leg, which alone did not pass; each leg took 2.5 seconds."""
    until = COURSE[: COURSE.index(last) + 1]
    return tuple(LegResult(leg, state if leg is last else LegState.PASSED, 2.5) for leg in until)


def stands(steps, running="1.8.2", **more):
    return RehearsalState(steps, "1.8.1", "1.8.2", running, healthy=True, **more)


WELL = RehearsalOutcome(stands(legs()))
CUT_OFF = replace(WELL, state=stands(legs(Leg.ROLL_BACK, LegState.BEGUN)), is_resumed=True)
DIFFERENT = SettingsComparison((SettingDifference("DEBUG", "ab", ""), SettingDifference("MODE", "ab", "cd")), 9)
SETTINGS = "DEBUG only in staging; MODE (ab in staging, cd in production)"
#: A rehearsal, and what is said of its proof, of where it stands, and of settings.
CASES = {
    "all legs": (
        WELL,
        [("pass", "rehearsed, 5s, 1.8.2 to 1.8.1"), ("pass", "it runs 1.8.2, the new release, and is healthy")],
    ),
    "the rollback fails": (
        replace(WELL, state=stands(legs(Leg.ROLL_BACK, LegState.FAILED)), ending=Ending.BY_HAND),
        [
            ("fail", "it failed in roll-back"),
            ("pass", "it runs 1.8.2, the new release, and is healthy; it has to be ended by hand"),
        ],
    ),
    "the deploy fails": (
        replace(WELL, state=stands(legs(Leg.DEPLOY, LegState.FAILED), "1.8.1")),
        [
            ("unknown", "it failed in deploy"),
            ("pass", "it runs 1.8.1, as before the rehearsal, and is healthy"),
        ],
    ),
    "it stopped early": (
        replace(WELL, state=stands(legs(Leg.PRECHECK), "1.8.1")),
        [
            ("unknown", "it did not run to its end"),
            ("pass", "it runs 1.8.1, no command was begun, and is healthy"),
        ],
    ),
    "nobody can say what runs": (
        replace(WELL, state=stands(legs(Leg.DEPLOY, LegState.BEGUN), "")),
        [
            ("unknown", "it did not run to its end"),
            ("fail", "which version runs can't be read and is healthy"),
        ],
    ),
    "an earlier run was cut off": (
        CUT_OFF,
        [
            ("unknown", "an earlier rehearsal was cut off and is ended now; run it again to prove the rollback"),
            ("pass", "it runs 1.8.2, the new release, and is healthy"),
        ],
    ),
    "an earlier run was cut off in a leg": (
        replace(CUT_OFF, interrupted_in=Leg.ROLL_BACK),
        [
            ("unknown", "an earlier rehearsal was cut off in roll-back and is ended now; run it again to prove the rollback"),
            ("pass", "it runs 1.8.2, the new release, and is healthy"),
        ],
    ),
    "settings are the same": (replace(WELL, settings=SettingsComparison(compared=9)), [("pass", "the same")]),
    "settings differ": (replace(WELL, settings=DIFFERENT), [("warn", f"2 of 9 differ: {SETTINGS}")]),
    "settings can't be compared": (
        replace(WELL, settings=SettingsComparison(trouble="make is slow")),
        [("unknown", "make is slow")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rehearsed", "wanted"), CASES.values(), ids=CASES)
def test_a_rehearsal_proves_what_its_legs_showed(rehearsed, wanted):
    verdict = judge(SHOP, rehearsed)
    found = [(str(one.outcome), one.saw) for one in verdict.findings[len(rehearsed.state.steps) :]]
    assert wanted == found[-len(wanted) :]
    assert ("rehearse-release", "release", "web", "make back") == (
        verdict.check, verdict.subject, verdict.owner, verdict.rollback
    )  # fmt: skip


@pytest.mark.parametrize(
    ("step", "outcome", "saw"),
    [
        (LegResult(Leg.DEPLOY, LegState.PASSED, 2.54), "pass", "done (2.5s)"),
        (LegResult(Leg.DEPLOY, LegState.FAILED, 0.0123, 1, "it ended with 1"), "fail", "it ended with 1 (12ms)"),
        (LegResult(Leg.DEPLOY, LegState.BEGUN), "unknown", "it was begun and cut off"),
    ],
)
def test_each_leg_has_a_finding_of_its_own(step, outcome, saw):
    [found, *_] = judge(SHOP, replace(WELL, state=stands((step,)))).findings
    claim = "rehearse-release/deploy", "The deploy command ends well."
    assert (*claim, outcome, saw) == (found.claim, found.says, found.outcome, found.saw)


@pytest.mark.parametrize(
    ("last", "state", "worth"),
    [
        (Leg.VERIFY_DEPLOY_AGAIN, LegState.PASSED, True),
        (Leg.VERIFY_DEPLOY, LegState.FAILED, False),
        (Leg.FINGERPRINT_DEPLOYED, LegState.FAILED, False),
        (Leg.ROLL_BACK, LegState.FAILED, True),
        (Leg.VERIFY_ROLL_BACK, LegState.FAILED, True),
        (Leg.FINGERPRINT_BACK, LegState.FAILED, True),
        (Leg.DEPLOY_AGAIN, LegState.FAILED, True),
        (Leg.DEPLOY_AGAIN, LegState.BEGUN, False),
    ],
)
def test_a_rehearsal_is_kept_once_it_says_something_of_the_rollback(last, state, worth):
    assert worth is proves(replace(WELL, state=stands(legs(last, state))))


@pytest.mark.parametrize(("seconds", "words"), [(0.0123, "12ms"), (0.999, "999ms"), (1.0, "1s"), (61.26, "61.3s")])
def test_a_leg_s_time_is_written_for_a_reader(seconds, words):
    assert words == took(LegResult(Leg.DEPLOY, LegState.PASSED, seconds))


PLAN = RehearsalPlan(SHOP, "staging", variables={"ROUNDSMAN_ENVIRONMENT": "staging"})
PLANNED = ReleaseRehearsal("shop", NOW, PLAN)


@pytest.mark.parametrize(
    ("rehearsal", "code", "outcome", "refusals"),
    [
        (PLANNED, 0, "pass", []),
        (replace(PLANNED, plan=replace(PLAN, refusals=("no rollback",))), 3, "unknown", ["no rollback"]),
        (replace(PLANNED, refused=("another one is under way",)), 3, "unknown", ["another one is under way"]),
    ],
)
def test_a_rehearsal_that_was_not_run_is_shown_as_its_plan(rehearsal, code, outcome, refusals):
    shown = rehearsal_json(rehearsal)
    assert (code, outcome, False) == (rehearsal.exit_code, shown["outcome"], shown["applied"])
    assert {
        "environment": "staging",
        "base_url": "http://example.test",
        "deploy": ["make", "out"],
        "rollback": ["make", "back"],
        "variables": {"ROUNDSMAN_ENVIRONMENT": "staging"},
        "refusals": refusals,
    } == shown["plan"]
    assert "rehearsal" not in shown


def test_a_rehearsal_that_was_run_is_shown_with_its_legs():
    report = Report("run", "shop", NOW, NOW, (judge(SHOP, WELL),))
    shown = rehearsal_json(replace(PLANNED, rehearsed=WELL, report=report))
    assert (True, "pass", 1) == (shown["applied"], shown["outcome"], len(shown["verdicts"]))
    assert {
        "ok": True,
        "from_version": "1.8.2",
        "to_version": "1.8.1",
        "running": "1.8.2",
        "healthy": True,
        "stands": "it runs 1.8.2, the new release, and is healthy",
        "ended_by": "nothing",
        "seconds_deploy": 5.0,
        "seconds_rollback": 2.5,
    } == {name: value for name, value in shown["rehearsal"].items() if name != "legs"}
    assert {"leg": "precheck", "state": "passed", "seconds": 2.5, "exit_code": None, "saw": "done (2.5s)"} == shown[
        "rehearsal"
    ]["legs"][0]
