"""compose.yaml and the systemd units: whole, without secrets, and their commands are ones that exist."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from functools import cache, partial
from pathlib import Path

import httpx
import pytest
import yaml

from deployments import drain
from deployments.specs import ROOT
from tests import needs, postgres
from tests.ports import free_port
from tests.service import environment, running, until

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "roundsman"}
HELM = sorted((ROOT / "deployments/helm").glob("*.yaml"))
UNITS = {path.name: path.read_text() for path in sorted((ROOT / "deployments/systemd").glob("roundsman-*"))}
BIN, HOME = "/srv/roundsman/.venv/bin", "/srv/roundsman"
HERE = str(Path(sys.executable).parent)
SECRET = re.compile("PASSWORD|TOKEN|AUTH|_URL")


def words(command):
    return [command] if isinstance(command, str) else [str(word) for word in command]


def settings(unit, key):
    return [line.partition("=")[2] for line in UNITS[unit].splitlines() if line.partition("=")[0] == key]


def commands():
    """Every command that production runs, as words; those of a shell are taken out of it."""
    for service in OURS.values():
        command = words(service["command"])
        text = command[2] if command[:2] == ["sh", "-c"] else shlex.join(command)
        yield from re.split(r" && |; do |; sleep|^while :; do ", text)
    for name in UNITS:
        for key in ("ExecStart", "ExecStartPre"):
            yield from (line.replace(f"{BIN}/", "") for line in settings(name, key))


COMMANDS = sorted({shlex.join(shlex.split(one)) for one in commands() if one.startswith(("python -m", "prefect"))})


def test_the_commands_were_found():
    assert len(COMMANDS) > 8
    assert {"deployments", "deployments.worker", "deployments.board", "roundsman"} == {
        shlex.split(one)[2] for one in COMMANDS if one.startswith("python")
    }


@cache
def help_of(command):
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists_with_its_options(command):
    given = shlex.split(command)
    program = [sys.executable, *given[1:3]] if given[0] == "python" else [f"{HERE}/prefect"]
    ours, _, prefects = (given[3:] if given[0] == "python" else given[1:]), "", []
    if "--" in ours:
        at = ours.index("--")
        ours, prefects = ours[:at], ours[at + 1 :]
    named = []
    for word in ours:
        if word.startswith("-"):
            break
        named.append(word)
    checked = [((*program, *named), ours), ((f"{HERE}/prefect", "worker", "start"), prefects)]
    for start, options in checked:
        if not options and start[-1] == "start":
            continue
        code, said = help_of(tuple(start))
        assert 0 == code, said
        for option in (word for word in options if word.startswith("--")):
            assert option in said


def test_all_parts_are_there():
    assert {"database", "upgrade", "server", "deploy", "automations", "worker", "board", "watcher"} == set(SERVICES)
    assert [
        "roundsman-board.service",
        "roundsman-server.service",
        "roundsman-watch.service",
        "roundsman-watch.timer",
        "roundsman-worker.service",
    ] == list(UNITS)


def test_every_secret_comes_from_outside_and_must_be_there():
    found = {
        name: value
        for service in SERVICES.values()
        for name, value in service["environment"].items()
        if SECRET.search(name)
    }
    public = {"PREFECT_API_URL", "PREFECT_UI_URL", "PREFECT_SERVER_UI_API_URL"}
    assert len(found) == len(public) + 6
    for name in found.keys() - public:
        assert re.search(r"\$\{[A-Z_]+:\?[^}]+\}", found[name]), name


#: A value that a shell, systemd or Compose would put among the words of a command.
SHOWN = re.compile(r"\$+\{?\w*(PASSWORD|TOKEN|AUTH|URL|PING|SECRET|KEY)\w*")


def test_no_secret_stands_among_the_words_of_a_command():
    """Each user of a machine can read them."""
    cluster = (ROOT / "deployments/compose.cluster.yaml").read_text()
    said = [shlex.join(words(one["command"])) for one in SERVICES.values() if "command" in one]
    said += re.findall(r"(?m)^ +command: .*", cluster)
    said += [line for name in UNITS for key in ("ExecStart", "ExecStartPre") for line in settings(name, key)]
    said += re.findall(r"(?m)^.*\b(?:args|command): .*", "".join(path.read_text() for path in HELM))
    assert len(said) > 12
    assert [] == [one for one in said if SHOWN.search(one) or "://" in one]


def test_the_secrets_of_the_readme_stand_in_no_command_either():
    shown = [
        line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("$ ") and "TOKEN" in line
    ]
    assert 2 == len(shown)
    assert all("-H @- <<< " in line for line in shown)


def test_redis_takes_its_password_from_a_file(tmp_path):
    program, port = needs.program("redis-server"), free_port()
    cluster = (ROOT / "deployments/compose.cluster.yaml").read_text()
    (content,) = re.findall(r"  redis:\n    content: \|\n((?: {6}.*\n)+)", cluster)
    config = re.sub(r"(?m)^ {6}", "", re.sub(r"\$\{REDIS_PASSWORD:[^}]*\}", "walker0451", content))
    (tmp_path / "redis.conf").write_text(f"{config}bind 127.0.0.1\nport {port}\ndir {tmp_path}\n")

    def said(*lines):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as at:
            at.sendall("".join(f"{line}\r\n" for line in (*lines, "QUIT")).encode())
            return b"".join(iter(partial(at.recv, 4096), b"")).decode()

    with running([program, str(tmp_path / "redis.conf")], os.environ, tmp_path / "redis.log") as redis:
        until("it listens", lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
        assert "-NOAUTH" in said("PING")
        assert "+PONG" in said("AUTH walker0451", "PING")
        assert "walker0451" not in Path(f"/proc/{redis.pid}/cmdline").read_text()


def asked_by(file):
    return set(re.findall(r"\$\{([A-Z_]+):", (ROOT / file).read_text()))


@pytest.mark.parametrize(
    ("example", "asked"),
    [
        ("compose.env.example", asked_by("compose.yaml") | asked_by("deployments/compose.cluster.yaml")),
        ("systemd/env.example", None),
    ],
)
def test_the_example_names_every_variable_and_no_secret(example, asked):
    lines = [line for line in (ROOT / "deployments" / example).read_text().splitlines() if line and line[0] != "#"]
    given = dict(line.split("=", 1) for line in lines)
    if asked:
        assert asked == set(given)
    for name, value in given.items():
        assert not value or value.startswith("http://127.0.0.1:"), name


def test_secrets_go_into_no_commit_and_no_image():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "sites.env"} <= set(ignored)
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" == next(line for line in kept if not line.startswith("#"))
    assert {"**/.env", "**/*.env"} <= set(kept)


def test_nothing_is_open_to_others_and_nobody_is_root():
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    for service in OURS.values():
        assert (True, ["ALL"], ["no-new-privileges:true"]) == (
            service["read_only"],
            service["cap_drop"],
            service["security_opt"],
        )
    dockerfile = (ROOT / "deployments/Dockerfile").read_text().strip().splitlines()
    assert "USER roundsman" == dockerfile[-1]
    assert any("--require-hashes -r /tmp/requirements.lock" in line for line in dockerfile)
    for name in UNITS:
        if name.endswith(".service"):
            assert ["roundsman"] == settings(name, "User")
            assert ["/etc/roundsman/env"] == settings(name, "EnvironmentFile")
            assert ["true"] == settings(name, "NoNewPrivileges")
            assert ["strict"] == settings(name, "ProtectSystem")


def test_a_worker_is_given_the_time_to_drain():
    def seconds(text):
        return int(text.removesuffix("min").removesuffix("m")) * 60

    command = words(SERVICES["worker"]["command"])
    assert drain.TIMEOUT_SECONDS == float(command[command.index("--drain") + 1])
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > drain.TIMEOUT_SECONDS + 20
    (unit,) = settings("roundsman-worker.service", "ExecStart")
    assert f" --drain {drain.TIMEOUT_SECONDS:.0f} " in unit
    assert seconds(*settings("roundsman-worker.service", "TimeoutStopSec")) > drain.TIMEOUT_SECONDS + 20
    assert ["mixed"] == settings("roundsman-worker.service", "KillMode")
    assert any("roundsman-server.service" in line for line in settings("roundsman-worker.service", "After"))


def test_what_depends_on_a_part_waits_until_it_is_well():
    for service in OURS.values():
        for other, how in service["depends_on"].items():
            if "service_healthy" == how["condition"]:
                assert "healthcheck" in SERVICES[other]
            else:
                assert ("service_completed_successfully", "no") == (how["condition"], SERVICES[other]["restart"])


def test_systemd_takes_the_units(tmp_path):
    program = needs.program("systemd-analyze")
    for name, text in UNITS.items():
        (tmp_path / name).write_text(text.replace(BIN, HERE).replace(HOME, str(ROOT)))
    done = subprocess.run(
        [program, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "roundsman" in line]
    assert (0, []) == (done.returncode, ours), done.stderr


def test_docker_takes_the_file(tmp_path):
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("this machine has no docker compose")
    text = (ROOT / "deployments/compose.env.example").read_text()
    (tmp_path / "env").write_text(re.sub(r"(?m)^([A-Z_]+)=$", r"\1=something", text))
    command = [docker, "compose", "--file", ROOT / "compose.yaml", "--env-file", tmp_path / "env", "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.slow
@pytest.mark.harness
def test_the_units_commands_run_on_postgresql_behind_a_login(tmp_path):
    port = free_port()

    def command(unit, key="ExecStart"):
        (line,) = settings(unit, key)
        return shlex.split(line.replace(BIN, HERE).replace("4200", str(port)))

    with postgres.server() as database:
        login = "round:walker-0451"
        variables = environment(
            tmp_path,
            port,
            PREFECT_SERVER_API_AUTH_STRING=login,
            PREFECT_API_AUTH_STRING=login,
            PREFECT_SERVER_DATABASE_CONNECTION_URL=database.fresh().replace("postgresql", "postgresql+asyncpg"),
            ROUNDSMAN_LEDGER_URL=database.fresh(),
        )
        pairs = [pair for line in settings("roundsman-server.service", "Environment") for pair in shlex.split(line)]
        variables |= dict(pair.split("=", 1) for pair in pairs if pair.startswith("PREFECT_SERVER_"))

        def do(*words, **more):
            return subprocess.run(
                words,
                cwd=ROOT,
                env=variables | more,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
            )

        done = do(*command("roundsman-server.service", "ExecStartPre"))
        assert 0 == done.returncode, done.stdout + done.stderr
        log = tmp_path / "said.log"
        with running(command("roundsman-server.service"), variables, log):
            url = variables["PREFECT_API_URL"]
            until("the server answers", lambda: httpx.get(f"{url}/ready").is_success)
            assert 401 == httpx.post(f"{url}/flows/filter", json={}, timeout=60).status_code
            done = do(sys.executable, "-m", "deployments.drain", PREFECT_API_AUTH_STRING="round:wrong")
            assert drain.COULD_NOT_ASK == done.returncode
            assert "refused with status 401; PREFECT_API_AUTH_STRING is to be the server's" in done.stdout
            for words in (["deploy"], ["automations"]):
                done = do(sys.executable, "-m", "deployments", *words)
                assert 0 == done.returncode, done.stdout + done.stderr
            with running(command("roundsman-worker.service"), {**variables, "PYTHONUNBUFFERED": "1"}, log) as worker:
                until("the worker is there", lambda: " started!" in log.read_text())
                worker.terminate()
                assert drain.DONE == worker.wait(180)
            # Nothing is overdue yet on a server of this minute.
            done = do(*command("roundsman-watch.service"))
            assert 0 == done.returncode, done.stdout + done.stderr
        assert "Traceback" not in log.read_text()
        assert "walker-0451" not in log.read_text()
