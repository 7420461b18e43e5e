"""What schedules promise, also when clocks change, and which process is whose."""

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.server.schemas import schedules as server_schedules
from pydantic import TypeAdapter

from flows.tasks.watch import Deployment, foreseen, process, promised
from tests.watch.test_slots_rows import AT, finished, minutes


def scheduled(*schedules, created=datetime(2026, 1, 1, tzinfo=UTC), updated=None, stopped=()):
    active, stopped = (
        tuple(DeploymentSchedule(schedule=one, updated=updated) for one in every) for every in (schedules, stopped)
    )
    return Deployment(
        id=uuid4(),
        name="inspect-shop",
        entrypoint="flows.jobs.inspect_site.inspect_site",
        site="shop",
        owner="",
        created=created,
        active=active,
        stopped=stopped,
        heartbeat=30,
    )


SCHEDULES = TypeAdapter(server_schedules.SCHEDULE_TYPES)


def berlin(cron):
    return CronSchedule(cron=cron, timezone="Europe/Berlin")


@pytest.mark.parametrize("cron", ["7 * * * *", "30 2 * * *", "*/20 * * * *", "0 3 * * *"])
@pytest.mark.parametrize("day", [datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)])
async def test_when_clocks_change_every_pass_promises_the_same(cron, day):
    one, end = scheduled(berlin(cron)), day + timedelta(hours=12)
    whole = await promised(one, day, end)
    assert len(whole) == len(set(whole)) > 0
    for number in range(0, 720, 23):
        start = day + timedelta(minutes=number)
        assert [at for at in whole if at > start] == await promised(one, start, end), start


@pytest.mark.parametrize("cron", ["7 * * * *", "30 2 * * *", "*/20 * * * *", "0 3 * * *"])
@pytest.mark.parametrize("day", [datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)])
async def test_when_clocks_change_no_run_that_prefect_makes_is_unforeseen(cron, day):
    schedule = SCHEDULES.validate_python(berlin(cron).model_dump())
    made = set()
    for number in range(0, 720, 23):
        start = day + timedelta(minutes=number)
        made |= {datetime.fromtimestamp(at.timestamp(), UTC) for at in await schedule.get_dates(n=20, start=start)}
    assert made
    one = scheduled(berlin(cron))
    assert set() == {at for at in made if not await foreseen(one, at)}
    assert not await foreseen(one, day + timedelta(minutes=11))
    assert await foreseen(scheduled(stopped=[berlin(cron)]), max(made))


async def test_a_job_of_each_minute_is_promised_each_of_them_for_a_whole_day():
    day = await promised(scheduled(berlin("* * * * *")), AT, minutes(1440))
    assert [minutes(number) for number in range(1, 1441)] == day


async def test_a_schedule_is_built_once_however_often_it_is_asked(monkeypatch):
    """Prefect lists the machine's time zones for each that it builds, which takes milliseconds."""
    built = []
    monkeypatch.setattr(server_schedules, "default_timezone", lambda zone, _: built.append(zone) or zone)
    asked = [scheduled(CronSchedule(cron="41 * * * *", timezone="Asia/Tokyo")) for _ in range(5)]
    for one in asked * 5:
        await promised(one, AT, minutes(60))
    assert ["Asia/Tokyo"] == built


async def test_all_schedules_of_a_deployment_promise_and_a_slot_of_two_is_one():
    every = IntervalSchedule(interval=timedelta(minutes=30), anchor_date=AT.replace(minute=0))
    one = scheduled(berlin("0 * * * *"), every)
    assert [minutes(23), minutes(53), minutes(83)] == await promised(one, AT, minutes(90))
    assert [] == await promised(scheduled(), AT, minutes(90))


async def test_what_a_paused_schedule_would_promise_is_asked_for_by_itself():
    one = scheduled(berlin("0 * * * *"), stopped=[berlin("30 * * * *")])
    assert ([minutes(53)], [minutes(23)]) == (
        await promised(one, AT, minutes(60)),
        await promised(one, AT, minutes(60), stopped=True),
    )


async def test_what_was_promised_before_the_schedule_was_there_is_not_invented():
    one = scheduled(berlin("0 * * * *"), created=minutes(60))
    assert [minutes(113)] == await promised(one, AT, minutes(120), known=False)
    resumed = scheduled(berlin("0 * * * *"), updated=minutes(60))
    assert [minutes(113)] == await promised(resumed, AT, minutes(120), known=False)
    assert [] == await promised(resumed, AT, minutes(30), known=False)
    assert [minutes(53), minutes(113)] == await promised(resumed, AT, minutes(120))


@pytest.fixture
def running():
    """A process that carries a run's id, as a worker's does."""
    environment = {**os.environ, "PREFECT__FLOW_RUN_ID": "run-1"}
    # Its environment can be read once it has begun, a moment after it is there.
    command = [sys.executable, "-c", "input(print('here', flush=True))"]
    child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with child:
        child.stdout.readline()
        yield child
        child.kill()


HERE = f"roundsman@{socket.gethostname()}"


def test_a_process_is_known_by_its_run_and_not_by_its_number(running):
    def seen(**more):
        return process(finished(AT, kind="RUNNING", **{"worker": HERE, "pid": running.pid} | more))

    assert seen()
    assert seen(worker="elsewhere")
    assert seen(id="run-2") is False, "the number belongs to another run now"
    assert seen(id="run-2", worker="ProcessWorker 1") is None, "nobody knows on which machine it is"
    assert seen(pid=None) is None
    running.kill()
    running.wait()
    assert seen() is False
    assert seen(worker="ProcessWorker 1") is None
