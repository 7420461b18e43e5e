"""`make up`: everything in one terminal. Prefect server, deployments, automations, worker, board, and the demo site.

`roundsman up [--port 4200] [--board-port 8481] [--no-demo]`. What it keeps is under `.roundsman/`.
"""

import argparse
import base64
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from deployments.parts import PartError, Parts, StoppedError
from flows.commands.common import ledger_ready
from flows.commands.home import held, home_ready
from roundsman.cli.output import InputError, say
from roundsman.cli.parser import CommandParser, port_number
from roundsman.folders import VARIABLE, is_clone, own_folder

DONE, FAILED, WRONG_INPUT = 0, 1, 3
ROOT = Path(__file__).parents[1]
OWN = own_folder()
STATE = (OWN or (ROOT if is_clone() else Path.cwd())) / ".roundsman"
DEMO_FILE, DEMO_PORT = ROOT / "deployments" / "sites" / "demo.yaml", 8480
#: As in deployments/specs.py, which imports every job and takes its time; a test holds the two together.
POOL = "roundsman"
#: Seconds that runs under way have at the end. A round of a small site takes half a minute.
DRAIN_SECONDS = 120

#: What Prefect says to somebody who started one of its programs by hand.
_BANNER = r"\s*[|_\\/]+ |\s*_+ |Configure Prefect|\s+prefect config|View the API|Check out the dash|Server stopped"
_ADVICE = r"[╭│╰]|\s|View Deployment|To (execute|schedule)|terminal that|Running deployment build|Deploying all"
#: A traceback but for its last line. SQLite refuses the server what comes at once on a busy machine; it is asked again.
_TRACE = r"\s|Traceback|sqlite3\.|\[SQL|\[parameters|\(Background|The above exception|During handling"
_CHATTER = r".*\| INFO +\| (?!roundsman )|Received SIG|Discovered type"  # rounds speak as roundsman

#: What is set unless the environment says otherwise. On SQLite a run that writes seldom, and much at once, does not
#: keep others from writing; and the worker of a developer is asked for at once.
SETTINGS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # Its file grew by 30 MB an hour for ever, three quarters of it events, which nobody asks for when they are old: the
    # watch looks for a run's last heartbeat. What rounds found is in the ledger, which is not touched.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(2 * 24 * 3600),  # seconds
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "PT3H",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_HOME": str(STATE / "prefect"),
    "ROUNDSMAN_LEDGER_URL": f"sqlite:///{STATE / 'ledger.db'}",
    "ROUNDSMAN_HOME": str(ROOT),
    **({VARIABLE: str(OWN)} if OWN else {}),
}


def main(words: list[str] | None = None) -> int:
    """Run until Ctrl-C. Exit codes: 0 stopped, 1 a part died, 3 the input was wrong or a port is in use."""
    parser = CommandParser(prog="roundsman up", description="Everything in one terminal.")
    parser.add_version()
    parser.add_argument("--port", type=port_number, default=4200, help="of the Prefect server (default: %(default)s)")
    parser.add_argument("--board-port", type=port_number, default=8481, help="of the board (default: %(default)s)")
    parser.add_argument(
        "--demo",
        action=argparse.BooleanOptionalAction,
        default=DEMO_FILE.exists() and not OWN,
        help=f"the demo site on port {DEMO_PORT}; without this, when there are no sites but the demo's",
    )
    try:
        args = parser.parse_args(words)
    except SystemExit as stop:
        return WRONG_INPUT if stop.code else DONE
    ports = {"--port": args.port, "--board-port": args.board_port} | ({"--no-demo": DEMO_PORT} if args.demo else {})
    if problems := [problem for option, port in ports.items() if (problem := _taken(option, port, ports))]:
        say("\n".join(problems), error=True)
        return WRONG_INPUT
    variables = environment(args.port, os.environ)
    try:
        home_ready(variables)
        with held(Path(variables["PREFECT_HOME"]).expanduser()):
            ledger_ready(variables["ROUNDSMAN_LEDGER_URL"])
            return _up(args, variables)
    except InputError as error:
        say(error, error=True)
        return WRONG_INPUT


def environment(port: int, given: Mapping[str, str]) -> dict[str, str]:
    """What every part is started with: the given variables win, but for the server, which is our own."""
    address = f"http://127.0.0.1:{port}"
    passwords = {f"DEMO_{name}_PASSWORD": secrets.token_urlsafe(12) for name in ("ADA", "BEN")}
    ours = {
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_UI_URL": address,
        "PREFECT_SERVER_UI_API_URL": f"{address}/api",
    }
    return {**SETTINGS, **passwords, **given, **ours}


