"""Promised runs are written down ahead of time, settled once, and told once, also by two passes at the same moment."""

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from flows.tasks.alerts import tell_new_channels
from roundsman.alerts.rules.notice import Notice
from roundsman.ledger.ledger import write_round
from roundsman.ledger.tables import IncidentRow, JobEventRow, OutboxRow, SlotRow, WatchRow
from roundsman.watch import slots
from roundsman.watch.rules.slots import EXTRA_RUN, SELF_TEST, RecordedRun, Run, Slot, SlotState
from roundsman.watch.slots import JudgedSlot, RunTrouble, WatchFindings
from tests.alerts.telling import a_report, a_site, told
from tests.ledger.rounds import a_round

AT = datetime(2026, 3, 10, 12, 7, tzinfo=UTC)
JOBS = {"inspect-shop": "inspect_site"}


def minutes(number):
    return AT + timedelta(minutes=number)


def slot(at=AT, deployment="inspect-shop"):
    return Slot(deployment, at, start_grace=120, max_runtime=900, min_runtime=1)


def rows(engine, table, *columns):
    with Session(engine) as session:
        return [tuple(row) for row in session.execute(select(*columns).select_from(table).order_by(table.id))]


def tell(trouble):
    return Notice(f"{trouble.kind} {trouble.deployment}", trouble.message), ["slack-webhook/ops"]


def write(engine, now, *judged, closed=(), jobs=JOBS):
    return slots.write(engine, WatchFindings(now, judged, closed, jobs), tell, lambda: 0.5)


def missed(engine, now, detail="nobody came"):
    """The open slots, all of them missed."""
    return [
        JudgedSlot(row, SlotState.NOT_STARTED, detail) for row in slots.open_slots(engine, now) if row.slot_at <= now
    ]


def test_a_slot_is_written_once_however_often_it_is_promised(ledger):
    for now in (AT, minutes(1)):
        slots.promise(ledger, [(slot(), "shop"), (slot(minutes(60)), "shop")], now)
    assert [
        ("inspect-shop", "shop", AT, 120.0, "waiting", AT),
        ("inspect-shop", "shop", minutes(60), 120.0, "waiting", AT),
    ] == rows(
        ledger,
        SlotRow,
        SlotRow.deployment,
        SlotRow.site,
        SlotRow.slot_at,
        SlotRow.start_grace_s,
        SlotRow.state,
        SlotRow.since,
    )


def test_a_missed_slot_is_told_once_and_stays_wrong_until_the_next_is_well(ledger):
    slots.promise(ledger, [(slot(), "shop"), (slot(minutes(60)), "shop")], AT)
    first = write(ledger, minutes(3), *missed(ledger, minutes(3)))
    second = write(ledger, minutes(4), *missed(ledger, minutes(4)))
    assert ([1, 0], [1, 1]) == ([len(one.new) for one in (first, second)], [one.exit_code for one in (first, second)])
    assert ("inspect-shop not started: nobody came",) == first.wrong == second.wrong
    assert [(f"slot:inspect-shop:{AT.isoformat()}", "not_started")] == rows(
        ledger, JobEventRow, JobEventRow.flow_run_id, JobEventRow.kind
    )
    assert [("not_started inspect-shop", "nobody came (promised for 12:07:00 UTC)", "shop")] == rows(
        ledger, OutboxRow, OutboxRow.subject, OutboxRow.body, OutboxRow.site
    )
    last = slots.open_slots(ledger, minutes(61))[-1]
    third = write(ledger, minutes(61), JudgedSlot(last, SlotState.FINISHED, "", finished(minutes(60))))
    assert ((), 0, "nothing wrong") == (third.new, third.exit_code, third.detail.partition(";")[0])
    assert [False, False, True] == [ok for (ok,) in rows(ledger, WatchRow, WatchRow.ok)]


def finished(at, **more):
    run = Run("run-1", "inspect-shop", "COMPLETED", "Completed", "", "state-1", at, at, at, at + timedelta(seconds=9))
    return replace(run, **more)


