"""Each misspelling that Prefect takes in silence, or that stops a deploy half-way, is refused by name."""

import sys
from copy import deepcopy

import pytest
import yaml
from prefect import flow

from deployments import __main__ as command
from deployments.render import prefect_yaml
from deployments.specs import ROOT, Timetable, shared_specs, specs
from deployments.validate import problems
from roundsman.alerts.rules.runbook import RUNBOOKS, Command, job
from tests.make import site

FINE = yaml.safe_load(prefect_yaml(specs([site(schedule={"inspect": "7 * * * *"})])))
GONE = object()


def planted(path, value):
    """A configuration with one thing changed, added or left out; a `/` leads into it."""
    config = deepcopy(FINE)
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    place = config
    for step in way:
        place = place[step]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return config


HERE = "deployments/0"
STEP = "prefect.deployments.steps.set_working_directory"
SLUG = {"slug": "inspect-shop", "cron": "7 * * * *", "timezone": "UTC"}
WRONG = [
    # Keys that Prefect does not know, and ignores.
    ("pul", [], "prefect.yaml: pul: saw an unknown key; did you mean pull?"),
    (f"{HERE}/concurency_limit", 5, "inspect-shop: concurency_limit: saw an unknown key; did you mean concurrency_limit?"),
    (f"{HERE}/wrok_pool", {}, "inspect-shop: wrok_pool: saw an unknown key; did you mean work_pool?"),
    (f"{HERE}/work_pool/job_variable", {}, "work_pool: job_variable: saw an unknown key; did you mean job_variables?"),
    (f"{HERE}/work_pool/job_variables/evn", {}, "work_pool: job_variables: evn: saw an unknown key; did you mean env?"),
    (f"{HERE}/concurrency_limit/colision_strategy", "ENQUEUE", "concurrency_limit: colision_strategy: saw an unknown key; did you mean collision_strategy?"),
    (f"{HERE}/parameters/ste", "shop", "parameters: ste: saw an unknown key; did you mean site?"),
    (f"{HERE}/schedules/0/tz", "UTC", "schedules: tz: saw an unknown key, wanted one of"),
    (f"{HERE}/schedules/0/timezon", "UTC", "schedules: timezon: saw an unknown key; did you mean timezone?"),
    # Keys that do harm.
    (f"{HERE}/schedule", SLUG, "schedule: write it as an item of schedules"),
    (f"{HERE}/paused", False, "paused: it would undo an operator's pause"),
    (f"{HERE}/sla", [], "sla: only Prefect Cloud has it"),
    (f"{HERE}/triggers", [], "triggers: they are made anew by every deploy"),
    (f"{HERE}/schedules/0/active", True, "schedules: active: it would undo an operator's pause"),
    (f"{HERE}/schedules/0/parameters", {"site": "a"}, "schedules: parameters: the next pause wipes them"),
    (f"{HERE}/schedules/0/replaces", "x", "schedules: replaces: a renamed schedule is pruned instead"),
    # Schedules.
    (f"{HERE}/schedules/0/slug", GONE, "schedules: slug: saw none, wanted one"),
    (f"{HERE}/schedules/0/timezone", GONE, "schedules: timezone: saw none, wanted one"),
    (f"{HERE}/schedules/0/timezone", "Europe/Berln", "schedules: timezone: saw 'Europe/Berln', wanted one such as Europe/Berlin"),
    (f"{HERE}/schedules/0/cron", "61 * * * *", "schedules: cron: saw '61 * * * *', wanted five fields"),
    (f"{HERE}/schedules/0/cron", GONE, "schedules: cron: saw none, wanted one"),
    (f"{HERE}/schedules", [SLUG, SLUG], "schedules: slug: saw inspect-shop twice"),
    (f"{HERE}/schedules", SLUG | {"cron": 7}, "schedules: cron: saw 7, wanted five fields"),
    (f"{HERE}/schedules", ["7 * * * *"], "schedules: saw '7 * * * *', wanted slug, cron and timezone"),
    (f"{HERE}/schedules", GONE, "schedules: saw none, wanted a list; it is empty where another job starts this one"),
    (f"{HERE}/schedules", None, "schedules: saw none, wanted a list"),
    # The job and its parameters.
    (f"{HERE}/entrypoint", "flows.jobs.inspect_site.inspect_sight", "entrypoint: saw flows.jobs.inspect_site.inspect_sight, which can't be imported"),
    (f"{HERE}/entrypoint", "flows.jobs.inspekt.inspect_site", "which can't be imported: ModuleNotFoundError"),
    (f"{HERE}/entrypoint", "flows/jobs/inspect_site.py:inspect_site", "wanted a module path such as"),
    (f"{HERE}/entrypoint", "flows.checks.cache_headers.check_cache_headers", "without a runbook; write @job(...) above its @flow"),
    (f"{HERE}/parameters/site", GONE, "parameters: site: saw none, wanted one: the job has no default for it"),
    (f"{HERE}/parameters/site", {"a": 1}, "parameters: Flow run received invalid parameters"),
    (f"{HERE}/parameters/only", ["cache-header"], "parameters: Flow run received invalid parameters"),
    (f"{HERE}/parameters", ["site"], "parameters: Input should be a valid dictionary"),
    # What stands in braces.
    (f"{HERE}/description", "**Owner:** {{ nobody }}", "description: saw {{ nobody }}, which Prefect would replace by nothing"),
    (f"{HERE}/description", "Walk.", "description: saw no **On failure:**, wanted the whole runbook"),
    (f"{HERE}/tags", ["roundsman", "owner:{{ $TEAM }}", "job:x"], "tags: saw {{ $TEAM }}, which Prefect would replace by nothing"),
    (f"{HERE}/version", "{{ $GIT_SHA }}", "version: saw {{ $GIT_SHA }}, which is empty where the variable is not set"),
    (f"{HERE}/version", "{{ comit.stdout }}", "version: saw {{ comit.stdout }}, and no step has the id comit; did you mean commit?"),
    (f"{HERE}/version", "", "version: saw none, wanted one"),
    (f"{HERE}/parameters/site", "{{ $SITE }}", "parameters: saw {{ $SITE }}, which is empty where"),
    (f"{HERE}/work_pool/job_variables/env/TOKEN", "{{ prefect.blocks.secret.tok }}", "work_pool: saw {{ prefect.blocks.secret.tok }}, which a deploy keeps and shows in plain text"),
    (f"{HERE}/parameters/site", "{{ prefect.variables.site }}", "parameters: saw {{ prefect.variables.site }}, which a deploy keeps"),
    # The pool, the limit, the tags.
    (f"{HERE}/work_pool/name", "roundsmen", "work_pool: name: saw 'roundsmen', wanted roundsman"),
    (f"{HERE}/work_pool", GONE, "work_pool: saw none, wanted one"),
    (f"{HERE}/work_pool", "roundsman", "work_pool: Input should be"),
    (f"{HERE}/work_pool/job_variables/env/N", 30, "work_pool: job_variables: env: N: saw 30, wanted text: put it in quotes"),
    (f"{HERE}/concurrency_limit", 1, "concurrency_limit: saw 1, wanted limit and collision_strategy"),
    (f"{HERE}/concurrency_limit/limit", 0, "concurrency_limit: limit: saw 0, wanted a number of runs, 1 or more"),
    (f"{HERE}/concurrency_limit/collision_strategy", "CANCEL", "concurrency_limit: collision_strategy: Input should be 'ENQUEUE' or 'CANCEL_NEW'"),
    (f"{HERE}/concurrency_limit/collision_strategy", GONE, "concurrency_limit: collision_strategy: Field required"),
    (f"{HERE}/concurrency_limit/grace_period_seconds", 59, "concurrency_limit: grace_period_seconds: Input should be greater than or equal to 60"),
    (f"{HERE}/tags", ["roundsman", "job:x"], "tags: saw none that is owner:, wanted one"),
    (f"{HERE}/tags", ["owner:a", "job:x"], "tags: saw none that is roundsman, wanted one"),
    # Steps.
    ("pull", GONE, "pull: saw none, wanted the step that brings a worker to the project"),
    ("pull/0", {"prefect.deployments.steps.git_klone": {}}, "pull: saw prefect.deployments.steps.git_klone, wanted a function such as"),
    (f"pull/0/{STEP}/directry", "x", f"pull: {STEP}: directry: saw an unknown key; did you mean directory?"),
    (f"pull/0/{STEP}/directory", GONE, f"pull: {STEP}: directory: saw none, wanted one"),
    (f"pull/0/{STEP}/directory", "{{ $ROUNDSMAN_HOM }}", "saw {{ $ROUNDSMAN_HOM }}, which is empty where"),
    ("pull/0/more", {}, "wanted one step: the name of its function, and its inputs"),
    ("build", [], "version: saw {{ commit.stdout }}, and no step has the id commit"),
    # No deployments at all.
    ("deployments", [], "prefect.yaml: deployments: saw none, wanted at least one"),
    ("deployments", ["inspect"], "prefect.yaml: deployments: saw 'inspect', wanted a mapping"),
    ("deployments", FINE["deployments"] * 2, "inspect-shop: name: saw it twice; the second would replace the first"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "says"), WRONG, ids=[f"{path}-{number}" for number, (path, _, _) in enumerate(WRONG)]
)
def test_each_misspelling_is_refused_by_name(path, value, says):
    found = list(problems(planted(path, value)))
    assert any(says in problem for problem in found), found


