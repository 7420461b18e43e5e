"""What a stranger has after an install: the command in any folder, also beside `flows/` and `blocks/` of their own."""

import json
import os
import signal
import subprocess

import httpx
import pytest
import yaml

from tests import service
from tests.cli.test_inspect import KEPT
from tests.ports import free_port

#: Left out of what the command is started with: what tests set, and what would show it this folder.
OURS = ("PREFECT_", "PYTHON", "ROUNDSMAN_")


@pytest.fixture
def mine(tmp_path):
    """Somebody's project, whose `flows` and `blocks` are not ours."""
    for name in ("flows", "blocks", "deployments"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('these are the {name} of another project')\n")
    return tmp_path


def environment(**more):
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | more


def roundsman(installed, folder, *words, **variables):
    words = [installed.parent / "roundsman", *words]
    done = subprocess.run(
        words, cwd=folder, env=environment(**variables), capture_output=True, text=True, check=False, timeout=300
    )
    assert "Traceback" not in done.stderr
    assert "of another project" not in done.stdout + done.stderr
    return done


@pytest.mark.slow
def test_the_wheel_has_one_name_at_the_top_and_no_site_but_the_demos(installed):
    [packages] = installed.parent.parent.glob("lib/python*/site-packages")
    assert {"roundsman", "locked.pth"} == {
        one.name for one in packages.iterdir() if not one.name.endswith(".dist-info")
    }
    assert {"demo.yaml"} == {one.name for one in (packages / "roundsman/_project/deployments/sites").glob("*.yaml")}
    [entry_points] = packages.glob("*.dist-info/entry_points.txt")
    assert "roundsman = roundsman.cli.command_line:run" in entry_points.read_text()


@pytest.mark.slow
def test_a_stranger_looks_at_a_page_makes_a_folder_and_lints_it(installed, mine, pages):
    pages["/"] = KEPT
    look = roundsman(installed, mine, "inspect", f"{pages.url}/")
    assert (0, "") == (look.returncode, look.stderr)
    assert "fresh for 10m" in look.stdout
    made = roundsman(installed, mine, "init", ".", pages.url)
    assert (0, "") == (made.returncode, made.stderr)
    lint = roundsman(installed, mine / "flows", "lint")
    assert 0 == lint.returncode
    assert "fine" in lint.stdout
    refused = roundsman(installed, mine, "deploy")
    assert 3 == refused.returncode
    assert "PREFECT_API_URL" in refused.stderr


@pytest.mark.harness
def test_all_of_it_runs_from_the_wheel_and_a_second_deploy_changes_nothing(installed, mine, pages):
    pages["/"] = KEPT
    assert 0 == roundsman(installed, mine, "init", ".", pages.url).returncode
    [file] = (mine / "sites").glob("*.yaml")
    site = yaml.safe_load(file.read_text())
    site["rules"][0]["examples"] = {"cached": ["/"]}
    file.write_text(yaml.safe_dump(site | {"schedule": {"inspect": "* * * * *"}}))
    port, board = free_port(), free_port()
    words = [installed.parent / "roundsman", "up", "--port", str(port), "--board-port", str(board)]
    log = mine / "up.log"
    with service.running(words, environment(), log, cwd=mine) as up:
        try:
            one = service.until("a scheduled round has looked", lambda: looked(up, board), 600)
            assert site["site"] == one["site"]
            assert one["claims"]["pass"]
            api = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
            before = deployments(api)
            again = roundsman(installed, mine, "deploy", **api)
            assert 0 == again.returncode, again.stderr
            assert before == deployments(api)
        finally:
            os.kill(up.pid, signal.SIGINT)
            code = up.wait(300)
    assert 0 == code, log.read_text()
    assert {"ledger.db", "prefect", "prefect.yaml"} <= {one.name for one in (mine / ".roundsman").iterdir()}
    assert "of another project" not in log.read_text()


def looked(up, board):
    """What the board says of the site, once a round has been recorded."""
    assert up.poll() is None
    [one] = httpx.get(f"http://127.0.0.1:{board}/health", timeout=10).json()["promises"]["sites"]
    return one if sum(one["claims"].values()) else None


def deployments(api):
    """Each deployment by its id, with what it runs and when."""
    with httpx.Client(base_url=api["PREFECT_API_URL"], timeout=60) as client:
        found = client.post("/deployments/filter", json={}).raise_for_status().json()
    return {
        one["id"]: (one["name"], one["entrypoint"], json.dumps([each["schedule"] for each in one["schedules"]]))
        for one in found
    }
