"""Rehearsals with real commands against two releases of the demo, and the ones that go wrong or are killed."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from roundsman.ledger.ledger import command_hash, last_rehearsal, open_ledger
from roundsman.rollback.rehearse import RehearsalRefused
from roundsman.rollback.rules.fingerprint import Fingerprint, PageFingerprint
from roundsman.rollback.rules.plan import COURSE, Ending, Leg, LegState, is_safe, where
from roundsman.rollback.steps import LegFailedError
from roundsman.rollback.store import RehearsalTakenOverError, steps_of
from tests.releases import (
    BACK,
    BREAKS,
    DEAF,
    DEPLOY,
    ESCAPES,
    HALF,
    HANGS,
    NOOP,
    RELEASES,
    SWITCH,
    Place,
    course,
    gone,
    killed_in,
    let_expire,
    serving,
    took,
    walked,
)

OLD, NEW = RELEASES[1:]
NEWLINE = "\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.setenv("DEPLOY_TOKEN", "hush-4711")
    (tmp_path / "place").mkdir()
    with serving(tmp_path / "place") as place:
        yield place


@pytest.fixture
def engine(place, tmp_path):
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    yield engine
    engine.dispose()


async def rehearsed(path):
    """A whole rehearsal, ended when a leg fails; what it was ended by, and the run."""
    held = await asyncio.to_thread(took, path)
    try:
        await walked(held.run)
    finally:
        held.close()
    return held.run


async def test_a_release_comes_goes_and_comes_again(place, engine):
    run = await rehearsed(place.written())
    assert [(leg, LegState.PASSED) for leg in COURSE] == [(step.leg, step.state) for step in run.steps]
    assert ["staging deploy 1.8.2", "staging back 1.8.1", "staging deploy 1.8.2"] == place.log
    assert (OLD, NEW, NEW, True) == (run.before, run.after, run.now.running, is_safe(run.state))
    # What is in memory is in the ledger, with the output, and no secret in it.
    assert tuple(run.steps) == steps_of(engine, run.attempt)
    told = {step.leg: step.output for step in run.steps}
    assert "switching to 1.8.2 with ..." == told[Leg.DEPLOY]


BAD = [
    # A rollback that exits 0 and changes nothing: the new release was seen to be good, so it stays.
    (NOOP, Leg.VERIFY_ROLL_BACK, "it runs 1.8.2 and is healthy; wanted 1.8.1, healthy", Ending.NOTHING, NEW, True),
    (HANGS, Leg.ROLL_BACK, "no end after 1s; it was killed with everything it started", Ending.NOTHING, NEW, True),
    (BREAKS, Leg.ROLL_BACK, "exit 7: broken", Ending.DEPLOY, NEW, True),
    (
        HALF,
        Leg.FINGERPRINT_BACK,
        # It says that it is healthy, and is not what was there before; the new release was seen to be good.
        "not as before: /articles/tomatoes: status 500 instead of 200",
        Ending.DEPLOY,
        NEW,
        True,
    ),
]


@pytest.mark.parametrize(("script", "leg", "says", "way", "running", "safe"), BAD)
async def test_a_rollback_that_does_not_work_is_told_and_ended_safely(place, script, leg, says, way, running, safe):
    place.write("back", script)
    run = await rehearsed(place.written(rehearsal={"timeout": "1s"}))
    failed = next(step for step in run.steps if step.state is LegState.FAILED)
    assert (leg, says) == (failed.leg, failed.detail)
    assert (way, running, safe) == (run.ending, place.running, is_safe(run.state))
    assert running == run.now.running


@pytest.mark.parametrize("script", [HANGS, ESCAPES, pytest.param(DEAF, marks=pytest.mark.slow)])
async def test_the_grandchildren_of_a_rollback_that_hangs_are_dead_afterwards(place, script):
    place.write("back", script)
    await rehearsed(place.written(rehearsal={"timeout": "1s"}))
    assert gone((place.folder / "grandchild").read_text().strip())


async def test_a_rollback_to_an_artefact_that_is_gone_is_told(place):
    (place.folder / "releases" / OLD).rmdir()
    run = await rehearsed(place.written())
    failed = next(step for step in run.steps if step.state is LegState.FAILED)
    assert (Leg.ROLL_BACK, "exit 4: releases/1.8.1 is gone", 4) == (failed.leg, failed.detail, failed.exit_code)
    assert (Ending.NOTHING, NEW) == (run.ending, place.running)


async def test_a_deploy_that_breaks_the_site_is_rolled_back(place):
    place.write("deploy", "#!/bin/sh\ncd @\necho 9.9.9 > current\n")
    place.write("back", f"#!/bin/sh\ncd @\necho {OLD} > current\n")
    run = await rehearsed(place.written())
    assert [Leg.VERIFY_DEPLOY, Leg.END_BY_ROLL_BACK] == [step.leg for step in run.steps[-2:]]
    assert (Ending.ROLL_BACK, OLD) == (run.ending, place.running)


async def test_a_site_that_can_not_be_mended_is_left_to_people(place):
    place.write("deploy", "#!/bin/sh\ncd @\necho 9.9.9 > current\n")
    place.write("back", NOOP)
    run = await rehearsed(place.written())
    assert (Ending.BY_HAND, False) == (run.ending, is_safe(run.state))
    assert "which version runs can't be read and is not healthy" == where(run.state)


async def test_a_deploy_that_changes_nothing_proves_nothing_and_runs_no_rollback(place):
    place.run(NEW)
    run = await rehearsed(place.written())
    assert "the deploy changed nothing: it runs 1.8.2 as before; nothing to go back from" == run.steps[-1].detail
    assert (["staging deploy 1.8.2"], Ending.NOTHING) == (place.log, run.ending)


TELLS = {"schema_head": {"path": "/schema"}, "data_checksum": {"path": "/data"}}
MIGRATES = f"#!/bin/sh\ncd @\necho b2 > schema\n{DEPLOY.partition(NEWLINE)[2]}"
DATABASES = [
    # The old release on the new schema: the site file says whether that is meant.
    (BACK, {}, "not as before: schema head b2 instead of b1", Ending.DEPLOY),
    (BACK, {"schema_stays": True}, "", Ending.NOTHING),
    (f"#!/bin/sh\ncd @\necho b1 > schema\n{BACK.partition(NEWLINE)[2]}", {}, "", Ending.NOTHING),
    (
        f"#!/bin/sh\ncd @\necho lost > data\n{BACK.partition(NEWLINE)[2]}",
        {"schema_stays": True},
        "not as before: data checksum lost instead of 9f",
        Ending.NOTHING,
    ),
]


@pytest.mark.parametrize(("script", "drill", "says", "way"), DATABASES)
async def test_a_rollback_has_to_bring_back_the_schema_unless_it_is_meant_to_stay(place, script, drill, says, way):
    for name, said in (("schema", "b1"), ("data", "9f")):
        (place.folder / name).write_text(said)
    place.write("deploy", MIGRATES)
    place.write("back", script)
    run = await rehearsed(place.written(**TELLS, rehearsal=drill))
    failed = [step.detail for step in run.steps if step.state is LegState.FAILED]
    assert ([says] if says else [], way, True) == (failed, run.ending, is_safe(run.state))


@pytest.mark.parametrize(("gone", "what"), [("schema", "schema head"), ("data", "data checksum")])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_can_not_be_read_is_not_taken_for_unchanged(place, gone, what, when):
    for name, said in (("schema", "b1"), ("data", "9f")):
        (place.folder / name).write_text(said)
    if when == "before":
        (place.folder / gone).unlink()
    else:
        place.write("deploy", f"#!/bin/sh\ncd @\nmv {gone} kept\n{DEPLOY.partition(NEWLINE)[2]}")
        place.write("back", f"#!/bin/sh\ncd @\nmv kept {gone}\n{BACK.partition(NEWLINE)[2]}")
    run = await rehearsed(place.written(**TELLS))
    failed = [(step.leg, step.detail) for step in run.steps if step.state is LegState.FAILED]
    leg = Leg.FINGERPRINT_BEFORE if when == "before" else Leg.FINGERPRINT_DEPLOYED
    assert [(leg, f"the {what} at /{gone} can't be read")] == failed
    assert (place.log == []) is (when == "before")
    assert OLD == place.running


async def test_no_command_is_run_in_production_when_another_version_came_meanwhile(place):
    held = await asyncio.to_thread(took, place.written())
    held.run.plan = replace(held.run.plan, confirmed="1.8.0")
    with pytest.raises(LegFailedError, match=r"it runs 1.8.1 now, and 1.8.0 was confirmed"):
        await course(held.run)
    held.close()
    assert [] == place.log


def test_a_rehearsal_is_kept_alike_in_either_database(tmp_path, url, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    (tmp_path / "place").mkdir()
    place = Place(tmp_path / "place")
    place.address = "http://127.0.0.1:9"
    path = place.written()
    open_ledger(url).dispose()
    held = took(path)
    assert isinstance(took(path), RehearsalRefused)
    held.lease.begin_leg(held.run.attempt, 0, Leg.DEPLOY)
    held.lease.note(
        held.run.attempt, before_version=OLD, before=Fingerprint(OLD, "b1", {"/": PageFingerprint(200, "x")}).as_json()
    )
    let_expire(held.engine)
    after = took(path)
    assert (True, Leg.DEPLOY, OLD) == (after.is_resumed, after.interrupted_in, after.run.before)
    assert Fingerprint(OLD, "b1", {"/": PageFingerprint(200, "x")}) == after.run.seen[Leg.FINGERPRINT_BEFORE]
    with pytest.raises(RehearsalTakenOverError):
        held.lease.renew()
    command = [str(place.folder / "back")]
    proof = {"rule": "release", "command_hash": command_hash(command), "ok": True, "seconds": 1.5}
    after.lease.end(after.run.attempt, "failed", "it runs", {**proof, "from_version": NEW, "to_version": OLD})
    assert NEW == last_rehearsal(after.engine, "demo", "release", command).from_version
    after.close()
    third = took(path)
    assert not third.is_resumed
    third.close()
    held.engine.dispose()


#: The leg, where in it the run is killed, what runs then, what the next run does, and what runs at the end.
KILLS = [
    (Leg.PRECHECK, "begin", OLD, Ending.NOTHING, OLD),
    (Leg.FINGERPRINT_BEFORE, "begin", OLD, Ending.NOTHING, OLD),
    (Leg.DEPLOY, "begin", OLD, Ending.NOTHING, OLD),
    (Leg.DEPLOY, "before", OLD, Ending.NOTHING, OLD),
    (Leg.DEPLOY, "after", NEW, Ending.ROLL_BACK, OLD),
    (Leg.VERIFY_DEPLOY, "begin", NEW, Ending.ROLL_BACK, OLD),
    (Leg.FINGERPRINT_DEPLOYED, "begin", NEW, Ending.ROLL_BACK, OLD),
    # The new release was seen to be good, and nobody knows how far the rollback came.
    (Leg.ROLL_BACK, "begin", NEW, Ending.NOTHING, NEW),
    (Leg.ROLL_BACK, "before", NEW, Ending.NOTHING, NEW),
    # Rolled back once more it would run 1.8.0.
    (Leg.ROLL_BACK, "after", OLD, Ending.NOTHING, OLD),
    (Leg.VERIFY_ROLL_BACK, "begin", OLD, Ending.NOTHING, OLD),
    (Leg.FINGERPRINT_BACK, "begin", OLD, Ending.NOTHING, OLD),
    (Leg.DEPLOY_AGAIN, "begin", OLD, Ending.NOTHING, OLD),
    (Leg.DEPLOY_AGAIN, "before", OLD, Ending.NOTHING, OLD),
    (Leg.DEPLOY_AGAIN, "after", NEW, Ending.NOTHING, NEW),
    (Leg.VERIFY_DEPLOY_AGAIN, "begin", NEW, Ending.NOTHING, NEW),
]


@pytest.mark.slow
@pytest.mark.parametrize(("leg", "when", "left", "way", "running"), KILLS)
async def test_a_run_that_is_killed_in_a_leg_is_known_to_the_next_one_which_ends_it(
    place, engine, leg, when, left, way, running
):
    path = place.written()
    assert -9 == await asyncio.to_thread(killed_in, path, str(engine.url), when, leg)
    assert left == place.running
    assert isinstance(await asyncio.to_thread(took, path), RehearsalRefused)
    let_expire(engine)
    held = await asyncio.to_thread(took, path)
    assert (True, leg) == (held.is_resumed, held.interrupted_in)
    assert way == await held.run.end()
    assert (running, running, True) == (place.running, held.run.now.running, is_safe(held.run.state))
    held.close()


#: As above, in a rehearsal that goes wrong by itself: the deploy brings no release, or the rollback breaks the site.
LOST = "#!/bin/sh\ncd @\necho 9.9.9 > current\n"
BACK_TO_OLD = f"#!/bin/sh\ncd @\nwanted={OLD}\n{SWITCH}"
ENDS = [
    # The way out is tried once more only where it can be seen that it did not come about.
    ({"deploy": LOST, "back": BACK_TO_OLD}, Leg.END_BY_ROLL_BACK, "begin", "9.9.9", Ending.BY_HAND, "9.9.9", False),
    ({"deploy": LOST, "back": BACK_TO_OLD}, Leg.END_BY_ROLL_BACK, "after", OLD, Ending.NOTHING, OLD, True),
    ({"back": BREAKS}, Leg.END_BY_DEPLOY, "begin", "9.9.9", Ending.BY_HAND, "9.9.9", False),
    # Half a rollback answers that it is healthy; the next run knows the page that did not.
    ({"back": HALF}, Leg.FINGERPRINT_BACK, "begin", OLD, Ending.DEPLOY, NEW, True),
    ({"back": HALF}, Leg.END_BY_DEPLOY, "begin", OLD, Ending.DEPLOY, NEW, True),
    ({"back": HALF}, Leg.END_BY_DEPLOY, "before", OLD, Ending.DEPLOY, NEW, True),
]


@pytest.mark.slow
@pytest.mark.parametrize(("scripts", "leg", "when", "left", "way", "running", "safe"), ENDS)
async def test_a_run_that_is_killed_while_it_ends_a_bad_rehearsal_is_known_as_well(
    place, engine, scripts, leg, when, left, way, running, safe
):
    for name, script in scripts.items():
        place.write(name, script)
    path = place.written()
    assert -9 == await asyncio.to_thread(killed_in, path, str(engine.url), when, leg)
    assert left == place.running
    let_expire(engine)
    held = await asyncio.to_thread(took, path)
    assert leg == held.interrupted_in
    assert way == await held.run.end()
    assert (running, safe) == (place.running, is_safe(held.run.state))
    held.close()


def test_of_two_at_once_one_is_refused(place):
    path = place.written()
    first = took(path)
    second = took(path)
    assert isinstance(second, RehearsalRefused)
    assert "is rehearsing demo in staging" in second.reason
    first.close()
    third = took(path)
    assert third.is_resumed
    third.close()


async def test_a_run_that_was_taken_over_writes_and_runs_nothing_more(place, engine):
    first = await asyncio.to_thread(took, place.written())
    let_expire(engine)
    second = await asyncio.to_thread(took, place.written())
    with pytest.raises(RehearsalTakenOverError):
        await first.run.run_leg(Leg.DEPLOY)
    first.close()
    second.lease.renew()
    assert ([], ()) == (place.log, steps_of(engine, first.run.attempt))
    for one in (first, second):
        one.engine.dispose()


def taken_over(engine):
    """The lease is somebody else's."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE rehearsal_lease SET token = token + 1"))


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not come about in 10 s")