def test_a_run_that_was_late_and_then_came_is_kept_with_its_times(ledger):
    slots.promise(ledger, [(slot(), "shop")], AT)
    write(ledger, minutes(3), *missed(ledger, minutes(3)))
    (row,) = slots.open_slots(ledger, minutes(5))
    write(ledger, minutes(5), JudgedSlot(row, SlotState.FINISHED, "began 200 s late", finished(minutes(4))))
    assert [("finished", "run-1", minutes(4), minutes(4) + timedelta(seconds=9))] == rows(
        ledger, SlotRow, SlotRow.state, SlotRow.flow_run_id, SlotRow.started_at, SlotRow.ended_at
    )
    assert [] == slots.open_slots(ledger, minutes(6))


HOURS = timedelta(hours=1)
WOKE = AT + 6 * HOURS


@pytest.mark.parametrize(
    ("expected", "state", "run"),
    [
        ([("late", "began 18000 s late; 120 s are its grace")], SlotState.LATE, {}),
        (
            [("late", "began 18000 s late; 120 s are its grace")],
            SlotState.STARTED,
            {"kind": "RUNNING", "ended_at": None},
        ),
        # What a run that failed says of itself does not say that it was late.
        (
            [("failed", "seen"), ("late", "began 18000 s late; 120 s are its grace")],
            SlotState.FAILED,
            {"kind": "FAILED"},
        ),
        ([("too_fast", "seen")], SlotState.TOO_FAST, {}),
        ([("overrun", "seen")], SlotState.OVERRUN, {}),
    ],
)
def test_a_run_that_began_late_while_nobody_watched_is_told_once_when_the_watch_wakes(ledger, expected, state, run):
    slots.promise(ledger, [(slot(), "shop")], AT)
    late = finished(AT + 5 * HOURS, expected_at=AT, **run)
    for now in (WOKE, WOKE + HOURS):
        for row in slots.open_slots(ledger, now):
            write(ledger, now, JudgedSlot(row, state, "seen", late))
    told = [
        (kind, body.partition(" (promised")[0])
        for kind, body in rows(ledger, OutboxRow, OutboxRow.kind, OutboxRow.body)
    ]
    assert expected == told


def test_a_late_run_that_is_told_while_it_runs_is_not_told_again_at_its_end(ledger):
    slots.promise(ledger, [(slot(), "shop")], AT)
    going = finished(AT + 5 * HOURS, kind="RUNNING", ended_at=None)
    for now, state, run in ((WOKE, SlotState.STARTED, going), (WOKE + HOURS, SlotState.LATE, finished(AT + 5 * HOURS))):
        (row,) = slots.open_slots(ledger, now)
        write(ledger, now, JudgedSlot(row, state, "", run))
    assert [("late",)] == rows(ledger, OutboxRow, OutboxRow.kind)
    assert [("late",)] == rows(ledger, SlotRow, SlotRow.state)


def test_late_runs_of_several_slots_are_told_in_one_message(ledger):
    slots.promise(ledger, [(slot(minutes(number)), "shop") for number in (0, 60, 120)], AT)
    late = [
        JudgedSlot(row, SlotState.LATE, "", finished(row.slot_at + 2 * HOURS, id=f"run-{row.id}"))
        for row in slots.open_slots(ledger, WOKE)
    ]
    done = write(ledger, WOKE, *late)
    assert ([("late inspect-shop (3 times)",)], 1) == (rows(ledger, OutboxRow, OutboxRow.subject), done.exit_code)


def test_a_slot_whose_missing_run_was_told_is_not_told_again_as_late(ledger):
    slots.promise(ledger, [(slot(), "shop")], AT)
    write(ledger, minutes(3), *missed(ledger, minutes(3)))
    (row,) = slots.open_slots(ledger, minutes(5))
    write(ledger, minutes(5), JudgedSlot(row, SlotState.LATE, "began 240 s late", finished(minutes(4))))
    assert [("not_started",)] == rows(ledger, OutboxRow, OutboxRow.kind)


def extra(number, at=AT):
    return RunTrouble(
        f"run-{number}", EXTRA_RUN, "inspect-shop", "inspect_site", "shop", at, "two runs", f"run-{number}"
    )


