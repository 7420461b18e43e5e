"""What is rendered is what runs."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml
from prefect import flow
from prefect.deployments.steps.core import run_steps
from prefect.utilities.callables import parameter_schema

from deployments import __main__ as command
from deployments.render import BUILD, END, START, prefect_yaml, rendered, schema, table
from deployments.specs import PROJECT, ROOT, Timetable, project_specs, shared_specs, specs
from deployments.validate import problems
from flows.jobs.inspect_site import inspect_site
from roundsman.alerts.rules.runbook import RUNBOOKS, SITE_OWNER, NothingToUndo, job
from roundsman.site.rules.site import Site
from tests.make import site

CONFIG = yaml.safe_load((ROOT / "prefect.yaml").read_text())


def test_what_is_committed_is_what_the_sources_render():
    assert 0 == command.main(["--check"])


def test_a_stale_file_is_told_by_name_and_left_alone(monkeypatch, capsys):
    before = (ROOT / "prefect.yaml").read_text()
    wanted = rendered(project_specs())
    monkeypatch.setattr(
        command, "rendered", lambda _: {**wanted, ROOT / "prefect.yaml": wanted[ROOT / "prefect.yaml"] + "# more\n"}
    )
    assert 1 == command.main(["--check"])
    assert "prefect.yaml is stale" in capsys.readouterr().err
    assert before == (ROOT / "prefect.yaml").read_text()


def test_what_would_be_rendered_is_validated_as_well(monkeypatch, capsys):
    wanted = rendered(project_specs())
    wrong = wanted[ROOT / "prefect.yaml"].replace("concurrency_limit:", "concurency_limit:")
    monkeypatch.setattr(command, "rendered", lambda _: {**wanted, ROOT / "prefect.yaml": wrong})
    assert 3 == command.main(["--check"])
    assert "concurency_limit: saw an unknown key; did you mean concurrency_limit?" in capsys.readouterr().err


def test_a_site_without_a_schedule_has_no_deployment():
    assert [] == specs([site()])
    (spec,) = specs([site(schedule={"inspect": "7 * * * *"})])
    assert ("inspect-shop", {"site": "shop"}, "UTC") == (spec.name, spec.parameters, spec.timezone)


def test_a_site_that_imports_its_catalogue_has_a_deployment_for_it():
    schedule = {"inspect": "7 * * * *", "catalogue": "0 4 * * *"}
    (_, spec) = specs([site(schedule=schedule, catalogue={"feed": "https://feeds.example.com/articles"})])
    made = spec.rendered()
    assert ("import-catalogue-shop", "0 4 * * *") == (made["name"], made["schedules"][0]["cron"])
    assert {"site": "shop", "feed": "https://feeds.example.com/articles", "dry_run": False} == made["parameters"]
    assert {"limit": 1, "collision_strategy": "ENQUEUE"} == made["concurrency_limit"]


def test_a_site_that_rehearses_its_release_has_a_deployment_for_it_in_staging():
    """And none that could reach production: that needs a version which somebody confirms."""
    (_, spec) = specs([site(schedule={"inspect": "7 * * * *", "rehearse": "0 4 * * 1"})])
    made = spec.rendered()
    assert ("rehearse-shop", "0 4 * * 1") == (made["name"], made["schedules"][0]["cron"])
    assert {"site": "shop", "dry_run": False} == made["parameters"]
    assert "staging" == parameter_schema(spec.job).properties["environment"]["default"]
    assert "[rehearsal-shop](/v2/artifacts/key/rehearsal-shop)" in made["description"]


def test_a_site_that_compares_its_releases_has_a_deployment_for_the_rounds_before_and_after():
    (_, spec) = specs([site(schedule={"inspect": "7 * * * *", "compare": "0 8 * * *"})])
    made = spec.rendered()
    assert ("compare-shop", "0 8 * * *", {"site": "shop"}) == (
        made["name"],
        made["schedules"][0]["cron"],
        made["parameters"],
    )
    defaults = {name: one.get("default") for name, one in parameter_schema(spec.job).properties.items()}
    assert (None, None, "") == (defaults["baseline"], defaults["candidate"], defaults["version"])


@pytest.mark.parametrize(("name", "cron"), [("shop", "32 * * * *"), ("shop-de", "24 * * * *")])
def test_sites_that_run_hourly_do_not_start_together(name, cron):
    (spec,) = specs([site(site=name, schedule={"inspect": "hourly"})])
    assert cron == spec.rendered()["schedules"][0]["cron"]


@pytest.mark.parametrize(
    ("cron", "timezone", "wanted"),
    [
        ("* * * * *", "Europe/Berlin", "UTC"),
        ("7 * * * *", "America/New_York", "UTC"),
        ("7 * * * *", "Asia/Kolkata", "Asia/Kolkata"),
        ("7 * * * *", "Australia/Lord_Howe", "Australia/Lord_Howe"),
        ("7 * * * 1-5", "Europe/Berlin", "Europe/Berlin"),
        ("7 2 * * *", "Europe/Berlin", "Europe/Berlin"),
    ],
)
def test_what_is_due_each_hour_is_due_as_well_in_the_hour_that_comes_twice(cron, timezone, wanted):
    (spec,) = specs([site(schedule={"inspect": cron, "timezone": timezone})])
    assert wanted == spec.rendered()["schedules"][0]["timezone"]


def test_a_cron_that_is_none_stops_the_rendering():
    with pytest.raises(
        ValueError, match="inspect-shop: inspect: saw '99 \\* \\* \\* \\*', wanted hourly, daily, or a cron"
    ):
        prefect_yaml(specs([site(schedule={"inspect": "99 * * * *"})]))
    with pytest.raises(ValueError, match="inspect-shop: timezone: saw 'Mars/Base', wanted a timezone"):
        prefect_yaml(specs([site(schedule={"inspect": "7 * * * *", "timezone": "Mars/Base"})]))


def test_a_deployment_carries_the_runbook_of_its_job():
    (spec,) = specs([site(schedule={"inspect": "7 * * * *"})])
    made, runbook = spec.rendered(), RUNBOOKS["flows.jobs.inspect_site.inspect_site"]
    assert made["description"].splitlines() == [
        "Walk the five-point round of one site: cache headers, logged-in traffic, purge, response time, rollback.",
        "",
        "- **Owner:** web <w@example.com>",
        f"- **Expected:** {runbook.expects}",
        f"- **On failure:** {runbook.on_fail}",
        f"- **Rollback:** {runbook.rollback}",
        "- **Results:** [round-shop](/v2/artifacts/key/round-shop), [verdicts-shop](/v2/artifacts/key/verdicts-shop), also under Artifacts on each run's page",
    ]
    assert ["roundsman", "owner:web", "site:shop", "job:inspect_site"] == made["tags"]
    assert {"limit": 1, "collision_strategy": "CANCEL_NEW"} == made["concurrency_limit"]
    assert "active" not in made["schedules"][0]


@pytest.fixture
def forgotten():
    kept = dict(RUNBOOKS)
    yield
    RUNBOOKS.clear()
    RUNBOOKS.update(kept)


def sweeping(owner):
    @job(owner=owner, expects="Clean.", on_fail="Dirt | dust.", rollback=NothingToUndo("dust is no loss"))
    @flow(name="sweep-floor")
    async def sweep_floor():
        """Sweep
        the floor.
        """

    return sweep_floor


@pytest.mark.parametrize(
    ("waits", "grace", "limit"),
    [
        (False, None, {"limit": 1, "collision_strategy": "CANCEL_NEW"}),
        (False, 60, {"limit": 1, "collision_strategy": "CANCEL_NEW", "grace_period_seconds": 60}),
        (True, None, {"limit": 1, "collision_strategy": "ENQUEUE"}),
    ],
)
def test_a_job_of_the_whole_project_has_one_deployment(waits, grace, limit, forgotten):
    (spec,) = shared_specs([Timetable(sweeping("operations <ops@example.com>"), "* * * * *", waits, grace)])
    made = spec.rendered()
    assert ("sweep-floor", limit, {}) == (made["name"], made["concurrency_limit"], made["parameters"])
    assert ["roundsman", "owner:operations", "job:sweep_floor"] == made["tags"]
    assert made["description"].startswith("Sweep the floor.\n\n- **Owner:** operations <ops@example.com>\n")
    assert "Results" not in made["description"]
    assert r"Dirt \| dust." in table([spec])


def test_a_job_of_the_whole_project_has_an_owner_of_its_own(forgotten):
    with pytest.raises(ValueError, match="sweep-floor: owner: saw the site's owner, wanted a team"):
        shared_specs([Timetable(sweeping(SITE_OWNER), "* * * * *")])


def test_the_form_of_a_run_explains_each_parameter():
    for one in [inspect_site, *(timetable.job for timetable in PROJECT)]:
        for name, field in parameter_schema(one).properties.items():
            assert field.get("description"), f"{one.name}: {name} has no line under Args"


def test_the_readme_has_a_row_for_each_deployment():
    shown = rendered(project_specs())[ROOT / "README.md"].partition(START)[2].partition(END)[0]
    assert all(f"| `{deployment['name']}` |" in shown for deployment in CONFIG["deployments"])


def test_every_site_file_fits_the_schema_that_editors_use():
    for path in Path(ROOT / "deployments/sites").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema())


def test_the_schema_refuses_an_unknown_key():
    written = json.loads(site().model_dump_json(by_alias=True, exclude_defaults=True))
    jsonschema.validate(written, schema())
    with pytest.raises(jsonschema.ValidationError, match="'ownr' was unexpected"):
        jsonschema.validate({**written, "ownr": "web"}, schema())


def test_a_site_file_needs_no_more_than_the_model():
    assert Site.model_validate(site().model_dump(mode="json", by_alias=True)) == site()


@pytest.fixture
def repository(tmp_path):
    """A bare repository with one commit on main: its address, and the commit."""
    work, bare = tmp_path / "work", tmp_path / "bare.git"

    def git(*words, cwd=work):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        return subprocess.run(["git", *identity, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout

    work.mkdir()
    git("init", "--initial-branch=main")
    work.joinpath("where.txt").write_text("here")
    git("add", ".")
    git("commit", "--message=first")
    git("tag", "v1")
    git("clone", "--bare", str(work), str(bare), cwd=tmp_path)
    return f"file://{bare}", git("rev-parse", "HEAD").strip(), work


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A worker's folder for one run; the pull steps change the working directory."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("secret", ["https://walker:token@example.com/a.git", "https://token@example.com/a.git"])
def test_a_repository_with_a_password_in_its_address_is_refused(secret, tmp_path, capsys):
    """Prefect shows a pull step to everybody, and git's own words are in the list of processes."""
    out = tmp_path / "prefect-git.yaml"
    assert 3 == command.main(["--git", secret, "--out", str(out)])
    said = capsys.readouterr().err
    assert "--token" in said
    assert "token@" not in said
    assert not out.exists()


