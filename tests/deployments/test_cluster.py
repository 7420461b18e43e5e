"""A fleet: the same settings wherever it runs, and on this machine one that loses a worker and a server, and no page."""

import importlib.util
import subprocess
import sys
from collections import Counter

import pytest
import yaml

from deployments.cluster import parts
from deployments.cluster.__main__ import SweepSeen, conclude, main
from deployments.cluster.parts import Places, of_server
from deployments.specs import ROOT
from tests import needs

PLACES = Places(1, 2, 3, (4, 5), 6, "secret")
#: What names a place, and so is another one everywhere.
ADDRESSES = {
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START",
    "PREFECT_SERVER_DOCKET_URL",
    "PREFECT_REDIS_MESSAGING_HOST",
    "PREFECT_REDIS_MESSAGING_PORT",
    "PREFECT_REDIS_MESSAGING_PASSWORD",
    "PREFECT_REDIS_MESSAGING_DB",
}
SHARED = {name: value for name, value in of_server(PLACES).items() if name not in ADDRESSES}


class Loader(yaml.SafeLoader):
    """Knows the tag by which docker compose leaves out what another file says."""


Loader.add_constructor("!reset", lambda *_: None)


def test_containers_and_charts_have_the_settings_that_are_tried_here():
    compose = yaml.load((ROOT / "deployments/compose.cluster.yaml").read_text(), Loader)
    for name in ("server", "services", "upgrade"):
        given = compose["services"][name]["environment"]
        assert SHARED == {key: given[key] for key in SHARED}
        assert of_server(PLACES).keys() - given.keys() <= {
            # These two are said in compose.yaml.
            "PREFECT_SERVER_DATABASE_CONNECTION_URL",
            "PREFECT_SERVER_DATABASE_MIGRATE_ON_START",
        }
    chart = yaml.safe_load((ROOT / "deployments/helm/server.yaml").read_text())
    given = {one["name"]: one["value"] for one in chart["global"]["prefect"]["env"]}
    assert SHARED == {key: given[key] for key in SHARED}
    told = (ROOT / "deployments/helm/server.yaml").read_text()
    assert {"PREFECT_SERVER_DOCKET_URL", "PREFECT_REDIS_MESSAGING_PASSWORD"} <= set(told.replace(":", " ").split())


def test_only_the_balancer_has_a_port_and_the_servers_leave_the_services_to_others():
    services = yaml.load((ROOT / "deployments/compose.cluster.yaml").read_text(), Loader)["services"]
    assert ["127.0.0.1:4200:4200"] == services["balancer"]["ports"]
    assert [None, None] == [services[name]["ports"] for name in ("server", "services")]
    assert "--no-services" in services["server"]["command"]
    assert ["prefect", "server", "services", "start"] == services["services"]["command"]
    assert [2, 2, 3] == [services[name]["deploy"]["replicas"] for name in ("server", "services", "worker")]


@pytest.mark.parametrize(
    ("code", "listed", "looked_at", "killed"),
    [
        (0, 2, {"/a": 1, "/b": 1}, ("worker-1", "api-1")),
        (1, 2, {"/a": 1}, ("worker-1", "api-1")),
        (1, 2, {"/a": 1, "/b": 2}, ("worker-1", "api-1")),
        (1, 2, {"/a": 1, "/b": 1}, ("worker-1",)),
        (1, 0, {}, ("worker-1", "api-1")),
    ],
)
def test_only_a_sweep_that_lost_and_doubled_nothing_under_both_kills_is_fine(code, listed, looked_at, killed, capsys):
    assert code == conclude(SweepSeen(listed, Counter(looked_at), "2 pages", Counter(COMPLETED=3), killed))
    assert f"{listed} pages were listed" in capsys.readouterr().out


def test_a_program_that_is_missing_is_named_with_its_package_before_anything_starts(monkeypatch, capsys):
    monkeypatch.setattr(parts.shutil, "which", lambda name, path: None if name == "redis-server" else name)
    assert 3 == main([])
    assert "saw no program redis-server on this machine" in (said := capsys.readouterr().err)
    assert "apt-get install redis-server" in said


@pytest.mark.slow
@pytest.mark.harness
def test_a_fleet_that_loses_a_worker_and_a_server_loses_and_doubles_no_page():
    for name in ("initdb", "redis-server", "nginx"):
        needs.program(name)
    if not importlib.util.find_spec("prefect_redis"):
        needs.lacking("package prefect-redis")
    command = [sys.executable, "-m", "deployments.cluster", "--pages", "2400", "--rate", "120"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "2,400 pages: 2,400 passed" in done.stdout
    assert "2,400 pages were listed, 0 lost, 0 doubled." in done.stdout
    assert "Killed: worker-" in done.stdout