def test_a_run_too_many_is_told_once_and_makes_the_pass_red(ledger):
    def look(now, *more):
        return slots.write(ledger, WatchFindings(now, (), (), JOBS, more=more), tell, lambda: 0.5)

    first, second = look(AT, extra(1)), look(minutes(1), extra(1))
    assert ((1, ("inspect-shop: two runs",)), (0, ())) == (
        (first.exit_code, first.wrong),
        (second.exit_code, second.wrong),
    )
    # Of a second one soon after it nobody is told again; it is written down.
    assert 1 == look(minutes(2), extra(2)).exit_code
    assert [("extra_run inspect-shop", "two runs")] == rows(ledger, OutboxRow, OutboxRow.subject, OutboxRow.body)
    assert [("run-1", "extra_run"), ("run-2", "extra_run")] == rows(
        ledger, JobEventRow, JobEventRow.flow_run_id, JobEventRow.kind
    )


def test_a_watch_that_slept_for_more_than_a_day_says_once_what_it_did_not_look_at(ledger):
    write(ledger, AT)
    day = minutes(24 * 60)
    assert [] == slots.unwatched(AT, day)
    late = AT + 30 * HOURS
    for now in (late, late + timedelta(seconds=1)):
        done = slots.write(ledger, WatchFindings(now, more=slots.unwatched(AT, now)), tell, lambda: 0.5)
    assert () == done.new
    # The day's self-test, which nobody saw either, is told beside it.
    (body,) = [body for kind, body in rows(ledger, OutboxRow, OutboxRow.kind, OutboxRow.body) if kind == "unwatched"]
    assert body == "nobody watched for 30 hours; what ran before 2026-03-10 18:07 UTC was not looked at"


def test_the_ledger_knows_which_run_has_begun_for_a_slot(ledger):
    slots.promise(ledger, [(slot(minutes(number)), "shop") for number in (0, 1, 2)], AT)
    begun, pending, _ = slots.open_slots(ledger, minutes(3))
    waits = finished(minutes(1), kind="PENDING", id="run-2", started_at=None, ended_at=None)
    write(
        ledger,
        minutes(3),
        JudgedSlot(begun, SlotState.FINISHED, "", finished(AT)),
        JudgedSlot(pending, SlotState.WAITING, "", waits),
    )
    asked = [finished(minutes(number)) for number in (0, 1, 2, 3)]
    expected = {("inspect-shop", AT): "run-1", ("inspect-shop", minutes(1)): "", ("inspect-shop", minutes(2)): ""}
    assert (expected, {}) == (slots.holders(ledger, asked), slots.holders(ledger, []))


@pytest.mark.parametrize(("expected", "look"), [(True, -119), (True, 0), (False, -121), (False, 1)])
def test_a_pass_of_the_two_hours_before_knows_what_was_promised(ledger, expected, look):
    write(ledger, minutes(look))
    assert expected is slots.foresaw(ledger, AT)


def test_two_passes_at_once_tell_once(ledger):
    slots.promise(ledger, [(slot(minutes(number)), "shop") for number in range(20)], AT)
    seen = missed(ledger, minutes(30))
    start, told = threading.Barrier(2, timeout=120), []

    def work():
        start.wait()
        told.append(write(ledger, minutes(30), *seen).new)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [0, 20] == sorted(map(len, told))
    assert 20 == len(rows(ledger, JobEventRow, JobEventRow.id))
    assert [("not_started inspect-shop (20 times)",)] == rows(ledger, OutboxRow, OutboxRow.subject)


def test_what_a_hook_told_already_is_not_told_again(ledger):
    with Session(ledger) as session, session.begin():
        session.add(
            JobEventRow(
                flow_run_id="run-1", kind="crashed", deployment="inspect-shop", job="", site="shop", at=AT, message=""
            )
        )
    slots.promise(ledger, [(slot(), "shop")], AT)
    (row,) = slots.open_slots(ledger, minutes(3))
    done = write(ledger, minutes(3), JudgedSlot(row, SlotState.FAILED, "boom", finished(AT, kind="CRASHED")))
    assert ((), 1) == (done.new, done.exit_code)
    assert [] == rows(ledger, OutboxRow, OutboxRow.id)


def test_a_run_that_was_closed_is_told_once_and_its_slot_says_so(ledger):
    slots.promise(ledger, [(slot(), "shop")], AT)
    (row,) = slots.open_slots(ledger, minutes(3))
    closed = RunTrouble("run-1", "closed", "inspect-shop", "inspect_site", "shop", minutes(3), "gone", "run-1")
    crashed = finished(AT, kind="CRASHED", state="Closed")
    done = write(ledger, minutes(3), JudgedSlot(row, SlotState.FAILED, "gone", crashed), closed=[closed])
    assert ["closed"] == [trouble.kind for trouble in done.new]
    assert [("closed",)] == rows(ledger, OutboxRow, OutboxRow.kind)


