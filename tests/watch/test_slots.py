"""What became of a promised run, and which run is dead."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.watch.rules.slots import (
    LifeSigns,
    RecordedRun,
    Run,
    Slot,
    SlotState,
    dead,
    extra_runs,
    judge,
    kind,
    overlaps,
)

AT = datetime(2026, 3, 29, 1, 7, tzinfo=UTC)
SLOT = Slot("inspect-shop", AT, start_grace=120, max_runtime=900, min_runtime=1, rounds=True)
FULL = RecordedRun(verdicts=12, exchanges=40)
WANT = "Deployment concurrency limit reached."


def after(seconds):
    return AT + timedelta(seconds=seconds)


def run(kind="RUNNING", state="", message="", start=None, end=None, **more):
    return Run(
        id=more.pop("id", "run-1"),
        deployment=more.pop("deployment", "inspect-shop"),
        kind=kind,
        state=state or kind.capitalize(),
        message=message,
        state_id="state-1",
        state_at=after(more.pop("since", 0)),
        expected_at=AT,
        started_at=None if start is None else after(start),
        ended_at=None if end is None else after(end),
        **more,
    )


WAITING, STARTED, FINISHED = (SlotState.WAITING, ""), (SlotState.STARTED, ""), (SlotState.FINISHED, "")


@pytest.mark.parametrize(
    ("expected", "seen", "kept", "now"),
    [
        (WAITING, None, None, 120),
        ((SlotState.NOT_STARTED, "Prefect made no run of it, 121 s after its time; 120 s are its grace"), None, None, 121),
        (WAITING, run("SCHEDULED", "Late"), None, 100),
        ((SlotState.NOT_STARTED, "its run is Late, 300 s after its time; 120 s are its grace"), run("SCHEDULED", "Late"), None, 300),
        ((SlotState.NOT_STARTED, "its run is Pending, 300 s after its time; 120 s are its grace"), run("PENDING"), None, 300),
        # The run before may take its 900 s.
        (WAITING, run("SCHEDULED", "AwaitingConcurrencySlot"), None, 1020),
        ((SlotState.NOT_STARTED, "its run is AwaitingConcurrencySlot, 1021 s after its time; 120 s are its grace"), run("SCHEDULED", "AwaitingConcurrencySlot"), None, 1021),
        (STARTED, run(start=2), None, 902),
        ((SlotState.OVERRUN, "has run for 901 s, and 900 s are its most"), run(start=2), None, 903),
        ((SlotState.STARTED, "began 200 s late; 120 s are its grace"), run(start=200), None, 250),
        (STARTED, run(start=120), None, 250),
        (STARTED, run(start=1020, queued=True), None, 1030),
        ((SlotState.STARTED, "began 1021 s late; 1020 s are its grace"), run(start=1021, queued=True), None, 1030),
        ((SlotState.OVERRUN, "has run for 901 s, and 900 s are its most; began 200 s late; 120 s are its grace"), run(start=200), None, 1101),
        (STARTED, run("SCHEDULED", "AwaitingRetry", start=2), None, 500),
        (STARTED, run("PAUSED", start=2), None, 500),
        (FINISHED, run("COMPLETED", start=2, end=30), FULL, 60),
        ((SlotState.LATE, "began 200 s late; 120 s are its grace"), run("COMPLETED", start=200, end=230), FULL, 260),
        ((SlotState.LATE, "began 18000 s late; 120 s are its grace"), run("COMPLETED", start=18000, end=18030), FULL, 30000),
        ((SlotState.LATE, "began 200 s late; 120 s are its grace"), run("FAILED", "Breach", start=200, end=230), FULL, 260),
        ((SlotState.LATE, "closed after its round was recorded; began 200 s late; 120 s are its grace"), run("CRASHED", "Closed", start=200, end=230), FULL, 260),
        ((SlotState.TOO_FAST, "took 0.5 s, and can't do its work in less than 1 s; began 200 s late; 120 s are its grace"), run("COMPLETED", start=200, end=200.5), FULL, 260),
        ((SlotState.FAILED, "Failed: boom; began 200 s late; 120 s are its grace"), run("FAILED", message="boom", start=200, end=230), None, 300),
        (FINISHED, run("FAILED", "Breach", start=2, end=30), FULL, 60),
        (FINISHED, run("FAILED", "Unknown", start=2, end=30), FULL, 60),
        ((SlotState.OVERRUN, "took 998 s, and 900 s are its most"), run("COMPLETED", start=2, end=1000), FULL, 2000),
        ((SlotState.TOO_FAST, "took 0.5 s, and can't do its work in less than 1 s"), run("COMPLETED", start=2, end=2.5), FULL, 60),
        ((SlotState.DID_NOTHING, "Completed after 28.0 s, and the ledger has no round of it"), run("COMPLETED", start=2, end=30), None, 60),
        ((SlotState.DID_NOTHING, "Breach after 28.0 s, and the ledger has no round of it"), run("FAILED", "Breach", start=2, end=30), None, 60),
        ((SlotState.DID_NOTHING, "Completed after 28.0 s with 0 verdicts and 0 exchanges"), run("COMPLETED", start=2, end=30), RecordedRun(0, 0), 60),
        ((SlotState.DID_NOTHING, "Completed after 28.0 s with 3 verdicts and 0 exchanges"), run("COMPLETED", start=2, end=30), RecordedRun(3, 0), 60),
        (FINISHED, run("FAILED", "Unknown", start=2, end=30), RecordedRun(1, 0), 60),
        ((SlotState.STARTED, "Failed; it may still speak for itself"), run("FAILED", start=2, end=30), None, 60),
        ((SlotState.FAILED, "Failed: boom"), run("FAILED", message="boom", start=2, end=30), None, 61),
        ((SlotState.FAILED, "TimedOut: 900 s"), run("FAILED", "TimedOut", "900 s", start=2, end=30), None, 61),
        ((SlotState.FAILED, "Crashed: code 1"), run("CRASHED", message="code 1", end=5), None, 60),
        ((SlotState.FAILED, "Closed: gone"), run("CRASHED", "Closed", "gone", start=2, end=30), None, 31),
        ((SlotState.STARTED, "Crashed; it may still speak for itself"), run("CRASHED", start=2, end=30), FULL, 60),
        ((SlotState.FAILED, "Crashed: after it was recorded"), run("CRASHED", message="after it was recorded", start=2, end=30), FULL, 61),
        ((SlotState.FINISHED, "closed after its round was recorded"), run("CRASHED", "Closed", start=2, end=5000), FULL, 5001),
        ((SlotState.SKIPPED, f"for want of a slot: {WANT}"), run("CANCELLED", message=WANT), None, 1),
        ((SlotState.SKIPPED, "cancelled by somebody: no message"), run("CANCELLED", start=2, end=30), None, 60),
        ((SlotState.SKIPPED, "cancelled by somebody: not today"), run("CANCELLED", message="not today"), None, 500),
        ((SlotState.SKIPPED, f"for want of a slot: {WANT}"), run("CANCELLED", message=WANT, start=200, end=200), None, 500),
    ],
)  # fmt: skip
def test_a_slot_is_judged_by_its_run_and_by_the_ledger(expected, seen, kept, now):
    assert expected == judge(SLOT, seen, kept, after(now))


def test_a_job_that_keeps_no_rounds_need_not_have_one():
    assert FINISHED == judge(replace(SLOT, rounds=False), run("COMPLETED", start=2, end=30), None, after(60))


@pytest.mark.parametrize(
    ("expected", "state", "seen"),
    [
        ("", SlotState.WAITING, None),
        ("", SlotState.STARTED, run()),
        ("", SlotState.FINISHED, run("COMPLETED")),
        ("not_started", SlotState.NOT_STARTED, None),
        ("overrun", SlotState.OVERRUN, run()),
        ("too_fast", SlotState.TOO_FAST, run("COMPLETED")),
        ("did_nothing", SlotState.DID_NOTHING, run("COMPLETED")),
        ("late", SlotState.LATE, run("COMPLETED")),
        ("failed", SlotState.FAILED, run("FAILED")),
        ("timed_out", SlotState.FAILED, run("FAILED", "TimedOut")),
        ("crashed", SlotState.FAILED, run("CRASHED")),
        ("closed", SlotState.FAILED, run("CRASHED", "Closed")),
        ("cancelled", SlotState.SKIPPED, run("CANCELLED", message=WANT)),
        ("", SlotState.SKIPPED, run("CANCELLED", message="not today")),
        ("", SlotState.SKIPPED, None),
        ("paused", SlotState.PAUSED, None),
    ],
)
def test_trouble_goes_by_the_name_that_the_run_would_have_given_itself(expected, state, seen):
    assert expected == kind(state, seen)


@pytest.mark.parametrize(
    ("expected", "other"),
    [
        (True, run(id="other", start=0)),
        (True, run("COMPLETED", id="other", start=0, end=11)),
        (False, run("COMPLETED", id="other", start=0, end=10)),
        (False, run(id="other", start=20)),
        (False, run("PENDING", id="other")),
        (False, run(id="other", start=0, deployment="inspect-blog")),
        (False, run(id="run-1", start=0)),
    ],
)
def test_a_run_overlaps_with_one_that_was_under_way_when_it_started(expected, other):
    assert expected is overlaps(run(start=10), [other])


def test_a_run_that_was_refused_for_want_of_a_slot_overlaps_with_none():
    """Prefect gives it a start and an end, both when it was refused."""
    refused = run("CANCELLED", message=WANT, start=10, end=10)
    assert not overlaps(refused, [run(id="other", start=0)])


def test_of_two_runs_that_overlap_only_the_later_one_is_blamed():
    one, two = run(id="a", start=0), run(id="b", start=0)
    assert [False, True] == [overlaps(one, [one, two]), overlaps(two, [one, two])]


SLOT_TIME = "inspect-shop", AT
TWICE = "Prefect started 2 runs of inspect-shop for its one slot of 2026-03-29 01:07:00 UTC: {} and {}".format
NO_SLOT = "Prefect started the run {} of inspect-shop for 2026-03-29 01:07:00 UTC, a time that none of its schedules has".format
FIRST, SECOND = run("COMPLETED", id="first", start=1, end=9), run(id="second", start=2)


@pytest.mark.parametrize(
    ("expected", "runs", "holders", "unforeseen"),
    [
        ({}, [FIRST], {}, ()),
        ({}, [FIRST], {SLOT_TIME: ""}, ()),
        ({}, [FIRST], {SLOT_TIME: "first"}, ()),
        ({"second": TWICE("first", "second")}, [SECOND, FIRST], {SLOT_TIME: ""}, ()),
        ({"second": TWICE("first", "second")}, [SECOND, FIRST], {}, ()),
        # The first one began before the runs that were read.
        ({"second": TWICE("first", "second")}, [SECOND], {SLOT_TIME: "first"}, ()),
        ({"first": TWICE("second", "first")}, [SECOND, FIRST], {SLOT_TIME: "second"}, ()),
        ({"first": NO_SLOT("first")}, [FIRST], {}, {SLOT_TIME}),
        ({"first": NO_SLOT("first"), "second": NO_SLOT("second")}, [FIRST, SECOND], {}, {SLOT_TIME}),
        # By hand, not begun, refused for want of a concurrency slot, of another time, of another deployment.
        ({}, [FIRST, replace(SECOND, scheduled=False)], {}, ()),
        ({}, [replace(FIRST, scheduled=False)], {}, {SLOT_TIME}),
        ({}, [FIRST, run("SCHEDULED", "Late", id="second")], {}, ()),
        ({}, [run("PENDING", id="second")], {}, {SLOT_TIME}),
        ({}, [FIRST, run("CANCELLED", message=WANT, id="second", start=2, end=2)], {}, ()),
        ({}, [FIRST, replace(SECOND, expected_at=after(60))], {}, ()),
        ({}, [FIRST, replace(SECOND, deployment="inspect-blog")], {}, ()),
    ],
)
def test_a_second_run_for_a_slot_and_a_run_without_one_are_one_too_many(expected, runs, holders, unforeseen):
    assert expected == {extra.id: why for extra, why in extra_runs(runs, holders, unforeseen)}


def test_a_run_that_was_tried_again_is_still_one_run():
    assert [] == extra_runs([FIRST, replace(FIRST, kind="RUNNING", ended_at=None)], {}, ())


GONE = "its process 4711 is gone, and nobody reported its end"
SILENT = "its last heartbeat is 91 s old, and one is due every 30 s"


@pytest.mark.parametrize(
    ("expected", "seen", "signs", "since"),
    [
        ("", run(start=0), LifeSigns(), 0),
        ("", run(start=0), LifeSigns(process=True), 0),
        (GONE, run(start=0, pid=4711), LifeSigns(process=False), 0),
        (GONE, run("CANCELLING", start=0, pid=4711), LifeSigns(process=False), 0),
        ("", run("COMPLETED", start=0, end=1, pid=4711), LifeSigns(process=False), 0),
        ("", run("PAUSED", start=0, pid=4711), LifeSigns(process=False), 0),
        ("", run("SCHEDULED", "AwaitingRetry", start=0, pid=4711), LifeSigns(process=False), 0),
        (SILENT, run(start=0), LifeSigns(heartbeat=after(909)), 0),
        ("", run(start=0), LifeSigns(heartbeat=after(910)), 0),
        ("", run(start=0), LifeSigns(process=True, heartbeat=after(0)), 0),
        ("", run(start=0), LifeSigns(heartbeat=after(0)), 950),
        ("", run(start=0), LifeSigns(heartbeat=after(0)), None),
        ("was taken by a worker 17 min ago and has not begun", run("PENDING"), LifeSigns(), None),
        ("", run("PENDING", since=400), LifeSigns(), None),
        ("", run("PENDING"), LifeSigns(process=True), None),
        (GONE, run("PENDING", pid=4711), LifeSigns(process=False), None),
    ],
)
def test_a_run_is_dead_when_its_process_is_gone_or_its_heart_stopped(expected, seen, signs, since):
    now = after(1000)
    assert expected == dead(seen, signs, now, 30, None if since is None else after(since))