def test_what_is_rendered_is_fine():
    assert [] == list(problems(FINE))
    assert [] == list(problems(yaml.safe_load((ROOT / "prefect.yaml").read_text())))


@pytest.mark.parametrize("content", [None, [], "text", 7])
def test_a_file_of_something_else_is_refused(content):
    assert ["prefect.yaml: deployments: saw none, wanted at least one"] == list(problems(content))


@pytest.fixture
def forgotten():
    kept = dict(RUNBOOKS)
    yield
    RUNBOOKS.clear()
    RUNBOOKS.update(kept)


@pytest.mark.parametrize(
    ("rollback", "says"),
    [
        (Command(["python", "-V"]), []),
        (Command(["python", "-V"], rehearsed_by="inspect_site"), []),
        (Command(["pyhton", "-V"]), ["rollback: saw pyhton, wanted a program on the PATH or in the project"]),
        (Command(["python"], rehearsed_by="nobody"), ["rollback: rehearsed_by: saw nobody, wanted one of"]),
        (Command(["python"], rehearsed_by="inspekt_site"), ["saw inspekt_site; did you mean inspect_site?"]),
    ],
)
def test_a_runbook_names_a_program_and_a_rehearsal_that_are_there(rollback, says, forgotten, monkeypatch):
    import flows.jobs.inspect_site  # noqa: F401 - one of the jobs that may rehearse

    @job(owner="a", expects="b", on_fail="c", rollback=rollback)
    @flow(name="mend-roof")
    async def mend_roof():
        """Mend it."""

    monkeypatch.setattr(sys.modules[__name__], "mend_roof", mend_roof, raising=False)
    config = yaml.safe_load(prefect_yaml(shared_specs([Timetable(mend_roof, "* * * * *")])))
    found = list(problems(config))
    assert len(says) == len(found), found
    assert all(sentence in problem for sentence, problem in zip(says, found, strict=True))


