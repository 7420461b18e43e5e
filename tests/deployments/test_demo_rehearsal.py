"""`make demo-rehearsal`, as a stranger runs it."""

import os
import subprocess
import sys

import pytest

from deployments.demo.release import build, main
from deployments.specs import ROOT


@pytest.mark.slow
@pytest.mark.harness
def test_a_rollback_is_proven_and_one_that_lost_its_artefact_is_found_and_nothing_is_left_behind(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for name in ("PREFECT_API_URL", "PREFECT_LOGGING_LEVEL"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "deployments.demo.rehearsing"]
    demo = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=400)
    assert (0, "") == (demo.returncode, demo.stderr), demo.stdout
    assert "staging: it runs 1.8.2, the new release, and is healthy" in demo.stdout
    assert "1.8.2 is gone; kept: 1.8.3" in demo.stdout
    assert "staging: it runs 1.8.3, the new release, and is healthy" in demo.stdout
    assert "its rehearsal failed just now" in demo.stdout
    assert [] == list(tmp_path.iterdir())


@pytest.fixture
def shop(tmp_path):
    for name in ("1.8.9", "1.8.10"):
        build(tmp_path, name)
    return tmp_path


def running(shop):
    return (shop / "current").resolve().name


def test_the_demo_deploys_the_newest_release_and_goes_back_to_the_one_before(shop, capsys):
    assert 0 == main(["deploy", str(shop)])
    assert "1.8.10" == running(shop)
    build(shop, "1.9.0")
    assert (0, "1.9.0") == (main(["deploy", str(shop)]), running(shop))
    assert (0, "1.8.10") == (main(["rollback", str(shop)]), running(shop))
    assert (0, "1.9.0", "1.8.10") == (main(["deploy", str(shop)]), running(shop), (shop / "previous").resolve().name)


def test_a_release_that_was_deleted_can_not_be_put_back(shop, capsys):
    assert 0 == main(["deploy", str(shop)])
    build(shop, "1.9.0")
    assert 0 == main(["deploy", str(shop), "--prune"])
    assert (1, "1.9.0") == (main(["rollback", str(shop)]), running(shop))
    assert "1.8.10 is gone; kept: 1.9.0" in capsys.readouterr().err


def test_without_an_earlier_release_there_is_nothing_to_go_back_to(shop, capsys):
    assert 1 == main(["rollback", str(shop)])
    assert "the previous release is gone; kept: 1.8.10, 1.8.9" in capsys.readouterr().err