def test_a_run_refused_for_want_of_a_slot_is_trouble_that_prefect_tells(ledger):
    slots.promise(ledger, [(slot(), "shop")], AT)
    (row,) = slots.open_slots(ledger, minutes(1))
    refused = finished(AT, kind="CANCELLED", message="Deployment concurrency limit reached.")
    done = write(ledger, minutes(1), JudgedSlot(row, SlotState.SKIPPED, "for want of a slot: full", refused))
    assert (["cancelled"], 1) == ([one.kind for one in done.new], done.exit_code)
    assert [] == rows(ledger, OutboxRow, OutboxRow.id)


def test_the_same_trouble_slot_after_slot_is_told_again_only_after_twelve_hours(ledger):
    def messages_after_missing(at):
        slots.promise(ledger, [(slot(at), "shop")], at)
        now = at + timedelta(minutes=3)
        write(ledger, now, *missed(ledger, now))
        with Session(ledger) as session, session.begin():
            # The outbox writes down when it was; here that is the pass's own time.
            session.execute(update(OutboxRow).where(OutboxRow.created_at > minutes(2000)).values(created_at=now))
            session.execute(update(OutboxRow).values(sent_at=now))
        return len(rows(ledger, OutboxRow, OutboxRow.id))

    assert [1, 1, 2] == [messages_after_missing(minutes(hour * 60)) for hour in (-11, -10, 2)]


@pytest.mark.parametrize(("expected", "channels"), [(("run-1",), ["slack-webhook/ops"]), ((), [])])
def test_a_run_counts_as_told_only_when_somebody_is(ledger, expected, channels):
    slots.promise(ledger, [(slot(), "shop")], AT)
    (row,) = slots.open_slots(ledger, minutes(3))
    late = JudgedSlot(
        row, SlotState.NOT_STARTED, "late", finished(AT, kind="SCHEDULED", started_at=None, ended_at=None)
    )
    found = WatchFindings(minutes(3), [late], (), JOBS)
    assert (
        expected == slots.write(ledger, found, lambda trouble: (tell(trouble)[0], channels), lambda: 0.5).reported_runs
    )


def test_an_overlap_is_told_beside_the_slots_own_state(ledger):
    slots.promise(ledger, [(slot(), "shop")], AT)
    (row,) = slots.open_slots(ledger, minutes(1))
    going = finished(AT, kind="RUNNING", ended_at=None)
    done = write(ledger, minutes(1), JudgedSlot(row, SlotState.STARTED, "", going, overlapped=True))
    assert ["overlapping"] == [trouble.kind for trouble in done.new]
    (row,) = slots.open_slots(ledger, minutes(2))
    assert () == write(ledger, minutes(2), JudgedSlot(row, SlotState.FINISHED, "", finished(AT), overlapped=True)).new
    assert [("finished", True)] == rows(ledger, SlotRow, SlotRow.state, SlotRow.overlapped)


def test_a_slot_that_is_promised_no_more_is_taken_back_or_skipped(ledger):
    slots.promise(ledger, [(slot(), "shop"), (slot(minutes(60)), "shop")], AT)
    judged = [
        JudgedSlot(row, SlotState.SKIPPED, "changed", dropped=True) for row in slots.open_slots(ledger, minutes(1))
    ]
    done = write(ledger, minutes(1), *judged, jobs={})
    assert ((), 0) == (done.new, done.exit_code)
    assert [(AT, "skipped", "changed")] == rows(ledger, SlotRow, SlotRow.slot_at, SlotRow.state, SlotRow.detail)


def test_a_paused_schedule_is_told_at_its_first_slot_and_not_at_the_next_ones(ledger):
    def messages_after_a_slot(number):
        slots.promise(ledger, [(slot(minutes(number)), "shop")], minutes(number))
        paused = [
            JudgedSlot(row, SlotState.PAUSED, "", dropped=True) for row in slots.open_slots(ledger, minutes(number))
        ]
        found = WatchFindings(minutes(number), paused, (), JOBS, idle=frozenset(JOBS))
        assert 0 == slots.write(ledger, found, tell, lambda: 0.5).exit_code, "it is as somebody wanted it"
        return rows(ledger, OutboxRow, OutboxRow.subject)

    assert [[("paused inspect-shop",)]] * 3 == [messages_after_a_slot(number) for number in (0, 60, 120)]