async def test_a_command_is_ended_when_the_lease_is_lost(place, engine, monkeypatch):
    monkeypatch.setattr("roundsman.rollback.steps.MAX_UNRENEWED_SECONDS", 2.0)
    place.write("deploy", HANGS)
    held = await asyncio.to_thread(took, place.written())
    await held.run.run_leg(Leg.PRECHECK)
    running = asyncio.ensure_future(held.run.run_leg(Leg.DEPLOY))
    await until((place.folder / "grandchild").exists)
    taken_over(engine)
    with pytest.raises(RehearsalTakenOverError):
        await running
    assert gone(Path(place.folder / "grandchild").read_text().strip())
    held.engine.dispose()


async def test_a_command_whose_runner_stands_still_is_ended(place, monkeypatch):
    """As when the machine slept: nobody says any more that the lease is held."""
    monkeypatch.setattr("roundsman.rollback.steps.MAX_UNRENEWED_SECONDS", 0.1)
    place.write("deploy", HANGS)
    held = await asyncio.to_thread(took, place.written())
    monkeypatch.setattr(type(held.lease), "renew", lambda _: time.sleep(3))
    ran = await held.run._supervised(held.run.release.deploy)
    assert "exit 143: it was ended: its runner was not heard for 0.1s" == ran.trouble
    assert gone(Path(place.folder / "grandchild").read_text().strip())
    held.engine.dispose()