async def test_a_worker_clones_the_branch_that_is_deployed(prefect, repository, elsewhere, capsys):
    address, _, _ = repository
    out = elsewhere / "prefect-git.yaml"
    assert 0 == command.main(["--git", address, "--branch", "main", "--out", str(out)])
    config = yaml.safe_load(out.read_text())
    assert [] == list(problems(config))
    assert {**CONFIG, "pull": config["pull"]} == config
    made = await run_steps(config["pull"])
    assert "here" == Path(made["directory"], "where.txt").read_text()


def test_a_file_that_can_not_be_written_is_told(tmp_path, capsys):
    out = tmp_path / "nowhere" / "prefect-git.yaml"
    assert 3 == command.main(["--git", "https://git.example/r.git", "--out", str(out)])
    assert f"--out {out}: saw No such file or directory, wanted a file that can be written" in capsys.readouterr().err


def test_the_secret_of_a_private_repository_is_only_named(elsewhere):
    out = elsewhere / "prefect-git.yaml"
    assert 0 == command.main(["--git", "https://git.example/r.git", "--token", "read-code", "--out", str(out)])
    (step,) = yaml.safe_load(out.read_text())["pull"]
    (inputs,) = step.values()
    assert "{{ prefect.blocks.secret.read-code }}" == inputs["access_token"]