def test_a_slot_without_a_run_is_given_up_after_a_day_and_a_long_run_is_not(ledger):
    slots.promise(ledger, [(slot(), "shop"), (slot(minutes(1)), "shop")], AT)
    _, late = slots.open_slots(ledger, minutes(5))
    write(
        ledger, minutes(5), JudgedSlot(late, SlotState.OVERRUN, "", finished(minutes(1), kind="RUNNING", ended_at=None))
    )
    assert [minutes(1)] == [row.slot_at for row in slots.open_slots(ledger, minutes(2 * 24 * 60))]


def test_the_slot_missed_on_purpose_raises_its_alarm_and_wakes_nobody(ledger):
    midnight = AT.replace(hour=0, minute=0) + timedelta(days=1)
    assert [midnight] == [one.at for one in slots.self_tests(AT, AT + timedelta(days=1))]
    assert [] == slots.self_tests(AT, AT + timedelta(hours=2))
    write(ledger, AT)
    slots.promise(ledger, [(one, "") for one in slots.self_tests(AT, midnight)], AT)
    now = midnight + timedelta(minutes=3)
    done = write(ledger, now, *missed(ledger, now))
    assert ((), 0, "nothing wrong; self-test seen") == (done.new, done.exit_code, done.detail)
    assert [(SELF_TEST,)] == rows(ledger, JobEventRow, JobEventRow.deployment)
    assert [] == rows(ledger, OutboxRow, OutboxRow.id)


def test_a_watch_that_does_not_notice_its_self_test_says_so_once(ledger):
    write(ledger, AT)
    later = AT.replace(hour=0, minute=3) + timedelta(days=1)
    first, second = write(ledger, later), write(ledger, later + timedelta(minutes=1))
    assert (["self_test"], [], 1, 1) == (
        [one.kind for one in first.new], [one.kind for one in second.new], first.exit_code, second.exit_code
    )  # fmt: skip
    assert [("self_test",)] == rows(ledger, OutboxRow, OutboxRow.kind)


def test_a_watch_that_began_today_has_no_self_test_to_notice(ledger):
    write(ledger, AT)
    assert 0 == write(ledger, minutes(1)).exit_code


def test_a_server_that_is_silent_is_told_once_until_it_answers_again(ledger):
    def blind(number):
        return slots.write_blind(ledger, minutes(number), "no answer", tell, lambda: 0.5)

    write(ledger, minutes(0))
    passes = [blind(1), blind(2)]
    assert [(1, 2), (0, 2)] == [(len(one.new), one.exit_code) for one in passes]
    write(ledger, minutes(3))
    assert 1 == len(blind(4).new)
    assert [("unreachable", "no answer")] * 2 == rows(ledger, OutboxRow, OutboxRow.kind, OutboxRow.body)
    assert minutes(3) == slots.looked_at(ledger)


@pytest.mark.parametrize(
    ("expected", "looked", "silent"),
    [
        (0, [0, 5, 9], []),
        (7, [0, 7, 9], [5]),
        (None, [0, 5], [9]),
        (None, [], []),
        (None, [-2], []),
        (9, [-4, 9], []),
    ],
)
def test_the_server_has_answered_since_the_first_pass_without_a_gap(ledger, expected, looked, silent):
    with Session(ledger) as session, session.begin():
        for number in looked:
            session.add(WatchRow(at=minutes(number), seconds=1, ok=True, detail="nothing wrong"))
        for number in silent:
            session.add(WatchRow(at=minutes(number), seconds=1, ok=False, detail="could not look: no answer"))
    assert (None if expected is None else minutes(expected)) == slots.answered_since(ledger, minutes(10))


def test_the_ledger_knows_what_a_run_left_behind(ledger):
    write_round(ledger, **a_round(), flow_run_id="full")
    write_round(ledger, **a_round("run-2", verdicts=[]), flow_run_id="empty")
    assert {"full": RecordedRun(2, 2), "empty": RecordedRun(0, 0)} == slots.read_kept(ledger, ["full", "empty", "none"])


