"""Could we go back now?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.report.rules.rehearsed import OTHER_COMMAND, Rehearsal, held_against
from roundsman.rollback.rules.judge import COMMAND, FoundCommand, faults, judge, judge_release, warned
from tests.make import site

NOW = datetime(2026, 1, 20, tzinfo=UTC)


def rehearsal(*, days, ok=True, stale=None):
    return Rehearsal(ok, 47.3, "1.8.2", "1.8.1", NOW - timedelta(days=days), "b2", stale)


MAKE = FoundCommand("/usr/bin/make")
QUOTED = "47 s, 1.8.2 to 1.8.1"
CASES = [
    (MAKE, rehearsal(days=2), "pass", {"rehearsed": f"rehearsed 2 days ago, {QUOTED}"}),
    (MAKE, rehearsal(days=0.5), "pass", {"rehearsed": f"rehearsed 12 hours ago, {QUOTED}"}),
    (
        MAKE,
        rehearsal(days=15),
        "warn",
        {"rehearsed": f"rehearsed 15 days ago, {QUOTED}, stale: older than 14 days"},
    ),
    (
        MAKE,
        rehearsal(days=2, stale="1.9 runs now"),
        "warn",
        {"rehearsed": f"rehearsed 2 days ago, {QUOTED}, stale: 1.9 runs now"},
    ),
    (
        MAKE,
        rehearsal(days=2, ok=False),
        "fail",
        {"rehearsed": f"its rehearsal failed 2 days ago, {QUOTED}", "worked": "it failed"},
    ),
    # What another command did says nothing of this one.
    (MAKE, rehearsal(days=2, ok=False, stale=OTHER_COMMAND), "warn", {}),
    (MAKE, None, "warn", {"rehearsed": "never rehearsed"}),
    (FoundCommand(), rehearsal(days=2), "fail", {"command": "no program make (of `make back`)"}),
    (
        FoundCommand("/usr/bin/make", ("back",)),
        rehearsal(days=2),
        "fail",
        {"command": "no target back (of `make back`)"},
    ),
    (FoundCommand("/usr/bin/make", unread="make is slow"), rehearsal(days=2), "unknown", {"command": "make is slow"}),
]


@pytest.mark.parametrize(("found", "last", "outcome", "saw"), CASES)
def test_a_rollback_is_ready_when_it_is_there_and_was_rehearsed(found, last, outcome, saw):
    shop = site(release={"rollback": ["make", "back"]})
    for verdict in (
        judge(shop, shop.rules[0], found, last, NOW),
        judge_release(shop, ("make", "back"), found, last, NOW),
    ):
        said = {finding.claim.removeprefix("rollback-ready/"): finding.saw for finding in verdict.findings}
        assert outcome == verdict.outcome
        assert saw.items() <= said.items()
        assert "make back" == verdict.rollback


NOWS = [
    ("1.8.2", "b2", None),
    ("1.8.1", "b2", None),
    ("", "", None),
    ("1.8.2", "", None),
    ("1.9.0", "b2", "1.9.0 runs now"),
    ("1.8.2", "c3", "the schema is at c3 now, and was at b2"),
    ("1.9.0", "c3", "1.9.0 runs now; the schema is at c3 now, and was at b2"),
]


@pytest.mark.parametrize(("version", "schema_head", "stale"), NOWS)
def test_a_rehearsal_is_stale_when_another_version_or_another_schema_runs(version, schema_head, stale):
    assert stale == held_against(rehearsal(days=1, stale="of yesterday"), version, schema_head).stale


MIGRATED = [
    ("1.8.2", "c3", None),
    ("1.8.1", "b2", None),
    # Expanded already, or contracted not yet: both were seen in the rehearsal.
    ("1.8.1", "c3", None),
    ("1.8.2", "d4", "the schema is at d4 now, and was at c3"),
    ("1.8.1", "d4", "the schema is at d4 now, and was at b2"),
]


@pytest.mark.parametrize(("version", "schema_head", "stale"), MIGRATED)
def test_a_release_with_a_migration_was_rehearsed_on_both_schemas(version, schema_head, stale):
    one = replace(rehearsal(days=1), newer_schema_head="c3")
    assert stale == held_against(one, version, schema_head).stale


def test_a_rehearsal_of_another_command_stays_stale():
    assert OTHER_COMMAND == held_against(rehearsal(days=1, stale=OTHER_COMMAND), "1.8.2", "b2").stale


SHOP = site(release={"version": {"path": "/version"}, "rollback": ["make", "rollback"]})
[RULE] = SHOP.rules
NO_TARGET = FoundCommand("/usr/bin/make", missing=("back",))
UNREAD = FoundCommand("/usr/bin/make", unread="make did not list its targets")


def looked(found):
    return judge(SHOP, RULE, found, None, NOW)


def found_elsewhere(rollback="make back"):
    return replace(looked(MAKE), check="cache-headers", findings=(COMMAND.against("a", "b", holds=False)._replace(claim="x"),), rollback=rollback)  # fmt: skip


@pytest.mark.parametrize(
    ("found", "known", "fault"),
    [
        (NO_TARGET, {}, "no target back (of `make back`)"),
        (FoundCommand(), {}, "no program make (of `make back`)"),
        (UNREAD, {}, ""),
        (MAKE, {}, ""),
        (MAKE, {"make back": "no target"}, ""),
        (UNREAD, {"make back": "no target"}, ""),
        (None, {"make back": "no target back"}, "no target back"),
        (None, {"make other": "no target other"}, ""),
        (None, {}, ""),
    ],
)
def test_what_is_wrong_with_a_rollback_goes_with_each_verdict_that_quotes_it(found, known, fault):
    """What this round found counts; what an earlier one found only when this one did not look."""
    own = [looked(found)] if found else []
    assert [fault] * (1 + len(own)) == [one.rollback_fault for one in warned([found_elsewhere(), *own], known)]
    assert "" == warned([found_elsewhere("make something else"), *own], known)[0].rollback_fault


def test_a_rule_and_the_release_each_have_their_own_rollback():
    release = judge_release(SHOP, ("make", "rollback"), FoundCommand("/usr/bin/make", missing=("rollback",)), None, NOW)
    assert {"make rollback": "no target rollback (of `make rollback`)"} == faults([release, looked(MAKE)])
