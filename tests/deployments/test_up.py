"""`make up`, as a stranger runs it: everything answers, Ctrl-C ends it, and nothing is left behind."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deployments import specs, up
from deployments.specs import ROOT
from tests.ports import free_port
from tests.service import until

#: What nobody wants to read in a terminal. The demo's faults are errors, and belong there.
WRONG = re.compile(r"Traceback|\bWARNING\b|\bERROR\b(?!.*(Finished in state Breach|\| roundsman\.faults - demo: ))")
#: What Prefect says when its server's SQLite refused it something, and it asks again: the server, and who asked it.
BUSY = re.compile(
    r"server +\| (\S+ \| ERROR +\| (prefect\.server|docket)|ERROR: +Exception in ASGI|sqlalchemy\.exc\.)"
    r"|worker +\| \S+ \| ERROR +\| GlobalEventLoopThread \| prefect\._internal\.concurrency - Service 'EventsWorker' failed "
    r"|worker +\| \S+ \| WARNING +\| prefect\.concurrency - Attempt \d of function 'concurrency lease renewal' failed "
)
COMMAND = [sys.executable, "-m", "deployments.up"]


def test_the_pool_is_the_one_that_is_deployed_to():
    assert specs.POOL == up.POOL


def test_what_the_server_keeps_does_not_grow_for_ever():
    """As a server reads it: one of the two times is in seconds, and the other one may not be."""
    code = (
        "from prefect.settings import get_current_settings as now; import json; server = now().server;"
        "vacuum = server.services.db_vacuum;"
        "print(json.dumps([sorted(vacuum.enabled_vacuum_types), vacuum.retention_period.total_seconds(), "
        "server.events.retention_period.total_seconds()]))"
    )
    given = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=up.environment(4200, given), capture_output=True, text=True, check=True
    )
    kinds, runs, events = json.loads(done.stdout)
    assert ["events", "flow_runs", "orphans"] == kinds
    # Automations and the watch look back at events, by a quarter of an hour at most.
    assert 3600 <= events < runs == 2 * 24 * 3600


@pytest.mark.parametrize("option", ["--port", "--board-port"])
def test_a_port_in_use_is_told_before_anything_starts(option):
    ports = {"--port": free_port(), "--board-port": free_port()}
    with socket.create_server(("127.0.0.1", ports[option])):
        words = [str(word) for pair in ports.items() for word in pair]
        done = subprocess.run([*COMMAND, *words, "--no-demo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (up.WRONG_INPUT, "") == (done.returncode, done.stdout)
    assert done.stderr == (
        f"port {ports[option]} can't be had (Address already in use): "
        f"stop what uses it, or name another one with {option}\n"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--port", "0"], "wanted a port from 1 to 65535"),
        (["--port", "70000"], "wanted a port from 1 to 65535"),
        (["--port", "8480", "--demo"], "port 8480 is wanted twice: leave the demo out with --no-demo"),
    ],
)
def test_ports_that_cannot_be_are_wrong_input(words, says, capsys):
    assert up.WRONG_INPUT == up.main(words)
    assert says in capsys.readouterr().err


def test_what_is_given_wins_but_for_the_server_which_is_our_own():
    given = {
        "PREFECT_HOME": "/elsewhere",
        "PREFECT_API_URL": "https://production.example/api",
        "DEMO_ADA_PASSWORD": "x",
    }
    made = up.environment(4300, given)
    assert ("/elsewhere", "x") == (made["PREFECT_HOME"], made["DEMO_ADA_PASSWORD"])
    assert {"http://127.0.0.1:4300/api"} == {made["PREFECT_API_URL"], made["PREFECT_SERVER_UI_API_URL"]}
    assert "http://127.0.0.1:4300" == made["PREFECT_UI_URL"]
    assert made["DEMO_BEN_PASSWORD"] != up.environment(4300, {})["DEMO_BEN_PASSWORD"]


def test_the_first_round_is_asked_for_until_a_busy_server_takes_it_and_is_one():
    refusals, asked = iter([503, 200, 503, 200, "no answer", 200, 201]), []

    def answer(request):
        status = next(refusals)
        if status == "no answer":
            raise httpx.ReadTimeout(status)
        asked.append((status, json.loads(request.content or "{}").get("idempotency_key")))
        return httpx.Response(status, json={"id": "inspect-demo"})

    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://prefect.example/api") as api:
        took = [up._walk_once(api, "one") for _ in range(4)]
    assert [False, False, False, True] == took
    assert [(503, "one"), (201, "one")] == [one for one in asked if one[1]]


def test_a_demo_without_a_schedule_has_no_first_round():
    gone = httpx.MockTransport(lambda _: httpx.Response(404))
    with httpx.Client(transport=gone, base_url="http://prefect.example/api") as api:
        assert up._walk_once(api, "one")


class Up:
    """`make up` in a home of its own, with free ports."""

    def __init__(self, home, *words):
        self.home, self.log = home, home / "up.log"
        self.port, self.board = free_port(), free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "ROUNDSMAN_"))}
        self.environment = kept | {
            "PREFECT_HOME": f"{home}/kept/prefect",
            "ROUNDSMAN_LEDGER_URL": f"sqlite:///{home}/kept/ledger.db",
        }
        self.command = [*COMMAND, "--port", str(self.port), "--board-port", str(self.board), *words]

    @property
    def said(self):
        return self.log.read_text()

    @contextmanager
    def running(self):
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=self.environment, stdout=out, stderr=out, start_new_session=True
            )
        try:
            until("everything answers", lambda: "Everything answers" in self.said or self.process.poll(), 300)
            assert self.process.poll() is None, self.said
            yield httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api", timeout=60)
        finally:
            self.process.kill()
            self.process.wait()
            for pid in self.left():
                os.kill(pid, signal.SIGKILL)

    def left(self):
        """The processes that were started with this home, wherever they have gone since."""
        mark = f"PREFECT_HOME={self.home}/kept/prefect\0".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def pid(self, word):
        (found,) = (one for one in self.left() if word in Path(f"/proc/{one}/cmdline").read_text().split("\0"))
        return found

    def ended(self):
        code = self.process.wait(300)
        assert [] == self.left(), self.said
        return code


@pytest.mark.slow
@pytest.mark.harness
def test_everything_answers_and_ctrl_c_ends_it_when_the_round_has_ended(tmp_path):
    running = Up(tmp_path)
    with running.running() as api:
        assert api.get("/health").is_success
        assert httpx.get(f"http://127.0.0.1:{running.board}/health", timeout=60).status_code in {200, 503}
        names = {one["name"] for one in api.post("/deployments/filter", json={}).json()}
        assert {spec.name for spec in specs.project_specs()} == names
        (worker,) = api.post("/work_pools/roundsman/workers/filter", json={}).json()
        assert "ONLINE" == worker["status"]
        wanted = {
            "flows": {"name": {"any_": ["inspect-site"]}},  # the watch runs each minute as well
            "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}},
        }
        until("the demo's first round is under way", lambda: api.post("/flow_runs/count", json=wanted).json())
        os.kill(running.process.pid, signal.SIGINT)
        assert up.DONE == running.ended()
    assert not WRONG.search("\n".join(line for line in running.said.splitlines() if not BUSY.match(line))), running.said
    ended = sqlite3.connect(tmp_path / "kept/prefect/prefect.db")
    states = ended.execute("SELECT DISTINCT state_type FROM flow_run WHERE state_type IN ('PENDING', 'RUNNING')")
    assert [] == states.fetchall()
    rounds = sqlite3.connect(tmp_path / "kept/ledger.db").execute("SELECT site FROM run").fetchall()
    assert ("demo",) in rounds
    for line in running.said.splitlines():
        assert re.match(r"(demo|server|deploy|automations|board|worker|up) +\| ", line), line


@pytest.mark.slow
@pytest.mark.harness
@pytest.mark.parametrize(("word", "part"), [("deployments.worker", "worker"), ("server", "server")])
def test_a_part_that_dies_is_named_and_everything_stops(word, part, tmp_path):
    running = Up(tmp_path, "--no-demo")
    with running.running():
        os.kill(running.pid(word), signal.SIGKILL)
        assert up.FAILED == running.ended()
    assert f"up          | {part} was killed by SIGKILL" in running.said
    assert "up          | so everything is stopped" in running.said
    assert "Traceback" not in running.said.partition("was killed")[0]
