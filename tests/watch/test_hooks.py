"""A run that breaks down is spoken for: at once, once, by a real server and worker, and without a secret."""

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from deployments.automations import Subscriber, find, upsert, wanted
from deployments.specs import ROOT
from flows.tasks import watch as hooks
from flows.tasks.watch import bounded, mark_reported, notify_failure
from roundsman.alerts.rules.notice import Notice
from roundsman.alerts.rules.runbook import RUNBOOKS, Command, Runbook
from roundsman.ledger.ledger import command_hash, open_ledger, write_round
from roundsman.ledger.tables import IncidentRow, JobEventRow, OutboxRow, RehearsalRow, ReleaseRow
from roundsman.watch.failures import write_failure
from tests import service
from tests.ledger.rounds import a_round
from tests.receiver import receiver, webhook

NET = "a job broke down and nobody spoke for it"
BACK = Command(["make", "back"], rehearsed_by="rehearse_release")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("", ""),
        ("RuntimeError: no answer", "Flow run encountered an exception: RuntimeError: no answer"),
        ("ValueError: the first line", "Flow run encountered an exception: ValueError: the first line\nhunter2\n"),
        (
            "Process for flow run 'brown-fox' exited with status code: -9",
            "Process for flow run 'brown-fox' exited with status code: -9",
        ),
        (
            "OSError: /srv/round/flows/jobs/inspect_site.py is gone",
            "OSError: /srv/round/flows/jobs/inspect_site.py is gone",
        ),
        ("KeyError: ...", "KeyError: c29tZWJvZHktc2VjcmV0LWtleTE"),
        ("ValueError: key ... is refused", "ValueError: key sk_live_51HxMAbCdEfGh is refused"),
        ("ValueError: ...", "ValueError: 7f9c2ba4e88f827d616045507605853e"),
    ],
)
def test_of_a_state_the_first_line_is_told_without_what_may_be_a_key(told, message):
    assert told == bounded(message)


@pytest.mark.parametrize(
    "message",
    [
        "ConnectError: https://ada:hunter2@db.example.com/",
        "ConnectError: postgresql://ada:hunter2@db/ledger refused",
        "HTTPError: 403 for https://api.example.com/purge?token=hunter2",
        "ValueError: password=hunter2",
        "ValueError: Authorization: Bearer hunter2",
        f"ValueError: {'long ' * 100}hunter2",
    ],
)
def test_no_secret_and_no_novel_is_told(message):
    assert "hunter2" not in bounded(message)
    assert 200 >= len(bounded(message))


def test_a_channel_that_no_automation_tells_hears_of_a_broken_run_from_the_outbox(ledger):
    """And one that comes later knows what is open."""
    about = {"deployment": "inspect-shop", "job": "inspect-site", "site": "shop", "message": "it broke"}
    row = JobEventRow(flow_run_id="run-1", kind="crashed", at=datetime.now(UTC), **about)
    for _ in range(2):
        write_failure(
            ledger, row, Notice("CRASHED", "body"), ["slack-webhook/ops", "apprise/mail"], ["slack-webhook/ops"]
        )
    with Session(ledger) as session:
        letters = {one.channel: (one.kind, one.sent_at is not None) for one in session.scalars(select(OutboxRow))}
        [incident] = session.scalars(select(IncidentRow))
    assert {"slack-webhook/ops": ("crashed", True), "apprise/mail": ("crashed", False)} == letters
    assert ("inspect-shop", "crashed", None) == (incident.subject, incident.check, incident.resolved_at)


def test_the_automation_that_is_asked_for_is_the_one_that_is_deployed():
    names = {one.name for one in wanted([Subscriber("slack-webhook/ops", uuid4())])}
    assert hooks.AUTOMATION.format(channel="slack-webhook/ops") in names


def test_a_run_without_a_deployment_is_not_told(monkeypatch):
    """Nobody is asked, so it does not matter that no server is there."""
    from prefect import flow
    from prefect.client.schemas.objects import FlowRun
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.states import Failed

    @flow
    async def by_hand():
        pass

    run = FlowRun(flow_id=uuid4(), parent_task_run_id=uuid4())
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        asyncio.run(notify_failure(by_hand, run, Failed()))
        asyncio.run(mark_reported(run, Failed()))


