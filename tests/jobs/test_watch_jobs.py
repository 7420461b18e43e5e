"""The watch against a real server and worker: what hangs is closed and told once, and what did not run is noticed."""

import asyncio
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Pending, Running
from sqlalchemy import create_engine, select, text
from sqlalchemy.orm import Session

from flows.jobs.watch_jobs import watch, watch_jobs
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.tables import JobEventRow, OutboxRow, SlotRow, WatchRow
from tests import service
from tests.jobs import watched
from tests.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.harness]
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class Lab:
    """A server with our deployments on it."""

    def __init__(self, api, variables, home):
        self.api, self.variables, self.home = api, variables, home

    def deploy(self, function, pool="lab", every=0, **more):
        flow = self.api.post("/flows/", json={"name": function.name}).raise_for_status().json()
        schedule = {"interval": every, "anchor_date": datetime.now(UTC).isoformat()}
        made = self.api.post(
            "/deployments/",
            json={
                "name": f"{function.fn.__name__.replace('_', '-')}-{uuid4().hex[:6]}",
                "flow_id": flow["id"],
                "entrypoint": f"{watched.__name__}.{function.fn.__name__}",
                "work_pool_name": pool,
                "tags": ["roundsman", "owner:web-platform"],
                "concurrency_limit": 1,
                "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
                "job_variables": {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}},
                "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(service.ROOT)}}],
                "schedules": [{"schedule": schedule, "active": True}] if every else [],
                **more,
            },
        )
        return made.raise_for_status().json()

    def start(self, deployment):
        made = self.api.post(f"/deployments/{deployment['id']}/create_flow_run", json={"state": {"type": "SCHEDULED"}})
        return made.raise_for_status().json()["id"]

    def run(self, run_id):
        return self.api.get(f"/flow_runs/{run_id}").raise_for_status().json()

    def ended(self, run_id):
        state = self.run(run_id)["state"]
        return state if state["type"] in ENDED else None

    def unended(self, deployment):
        begun = {"type": {"any_": ["PENDING", "RUNNING"]}}
        wanted = {"deployments": {"id": {"any_": [deployment["id"]]}}, "flow_runs": {"state": begun}}
        return self.api.post("/flow_runs/count", json=wanted).raise_for_status().json()

    def slots_held(self, deployment):
        return self.api.get(f"/deployments/{deployment['id']}").json()["global_concurrency_limit"]["active_slots"]

    def events(self, name, run_id):
        wanted = {"event": {"name": [name]}, "resource": {"id": [f"prefect.flow-run.{run_id}"]}}
        return self.api.post("/events/filter", json={"filter": wanted}).json()["events"]

    def alter(self, run_id, **columns):
        """Change a run behind Prefect's back, as no call of its API can."""
        values = ", ".join(f"{name} = :{name}" for name in columns)
        engine = create_engine(f"sqlite:///{self.variables['PREFECT_HOME']}/prefect.db", connect_args={"timeout": 60})
        with engine.begin() as connection:
            written = {
                name: f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value
                for name, value in columns.items()
            }
            done = connection.execute(text(f"UPDATE flow_run SET {values} WHERE id = :id"), {"id": run_id, **written})
            assert 1 == done.rowcount
        engine.dispose()

    def pause(self, deployment):
        self.api.patch(f"/deployments/{deployment['id']}", json={"paused": True}).raise_for_status()

    def worker(self):
        name = f"lab@{socket.gethostname()}"
        return service.working("lab", self.variables, self.home / "worker.log", name=name)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    home = tmp_path_factory.mktemp("served")
    variables = service.environment(home)
    with service.serving_prefect(home, variables) as api:
        for pool in ("lab", "nobody-works-here"):
            api.post("/work_pools/", json={"name": pool, "type": "process"}).raise_for_status()
        yield Lab(api, variables, home)


