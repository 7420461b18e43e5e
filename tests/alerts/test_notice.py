"""A message says in sixteen lines at most what broke, whose it is and how to go back, and quotes no secret."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.alerts.rules.alert import Alert, AlertState, MessageKind
from roundsman.alerts.rules.notice import (
    LINE_CHARACTERS,
    MAX_FAULT_LINES,
    MAX_LINES,
    AlertChange,
    ago,
    alert_notice,
    job_notice,
)
from roundsman.alerts.rules.runbook import Command, NothingToUndo, Runbook
from roundsman.report.rules.rehearsed import Rehearsal
from roundsman.report.rules.verdict import Finding, Outcome, Severity, Verdict
from roundsman.site.rules.release import Release

NOW = datetime(2026, 3, 2, 4, 7, tzinfo=UTC)
OPENED = NOW - timedelta(hours=3)
KEY = "shop|cache-headers|/articles/tomatoes|2026-03-02T01:07:00+00:00"
ALERT = Alert(
    "shop", "cache-headers", "/articles/tomatoes", "articles", "web-platform", AlertState.FIRING, NOW,
    (Outcome.FAIL,), OPENED, KEY, NOW, run_id="run-1",
)  # fmt: skip
STORED = Finding("cache-headers/stored", "It is stored.", Outcome.FAIL, "no copy", "a copy")
VARY = Finding("cache-headers/vary", "It varies little.", Outcome.WARN, "cookie", "nothing")
HELD = Finding("cache-headers/stored", "It is stored.", Outcome.PASS, "a copy", "a copy")
LINK = "http://127.0.0.1:4200/runs/flow-run/1"
RELEASE = Release("1.8.2", NOW - timedelta(minutes=200))
PROOF = Rehearsal(ok=True, seconds=47.3, from_version="2", to_version="1", finished_at=NOW - timedelta(days=2, hours=1))


def verdict(*findings, rollback="make cdn-rollback RULE=articles"):
    return Verdict(
        "cache-headers", "/articles/tomatoes", "articles", "web-platform", "A copy.", rollback, findings or (STORED,)
    )


def notice(kind=MessageKind.FIRING, alert=ALERT, on=None, release=RELEASE, rehearsal=PROOF, link=LINK):
    proofs = {"articles": rehearsal}
    return alert_notice([AlertChange(kind, alert, on)], now=NOW, release=release, rehearsals=proofs, link=link)


def test_trouble_is_told_with_all_that_is_needed_to_act():
    said = notice(on=verdict(STORED, VARY))
    assert "FIRING: site shop, cache-headers, /articles/tomatoes" == said.subject
    assert [
        "FIRING: site shop, cache-headers, /articles/tomatoes (rule articles)",
        "since: 2026-03-02 01:07 UTC, 3 hours ago",
        "expected: a copy (cache-headers/stored: It is stored.)",
        "observed: fail: no copy",
        "also: 1 warned (cache-headers/vary)",
        "last change: version 1.8.2, first seen 3 hours ago",
        "owner: web-platform",
        "first look: ask the route twice and read Cache-Status and Age; then what changed last at the edge",
        "rollback: make cdn-rollback RULE=articles (rehearsed 2 days ago, 47 s, 2 to 1)",
        f"run: {LINK}",
        f"key: {KEY}",
    ] == said.body.splitlines()


def test_a_reminder_says_how_often_it_was_seen_again():
    said = notice(MessageKind.REMINDER, replace(ALERT, folded=11), verdict())
    assert "STILL FIRING: site shop, cache-headers, /articles/tomatoes" == said.subject
    assert "since: 2026-03-02 01:07 UTC, 3 hours ago, 11 more rounds said so" == said.body.splitlines()[1]


def test_a_recovery_is_told_in_the_same_layout():
    said = notice(MessageKind.RESOLVED, on=verdict(HELD))
    lines = said.body.splitlines()
    assert "RESOLVED: site shop, cache-headers, /articles/tomatoes" == said.subject
    assert ["expected: A copy.", "observed: 1 claim holds: a copy"] == lines[2:4]
    assert "first look: nothing to do" in lines
    assert f"key: {KEY}" == lines[-1]


@pytest.mark.parametrize(
    ("subject", "why"),
    [("/articles/tomatoes", "the last full round did not look at it"), ("shop", "the check can look again")],
)
def test_what_is_no_longer_looked_at_says_so(subject, why):
    said = notice(MessageKind.RESOLVED, replace(ALERT, subject=subject))
    assert f"observed: no longer checked: {why}" in said.body.splitlines()
    assert "rollback" not in said.body


def test_a_check_that_broke_down_quotes_no_secret():
    broke = STORED._replace(claim="cache-headers/looked", saw="the check broke down: Error: http://ada:hush@a.test")
    assert "observed: fail: the check broke down: Error: http://...\n" in notice(on=verdict(broke)).body


def test_flapping_is_named():
    to_and_fro = (Outcome.FAIL, Outcome.PASS) * 3
    assert "; it flaps: 5 changes in 10 rounds" in notice(alert=replace(ALERT, recent=to_and_fro), on=verdict()).body


@pytest.mark.parametrize(
    ("rehearsal", "says"),
    [
        (None, "make cdn-rollback RULE=articles (never rehearsed)"),
        (replace(PROOF, ok=False), "make cdn-rollback RULE=articles (its rehearsal failed 2 days ago, 47 s, 2 to 1)"),
    ],
)
def test_a_way_back_says_what_it_is_worth(rehearsal, says):
    assert f"rollback: {says}" in notice(on=verdict(), rehearsal=rehearsal).body.splitlines()


@pytest.mark.parametrize(
    "command",
    ["make " + "x" * LINE_CHARACTERS, "make 'a\nb'", "make a  b", "curl 'https://a.test/x?y'", "sh -c 'echo @here'"],
)
def test_half_a_command_is_not_shown(command):
    line = next(line for line in notice(on=verdict(rollback=command)).body.splitlines() if line.startswith("rollback"))
    assert (
        "rollback: its command does not fit a message, see the site file (rehearsed 2 days ago, 47 s, 2 to 1)" == line
    )


def test_what_is_not_known_is_said_or_left_out():
    lines = notice(on=verdict(rollback=""), release=None, link="").body.splitlines()
    assert "last change: no release seen" in lines
    assert "rollback: none is written down" in lines
    assert not [line for line in lines if line.startswith("run:")]


def test_whom_it_harms_is_told_and_a_leak_stands_in_the_first_line():
    leak = STORED._replace(severity=Severity.CRITICAL)
    said = notice(on=verdict(STORED, leak))
    assert "FIRING, CRITICAL: site shop, cache-headers, /articles/tomatoes" == said.subject
    assert "observed: fail, critical: no copy" in said.body.splitlines()
    stored = notice(on=verdict(STORED._replace(severity=Severity.STORED)))
    assert "FIRING: site shop, cache-headers, /articles/tomatoes" == stored.subject
    assert "observed: fail, stored: no copy" in stored.body.splitlines()


def route(number, *findings, hours=3, **more):
    """A change of one of many routes."""
    subject = f"/articles/{number:02}"
    opened = NOW - timedelta(hours=hours)
    alert = replace(ALERT, subject=subject, opened_at=opened, dedup_key=f"key of {subject}", **more)
    return AlertChange(MessageKind.FIRING, alert, (findings and replace(verdict(*findings), subject=subject)) or None)


def together(*changes, kind=MessageKind.FIRING):
    told = [replace(change, kind=kind) for change in changes]
    return alert_notice(told, now=NOW, release=RELEASE, rehearsals={"articles": PROOF}, link=LINK)


def aged(number):
    return STORED._replace(saw=f"max-age={60 + number}")


def test_many_that_break_alike_are_told_in_one_message():
    said = together(*(route(number, aged(number), VARY, hours=number % 4) for number in range(49)), route(49, VARY))
    assert "FIRING: site shop, cache-headers, /articles/00 and 49 more" == said.subject
    assert [
        "FIRING: site shop, cache-headers, /articles/00 and 49 more (rule articles)",
        "where: /articles/00, /articles/01, /articles/02 and 46 more",
        "since: 2026-03-02 01:07 UTC, 3 hours ago",
        "expected: a copy (cache-headers/stored: It is stored.)",
        "observed: fail: e.g. max-age=60 (49 subjects)",
        "also: 50 warned (cache-headers/vary)",
        "last change: version 1.8.2, first seen 3 hours ago",
        "owner: web-platform",
        "first look: ask the route twice and read Cache-Status and Age; then what changed last at the edge",
        "rollback: make cdn-rollback RULE=articles (rehearsed 2 days ago, 47 s, 2 to 1)",
        f"run: {LINK}",
        "key: key of /articles/00",
    ] == said.body.splitlines()


def test_one_leak_among_many_is_what_the_message_shows():
    leak = STORED._replace(severity=Severity.CRITICAL, saw="ada's page")
    said = together(*(route(number, STORED) for number in range(9)), route(9, leak))
    assert "FIRING, CRITICAL: site shop, cache-headers, /articles/09 and 9 more" == said.subject
    where = "/articles/00, /articles/01, /articles/02 and 6 more"
    assert f"observed: fail, critical: ada's page\nalso: fail: cache-headers/stored at {where}: no copy\n" in said.body


def found(check, subject, *findings, rule="articles", owner="web-platform", rollback=""):
    """A change of any check, with its verdict."""
    alert = replace(ALERT, check=check, subject=subject, rule=rule, owner=owner, dedup_key=f"key of {check} {subject}")
    own = [one._replace(claim=f"{check}/{one.claim.partition('/')[2]}") for one in findings]
    return AlertChange(
        MessageKind.FIRING, alert, Verdict(check, subject, rule, owner, "All is well.", rollback, tuple(own))
    )


LEAK = STORED._replace(
    claim="/stranger", says="No stranger gets it.", saw="a member's page", severity=Severity.CRITICAL
)


def test_the_cause_comes_first_and_what_it_entails_below_it():
    said = together(
        found("cache-headers", "/inbox", STORED, rule="members"),
        found("response-time", "/inbox", STORED._replace(claim="/p95", saw="900 ms"), VARY),
        found("logged-in-traffic", "/inbox", LEAK, rule="members", owner="accounts"),
    )
    assert "FIRING, CRITICAL: site shop, logged-in-traffic, /inbox and 2 more" == said.subject
    assert [
        "observed: fail, critical: a member's page",
        "also: fail: cache-headers/stored at /inbox: no copy (owner web-platform)",
        "also: fail: response-time/p95 at /inbox: 900 ms (owner web-platform)",
        "also: 1 warned (response-time/vary)",
    ] == [line for line in said.body.splitlines() if line.startswith(("observed", "also"))]
    assert {"owner: accounts", "key: key of logged-in-traffic /inbox"} <= set(said.body.splitlines())


def test_what_is_beside_the_cause_is_bounded():
    """However much an incident entails, whoever reads it sees the first of it and how much more there is."""
    many = [found(f"check-{number}", "/a", STORED) for number in range(9)]
    lines = together(found("logged-in-traffic", "/inbox", LEAK), *many).body.splitlines()
    assert MAX_FAULT_LINES == sum(line.startswith("also: fail: ") for line in lines)
    rest = ", ".join(f"check-{number}/stored" for number in range(MAX_FAULT_LINES, 9))
    assert f"also: 6 failed ({rest})" in lines


def test_a_rollback_that_was_found_missing_is_not_quoted_as_if_it_worked():
    missing = "no target cdn-rollback (of `make cdn-rollback RULE=articles`)"
    line = f"rollback: cannot be run: {missing}"
    assert line in notice(on=replace(verdict(), rollback_fault=missing)).body.splitlines()
    assert line in notice(MessageKind.RESOLVED, on=replace(verdict(HELD), rollback_fault=missing)).body.splitlines()


def test_many_reminders_say_how_often_at_most():
    said = together(*(route(number, STORED, folded=number) for number in range(5)), kind=MessageKind.REMINDER)
    assert "STILL FIRING: site shop, cache-headers, /articles/00 and 4 more" == said.subject
    assert "ago, up to 4 more rounds said so\n" in said.body


def test_many_that_flap_are_counted():
    to_and_fro = (Outcome.FAIL, Outcome.PASS) * 3
    said = together(*(route(number, STORED, recent=to_and_fro) for number in range(4)), route(5, STORED))
    assert "ago; 4 of them flap\n" in said.body


@pytest.mark.parametrize(
    ("changes", "observed"),
    [
        ([route(number, HELD) for number in range(4)], "1 claim holds: a copy"),
        (
            [*(route(number, HELD) for number in range(4)), route(4)],
            "1 claim holds: a copy; 1 no longer checked",
        ),
        ([route(number) for number in range(4)], "no longer checked: the last full round did not look at it"),
    ],
)
def test_many_recoveries_are_told_in_one_message(changes, observed):
    said = together(*changes, kind=MessageKind.RESOLVED)
    assert f"RESOLVED: site shop, cache-headers, /articles/00 and {len(changes) - 1} more" == said.subject
    where = ", ".join(f"cache-headers /articles/0{number}" for number in range(3))
    assert f"where: {where} and {len(changes) - 3} more" in said.body
    assert f"observed: {observed}" in said.body.splitlines()
    assert "first look: nothing to do" in said.body


BOOK = Runbook("web", "No claim fails.", "Readers may wait. First look: the run.", Command(["make", "go back"]))


def job(**changes):
    told = {
        "deployment": "inspect-shop", "site": "shop", "kind": "not_started", "message": "no worker took it", "at": NOW,
        "runbook": BOOK, "owner": "web-platform <web@example.com>", "link": LINK,
    }  # fmt: skip
    return job_notice(**told | changes)


def test_a_job_that_could_not_speak_is_spoken_for_in_the_same_layout():
    said = job()
    assert "NOT STARTED: job inspect-shop" == said.subject
    assert [
        "NOT STARTED: job inspect-shop, site shop",
        "since: 2026-03-02 04:07 UTC",
        "expected: No claim fails.",
        "observed: not started: no worker took it",
        "last change: no release seen",
        "owner: web-platform <web@example.com>",
        "means: Readers may wait.",
        "first look: the run.",
        "rollback: make 'go back' (never rehearsed)",
        f"run: {LINK}",
    ] == said.body.splitlines()


def test_a_job_without_a_site_or_a_message_or_a_way_back_still_has_something_to_say():
    book = replace(BOOK, rollback=NothingToUndo("it only reads"))
    lines = job(site="", message="", runbook=book).body.splitlines()
    assert "NOT STARTED: job inspect-shop" == lines[0]
    assert "observed: not started: it left no message" == lines[3]
    assert "rollback: nothing to undo: it only reads" == lines[8]


LONG = "long \0\n\u202e\ud800" * 500


@pytest.mark.parametrize("kind", list(MessageKind))
def test_no_message_is_longer_than_sixteen_lines_of_200_characters(kind):
    findings = [STORED._replace(saw=LONG, wanted=LONG, says=LONG, claim=LONG)] * 40
    alert = Alert(LONG, LONG, LONG, LONG, LONG, AlertState.FIRING, NOW, (), OPENED, LONG, NOW, 10**6, "run-1")
    release, proof = Release(LONG, OPENED), replace(PROOF, seconds=1e12)
    on = verdict(*findings, VARY._replace(claim=LONG), rollback=LONG)
    said = notice(kind, alert, on, release, proof, LONG)
    many = alert_notice(
        [AlertChange(kind, alert, replace(on, subject=f"{LONG}{number}")) for number in range(40)],
        now=NOW, release=release, rehearsals={LONG: proof}, link=LINK,
    )  # fmt: skip
    book = Runbook("web", LONG, LONG, Command([LONG]))
    spoken = job(deployment=LONG, site=LONG, kind="crashed", message=LONG, runbook=book, owner=LONG, link=LONG)
    for one in (said, many, spoken):
        lines = one.body.split("\n")
        assert 6 < len(lines) <= MAX_LINES
        assert max(map(len, lines)) <= LINE_CHARACTERS
        assert len(one.subject) <= 120
        assert all(line.isprintable() for line in [*lines, one.subject])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "just now"), (59, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (86399, "23 hours ago"), (172800, "2 days ago")],
)  # fmt: skip
def test_how_long_ago_is_said_in_one_unit(seconds, said):
    assert said == ago(NOW - timedelta(seconds=seconds), NOW)


def test_what_may_be_a_secret_is_not_in_a_message():
    assert "hush" not in job(message="http://ada:hush@a.test/ Cookie: auth=hush").body