async def test_a_worker_goes_to_the_folder_of_the_project(prefect, tmp_path, elsewhere, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ROUNDSMAN_HOME", str(home))
    await run_steps(CONFIG["pull"])
    assert home == Path.cwd()


async def version(folder, monkeypatch, variable=None):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ROUNDSMAN_VERSION", raising=False)
    if variable is not None:
        monkeypatch.setenv("ROUNDSMAN_VERSION", variable)
    return (await run_steps(BUILD))["commit"]["stdout"]


async def test_the_version_is_the_commit_and_never_empty(prefect, repository, tmp_path, monkeypatch):
    _, commit, work = repository
    assert commit[:12] == await version(work, monkeypatch)
    assert commit[:12] == await version(work, monkeypatch, "")
    assert "release 7" == await version(work, monkeypatch, "release 7")
    work.joinpath("where.txt").write_text("there")
    assert f"{commit[:12]}-dirty" == await version(work, monkeypatch)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    bare = tmp_path / "no-repository"
    bare.mkdir()
    assert "unversioned" == await version(bare, monkeypatch)


def test_rendering_does_not_depend_on_where_and_when():
    before = prefect_yaml(project_specs())
    assert (
        before
        == subprocess.run(
            ["env", "ROUNDSMAN_VERSION=x", "PYTHONHASHSEED=7", sys.executable, "-c", _RENDER],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


_RENDER = (
    "from deployments.render import *; from deployments.specs import *; print(prefect_yaml(project_specs()), end='')"
)


def test_a_spec_says_what_it_is_given():
    (spec,) = specs([site(schedule={"inspect": "daily", "timezone": "Europe/Berlin"})])
    assert ("32 3 * * *", "Europe/Berlin") == (spec.cron, spec.timezone)
    assert "ENQUEUE" == replace(spec, waits=True).rendered()["concurrency_limit"]["collision_strategy"]