@pytest.mark.parametrize(
    ("expected", "site", "everything"),
    [
        ([], "", ""),
        (["slack-webhook/ops", "apprise/mail"], "", "slack-webhook/ops, apprise/mail,"),
        (["slack-webhook/ops"], "no-such-site", "slack-webhook/ops"),
        (["slack-webhook/ops"], "demo", "slack-webhook/ops"),
    ],
)
def test_who_hears_of_a_job(monkeypatch, expected, site, everything):
    monkeypatch.setenv("ROUNDSMAN_NOTIFY", everything)
    assert expected == slots.channels_for(site)


def test_a_slot_that_was_taken_away_under_a_pass_is_no_trouble(ledger):
    slots.promise(ledger, [(slot(), "shop")], AT)
    seen = missed(ledger, minutes(3))
    with Session(ledger) as session, session.begin():
        session.execute(delete(SlotRow))
    assert () == write(ledger, minutes(3), *seen).new


def missing(engine, at, channels=("slack-webhook/ops",)):
    """A slot that nobody fills, and the pass that notices it."""
    slots.promise(engine, [(slot(at), "shop")], at)
    now = at + timedelta(minutes=3)
    found = WatchFindings(now, missed(engine, now), (), JOBS)
    return slots.write(engine, found, lambda trouble: (tell(trouble)[0], list(channels)), lambda: 0.5)


def running_well(engine, at):
    slots.promise(engine, [(slot(at), "shop")], at)
    (row,) = [row for row in slots.open_slots(engine, at) if row.slot_at == at]
    return write(engine, at + timedelta(minutes=2), JudgedSlot(row, SlotState.FINISHED, "", finished(at)))


def letters(engine):
    return rows(engine, OutboxRow, OutboxRow.kind, OutboxRow.channel, OutboxRow.subject)


@pytest.fixture
def operators(monkeypatch, url):
    def named(*channels):
        monkeypatch.setenv("ROUNDSMAN_NOTIFY", ",".join(channels))

    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    named()
    return named


LETTER = "not_started", "slack-webhook/ops", "not_started inspect-shop"


def test_a_channel_that_comes_after_a_job_broke_hears_of_it_once(ledger, operators):
    for hour in range(3):
        missing(ledger, minutes(60 * hour), channels=())
    assert 0 == asyncio.run(tell_new_channels.fn())
    operators("slack-webhook/ops")
    assert [1, 0] == [asyncio.run(tell_new_channels.fn()) for _ in range(2)]
    assert [LETTER] == letters(ledger)
    assert "as of: " in rows(ledger, OutboxRow, OutboxRow.body)[0][0]


def test_a_job_that_runs_well_again_is_told_under_the_key_of_its_trouble(ledger, operators):
    operators("slack-webhook/ops")
    missing(ledger, AT)
    running_well(ledger, minutes(60))
    running_well(ledger, minutes(120))
    assert [LETTER, ("resolved", "slack-webhook/ops", "RESOLVED: job inspect-shop")] == letters(ledger)
    assert 1 == len({key for (key,) in rows(ledger, OutboxRow, OutboxRow.dedup_key)})
    operators("slack-webhook/ops", "slack-webhook/late")
    assert 0 == asyncio.run(tell_new_channels.fn())


def test_what_broke_again_after_it_ran_well_is_told_again(ledger, operators):
    operators("slack-webhook/ops")
    missing(ledger, AT)
    running_well(ledger, minutes(60))
    missing(ledger, minutes(120))
    assert ["not_started", "resolved", "not_started"] == [kind for kind, *_ in letters(ledger)]


def test_trouble_of_a_job_that_has_no_schedule_any_more_is_let_go_after_twelve_hours(ledger, operators):
    missing(ledger, AT, channels=())
    write(ledger, minutes(60 * 11), jobs={})
    assert "inspect-shop" in {subject for (subject,) in rows(ledger, IncidentRow, IncidentRow.subject)}
    write(ledger, minutes(60 * 13), jobs={})
    assert "inspect-shop" not in {subject for (subject,) in rows(ledger, IncidentRow, IncidentRow.subject)}


def test_a_round_of_the_site_leaves_the_trouble_of_its_jobs_open(ledger, operators):
    missing(ledger, AT)
    told(a_site("ops"), a_report(0))
    assert [(None,)] == rows(ledger, IncidentRow, IncidentRow.resolved_at)
