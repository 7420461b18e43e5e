"""The workflow that deploys, run step by step against a server that is not the real one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deployments.__main__ import COMMANDS
from deployments.specs import ROOT, project_specs

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())
(JOB,) = WORKFLOW["jobs"].values()
#: What makes a machine ready; here it is.
PREPARES = {"install"}
STEPS = [step for step in JOB["steps"] if "run" in step and step["name"] not in PREPARES]


FOLDER = ROOT / ".github/workflows"
WORKFLOWS = {path.name: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.iterdir())}


def test_the_steps_come_in_their_order():
    assert ["actions/checkout", "actions/setup-python", "install"] == [
        step.get("uses", step.get("name")).partition("@")[0] for step in JOB["steps"][:3]
    ]
    assert ["validate", "deploy", "automations", "what is left over"] == [step["name"] for step in STEPS]


def test_nothing_secret_is_written_in_it_and_nothing_unsafe_in_a_script():
    """An expression within a script would be run by the shell, whatever it holds."""
    assert not any("${{" in step["run"] for step in JOB["steps"] if "run" in step)
    assert "${{ secrets." in JOB["env"]["PREFECT_API_AUTH_STRING"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_runs_no_action_that_somebody_else_can_change(name):
    """A tag can be moved; a commit can not. The comment says which version it is."""
    used = re.findall(r"uses: (.*)", (FOLDER / name).read_text())
    assert used
    assert [] == [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_the_project_and_nothing_else(name):
    workflow = WORKFLOWS[name]
    assert {"contents": "read"} == workflow["permissions"]
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [{"persist-credentials": False}] == [step["with"] for step in checkouts]


class _Compose(yaml.SafeLoader):
    """Knows the tag that is Compose's own."""


_Compose.add_constructor("!reset", lambda _, __: None)


def test_an_image_is_fixed_by_its_digest():
    parts = [
        yaml.load((ROOT / name).read_text(), _Compose) for name in ("compose.yaml", "deployments/compose.cluster.yaml")
    ]
    images = {one["image"] for part in parts for one in part["services"].values() if "image" in one} - {"roundsman"}
    images |= set(re.findall(r"(?m)^FROM (\S+)", (ROOT / "deployments/Dockerfile").read_text()))
    for workflow in WORKFLOWS.values():
        for job in workflow["jobs"].values():
            assert job.get("container", {}).get("image", "${{ matrix.image }}") == "${{ matrix.image }}"
            images |= set(job.get("strategy", {}).get("matrix", {}).get("image", []))
    assert 7 == len(images)
    assert [] == [image for image in images if not re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image)]


def test_whoever_hears_of_jobs_stays_told_of_them():
    """What the command for automations is not told of, it takes off the server."""
    assert "${{ vars.ROUNDSMAN_NOTIFY }}" == JOB["env"]["ROUNDSMAN_NOTIFY"]


def test_it_installs_the_lock():
    (install,) = (step["run"] for step in JOB["steps"] if step.get("name") == "install")
    assert "--require-hashes -r requirements.lock" in install


def test_every_command_it_uses_is_one():
    words = " ".join(step["run"] for step in STEPS)
    assert {"validate", "deploy", "automations", "prune"} == set(re.findall(r"-m deployments ([a-z]+)", words))
    assert set(re.findall(r"-m deployments ([a-z]+)", words)) <= set(COMMANDS)


@pytest.mark.slow
@pytest.mark.harness
def test_each_step_ends_well_and_the_server_has_what_git_has(deployed, tmp_path):
    """In a copy of the project, as a checkout is one."""
    checkout = tmp_path / "checkout"
    copy_of_the_project(checkout)
    environment = {
        **deployed.variables,
        **dict.fromkeys(JOB["env"], ""),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PREFECT_API_URL": deployed.variables["PREFECT_API_URL"],
        "ROUNDSMAN_VERSION": "0123456789abcdef",
        "REPOSITORY": f"file://{ROOT}",
        "BRANCH": "main",
    }
    for step in STEPS:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert 0 == done.returncode, f"{step['name']}: {done.stdout}{done.stderr}"
    made = deployed.everything()
    assert {spec.name for spec in project_specs()} == set(made)
    assert {"0123456789abcdef"} == {one["version"] for one in made.values()}
    types = deployed.api.post("/block_types/filter", json={"limit": 200}).json()
    assert {"varnish", "nginx", "cloudflare", "member", "apprise"} <= {one["slug"] for one in types}
    ((step, inputs),) = next(iter(made.values()))["pull_steps"][0].items()
    assert ("prefect.deployments.steps.git_clone", f"file://{ROOT}", "main") == (
        step,
        inputs["repository"],
        inputs["branch"],
    )


def copy_of_the_project(folder):
    """What git would check out, with what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, folder / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
