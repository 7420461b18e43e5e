"""A message says in twelve lines at most what broke, whose it is and how to go back, and quotes no secret."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flows.rules.alert import Alert, Kind, State
from flows.rules.notice import WIDTH, Release, ago, alert_notice, clipped, job_notice, plain, scrubbed
from flows.rules.rehearsal import Rehearsal
from flows.rules.runbook import Command, NothingToUndo, Runbook
from flows.rules.verdict import Finding, Outcome, Verdict

NOW = datetime(2026, 3, 2, 4, 7, tzinfo=UTC)
OPENED = NOW - timedelta(hours=3)
KEY = "shop|cache-headers|/articles/tomatoes|2026-03-02T01:07:00+00:00"
ALERT = Alert(
    "shop", "cache-headers", "/articles/tomatoes", "articles", "web-platform", State.FIRING, NOW,
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


def notice(kind=Kind.FIRING, alert=ALERT, on=None, release=RELEASE, rehearsal=PROOF, link=LINK):
    return alert_notice(kind, alert, on, now=NOW, release=release, rehearsal=rehearsal, link=link)


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
        "rollback: make cdn-rollback RULE=articles (rehearsed 2 days ago, 47 s)",
        f"run: {LINK}",
        f"key: {KEY}",
    ] == said.body.splitlines()


def test_a_reminder_says_how_often_it_was_seen_again():
    said = notice(Kind.REMINDER, replace(ALERT, folded=11), verdict())
    assert "STILL FIRING: site shop, cache-headers, /articles/tomatoes" == said.subject
    assert "since: 2026-03-02 01:07 UTC, 3 hours ago, 11 more rounds said so" == said.body.splitlines()[1]


def test_a_recovery_is_told_in_the_same_layout():
    said = notice(Kind.RESOLVED, on=verdict(HELD))
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
    said = notice(Kind.RESOLVED, replace(ALERT, subject=subject))
    assert f"observed: no longer checked: {why}" in said.body.splitlines()
    assert "rollback" not in said.body


def test_a_check_that_broke_down_quotes_no_secret():
    broke = replace(STORED, claim="cache-headers/looked", saw="the check broke down: Error: http://ada:hush@a.test")
    assert "observed: fail: the check broke down: Error: http://...\n" in notice(on=verdict(broke)).body


def test_flapping_is_named():
    to_and_fro = (Outcome.FAIL, Outcome.PASS) * 3
    assert "; it flaps: 5 changes in 10 rounds" in notice(alert=replace(ALERT, recent=to_and_fro), on=verdict()).body


@pytest.mark.parametrize(
    ("rehearsal", "says"),
    [
        (None, "make cdn-rollback RULE=articles (never rehearsed)"),
        (replace(PROOF, ok=False), "make cdn-rollback RULE=articles (its rehearsal failed 2 days ago, 47 s)"),
    ],
)
def test_a_way_back_says_what_it_is_worth(rehearsal, says):
    assert f"rollback: {says}" in notice(on=verdict(), rehearsal=rehearsal).body.splitlines()


@pytest.mark.parametrize("command", ["make " + "x" * WIDTH, "make 'a\nb'", "make a  b"])
def test_half_a_command_is_not_shown(command):
    line = next(line for line in notice(on=verdict(rollback=command)).body.splitlines() if line.startswith("rollback"))
    assert "rollback: its command does not fit a message, see the site file (rehearsed 2 days ago, 47 s)" == line


def test_what_is_not_known_is_said_or_left_out():
    lines = notice(on=verdict(rollback=""), release=None, link="").body.splitlines()
    assert "last change: no release seen" in lines
    assert "rollback: none is written down" in lines
    assert not [line for line in lines if line.startswith("run:")]


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


@pytest.mark.parametrize("kind", list(Kind))
def test_no_message_is_longer_than_twelve_lines_of_200_characters(kind):
    findings = [replace(STORED, saw=LONG, wanted=LONG, says=LONG, claim=LONG)] * 40
    alert = Alert(LONG, LONG, LONG, LONG, LONG, State.FIRING, NOW, (), OPENED, LONG, NOW, 10**6, "run-1")
    release, proof = Release(LONG, OPENED), replace(PROOF, seconds=1e12)
    said = notice(kind, alert, verdict(*findings, rollback=LONG), release, proof, LONG)
    book = Runbook("web", LONG, LONG, Command([LONG]))
    spoken = job(deployment=LONG, site=LONG, kind="crashed", message=LONG, runbook=book, owner=LONG, link=LONG)
    for one in (said, spoken):
        lines = one.body.split("\n")
        assert 6 < len(lines) <= 12
        assert max(map(len, lines)) <= WIDTH
        assert len(one.subject) <= 120
        assert all(line.isprintable() for line in [*lines, one.subject])


@pytest.mark.parametrize(
    ("text", "scrub"),
    [
        ("http://a.test:80/path?token=hush", "http://a.test:80/..."),
        ("see https://hooks.slack.com/services/hush", "see https://hooks.slack.com/..."),
        ("(http://a.test)", "(http://a.test)"),
        ("https://ada:hush@a.test/", "https://..."),
        ("http://ada:hu/sh@a.test/", "http://..."),
        ("http://ada:hu'sh@a.test/", "http://..."),
        ("postgresql://keeper:hush@host/db failed", "postgresql://... failed"),
        ("slack://hush/hush", "slack://..."),
        ("password=hush, user=ada", "password=..., user=ada"),
        ("SHOP_API_KEY: hush", "SHOP_API_KEY: ..."),
        ("'token': 'hush'", "'token': ..."),
        ('{"session_id": "hush"}', '{"session_id": ...'),
        ("Authorization: Bearer hush-hush", "Authorization: ..."),
        ("Cookie: sessionid=hush", "Cookie: ..."),
        ("bearer hush-hush failed", "bearer ... failed"),
        ("said quiet-please twice: quiet-please", "said ... twice: ..."),
        ("a page in 3 s, status 503", "a page in 3 s, status 503"),
    ],
)
def test_what_may_be_a_secret_is_left_out(text, scrub):
    assert scrub == scrubbed(text, ["quiet-please", ""])
    assert "hush" not in job(message=text).body


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "just now"), (59, "just now"), (60, "1 minute ago"), (7199, "1 hour ago"), (86399, "23 hours ago"), (172800, "2 days ago")],
)  # fmt: skip
def test_how_long_ago_is_said_in_one_unit(seconds, said):
    assert said == ago(NOW - timedelta(seconds=seconds), NOW)


def test_a_line_is_a_line():
    assert "a b c" == plain(" a\tb\r\n\0c\ud800 ")
    assert "aaaa..." == clipped("a" * 8, 7)
    assert "aaaaaaa" == clipped("a" * 7, 7)
