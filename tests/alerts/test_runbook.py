"""A job without its runbook does not import."""

import importlib
import sys

import pytest

from roundsman.alerts.rules.runbook import RUNBOOKS, Command, NothingToUndo, Runbook
from roundsman.site.rules.promises import cron, minute

WHOLE = {
    "owner": "web-platform",
    "expects": "It holds.",
    "on_fail": "It does not. Look at the edge.",
    "rollback": NothingToUndo("it only looks"),
}


@pytest.fixture
def forgotten():
    """What a test writes into the list of all jobs is gone afterwards."""
    kept = dict(RUNBOOKS)
    yield
    RUNBOOKS.clear()
    RUNBOOKS.update(kept)


def module(folder, name, lines):
    """A module of one job, imported."""
    folder.joinpath(f"{name}.py").write_text(
        "from roundsman.alerts.rules.runbook import Command, NothingToUndo, job\n\n"
        f"@job({lines})\nasync def mend_roof():\n    'Mend it.'\n"
    )
    try:
        return importlib.import_module(name)
    finally:
        sys.modules.pop(name, None)


def written(**said):
    return ", ".join(f"{key}={value!r}" for key, value in {**WHOLE, **said}.items())


def test_a_job_with_its_runbook_imports_and_is_found_by_its_module_path(tmp_path, monkeypatch, forgotten):
    monkeypatch.syspath_prepend(tmp_path)
    made = module(tmp_path, "whole_job", written(rollback=Command(["make", "back"]), max_runtime=60.0))
    assert "mend_roof" == made.mend_roof.__name__
    kept = RUNBOOKS["whole_job.mend_roof"]
    assert ("web-platform", "It holds.", 60.0) == (kept.owner, kept.expects, kept.max_runtime)
    assert ("make back", "whole_job.mend_roof") == (str(kept.rollback), kept.job)


@pytest.mark.parametrize("left_out", list(WHOLE))
def test_a_job_that_leaves_something_out_does_not_import(left_out, tmp_path, monkeypatch, forgotten):
    monkeypatch.syspath_prepend(tmp_path)
    lines = ", ".join(f"{key}={value!r}" for key, value in WHOLE.items() if key != left_out)
    with pytest.raises(TypeError, match=f"'{left_out}'"):
        module(tmp_path, f"job_without_{left_out}", lines)
    assert f"job_without_{left_out}.mend_roof" not in RUNBOOKS


@pytest.mark.parametrize("empty", ["owner", "expects", "on_fail"])
@pytest.mark.parametrize("said", ["", " \n", None, 7])
def test_a_job_that_says_nothing_under_a_heading_does_not_import(empty, said, tmp_path, monkeypatch, forgotten):
    monkeypatch.syspath_prepend(tmp_path)
    name = f"job_{empty}_{abs(hash(said))}"
    with pytest.raises(ValueError, match=f"a job needs its {empty}, and saw"):
        module(tmp_path, name, written(**{empty: said}))
    assert f"{name}.mend_roof" not in RUNBOOKS


@pytest.mark.parametrize("rollback", ["make back", ["make", "back"], None, NothingToUndo])
def test_a_rollback_is_a_command_or_a_reason(rollback):
    with pytest.raises(TypeError, match="a job's rollback is a Command or NothingToUndo, not"):
        Runbook(**{**WHOLE, "rollback": rollback})


@pytest.mark.parametrize("argv", [[], (), "make back", ["make", ""], ["make", 7], [None]])
def test_a_command_is_a_list_of_words(argv):
    with pytest.raises(ValueError, match="a command is a list of words and has at least one"):
        Command(argv)


@pytest.mark.parametrize("because", ["", "  ", None])
def test_where_nothing_is_to_undo_it_says_why(because):
    with pytest.raises(ValueError, match="rollback says why"):
        NothingToUndo(because)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ({"min_runtime": -1}, "min_runtime"),
        ({"min_runtime": 60, "max_runtime": 60}, "min_runtime is below its max_runtime"),
        ({"max_runtime": 0}, "max_runtime"),
        ({"start_grace": -1}, "start_grace"),
    ],
)
def test_times_that_no_run_could_keep_are_refused(times, says):
    with pytest.raises(ValueError, match=says):
        Runbook(**WHOLE, **times)


def test_a_command_reads_as_a_shell_would_take_it():
    assert "make back 'RULE=two words'" == str(Command(["make", "back", "RULE=two words"]))
    assert "nothing to undo: it only looks" == str(WHOLE["rollback"])


@pytest.mark.parametrize(
    ("written", "runs"),
    [
        ("hourly", "32 * * * *"),
        ("daily", "32 3 * * *"),
        ("H * * * *", "32 * * * *"),
        ("H */2 * * 1-5", "32 */2 * * 1-5"),
        ("7 * * * *", "7 * * * *"),
        ("@hourly", "@hourly"),
        ("Hourly", "Hourly"),
    ],
)
def test_a_minute_that_nobody_chose_comes_from_the_name(written, runs):
    assert runs == cron(written, "shop")


def test_sites_are_spread_over_the_whole_hour():
    started = [minute(f"shop-{number}") for number in range(600)]
    assert set(range(60)) == set(started)
    assert 25 > max(started.count(one) for one in range(60))
