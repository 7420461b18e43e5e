"""What stands of each claim: by the last look at it, whichever round that was."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.report.rules.verdict import Finding, Outcome, Severity, Verdict
from roundsman.status.rules.promises import judge, rollback_of
from roundsman.status.rules.standing import (
    LOOK_BACK_ROUNDS,
    Promises,
    Recorded,
    began,
    counted,
    failing,
    faults,
    last_looks,
)

NOW = datetime(2026, 3, 8, 12, 30, tzinfo=UTC)
P, W, U, F = Outcome.PASS, Outcome.WARN, Outcome.UNKNOWN, Outcome.FAIL
LETTERS = {"+": P, "w": W, "?": U, "-": F}
ROUNDS = {"whole": {}, "only": {"whole": False}, "some": {"whole": False, "partial": True}}


def said(check, subject, *outcomes, claim="holds", severity=None, rollback="make back"):
    findings = tuple(
        Finding(f"{check}/{name}", "It holds.", outcome, "x", "y", (), severity if outcome is F else None)
        for name, outcome in zip((claim, "other"), outcomes, strict=False)
    )
    return Verdict(check, subject, "articles", "web", "It is so.", rollback, findings)


def blind(check):
    return Verdict(check, "shop", "", "web", "", "", (Finding(f"{check}/looked", "", U, "it broke down", "a look"),))


def rounds(*told):
    """Rounds an hour apart, the first one the newest: a kind, then `check/subject` with a letter for its outcome."""
    made = []
    for age, (kind, *words) in enumerate(told):
        verdicts = []
        for word in words:
            name, letter = word[:-1], word[-1]
            check, _, subject = name.partition("/")
            verdicts.append(blind(check) if subject == "BLIND" else said(check, f"/{subject}", LETTERS[letter]))
        made.append(Recorded(NOW - timedelta(hours=age), tuple(verdicts), **ROUNDS[kind]))
    return made


LOOKS = [
    ("the last round", [("whole", "c/a+"), ("whole", "c/a-")], {"c/a": P}),
    ("a failure of the last round", [("whole", "c/a-", "c/b+"), ("whole", "c/a+")], {"c/a": F, "c/b": P}),
    ("a round of one check leaves the others", [("only", "c/a+"), ("whole", "c/a-", "d/a-")], {"c/a": P, "d/a": F}),
    ("a round of one check finds a failure", [("only", "c/a-"), ("whole", "c/a+", "d/a+")], {"c/a": F, "d/a": P}),
    ("a page that was proven by hand", [("some", "c/a+"), ("whole", "c/a-", "c/b-")], {"c/a": P, "c/b": F}),
    ("a page that failed by hand", [("some", "c/x-"), ("whole", "c/a+")], {"c/x": F, "c/a": P}),
    ("a subject that is gone", [("whole", "c/a+"), ("whole", "c/a+", "c/gone-")], {"c/a": P}),
    ("a check that is gone", [("whole", "c/a+"), ("whole", "c/a+", "d/a-")], {"c/a": P}),
    ("only rounds of one check each", [("only", "c/a+"), ("only", "d/a-"), ("only", "d/a+")], {"c/a": P, "d/a": F}),
    ("a failure nobody could look at since", [("whole", "c/a?"), ("whole", "c/a?"), ("whole", "c/a-")], {"c/a": F}),
    ("it was well when somebody could look", [("whole", "c/a?"), ("whole", "c/a+"), ("whole", "c/a-")], {"c/a": U}),
    ("a check that broke down", [("whole", "c/BLIND?", "d/a+"), ("whole", "c/a-", "c/b+", "d/a-")], {"c/shop": U, "c/a": F, "d/a": P}),
    ("a check that broke down twice", [("whole", "c/BLIND?"), ("whole", "c/BLIND?"), ("whole", "c/a-")], {"c/shop": U, "c/a": F}),
    ("no round", [], {}),
]  # fmt: skip


@pytest.mark.parametrize(("told", "stands"), [row[1:] for row in LOOKS], ids=[row[0] for row in LOOKS])
def test_what_stands_is_what_the_last_look_said(told, stands):
    found = {}
    for look in last_looks(rounds(*told)):
        key = f"{look.verdict.check}/{look.verdict.subject.removeprefix('/')}"
        found[key] = max((look.verdict.outcome, found.get(key, P)), key=lambda one: one.weight)
    assert stands == found


def test_of_two_claims_the_one_that_failed_stands_while_the_other_can_not_be_judged():
    newest = replace(rounds(("whole",))[0], verdicts=(said("c", "/a", U, U),))
    before = Recorded(NOW - timedelta(hours=1), (said("c", "/a", F, P),))
    assert {("c", U, ""): 2, ("c", F, ""): 1} == counted(last_looks([newest, before]))


def test_no_more_rounds_are_read_than_are_needed():
    read = []

    def lazily(told):
        for one in told:
            read.append(one)
            yield one

    last_looks(lazily(rounds(("whole", "c/a+"), ("whole", "c/a-"))))
    assert 1 == len(read)
    read.clear()
    last_looks(lazily(rounds(*[("whole", "c/a?")] * 99)))
    assert LOOK_BACK_ROUNDS + 1 == len(read)


SINCE = [
    ("from the first bad round on", [("whole", "c/a-"), ("whole", "c/a-"), ("whole",), ("whole", "c/a-")], 1),
    ("all that are known", [("whole", "c/a-"), ("whole", "c/a-")], 1),
    ("not before it was well", [("whole", "c/a-"), ("only", "c/a+"), ("whole", "c/a-")], 0),
    ("not to be judged in between", [("whole", "c/a-"), ("whole", "c/a?"), ("whole", "c/a-")], 2),
    ("another check in between", [("whole", "c/a-"), ("only", "d/a+"), ("whole", "c/a-")], 2),
    ("blind in between", [("whole", "c/a-"), ("whole", "c/BLIND?"), ("whole", "c/a-")], 2),
]  # fmt: skip


@pytest.mark.parametrize(("told", "hours"), [row[1:] for row in SINCE], ids=[row[0] for row in SINCE])
def test_since_when_a_claim_fails_is_said_by_the_rounds_in_a_row(told, hours):
    seen = rounds(*told)
    assert {("c", "/a", "c/holds"): NOW - timedelta(hours=hours)} == began(failing(last_looks(seen)), seen)


def known(*verdicts, age=20, stale=100, **more):
    at = NOW - timedelta(minutes=age)
    looks = last_looks([Recorded(at, verdicts, flow_run="run-1")])
    looked = {verdict.check: at for verdict in verdicts}
    return Promises(
        tuple(faults(looks, {})), counted(looks), looked, at, NOW + timedelta(minutes=stale), **more
    )  # fmt: skip


LEAK = said("logged-in-traffic", "/inbox", F, claim="leak", severity=Severity.CRITICAL)
ANSWERS = [
    ("kept", known(said("c", "/a", P, P), said("c", "/b", P)), P, "Yes: all 3 claims held when last looked at, 20 minutes ago."),
    ("one claim", known(said("c", "/a", P)), P, "Yes: 1 claim held when last looked at, 20 minutes ago."),
    ("broken", known(said("c", "/a", F), said("d", "/a", F, F), LEAK), F, "No: CRITICAL logged-in-traffic/leak on /inbox: saw x, wanted y; 3 more claims failed."),
    ("everywhere", known(*(said("c", f"/{one}", F) for one in "abcde")), F, "No: c/holds on /a, /b, /c and 2 more: saw x, wanted y."),
    ("broken outranks stale", known(LEAK, stale=-1), F, "No: CRITICAL logged-in-traffic/leak on /inbox: saw x, wanted y. The last round began 20 minutes ago."),
    ("stale", known(said("c", "/a", P), stale=-1), U, "Unknown: the last round began 20 minutes ago."),
    ("nobody looked", Promises(), U, "Unknown: no round has looked yet."),
    ("no round made every check", replace(known(said("c", "/a", P)), whole_at=None), U, "Unknown: no round has made every check yet, only c."),
    ("not to be judged", known(said("c", "/a", U), said("c", "/b", P)), U, "Unknown: c/holds on /a: saw x, wanted y."),
    ("a warning", known(said("c", "/a", W, W), said("c", "/b", P)), W, "Yes, with a warning: c/holds on /a: saw x, wanted y; 1 more claim warned."),
    ("nothing to check", replace(known(), whole_at=NOW, looked={}), U, "Unknown: the last round found nothing to check."),
]  # fmt: skip


@pytest.mark.parametrize(("promises", "outcome", "says"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_whether_promises_are_kept_is_said_with_the_worst_fault(promises, outcome, says):
    said = judge(promises, NOW)
    assert (outcome, says) == (said.outcome, said.says)


def test_one_check_that_nobody_made_for_long_is_named():
    promises = known(said("c", "/a", P), said("d", "/a", P), stale=-1)
    said_ = judge(replace(promises, looked={"c": NOW, "d": NOW - timedelta(hours=5)}), NOW)
    assert "Unknown: d was last looked at 5 hours ago." == said_.says


def test_the_other_faults_follow_as_the_report_groups_them():
    said_ = judge(known(LEAK, *(said("c", f"/{one}", F) for one in "abcd"), said("c", "/e", W)), NOW)
    assert [
        "FAIL c/holds on /a, /b, /c and 1 more: saw x, wanted y, since 2026-03-08 12:10 UTC, seen 20 minutes ago, owner web",
        "WARN c/holds on /e: saw x, wanted y, since 2026-03-08 12:10 UTC, seen 20 minutes ago, owner web",
    ] == list(said_.others)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("make gone", ("cannot be run: no target gone (of `make gone`)", "")),
        ("make back", ("make back", "never rehearsed")),
        ("", ("", "")),
    ],
)
def test_a_rollback_that_is_not_there_is_not_quoted_as_if_it_worked(command, shown):
    faults_ = {"make gone": "no target gone (of `make gone`)"}
    assert shown == rollback_of(command, "articles", faults_, {}, NOW)


def test_a_long_answer_of_a_server_is_cut():
    long = replace(LEAK, findings=(Finding("c/x", "", F, "x" * 90_000, "y" * 90_000),))
    said_ = judge(known(long, long), NOW)
    assert len(said_.says) < 500