@pytest.fixture
async def broken(prefect, monkeypatch):
    """A way to make runs of a deployment that ended in some state, as its hook is given them, and who hears of it."""
    from prefect import flow
    from prefect.client.orchestration import get_client

    @flow(name="break-down")
    async def break_down():
        pass

    path = f"{break_down.fn.__module__}.{break_down.fn.__name__}"
    monkeypatch.setitem(RUNBOOKS, path, Runbook("the site's owner", "It holds.", "Readers wait.", BACK))
    with receiver() as inbox:
        async with get_client() as client:
            await webhook(inbox.url()).asave("ops", overwrite=True)
            await upsert(client, wanted([await find(client, "custom-webhook/ops", None)]))
            flow_id = await client.create_flow(break_down)
            tags = ["roundsman", "owner:web-platform", "site:shop"]
            deployment = await client.create_deployment(flow_id, "inspect-shop", tags=tags)

            async def ended(state):
                run = await client.create_flow_run_from_deployment(deployment)
                await client.set_flow_run_state(run.id, state, force=True)
                run = await client.read_flow_run(run.id)
                return break_down, run, run.state

            yield inbox, ended
            await upsert(client, [])


async def heard(inbox, run):
    """The messages about a run, once there are any."""
    return await asyncio.to_thread(service.until, "the run is told", lambda: inbox.about(str(run.id)), 30)


def rows(url):
    engine = open_ledger(url)
    with Session(engine) as session:
        found = session.scalars(select(JobEventRow)).all()
    engine.dispose()
    return found


