"""A real Prefect server and worker for a test, gone at its end with everything they started."""

import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path

import httpx
import pytest

from deployments.specs import ROOT
from tests.ports import free_port

PREFECT = str(Path(sys.executable).parent / "prefect")
#: Names the folder that all processes of a test session share.
SHARED = "ROUNDSMAN_TESTS_SHARED"
#: What says where a server's database is, if it is not the SQLite file in PREFECT_HOME.
DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"


@contextmanager
def running(command, environment, log, cwd=ROOT):
    """A program in a process group of its own, gone at the end with everything it started."""
    with log.open("a") as out:
        process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=out, stderr=out, start_new_session=True)
        try:
            yield process
        finally:
            stop(process)


def stop(process, patience=20):
    """End a program's whole group, by force when it does not listen."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(patience)
    except ProcessLookupError:
        process.wait()
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def cut_power(worker, run):
    """Kill a worker and the process of a run that it started, as when their machine goes; they are gone then.

    Prefect starts a run in a process group of its own: it outlives its worker.

    Args:
        worker: The worker's process.
        run: The run, as the API gives it.
    """
    number = int(run["infrastructure_pid"])
    for group in (worker.pid, number):
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    worker.wait()
    until("the run's process is gone", lambda: not has_process(run))


def has_process(run):
    """Whether a run's process is there, and does not only wait to be buried."""
    try:
        return run["id"] in Path(f"/proc/{run['infrastructure_pid']}/environ").read_text()
    except OSError:
        return False


def until(say, condition, seconds=180):
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


def environment(home, port=None, **more):
    """What a server, its worker and its clients are started with; all they write is below `home`."""
    made = {
        **os.environ,
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port or free_port()}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "ROUNDSMAN_HOME": str(ROOT),
        "ROUNDSMAN_LEDGER_URL": f"sqlite:///{home}/ledger.db",
        "DEMO_ADA_PASSWORD": "hunter2-ada",
        "DEMO_BEN_PASSWORD": "hunter2-ben",
    }
    # What the tests' own embedded server leaves out.
    for name in ("PREFECT_LOGGING_LEVEL", "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED"):
        made.pop(name, None)
    return made | more


class _Patient(httpx.HTTPTransport):
    """Asks again when the server's SQLite was busy, as Prefect's own client does, and when a question took too long."""

    def handle_request(self, request):
        asks = request.method == "GET" or request.url.path.endswith(("/filter", "/count"))
        for left in reversed(range(20)):
            try:
                response = super().handle_request(request)
            except httpx.TimeoutException:
                if not (asks and left):
                    raise
                continue
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            response.close()
            time.sleep(0.2)
        return response


def client(variables):
    """A client of a server's API."""
    return httpx.Client(base_url=variables["PREFECT_API_URL"], timeout=60, transport=_Patient())


@contextmanager
def migrated(database):
    """Around the start of a server with a new SQLite file: all but the session's first begin with a copy of the first one's.

    Migrations and block types take more than half of a first start.
    """
    if SHARED not in os.environ or database.exists():
        yield
        return
    folder = Path(os.environ[SHARED])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "prefect.db").exists():
            yield
            with closing(sqlite3.connect(database)) as made:
                made.execute("VACUUM INTO ?", (f"{folder / 'making.db'}",))
            (folder / "making.db").rename(folder / "prefect.db")
            return
    database.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "prefect.db", database)
    yield


@contextmanager
def serving_prefect(home, variables):
    """A server; yields a client of its API."""
    url = variables["PREFECT_API_URL"]
    port = url.removesuffix("/api").rpartition(":")[2]
    command = [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", port]
    with ExitStack() as stack:
        with nullcontext() if DATABASE in variables else migrated(Path(variables["PREFECT_HOME"]) / "prefect.db"):
            stack.enter_context(running(command, variables, home / "server.log"))
            api = stack.enter_context(client(variables))
            until("the server answers", lambda: api.get("/health").is_success)
        yield api


def make_pool(api, name):
    """A work pool for processes; the `prefect` command takes two seconds for it."""
    api.post("/work_pools/", json={"name": name, "type": "process"}).raise_for_status()


def working(pool, variables, log, name=""):
    """A worker of a pool, as a context manager."""
    named = ["--name", name] if name else []
    return running([PREFECT, "worker", "start", "--pool", pool, "--type", "process", *named], variables, log)


@pytest.fixture
def server(tmp_path):
    """A client of a fresh server's API, and the environment in which it is found. Import it to use it."""
    variables = environment(tmp_path)
    with serving_prefect(tmp_path, variables) as api:
        yield api, variables


def prefect(variables, *words, cwd=ROOT):
    """What a `prefect` command prints; it has to end well."""
    done = subprocess.run(
        [PREFECT, *words],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout
