"""A real server takes the deployments, schedules their runs, and a worker runs one."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deployments.demo.__main__ import SITE_FILE, WRITTEN_ADDRESS, serving
from deployments.specs import ROOT
from tests.edges.lab import free_port

pytestmark = [pytest.mark.slow, pytest.mark.harness]
PREFECT = str(Path(sys.executable).parent / "prefect")


@contextmanager
def running(command, environment, log):
    """A program in a process group of its own, gone at the end with everything it started."""
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out, start_new_session=True)
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def until(say, condition, seconds=90):
    """Wait for a condition; it is asked again until it gives something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    pytest.fail(f"after {seconds} s still not: {say}")


@pytest.fixture
def server(tmp_path):
    port = free_port()
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "ROUNDSMAN_HOME": str(ROOT),
        "ROUNDSMAN_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db",
        "DEMO_ADA_PASSWORD": "hunter2-ada",
        "DEMO_BEN_PASSWORD": "hunter2-ben",
    }
    environment.pop("PREFECT_LOGGING_LEVEL", None)
    command = [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (
        running(command, environment, tmp_path / "server.log"),
        httpx.Client(base_url=environment["PREFECT_API_URL"]) as api,
    ):
        until("the server answers", lambda: api.get("/health").is_success)
        yield api, environment


def prefect(environment, *words):
    done = subprocess.run(
        [PREFECT, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_the_deployments_are_taken_scheduled_and_run(server, tmp_path, monkeypatch):
    api, environment = server
    prefect(environment, "work-pool", "create", "roundsman", "--type", "process")
    prefect(environment, "--no-prompt", "deploy", "--all")
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until("cron runs exist", lambda: api.post("/flow_runs/count", json=scheduled).json(), 30)

    for name in ("DEMO_ADA_PASSWORD", "DEMO_BEN_PASSWORD"):
        monkeypatch.setenv(name, environment[name])
    worker = [PREFECT, "worker", "start", "--pool", "roundsman", "--type", "process"]
    with serving() as address, running(worker, environment, tmp_path / "worker.log"):
        site = tmp_path / "demo.yaml"
        site.write_text(SITE_FILE.read_text().replace(WRITTEN_ADDRESS, address))
        prefect(environment, "deployment", "run", "inspect-site/inspect-demo", "-p", f"site={site}")
        ended = {
            "flow_runs": {
                "state": {"type": {"any_": ["FAILED", "CRASHED", "COMPLETED"]}},
                "deployment_id": {"is_null_": False},
            }
        }
        (run,) = until("the run has ended", lambda: api.post("/flow_runs/filter", json=ended).json(), 120)

    assert ("Breach", "3 failed, 4 warned, 15 passed") == (run["state"]["name"], run["state"]["message"])
    artifacts = {one["key"]: one for one in api.post("/artifacts/filter", json={}).json()}
    assert "**FAIL /inbox** `cache-headers/private`" in artifacts["round-demo"]["data"]
    logs = " ".join(one["message"] for one in api.post("/logs/filter", json={"limit": 200}).json())
    runs = api.post("/flow_runs/filter", json={}).json()
    assert "demo: targeted purge" in [run["name"] for run in runs]
    for told in (artifacts, runs, logs):
        assert "hunter2" not in json.dumps(told)
        assert "sessionid=" not in json.dumps(told)
    assert "demo: cache headers: 2 failed, 4 passed" in logs