@pytest.fixture
def ledger_url(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    return url


@pytest.mark.harness
async def test_a_failure_is_told_with_what_the_ledger_knows_and_kept_once(broken, ledger_url):
    from prefect.states import Failed

    inbox, ended = broken
    engine = open_ledger(ledger_url)
    now = datetime.now(UTC)
    tried = {"environment": "staging", "ok": True, "seconds": 47.0, "from_version": "2", "to_version": "1"}
    with Session(engine) as session, session.begin():
        session.add(ReleaseRow(site="shop", version="1.8.2", seen_at=now - timedelta(hours=2)))
        hashed = command_hash(BACK.argv)
        session.add(
            RehearsalRow(site="shop", rule="release", command_hash=hashed, finished_at=now - timedelta(days=2), **tried)
        )
    engine.dispose()
    job, run, state = await ended(Failed(name="TimedOut", message="Flow run exceeded timeout of 5.0 second(s)"))
    await notify_failure(job, run, state)
    await notify_failure(job, run, state)
    (message,) = await heard(inbox, run)
    assert "TIMED OUT" in message["subject"]
    for line in (
        "TIMED OUT: job inspect-shop, site shop",
        "expected: It holds.",
        "Flow run exceeded timeout of 5.0 second(s)",
        "version 1.8.2, first seen 2 hours ago",
        "owner: web-platform",
        "make back (rehearsed 2 days ago, 47 s, 2 to 1)",
        f"/runs/flow-run/{run.id}",
    ):
        assert line in message["body"]
    assert 12 >= len(message["body"].splitlines())
    (row,) = rows(ledger_url)
    assert (str(run.id), "timed_out", "inspect-shop", "break-down", "shop") == (
        row.flow_run_id,
        row.kind,
        row.deployment,
        row.job,
        row.site,
    )
    assert ("Flow run exceeded timeout of 5.0 second(s)", state.timestamp) == (row.message, row.at)


@pytest.mark.harness
@pytest.mark.parametrize("url", ["postgresql://ada:hunter2@127.0.0.1:9/ledger", "no URL: hunter2"])
async def test_a_ledger_that_is_gone_stops_no_message(broken, monkeypatch, url, caplog):
    from prefect.states import Crashed

    inbox, ended = broken
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    job, run, state = await ended(Crashed(message="Process exited with status code: -9"))
    await notify_failure(job, run, state)
    (message,) = await heard(inbox, run)
    assert "CRASHED: job inspect-shop, site shop" in message["body"]
    assert "hunter2" not in f"{message}{caplog.text}"


@pytest.mark.harness
async def test_a_run_whose_end_was_told_by_the_watch_is_told_by_nobody_here(broken, ledger_url):
    """Its hook came later than the watch waits for one."""
    from prefect.states import Failed

    inbox, ended = broken
    job, late, state = await ended(Failed())
    write_event(ledger_url, late, "failed")
    await notify_failure(job, late, state)
    job, other, state = await ended(Failed())
    write_event(ledger_url, other, "not_started")
    await notify_failure(job, other, state)
    await heard(inbox, other)
    assert [] == inbox.about(str(late.id))


def write_event(url, run, kind):
    row = JobEventRow(
        flow_run_id=str(run.id), kind=kind, deployment="inspect-shop", job="", site="", at=datetime.now(UTC), message=""
    )
    engine = open_ledger(url)
    with Session(engine) as session, session.begin():
        session.add(row)
    engine.dispose()


@pytest.mark.harness
async def test_a_round_that_recorded_itself_is_told_by_nobody_here(broken, ledger_url):
    from prefect.states import Failed

    inbox, ended = broken
    job, recorded, state = await ended(Failed(name="Breach", message="1 failed"))
    engine = open_ledger(ledger_url)
    write_round(engine, **a_round(), flow_run_id=str(recorded.id))
    engine.dispose()
    await notify_failure(job, recorded, state)
    job, lost, state = await ended(Failed(name="Breach", message="1 failed"))
    await notify_failure(job, lost, state)
    await heard(inbox, lost)
    assert [] == inbox.about(str(recorded.id))
    assert [str(lost.id)] == [row.flow_run_id for row in rows(ledger_url)]


@pytest.mark.harness
async def test_a_run_that_broke_down_after_it_was_recorded_is_told(broken, ledger_url):
    from prefect.states import Crashed

    inbox, ended = broken
    job, run, state = await ended(Crashed(message="Process exited with status code: -9"))
    engine = open_ledger(ledger_url)
    write_round(engine, **a_round(), flow_run_id=str(run.id))
    engine.dispose()
    await notify_failure(job, run, state)
    assert 1 == len(await heard(inbox, run))


@pytest.mark.harness
async def test_what_the_server_did_not_take_is_left_to_the_watch(broken, ledger_url, monkeypatch):
    """It tells what the ledger does not know as told."""
    from prefect.states import Failed

    async def gone(*_, **__):
        raise httpx.ConnectError("the server is gone")

    _, ended = broken
    job, run, state = await ended(Failed())
    monkeypatch.setattr("flows.tasks.watch._send", gone)
    with pytest.raises(httpx.ConnectError):
        await notify_failure(job, run, state)
    assert [] == rows(ledger_url)


BROKEN = """
import os
import signal
from datetime import UTC, datetime

from prefect import flow

from roundsman.report.rules.report import Report
from roundsman.alerts.rules.runbook import Command, job
from flows.tasks.watch import notify_failure
from flows.tasks.ledger import record
from flows.tasks.report import conclude
from tests.ledger.rounds import VERDICTS


@job(owner="web", expects="It holds.", on_fail="Readers wait. First look: the edge.", rollback=Command(["make", "back"]))
@flow(name="break-down", on_failure=[notify_failure], on_crashed=[notify_failure], persist_result=False)
async def break_down(how: str = "raise"):
    if how == "raise":
        raise RuntimeError("no answer from https://ada:hunter2@db.example.com/?token=hunter2\\nhunter2")
    if how == "exit":
        os._exit(7)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    now = datetime.now(UTC)
    report = Report(f"run-{how}", "shop", now, now, VERDICTS)
    await record(report)
    return conclude(report)
"""


#: A deployment of a job that breaks down.
PROJECT = {
    "name": "broken",
    "deployments": [
        {
            "name": "broken",
            "entrypoint": "broken.break_down",
            "tags": ["roundsman", "owner:web", "site:shop"],
            "work_pool": {"name": "roundsman"},
        }
    ],
}


def schedule_once(api, deployment):
    """Have Prefect's scheduler start a deployment, once and soon."""
    soon = datetime.now(UTC) + timedelta(seconds=30)
    once = {"schedule": {"interval": 86400, "anchor_date": soon.isoformat()}, "active": True}
    api.post(f"/deployments/{deployment}/schedules", json=[once]).raise_for_status()


def copied(api, deployment, **changes):
    """The id of a copy of a deployment."""
    kept = {key: deployment[key] for key in ("flow_id", "tags", "work_pool_name")}
    made = api.post("/deployments/", json=kept | changes)
    made.raise_for_status()
    return made.json()["id"]


def run(api, deployment, **parameters):
    """A run's id. SQLite refuses a writer while another is at work, so it is asked again."""

    def create():
        made = api.post(f"/deployments/{deployment}/create_flow_run", json={"parameters": parameters})
        made.raise_for_status()
        return made.json()["id"]

    return service.until("a run is created", create, 30)


@pytest.mark.slow
@pytest.mark.harness
def test_a_run_that_breaks_down_is_told_once_and_a_round_that_spoke_is_not(tmp_path, postgres_server):
    """On PostgreSQL: with SQLite, Prefect drops an event when another writer is at work five times in a row."""
    kept = postgres_server.fresh().replace("postgresql:", "postgresql+asyncpg:")
    variables = service.environment(
        tmp_path, PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}", PREFECT_SERVER_DATABASE_CONNECTION_URL=kept
    )
    (tmp_path / "broken.py").write_text(BROKEN)
    open_ledger(variables["ROUNDSMAN_LEDGER_URL"]).dispose()
    with receiver() as inbox, service.serving_prefect(tmp_path, variables) as api:
        asyncio.run(automated(variables["PREFECT_API_URL"], inbox.url()))
        api.post("/work_pools/", json={"name": "roundsman", "type": "process"}).raise_for_status()
        with service.working("roundsman", variables, tmp_path / "worker.log"):
            (tmp_path / "prefect.yaml").write_text(json.dumps(PROJECT))
            service.prefect(variables, "--no-prompt", "deploy", "--all", cwd=tmp_path)
            (found,) = api.post("/deployments/filter", json={}).json()
            schedule_once(api, found["id"])
            runs = {how: run(api, found["id"], how=how) for how in ("exit", "kill", "breach")}
            runs["gone"] = run(api, copied(api, found, name="gone", entrypoint="no_such_module.job"))
            spoken = [runs["exit"], runs["kill"]]
            service.until("what crashed is told", lambda: all(map(inbox.about, spoken)), 120)

            def scheduled():
                every = api.post("/flow_runs/filter", json={}).json()
                return [one for one in every if one["auto_scheduled"] and one["state_type"] == "FAILED"]

            (first,) = service.until("the scheduled run fails", scheduled, 120)
            service.until("what raised is told", lambda: inbox.about(first["id"]), 15)
            service.until("what nobody spoke for is told", lambda: inbox.about(runs["gone"]), 120)
            states = {one["id"]: one for one in api.post("/flow_runs/filter", json={}).json()}
    assert [1, 1, 0, 1] == [len(inbox.about(runs[how])) for how in ("exit", "kill", "breach", "gone")]
    assert 1 == len(inbox.about(first["id"]))
    assert 4 == len(inbox.messages)
    assert "Breach" == states[runs["breach"]]["state_name"]
    assert delay(inbox, first) < 15
    assert "hunter2" not in json.dumps(inbox.messages)


def delay(inbox, run):
    """Seconds from a run's end to the message about it."""
    (message,) = inbox.about(run["id"])
    return message["received"] - datetime.fromisoformat(run["state"]["timestamp"]).timestamp()


async def automated(url, inbox):
    """The automations of a server, with a second net that is quicker than the real one."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        await webhook(inbox).asave("ops", overwrite=True)
        async with get_client() as client:
            made = wanted([await find(client, "custom-webhook/ops", None)])
            for one in made:
                if NET in one.name:
                    one.trigger.within = timedelta(seconds=60)
            await upsert(client, made)