@pytest.fixture
def lab(served, monkeypatch, tmp_path):
    """The server, with a ledger of its own for each test."""
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    # No such block is kept; what matters here is what waits in the outbox for it.
    monkeypatch.setenv("ROUNDSMAN_NOTIFY", "slack-webhook/nobody")
    with temporary_settings(updates={PREFECT_API_URL: served.variables["PREFECT_API_URL"]}):
        yield served


def rows(table, *columns, **by):
    engine = open_ledger()
    try:
        with Session(engine) as session:
            found = select(*columns).select_from(table).filter_by(**by).order_by(table.id)
            return [tuple(row) for row in session.execute(found)]
    finally:
        engine.dispose()


def words_of(subject):
    """The first word and the last of a message's subject: what, and whose."""
    return [word.strip(":") for word in (subject.split()[0], subject.split()[-1])]


async def passes_until(say, condition, seconds=400):
    """Make pass after pass until something holds."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await watch()
        if found := condition():
            return found
    return pytest.fail(f"after {seconds} s still not: {say}: {rows(WatchRow, WatchRow.detail)[-1]}")


async def test_a_run_that_died_with_its_worker_is_closed_told_once_and_its_slot_is_free(lab, tmp_path, capsys):
    go = tmp_path / "go"
    deployment = lab.deploy(watched.wait_for_file, parameters={"path": str(go)})
    with lab.worker() as worker:
        hanging = lab.start(deployment)
        service.until(
            "it runs", lambda: lab.run(hanging)["state"]["type"] == "RUNNING" and lab.run(hanging)["infrastructure_pid"]
        )
        assert 0 == await watch(), "what runs is left alone"
        service.cut_power(worker, lab.run(hanging))
    assert ("RUNNING", 1) == (lab.run(hanging)["state"]["type"], lab.slots_held(deployment)), "Prefect leaves it so"

    assert [1, 0] == [await watch(), await watch()]
    state = lab.run(hanging)["state"]
    assert ("CRASHED", "Closed", 0) == (state["type"], state["name"], lab.slots_held(deployment))
    assert state["message"].endswith("is gone, and nobody reported its end.")
    assert [(hanging, "closed", deployment["name"], "wait_for_file")] == rows(
        JobEventRow, JobEventRow.flow_run_id, JobEventRow.kind, JobEventRow.deployment, JobEventRow.job
    )
    ((subject, body, channel),) = rows(OutboxRow, OutboxRow.subject, OutboxRow.body, OutboxRow.channel)
    assert (["CLOSED", deployment["name"]], "slack-webhook/nobody") == (words_of(subject), channel)
    service.until("Prefect's own automations know that it was told", lambda: lab.events("roundsman.job.told", hanging))
    assert "expected: It ends well." in body
    assert "owner: web-platform" in body
    assert f"{deployment['name']}: closed: its process" in capsys.readouterr().out

    go.touch()
    with lab.worker():
        following = lab.start(deployment)
        assert "COMPLETED" == service.until("the next run ends", lambda: lab.ended(following))["type"]


async def test_a_promised_run_that_no_worker_takes_is_told_after_its_grace(lab):
    deployment = lab.deploy(watched.never, "nobody-works-here", every=10)
    assert 0 == await watch()
    promised = rows(SlotRow, SlotRow.slot_at, SlotRow.state, deployment=deployment["name"])
    assert len(promised) > 500, "written ahead of time"
    assert {"waiting"} == {state for _, state in promised}
    (event, *_) = await passes_until(
        "it is noticed", lambda: rows(JobEventRow, JobEventRow.flow_run_id, JobEventRow.kind, JobEventRow.at)
    )
    first = min(at for at, _ in promised)
    assert (f"slot:{deployment['name']}:{first.isoformat()}", "not_started") == event[:2]
    assert timedelta(seconds=2) < event[2] - first, "not before its grace is over"
    assert [("not_started",)] == rows(OutboxRow, OutboxRow.kind)

    lab.pause(deployment)
    # Prefect's scheduler may be making the next runs in that moment; they outlive the pause.
    lab.alter(lab.start(deployment), expected_start_time=max(at for at, _ in promised), auto_scheduled=True)
    paused = datetime.now(UTC)
    assert 0 == await watch(), "nothing is promised while it is paused"
    waiting = rows(SlotRow, SlotRow.slot_at, deployment=deployment["name"], state="waiting")
    assert [] == [at for (at,) in waiting if at > paused]
    # It is told that nothing runs, once, at the first slot that the schedule would have had.
    await passes_until("the pause is told", lambda: ("paused",) in rows(OutboxRow, OutboxRow.kind))
    known = len(rows(SlotRow, SlotRow.id, state="paused"))
    await passes_until("another slot went by", lambda: len(rows(SlotRow, SlotRow.id, state="paused")) > known)
    assert [("not_started",), ("paused",)] == rows(OutboxRow, OutboxRow.kind)


async def begin(*runs):
    """Have runs begin as if a worker had taken them."""
    async with get_client() as client:
        for run in runs:
            for state in (Pending, Running):
                # By force: some are scheduled for a little later.
                assert "ACCEPT" == (await client.set_flow_run_state(UUID(run), state(), force=True)).status.value


async def test_a_run_that_began_late_and_runs_that_were_one_too_many_are_told_once(lab):
    every = {"schedule": {"interval": 20, "anchor_date": datetime.now(UTC).isoformat()}, "active": True}
    # Two schedules of the same times are two runs of one slot.
    deployment = lab.deploy(
        watched.never, "nobody-works-here", concurrency_limit=None, schedules=[every | {"slug": one} for one in "ab"]
    )
    wanted = {"deployments": {"id": {"any_": [deployment["id"]]}}, "sort": "EXPECTED_START_TIME_ASC"}

    def made():
        runs = lab.api.post("/flow_runs/filter", json=wanted).json()
        return runs if len(runs) > 6 else None

    try:
        first, twin, moved, _, changed, *_ = await asyncio.to_thread(service.until, "its runs are made", made)
        assert (first["expected_start_time"], True) == (twin["expected_start_time"], twin["auto_scheduled"])
        assert 0 == await watch()
        odd = datetime.fromisoformat(moved["expected_start_time"]) + timedelta(seconds=7)
        lab.alter(moved["id"], expected_start_time=odd)
        # By hand, and by a schedule that was another one when the run was made: both are well.
        lab.alter(
            changed["id"],
            expected_start_time=odd + timedelta(seconds=1),
            created=datetime.now(UTC) - timedelta(hours=1),
        )
        by_hand = lab.start(deployment)
        lab.alter(by_hand, expected_start_time=odd)
        due = datetime.fromisoformat(first["expected_start_time"]) + timedelta(seconds=3)
        await asyncio.to_thread(service.until, "its grace is over", lambda: datetime.now(UTC) > due)
        await begin(first["id"], twin["id"], moved["id"], changed["id"], by_hand)
        await watch()
        await watch()
    finally:
        # The next test's ledger knows nothing of its runs.
        lab.api.delete(f"/deployments/{deployment['id']}").raise_for_status()
    told = rows(JobEventRow, JobEventRow.flow_run_id, JobEventRow.kind, JobEventRow.message)
    told = {run: (kind, message) for run, kind, message in told if ":" not in run and kind != "overlapping"}
    assert {first["id"]: "late", twin["id"]: "extra_run", moved["id"]: "extra_run"} == {
        run: kind for run, (kind, _) in told.items()
    }
    assert {first["id"], twin["id"], deployment["name"]} <= set(told[twin["id"]][1].replace(":", " ").split())
    assert told[moved["id"]][1].endswith("a time that none of its schedules has")
    assert ["extra_run", "late"] == sorted(
        kind for (kind,) in rows(OutboxRow, OutboxRow.kind) if kind in {"extra_run", "late"}
    )


async def test_a_run_without_a_round_did_nothing_and_one_that_took_no_time_was_too_fast(lab):
    idle, hasty = (lab.deploy(one, every=20) for one in (watched.inspect_site, watched.hurry))

    def both():
        told = rows(JobEventRow, JobEventRow.deployment, JobEventRow.kind)
        return told if {"did_nothing", "too_fast"} <= {kind for _, kind in told} else None

    with lab.worker():
        try:
            told = await passes_until("both are noticed", both)
        finally:
            for one in (idle, hasty):
                lab.pause(one)
            # A run that its worker takes along would be closed by the next test's watch.
            service.until("none of them runs any more", lambda: not any(map(lab.unended, (idle, hasty))))
    assert {(idle["name"], "did_nothing"), (hasty["name"], "too_fast")} <= set(told)
    (slot, *_) = rows(
        SlotRow, SlotRow.flow_run_id, SlotRow.started_at, SlotRow.ended_at, deployment=idle["name"], state="did_nothing"
    )
    assert all(slot)


async def alive(client, deployment, *, until=Running):
    """A run that was begun by nobody's process."""
    run = await client.create_flow_run_from_deployment(UUID(deployment["id"]))
    answers = [(await client.set_flow_run_state(run.id, state())).status.value for state in (Pending, until)]
    assert ["ACCEPT", "ACCEPT"] == answers
    return run.id


