"""What a round found is told once, whole or not at all."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from alembic import command
from sqlalchemy import Engine, delete, event, select, update
from sqlalchemy.orm import Session

from flows.tasks.alerts import tell, tell_new_channels
from roundsman.alerts.alerts import enqueue
from roundsman.alerts.rules.notice import Notice
from roundsman.ledger.ledger import alembic_config, command_hash
from roundsman.ledger.tables import OutboxRow, RehearsalRow, ReleaseRow
from roundsman.purge.rules.queue import QueueRun, judge
from roundsman.report.rules.verdict import Outcome, Severity
from tests.alerts.telling import (
    LINK,
    START,
    a_report,
    a_site,
    alerts,
    keep_site,
    kinds,
    outbox,
    told,
    verdict,
    written,
)
from tests.ledger.test_ledger import at_once

BAD, GOOD = verdict(), verdict(Outcome.PASS)
OPS = a_site("ops")
KEY = f"shop|cache-headers|/a|{START.isoformat()}"


@pytest.fixture(autouse=True)
def at_url(monkeypatch, url):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)


def test_trouble_becomes_an_alert_and_a_message_for_each_channel(ledger):
    told(a_site("ops", "apprise/mail"), a_report(0, BAD, verdict(Outcome.PASS, "/b")))
    [alert] = alerts(ledger).values()
    assert ("shop", "cache-headers", "/a", "articles", "web") == (
        alert.site, alert.check, alert.subject, alert.rule, alert.owner,
    )  # fmt: skip
    assert ("firing", KEY, ["fail"], "run-0") == (alert.state, alert.dedup_key, alert.recent, alert.run_id)
    assert (START, START, START) == (alert.since, alert.opened_at, alert.told_at)
    rows = outbox(ledger)
    assert [("custom-webhook/ops", KEY), ("apprise/mail", KEY)] == [(row.channel, row.dedup_key) for row in rows]
    assert {("firing", 1, "shop", 0, None)} == {
        (row.kind, row.number, row.site, row.attempts, row.sent_at) for row in rows
    }
    assert "FIRING: site shop, cache-headers, /a" == rows[0].subject
    assert {"rollback: make back (never rehearsed)", f"run: {LINK}", "last change: no release seen"} <= set(
        rows[0].body.splitlines()
    )


def test_the_same_round_told_again_adds_nothing(ledger):
    for number, found in enumerate([BAD, BAD, GOOD]):
        told(OPS, *[a_report(number, found)] * 2)
    assert ["firing", "resolved"] == kinds(ledger)
    assert {KEY} == {row.dedup_key for row in outbox(ledger)}
    assert ["fail", "fail", "pass"] == alerts(ledger)["cache-headers /a"].recent


@pytest.mark.parametrize("check", ["compare-release", "purge-queue", "purge-sample", "rehearse-release"])
def test_a_round_says_nothing_of_what_other_jobs_found(ledger, check):
    told(OPS, a_report(0, verdict(subject="shop", check=check)), full=False)
    told(OPS, a_report(1, GOOD))
    assert ["firing"] == kinds(ledger)
    told(OPS, a_report(2, verdict(Outcome.PASS, subject="shop", check=check)), full=False)
    assert ["firing", "resolved"] == kinds(ledger)


def test_a_round_told_twice_at_once_is_told_once(ledger):
    subjects = [verdict(subject=f"/{letter}") for letter in "abcdef"]
    orders = [subjects, subjects[::-1]]
    at_once(2, lambda place: told(OPS, a_report(0, *orders[place])))
    assert ["firing"] == kinds(ledger)
    assert 6 == len(alerts(ledger))


def test_no_round_is_lost_when_several_are_told_at_once(ledger):
    told(OPS, a_report(0, BAD))
    at_once(4, lambda place: told(OPS, *(a_report(1 + place + 4 * number, BAD) for number in range(2))))
    assert 8 == alerts(ledger)["cache-headers /a"].folded


@contextmanager
def before_insert(engine: Engine, table: str, do: Callable[[], object]) -> Iterator[None]:
    """Do something when the next rows are to go to a table, in the middle of the transaction."""

    def listener(connection, cursor, statement: str, *rest: object) -> None:
        if statement.startswith(f"INSERT INTO {table} "):
            do()

    event.listen(engine, "before_cursor_execute", listener)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", listener)


@pytest.mark.parametrize("table", ["alert", "incident", "outbox"])
def test_a_failure_in_the_middle_leaves_nothing_half_told(ledger, table):
    def fail():
        raise ConnectionResetError("the cable was pulled")

    round_ = a_report(0, BAD, verdict(subject="/b"))
    with before_insert(Engine, table, fail), pytest.raises(ConnectionResetError):
        told(OPS, round_)
    assert {} == alerts(ledger)
    assert [] == outbox(ledger)
    told(OPS, round_)
    assert ["firing"] == kinds(ledger)


def test_a_failure_between_a_recovery_and_its_message_is_made_good(ledger):
    """The alert was there before, so that it is changed and not inserted."""

    def fail():
        raise ConnectionResetError("the cable was pulled")

    told(OPS, a_report(0, BAD))
    with before_insert(Engine, "outbox", fail), pytest.raises(ConnectionResetError):
        told(OPS, a_report(1, GOOD))
    assert "firing" == alerts(ledger)["cache-headers /a"].state
    told(OPS, a_report(1, GOOD))
    assert ["firing", "resolved"] == kinds(ledger)


def test_repeats_are_folded_into_numbered_reminders(ledger):
    for number in range(6):
        told(a_site("ops", remind="2h"), a_report(number, BAD))
        sent(ledger)
    assert [("firing", 1), ("reminder", 1), ("reminder", 2)] == [(row.kind, row.number) for row in outbox(ledger)]
    assert "1 more round said so" in outbox(ledger)[1].body
    assert 1 == alerts(ledger)["cache-headers /a"].folded


def test_a_site_says_how_many_bad_rounds_it_takes(ledger):
    patient = a_site("ops", after="2 of 3")
    told(patient, a_report(0, BAD), a_report(1, GOOD))
    assert [] == outbox(ledger)
    assert "pending" == alerts(ledger)["cache-headers /a"].state
    told(patient, a_report(2, BAD))
    assert ["firing"] == kinds(ledger)


def test_a_site_without_channels_is_told_nothing_and_its_alerts_move_on(ledger):
    told(a_site(), *(a_report(number, BAD) for number in range(20)))
    assert [] == outbox(ledger)
    [alert] = alerts(ledger).values()
    assert ("firing", None) == (alert.state, alert.told_at)


def test_the_worst_verdict_on_a_subject_counts(ledger):
    told(OPS, a_report(0, BAD, verdict(Outcome.WARN)), a_report(1, GOOD, verdict(Outcome.UNKNOWN)))
    assert ["fail", "unknown"] == alerts(ledger)["cache-headers /a"].recent


ALL = [f"/{letter}" for letter in "abcdef"]


def broken(*subjects, fine=()):
    return [verdict(subject=one) for one in subjects] + [verdict(Outcome.PASS, one) for one in fine]


def messages(ledger):
    """The channel and the subject of each message."""
    return [(row.channel.partition("/")[2], row.subject) for row in outbox(ledger)]


def sent(ledger):
    """What waits goes out."""
    with Session(ledger) as session, session.begin():
        session.execute(update(OutboxRow).where(OutboxRow.sent_at.is_(None)).values(sent_at=START))


def unguarded_request(state, count=6, subject="/a"):
    others = f" and {count - 1} more" if count > 1 else ""
    return f"{state}: site shop, cache-headers, {subject}{others}"


def test_what_breaks_in_one_round_is_one_incident_and_one_message_for_each_channel(ledger):
    told(a_site("ops", "apprise/mail"), a_report(0, *broken(*ALL)))
    assert [("ops", unguarded_request("FIRING")), ("mail", unguarded_request("FIRING"))] == messages(ledger)
    assert {KEY} == {alert.incident for alert in alerts(ledger).values()}
    assert {KEY} == {row.dedup_key for row in outbox(ledger)}
    assert {"firing"} == {alert.state for alert in alerts(ledger).values()}


LEAK = verdict(subject="/inbox", check="logged-in-traffic", claim="stranger")
LEAK = replace(LEAK, findings=(LEAK.findings[0]._replace(severity=Severity.CRITICAL),))
ENTAILED = [verdict(subject="/inbox"), verdict(subject="/inbox", check="response-time"), BAD]


def test_a_leak_that_shows_in_four_checks_is_one_message_with_the_cause_first(ledger):
    told(OPS, a_report(0, *ENTAILED, LEAK))
    [row] = outbox(ledger)
    assert "FIRING, CRITICAL: site shop, logged-in-traffic, /inbox and 3 more" == row.subject
    assert f"shop|logged-in-traffic|/inbox|{START.isoformat()}" == row.dedup_key
    lines = row.body.splitlines()
    assert "observed: fail, critical: no copy" in lines
    assert {"also: fail: cache-headers/stored at /a, /inbox: no copy", "also: fail: response-time/stored at /inbox: no copy"} <= set(lines)  # fmt: skip


def test_what_breaks_in_a_later_round_is_another_incident(ledger):
    told(OPS, a_report(0, BAD), a_report(1, BAD, LEAK))
    assert [unguarded_request("FIRING", 1), "FIRING, CRITICAL: site shop, logged-in-traffic, /inbox"] == [
        row.subject for row in outbox(ledger)
    ]
    assert 2 == len({row.dedup_key for row in outbox(ledger)})


def test_a_fault_that_turns_into_a_leak_is_told_at_once_under_the_key_of_its_incident(ledger):
    mild = replace(LEAK, findings=(LEAK.findings[0]._replace(severity=Severity.POLICY),))
    for number, found in enumerate([mild, mild, LEAK, LEAK]):
        told(OPS, a_report(number, found))
        sent(ledger)
    assert ["firing", "reminder"] == kinds(ledger)
    assert "STILL FIRING, CRITICAL: site shop, logged-in-traffic, /inbox" == outbox(ledger)[1].subject
    assert 1 == len({row.dedup_key for row in outbox(ledger)})


def test_a_leak_that_comes_back_while_its_incident_is_open_is_told_again(ledger):
    mended = replace(LEAK, findings=(GOOD.findings[0],))
    for number, found in enumerate([LEAK, mended, mended, LEAK, LEAK]):
        told(OPS, a_report(number, BAD, found))
        sent(ledger)
    assert ["firing", "reminder"] == kinds(ledger)


def test_many_told_again_add_nothing(ledger):
    round_ = a_report(0, *broken(*ALL))
    told(OPS, round_, round_)
    at_once(2, lambda place: told(OPS, a_report(1, *broken(fine=ALL))))
    assert [("ops", unguarded_request("FIRING")), ("ops", unguarded_request("RESOLVED"))] == messages(ledger)


@pytest.mark.parametrize("put", [0, 1])
def test_a_failure_among_several_channels_leaves_no_message(ledger, put):
    left = [put]

    def fail():
        left[0] -= 1
        if left[0] < 0:
            raise ConnectionResetError("the cable was pulled")

    both = a_site("ops", "web")
    with before_insert(Engine, "outbox", fail), pytest.raises(ConnectionResetError):
        told(both, a_report(0, *broken(*ALL)))
    assert ({}, []) == (alerts(ledger), outbox(ledger))
    told(both, a_report(0, *broken(*ALL)))
    assert [("ops", unguarded_request("FIRING")), ("web", unguarded_request("FIRING"))] == messages(ledger)


def test_a_recovery_in_parts_is_told_once_when_all_of_it_is_well(ledger):
    rounds = [broken(*ALL), broken(*ALL[1:], fine=ALL[:1]), broken(ALL[5], fine=ALL[:5]), broken(fine=ALL)]
    told(OPS, *(a_report(number, *found) for number, found in enumerate(rounds)))
    assert ["firing", "resolved"] == kinds(ledger)
    assert {KEY} == {row.dedup_key for row in outbox(ledger)}
    assert "RESOLVED: site shop, cache-headers, /f and 5 more" == outbox(ledger)[1].subject


def test_a_relapse_of_a_part_is_no_new_message_while_the_incident_is_open(ledger):
    rounds = [broken(*ALL), broken(ALL[5], fine=ALL[:5]), broken(ALL[5], fine=ALL[:5]), broken(*ALL), broken(fine=ALL)]
    told(OPS, *(a_report(number, *found) for number, found in enumerate(rounds)))
    assert ["firing", "resolved"] == kinds(ledger)


def test_an_incident_is_over_only_when_other_jobs_parts_of_it_are_as_well(ledger):
    """A round that looks at some of it leaves the rest as it was."""
    told(OPS, a_report(0, BAD, LEAK))
    told(OPS, a_report(1, GOOD), full=False)
    assert ["firing"] == kinds(ledger)
    told(OPS, a_report(2, replace(LEAK, findings=(GOOD.findings[0],))), full=False)
    assert ["firing", "resolved"] == kinds(ledger)


def test_a_reminder_is_of_all_that_is_still_open(ledger):
    hourly = a_site("ops", remind="1h")
    for number, found in enumerate([broken(*ALL), broken(*ALL[:2], fine=ALL[2:]), broken(*ALL[:1], fine=ALL[1:])]):
        told(hourly, a_report(number, *found))
        sent(ledger)
    assert [
        unguarded_request("FIRING"),
        unguarded_request("STILL FIRING", 2),
        unguarded_request("STILL FIRING", 1),
    ] == [row.subject for row in outbox(ledger)]
    assert [("firing", 1), ("reminder", 1), ("reminder", 2)] == [(row.kind, row.number) for row in outbox(ledger)]


def test_a_channel_that_comes_later_hears_of_what_is_open_at_the_next_round_and_once(ledger):
    told(a_site(), a_report(0, BAD, verdict(subject="/b")))
    told(OPS, a_report(1, BAD, verdict(subject="/b")))
    assert [("ops", unguarded_request("STILL FIRING", 2))] == messages(ledger)
    assert {START + timedelta(hours=1)} == {alert.told_at for alert in alerts(ledger).values()}
    told(a_site("ops", "web"), *(a_report(number, BAD, verdict(subject="/b")) for number in range(2, 5)))
    assert [("ops", unguarded_request("STILL FIRING", 2)), ("web", unguarded_request("STILL FIRING", 2))] == messages(
        ledger
    )


def test_a_channel_that_came_later_leaves_the_others_reminders_where_they_were(ledger):
    for number in range(4):
        told(a_site("ops", *["web"] * (number > 0), remind="2h"), a_report(number, BAD))
        sent(ledger)
    assert [("firing", "ops"), ("firing", "web"), ("reminder", "ops"), ("reminder", "web")] == [
        (row.kind, row.channel.partition("/")[2]) for row in outbox(ledger)
    ]


def late(folder, monkeypatch, *channels):
    keep_site(folder, monkeypatch, written(*channels))
    return asyncio.run(tell_new_channels.fn())


def test_between_rounds_a_pass_of_the_watch_tells_new_channels(ledger, tmp_path, monkeypatch):
    told(a_site(), a_report(0, BAD))
    assert 0 == late(tmp_path, monkeypatch)
    assert [1, 0, 1] == [late(tmp_path, monkeypatch, *names) for names in (["ops"], ["ops"], ["web"])]
    assert [("ops", unguarded_request("FIRING", 1)), ("web", unguarded_request("FIRING", 1))] == messages(ledger)
    assert "as of: 2026-03-01 04:07 UTC" == outbox(ledger)[0].body.splitlines()[-1]
    assert alerts(ledger)["cache-headers /a"].told_at


def test_a_channel_that_was_taken_out_and_put_back_hears_only_of_what_it_missed(ledger, tmp_path, monkeypatch):
    monkeypatch.setattr("roundsman.alerts.alerts.BACK", timedelta(days=10_000))
    told(OPS, a_report(0, BAD))
    sent(ledger)
    assert 0 == late(tmp_path, monkeypatch, "ops")
    told(a_site(), a_report(1, BAD, LEAK), a_report(2, GOOD, LEAK))
    assert 2 == late(tmp_path, monkeypatch, "ops")
    assert 0 == late(tmp_path, monkeypatch, "ops")
    assert ["FIRING", "RESOLVED", "STILL FIRING, CRITICAL"] == [row.subject.partition(":")[0] for row in outbox(ledger)]


def test_a_channel_hears_of_no_end_whose_beginning_it_did_not_hear(ledger, tmp_path, monkeypatch):
    told(OPS, a_report(0, BAD), a_report(1, GOOD))
    assert 0 == late(tmp_path, monkeypatch, "ops", "web")
    assert ["ops", "ops"] == [channel for channel, _ in messages(ledger)]


def test_what_waits_for_a_broken_channel_is_one_message_with_the_newest_words(ledger):
    """However many reminders were due meanwhile."""
    told(a_site("ops", remind="1h"), *(a_report(number, BAD) for number in range(5)))
    assert [("ops", unguarded_request("STILL FIRING", 1))] == messages(ledger)


def test_the_more_harmful_of_two_failures_of_a_subject_is_told(ledger):
    leak = verdict()
    leak = replace(leak, findings=(leak.findings[0]._replace(severity=Severity.CRITICAL),))
    told(OPS, a_report(0, BAD, leak, BAD))
    assert ["FIRING, CRITICAL: site shop, cache-headers, /a"] == [row.subject for row in outbox(ledger)]


NOBODY = verdict(Outcome.UNKNOWN, "shop", claim="looked")
ELSEWHERE = verdict(Outcome.PASS, "/", "response-time")
QUEUE = judge(OPS, QueueRun(troubles=("the edge is down",), waiting=3, oldest=400.0))


@pytest.mark.parametrize(
    ("before", "after", "full", "state"),
    [
        (BAD, [], True, "resolved"),
        (BAD, [], False, "firing"),
        (BAD, [verdict(Outcome.PASS, "/b")], True, "resolved"),
        (BAD, [verdict(Outcome.PASS, "/b")], False, "firing"),
        (BAD, [NOBODY], True, "firing"),
        (BAD, [verdict(Outcome.UNKNOWN, "/b", claim="looked")], True, "firing"),
        (NOBODY, [GOOD], True, "resolved"),
        (NOBODY, [GOOD], False, "resolved"),
        (NOBODY, [ELSEWHERE], False, "firing"),
        (QUEUE, [GOOD], True, "firing"),
    ],
)
def test_what_a_round_no_longer_looks_at_is_closed_by_a_check_that_could_look(ledger, before, after, full, state):
    told(OPS, a_report(0, before))
    told(OPS, a_report(1, *after), full=full)
    assert state == alerts(ledger)[f"{before.check} {before.subject}"].state
    assert [state] * (state == "resolved") == [row.kind for row in outbox(ledger) if "no longer" in row.body]


def test_a_purge_queue_in_trouble_is_told_once_and_once_when_it_is_well_again(ledger):
    told(OPS, *(a_report(minute / 60, QUEUE) for minute in range(10)), full=False)
    told(OPS, a_report(1, judge(OPS, QueueRun(done=3, purged=3))), full=False)
    assert ["firing", "resolved"] == kinds(ledger)
    assert "3 wait, the oldest for 400s: the edge is down" in outbox(ledger)[0].body
    assert "first look: `roundsman purges`" in outbox(ledger)[0].body


def test_another_site_s_alerts_are_left_alone(ledger):
    told(OPS, a_report(0, BAD))
    other = OPS.model_copy(update={"site": "barn"})
    report = a_report(1, GOOD)
    asyncio.run(tell.fn(other, type(report)("run-x", "barn", START, START, (GOOD,)), "", full=True))
    assert "firing" == alerts(ledger)["cache-headers /a"].state


def test_a_message_quotes_the_last_release_and_the_last_rehearsal(ledger):
    rehearsal = {"environment": "staging", "from_version": "2", "to_version": "1", "seconds": 47.4, "ok": True}
    rule = {"site": "shop", "rule": "articles", "command_hash": command_hash(["make", "back"])}
    with Session(ledger) as session, session.begin():
        session.add(RehearsalRow(**rehearsal, **rule, finished_at=START - timedelta(days=2)))
        session.add(ReleaseRow(site="shop", version="1.8.1", seen_at=START - timedelta(days=3)))
        session.add(ReleaseRow(site="shop", version="1.8.2", seen_at=START - timedelta(hours=3)))
        session.add(ReleaseRow(site="barn", version="2.0.0", seen_at=START))
    told(OPS, a_report(0, BAD))
    assert {
        "last change: version 1.8.2, first seen 3 hours ago",
        "rollback: make back (rehearsed 2 days ago, 47 s, 2 to 1)",
    } <= set(outbox(ledger)[0].body.splitlines())


def test_a_subject_that_no_database_would_take_is_told(ledger):
    odd = verdict(subject="/a\0\ud800b")
    told(OPS, a_report(0, odd), a_report(1, odd))
    assert [r"cache-headers /a\x00\ud800b"] == list(alerts(ledger))
    assert ["firing"] == kinds(ledger)


def test_a_message_is_put_into_the_outbox_once(ledger):
    message = {"dedup_key": "job|1", "kind": "crashed", "channels": ("apprise/mail",), "site": "shop"}
    for text in ("first", "second"):
        enqueue(ledger, Notice("CRASHED", text), **message)
    enqueue(ledger, Notice("CRASHED", "third"), **message, number=2)
    assert ["first", "third"] == [row.body for row in outbox(ledger)]


def test_alerts_that_were_open_before_incidents_go_on_without_a_new_message(ledger):
    """Six subjects told in one message, one told by itself, and one of which nobody was told."""
    both = a_site("ops", "web")
    told(both, a_report(0, *broken(*ALL)))
    told(both, a_report(1, *broken(*ALL), LEAK))
    told(both, a_report(2, *broken(*ALL, "/untold"), LEAK))
    sent(ledger)
    leaking = f"shop|logged-in-traffic|/inbox|{(START + timedelta(hours=1)).isoformat()}"
    with Session(ledger) as session, session.begin():
        session.execute(delete(OutboxRow).where(OutboxRow.dedup_key.contains("untold")))
        for first in session.scalars(select(OutboxRow).filter_by(dedup_key=KEY)).all():
            for subject in ALL[1:]:  # as each had a row of its own
                own = {"dedup_key": KEY.replace("/a", subject), "told_with": first.id}
                session.add(OutboxRow(**first.model_dump(exclude={"id", "dedup_key", "told_with"}), **own))
    command.downgrade(alembic_config(ledger), "0015")
    command.upgrade(alembic_config(ledger), "head")
    assert {KEY, leaking} < {alert.incident for alert in alerts(ledger).values()}
    assert {"/untold"} == {alert.subject for alert in alerts(ledger).values() if alert.told_at is None}
    count = len(outbox(ledger))
    told(both, a_report(3, *broken(*ALL, "/untold"), LEAK))
    assert [
        ("ops", unguarded_request("STILL FIRING", 1, "/untold")),
        ("web", unguarded_request("STILL FIRING", 1, "/untold")),
    ] == (messages(ledger)[count:])
    told(both, a_report(4, *broken(fine=[*ALL, "/untold"]), replace(LEAK, findings=(GOOD.findings[0],))))
    ended = [(row.channel, row.dedup_key) for row in outbox(ledger) if row.kind == "resolved"]
    assert 6 == len(ended)
    assert {(channel, key) for channel in both.notify.channels for key in (KEY, leaking)} < set(ended)