def _up(args: argparse.Namespace, environment: dict[str, str]) -> int:
    console = Console(highlight=False)
    names = ("demo", "server", "deploy", "automations", "board", "worker", "up")
    with Parts(console, width=max(map(len, names))) as parts:
        say = partial(parts.say, "up")
        try:
            _open(parts, args, environment)
            say(f"board       http://127.0.0.1:{args.board_port}/")
            say(f"Prefect     http://127.0.0.1:{args.port}/")
            if args.demo:
                say(f"demo site   http://127.0.0.1:{DEMO_PORT}/  (with three faults; its first round is on its way)")
            say("Everything answers. Ctrl-C ends it, and lets the runs under way finish first.")
            parts.wait()
        except StoppedError:
            say(f"stopping; runs under way have {DRAIN_SECONDS} s to finish, a second Ctrl-C does not wait for them")
        except PartError as error:
            say(f"{error}; its last lines:" if error.part.last else f"{error}")
            for line in error.part.last:
                say(f"    {line}")
            say("so everything is stopped")
            return FAILED
    return DONE


def _open(parts: Parts, args: argparse.Namespace, environment: dict[str, str]) -> None:
    """Start the parts, each when what it needs answers."""

    def python(*words: str) -> list[str]:
        return [sys.executable, "-m", *words]

    board = f"http://127.0.0.1:{args.board_port}/health"
    with _client(environment) as api, httpx.Client(timeout=5, trust_env=False) as anyone:
        if args.demo:
            demo = parts.start("demo", python("deployments.demo.serve", "--port", str(DEMO_PORT)), environment)
            parts.until(demo, lambda: _status(anyone, f"http://127.0.0.1:{DEMO_PORT}/health") == 200, 30)
        parts.say("up", "starting the Prefect server; that takes some ten seconds")
        command = python("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(args.port))
        server = parts.start("server", command, environment, patience=20, hide=f"{_BANNER}|{_TRACE}")
        parts.until(server, lambda: _status(api, "/ready") == 200, 180)
        shown = parts.start(
            "board", python("deployments.board", "--host", "127.0.0.1", "--port", str(args.board_port)), environment
        )
        parts.finish("deploy", python("deployments", "deploy"), environment, hide=_ADVICE)
        parts.finish("automations", python("deployments", "automations"), environment)
        words = ("deployments.worker", "--drain", str(DRAIN_SECONDS), "--", "--limit", "5")
        worker = parts.start("worker", python(*words), environment, patience=DRAIN_SECONDS + 60, hide=_CHATTER)
        parts.until(worker, lambda: _online(api), 60)
        # Before the first rounds it says that it is not well, and that is an answer.
        parts.until(shown, lambda: _status(anyone, board), 60)
        if args.demo:
            key = secrets.token_hex()
            parts.until(server, lambda: _walk_once(api, key), 120)


def _client(environment: Mapping[str, str]) -> httpx.Client:
    """A client of the server's API, with the credentials that it asks for."""
    login = environment.get("PREFECT_API_AUTH_STRING", "").encode()
    headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}"} if login else {}
    return httpx.Client(base_url=environment["PREFECT_API_URL"], headers=headers, timeout=5, trust_env=False)


def _status(client: httpx.Client, url: str) -> int:
    try:
        return client.get(url).status_code
    except httpx.HTTPError:
        return 0


def _online(api: httpx.Client) -> bool:
    try:
        found: Any = api.post(f"/work_pools/{POOL}/workers/filter", json={}).raise_for_status().json()
    except httpx.HTTPError:
        return False
    return any(one["status"] == "ONLINE" for one in found)


def _walk_once(api: httpx.Client, key: str) -> bool:
    """Have the demo's first round now, and not in an hour; whether the server took it. The same `key` asks for one."""
    try:
        found = api.get("/deployments/name/inspect-site/inspect-demo")
        if not found.is_success:
            return found.status_code == httpx.codes.NOT_FOUND
        wanted = {"state": {"type": "SCHEDULED"}, "idempotency_key": key}
        return api.post(f"/deployments/{found.json()['id']}/create_flow_run", json=wanted).is_success
    except httpx.HTTPError:
        return False


def _taken(option: str, port: int, ports: Mapping[str, int]) -> str:
    """Why a part can't have its port; nothing when it can."""
    remedy = "leave the demo out with --no-demo" if option == "--no-demo" else f"name another one with {option}"
    if list(ports.values()).count(port) > 1:
        return f"port {port} is wanted twice: {remedy}"
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        return f"port {port} can't be had ({os.strerror(error.errno or 0)}): stop what uses it, or {remedy}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