async def heartbeat(client, run_id, age):
    event = {
        "id": str(uuid4()),
        "event": "prefect.flow-run.heartbeat",
        "occurred": (datetime.now(UTC) - timedelta(seconds=age)).isoformat(),
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run_id}"},
    }
    await client.request("POST", "/events", json=[event])


def seen_for(minutes):
    """Passes of the watch, one a minute, that found the server answering."""
    engine = open_ledger()
    with Session(engine) as session, session.begin():
        for number in range(1, minutes + 1):
            at = datetime.now(UTC) - timedelta(minutes=number)
            session.add(WatchRow(at=at, seconds=1, ok=True, detail="nothing wrong"))
    engine.dispose()


async def test_a_run_without_a_heartbeat_is_closed_but_not_while_that_would_free_anothers_slot(lab):
    deployment = lab.deploy(watched.wait_for_file, parameters={"path": "never"})
    async with get_client() as client:
        silent = await alive(client, deployment)
        lease = lab.run(silent)["state"]["state_details"]["deployment_concurrency_lease_id"]
        await heartbeat(client, silent, age=100)
        beats = partial(lab.events, "prefect.flow-run.heartbeat", silent)
        await asyncio.to_thread(service.until, "the heartbeat is known", beats)
        assert 0 == await watch(), "nobody knows yet whether the server was there to hear of it"
        seen_for(5)
        # What the server does when a lease runs out.
        freed = await client.request("POST", "/v2/concurrency_limits/decrement-with-lease", json={"lease_id": lease})
        assert 204 == freed.status_code
        other = await alive(client, deployment)
        await watch()
        assert ("RUNNING", 1) == (lab.run(silent)["state"]["type"], lab.slots_held(deployment))
        await client.set_flow_run_state(other, Completed())
        assert 1 == await watch()
    state = lab.run(silent)["state"]
    assert ("Closed", 0) == (state["name"], lab.slots_held(deployment))
    assert "and one is due every 30 s" in state["message"]


