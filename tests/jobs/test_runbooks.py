"""Every job that a deployment may point at: its runbook resolves, and its failure is spoken for."""

import importlib
from pathlib import Path

import pytest

from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import RUNBOOKS, SITE_OWNER, Command
from roundsman.rollback.find_and_run import path_of

JOBS = [path.stem for path in Path(__file__).parents[2].glob("flows/jobs/*.py") if path.stem != "__init__"]


@pytest.mark.parametrize("name", JOBS)
def test_a_job_has_a_runbook_whose_way_back_exists_and_its_failure_is_spoken_for(name):
    job = getattr(importlib.import_module(f"flows.jobs.{name}"), name)
    runbook = RUNBOOKS[f"flows.jobs.{name}.{name}"]
    assert ([notify_failure], [notify_failure]) == (job.on_failure_hooks, job.on_crashed_hooks)
    assert runbook.max_runtime > runbook.min_runtime
    if isinstance(runbook.rollback, Command):
        assert path_of(runbook.rollback.argv[0])
        assert runbook.rollback.rehearsed_by in {"", *JOBS}


def test_the_round_belongs_to_the_owner_of_its_site():
    importlib.import_module("flows.jobs.inspect_site")
    assert SITE_OWNER == RUNBOOKS["flows.jobs.inspect_site.inspect_site"].owner