def test_the_command_names_every_problem_and_deploys_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("something was deployed"))
    file = tmp_path / "prefect.yaml"
    config = planted(f"{HERE}/concurency_limit", 5)
    config["deployments"][0]["parameters"]["ste"] = "shop"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.setattr("deployments.__main__.address", lambda: "http://nowhere.example/api")
    for name in ("validate", "deploy", "prune"):
        assert 3 == command.main([name, "--file", str(file)])
        said = capsys.readouterr().err
        assert "did you mean concurrency_limit?" in said
        assert "did you mean site?" in said


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), ("a: [", "while parsing"), ("\udcff", "invalid start byte")]
)
def test_a_file_that_is_none_is_told(content, says, tmp_path, capsys):
    file = tmp_path / "prefect.yaml"
    if content is not None:
        file.write_text(content, errors="surrogateescape")
    assert 3 == command.main(["validate", "--file", str(file)])
    assert says in capsys.readouterr().err


def test_a_fine_file_is_called_fine(capsys):
    assert 0 == command.main(["validate"])
    assert "prefect.yaml: fine\n" == capsys.readouterr().out


@pytest.mark.parametrize("name", ["deploy", "prune"])
def test_without_a_server_nothing_is_deployed(name, capsys, monkeypatch):
    """Prefect would start one of its own, deploy to it, and end it."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert 3 == command.main([name])
    assert "PREFECT_API_URL: saw none, wanted a server" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["bogus"], "saw the unknown command 'bogus'"),
        (["deploy", "--pool-type", "dcoker"], "did you mean docker?"),
        (["--chek"], "did you mean --check?"),
    ],
)
def test_a_wrong_word_is_answered_with_what_was_meant(words, says, capsys):
    assert 3 == command.main(words)
    assert says in capsys.readouterr().err