async def test_a_run_whose_process_died_before_it_began_is_closed_at_once(lab):
    """As when its worker was killed just then: Prefect would hold its slot for five minutes."""
    deployment = lab.deploy(watched.wait_for_file, parameters={"path": "never"})
    gone = await asyncio.create_subprocess_exec("true")
    await gone.wait()
    async with get_client() as client:
        run = await client.create_flow_run_from_deployment(UUID(deployment["id"]))
        await client.set_flow_run_state(run.id, Pending())
        await client.update_flow_run(run.id, infrastructure_pid=str(gone.pid))
        await client.update_flow_run_labels(run.id, {"prefect.worker.name": f"lab@{socket.gethostname()}"})
    assert ("PENDING", 1) == (lab.run(run.id)["state"]["type"], lab.slots_held(deployment))
    assert 1 == await watch()
    assert ("Closed", 0) == (lab.run(run.id)["state"]["name"], lab.slots_held(deployment))


async def test_a_run_that_is_refused_for_want_of_a_slot_is_no_overlap(lab):
    """Though Prefect gives it a start, which is while the other one runs."""
    deployment = lab.deploy(watched.wait_for_file, "nobody-works-here", every=60, parameters={"path": "never"})
    wanted = {"deployments": {"id": {"any_": [deployment["id"]]}}, "sort": "EXPECTED_START_TIME_DESC"}
    ask = partial(lab.api.post, "/flow_runs/filter", json=wanted)
    try:
        assert 0 == await watch()
        await asyncio.to_thread(service.until, "its runs are scheduled", lambda: len(ask().json()) > 5)
        async with get_client() as client:
            await alive(client, deployment)
            now = datetime.now(UTC)
            due = (run for run in reversed(ask().json()) if datetime.fromisoformat(run["expected_start_time"]) > now)
            refused = next(run["id"] for run in due if run["auto_scheduled"])
            answer = await client.set_flow_run_state(UUID(refused), Pending())
        assert "CANCELLED" == answer.state.type.value
        await passes_until("it is skipped", lambda: rows(SlotRow, SlotRow.id, flow_run_id=refused, state="skipped"))
    finally:
        lab.pause(deployment)
    assert [("cancelled",)] == rows(JobEventRow, JobEventRow.kind, flow_run_id=refused)
    assert [(False,)] == rows(SlotRow, SlotRow.overlapped, flow_run_id=refused)


