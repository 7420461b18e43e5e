"""A work pool is taken out of work, and a worker that is stopped loses nothing."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from uuid import uuid4

import pytest

from deployments import drain, specs
from tests.ports import free_port
from tests.service import make_pool, running, until

pytestmark = pytest.mark.harness

JOB = """
import asyncio
from pathlib import Path
from prefect import flow

@flow(flow_run_name="a round")
async def walk(until: str):
    while not Path(until).exists():
        await asyncio.sleep(0.1)
"""


class Pool:
    """A work pool of a real server, with runs that no worker knows of."""

    def __init__(self):
        from prefect.client.schemas.actions import WorkPoolCreate

        self.name = f"pool-{uuid4().hex[:8]}"
        self.ask("create_work_pool", WorkPoolCreate(name=self.name, type="process"))

    def ask(self, what, *words, **more):
        from prefect import get_client

        with get_client(sync_client=True) as client:
            return getattr(client, what)(*words, **more)

    @property
    def paused(self):
        return self.ask("read_work_pool", self.name).is_paused

    def run(self, state):
        flow = self.ask("create_flow_from_name", "walk")
        deployment = self.ask("create_deployment", flow, f"walk-{self.name}", work_pool_name=self.name)
        return self.ask("create_flow_run_from_deployment", deployment, state=state)

    def set_state(self, run, state):
        self.ask("set_flow_run_state", run.id, state, force=True)


@pytest.fixture
def pool(prefect):
    return Pool()


def test_an_idle_pool_is_drained_and_paused(pool, capsys):
    assert drain.DONE == drain.drain(pool.name, 30)
    assert pool.paused
    assert [f"work pool {pool.name} is paused", "nothing of it runs any more"] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("state", ["Running", "Pending", "Cancelling"])
def test_after_the_timeout_it_names_what_still_runs_and_how_to_go_on(pool, capsys, state):
    from prefect import states

    run = pool.run(getattr(states, state)())
    assert drain.STILL_BUSY == drain.main(["--pool", pool.name, "--timeout", "0"])
    assert pool.paused
    assert [
        f"work pool {pool.name} is paused",
        f"waiting for 1 run: {run.name} ({state})",
        f"after 0 s not ended: 1 run: {run.name} ({state})",
        f"work pool {pool.name} stays paused; to go on: python -m deployments.drain --pool {pool.name} --resume",
    ] == capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("state", ["Scheduled", "Completed", "Crashed"])
def test_it_does_not_wait_for_what_does_not_run(pool, state):
    from prefect import states

    pool.run(getattr(states, state)())
    assert drain.DONE == drain.drain(pool.name, 30)


def test_it_does_not_wait_for_another_pool(pool):
    from prefect import states

    Pool().run(states.Running())
    assert drain.DONE == drain.drain(pool.name, 30)


def test_it_waits_for_the_last_run_to_end(pool, monkeypatch):
    from prefect import states

    run = pool.run(states.Running())
    said = []
    waiting = threading.Event()

    def say(sentence):
        said.append(sentence)
        if sentence.startswith("waiting"):
            waiting.set()

    monkeypatch.setattr(drain, "_say", say)

    def end():
        waiting.wait(60)
        pool.set_state(run, states.Completed())

    ending = threading.Thread(target=end)
    ending.start()
    assert drain.DONE == drain.drain(pool.name, 60)
    ending.join()
    assert f"waiting for 1 run: {run.name} (Running)" == said[1]
    assert "nothing of it runs any more" == said[-1]


def test_a_drained_pool_goes_on_when_it_is_told_to(pool, capsys):
    drain.drain(pool.name, 30)
    assert drain.DONE == drain.main(["--pool", pool.name, "--resume"])
    assert not pool.paused
    assert drain.DONE == drain.main(["--pool", pool.name, "--resume"])
    assert [f"work pool {pool.name} takes runs again", f"work pool {pool.name} was not paused"] == (
        capsys.readouterr().out.splitlines()[2:]
    )


def test_an_unknown_pool_is_wrong_input(prefect, capsys):
    assert drain.WRONG_INPUT == drain.drain("nobodys", 1)
    assert capsys.readouterr().out.startswith("no work pool nobodys at http://")


@pytest.mark.parametrize("words", [["--timeout", "soon"], ["--timeout", "-1"], ["--timeout", "inf"], ["--pol", "x"]])
def test_other_words_are_wrong_input(words, capsys):
    assert drain.WRONG_INPUT == drain.main(words)
    assert "usage:" in capsys.readouterr().err


def test_without_a_server_it_says_so(capsys):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert drain.WRONG_INPUT == drain.drain("roundsman", 1)
    url = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: url}):
        assert drain.COULD_NOT_ASK == drain.drain("roundsman", 1)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("no Prefect server is named: set PREFECT_API_URL")
    assert f"the server at {url} does not answer: ConnectError" == second


class Job:
    """A deployment of the pool `roundsman` whose runs go on until they are let go, and a worker's log."""

    def __init__(self, api, environment, folder):
        self.api, self.folder = api, folder
        self.log = folder / "worker.log"
        self.environment = {**environment, "PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}
        (folder / "walking.py").write_text(JOB)
        make_pool(api, "roundsman")
        flow = api.post("/flows/", json={"name": "walk"}).raise_for_status().json()
        step = {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}
        made = {
            "name": "it",
            "flow_id": flow["id"],
            "entrypoint": "walking.walk",
            "work_pool_name": "roundsman",
            "pull_steps": [step],
        }
        self.deployment = api.post("/deployments/", json=made).raise_for_status().json()["id"]

    @property
    def paused(self):
        return self.api.get("/work_pools/roundsman").json()["is_paused"]

    def count(self, kind):
        asked = {"flow_runs": {"state": {"type": {"any_": [kind]}}}}
        asked["deployments"] = {"id": {"any_": [self.deployment]}}
        return self.api.post("/flow_runs/count", json=asked).json()

    def start(self):
        before, gate = self.count("RUNNING"), self.folder / uuid4().hex
        wanted = {"state": {"type": "SCHEDULED"}, "parameters": {"until": str(gate)}}
        self.api.post(f"/deployments/{self.deployment}/create_flow_run", json=wanted).raise_for_status()
        until("a run is under way", lambda: self.count("RUNNING") > before)
        return gate

    @contextmanager
    def worker(self, *words):
        self.log.unlink(missing_ok=True)
        command = [sys.executable, "-m", "deployments.worker", "--pool", "roundsman", *words]
        with running(command, self.environment, self.log) as process:
            until("the worker is there", lambda: " started!" in self.log.read_text())
            yield process
        assert not re.search("Traceback|ERROR", self.log.read_text()), self.log.read_text()


@pytest.mark.slow
def test_a_worker_that_is_told_to_stop_lets_its_runs_end_first(deployed, tmp_path):
    job = Job(deployed.api, deployed.variables, tmp_path)
    with job.worker() as worker:
        gate = job.start()
        worker.send_signal(signal.SIGTERM)
        until("it waits", lambda: "waiting for 1 run: a round (Running)" in job.log.read_text())
        assert job.paused
        assert worker.poll() is None
        gate.touch()
        assert drain.DONE == worker.wait(180)
    assert (1, 0, False) == (job.count("COMPLETED"), job.count("RUNNING"), job.paused)

    # One that is killed while it drains leaves the pool paused, and the next one lets it go on.
    with job.worker() as worker:
        gate = job.start()
        worker.send_signal(signal.SIGTERM)
        until("it drains", lambda: job.paused)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        gate.touch()  # its run is a process of its own
    assert job.paused
    with job.worker() as worker:
        assert not job.paused
        # A second signal does not wait; the run is cut off, and the exit code says so.
        job.start()
        worker.send_signal(signal.SIGTERM)
        until("it drains", lambda: job.paused)
        worker.send_signal(signal.SIGTERM)
        assert drain.STILL_BUSY == worker.wait(180)
    assert not job.paused

    # What an operator paused stays as it is, also where a worker left its mark.
    job.api.post("/variables/", json={"name": drain.mark("roundsman"), "value": True}).raise_for_status()
    command = [sys.executable, "-m", "deployments.drain", "--timeout", "0"]
    subprocess.run(command, env=job.environment, check=False)
    with job.worker("--drain", "0") as worker:
        worker.send_signal(signal.SIGTERM)
        assert drain.STILL_BUSY == worker.wait(180)
    assert job.paused
    assert 404 == job.api.get(f"/variables/name/{drain.mark('roundsman')}").status_code


def test_the_mark_of_a_draining_worker_is_a_name_that_prefect_takes():
    assert "draining-our-pool-2" == drain.mark("Our Pool_2")


def test_the_pool_is_the_one_that_is_deployed_to():
    assert specs.POOL == drain.POOL