async def test_the_watch_as_a_flow_makes_the_same_pass(lab):
    state = await watch_jobs(return_state=True)
    assert ("Completed", True) == (state.name, state.message.startswith("nothing wrong"))
    assert [(True,)] == rows(WatchRow, WatchRow.ok)


@contextmanager
def listening():
    """An address in the Healthchecks protocol, and what it was told."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/ping/watch", heard
        finally:
            server.shutdown()
            thread.join()


async def test_an_outside_address_hears_of_every_pass(lab):
    with listening() as (address, heard):
        assert 0 == await watch(address)
        assert ["/ping/watch/start", "/ping/watch"] == heard


async def test_a_server_that_does_not_answer_is_told_once_and_to_the_outside_each_time(lab, capsys):
    dead = f"http://127.0.0.1:{free_port()}/api"
    with listening() as (address, heard), temporary_settings(updates={PREFECT_API_URL: dead}):
        assert [2, 2] == [await watch(address), await watch(address)]
        assert ["/ping/watch/start", "/ping/watch/fail"] * 2 == heard
    assert "could not look: the Prefect server does not answer: ConnectError" in capsys.readouterr().out
    assert [("unreachable",)] == rows(JobEventRow, JobEventRow.kind)
    assert [["UNREACHABLE", "watch-jobs"]] == [words_of(subject) for (subject,) in rows(OutboxRow, OutboxRow.subject)]


async def test_an_outside_address_that_is_gone_changes_nothing(lab):
    assert 0 == await watch(f"http://127.0.0.1:{free_port()}/ping")
    assert 0 == await watch("nonsense")


async def test_a_ledger_that_can_not_be_opened_is_said_and_pinged(lab, monkeypatch, capsys):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", "sqlite:////dev/null/ledger.db")
    with listening() as (address, heard):
        assert 2 == await watch(address)
        assert ["/ping/watch/start", "/ping/watch/fail"] == heard
    assert capsys.readouterr().out.startswith("could not look: the ledger can't be opened")
