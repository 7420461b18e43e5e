"""Deployments of the version before are updated in place: who they are, what they run and what they are given stays."""

import inspect

import pytest
import yaml
from prefect.utilities.importtools import import_object

from deployments.specs import ROOT

#: Entrypoint, name of the flow, and parameters of each job before the library was split from the Prefect project.
JOBS = {
    "compare_release": ("compare-release", "site baseline candidate version margin samples controls"),
    "import_catalogue": ("import-catalogue", "site feed dry_run"),
    "inspect_site": ("inspect-site", "site only"),
    "prune_ledger": ("prune-ledger", "dry_run"),
    "publish_status": ("publish-status", "site"),
    "purge_published": ("purge-published", "site dry_run again proof"),
    "purge_routes": ("purge-routes", "site routes dry_run soft changed"),
    "rehearse_release": ("rehearse-release", "site environment confirm dry_run"),
    "review_database": ("review-database", "database only"),
    "sweep_shard": ("sweep-shard", "site sweep shard rate"),
    "sweep_site": ("sweep-site", "site edition here"),
    "watch_jobs": ("watch-jobs", ""),
}
#: The job, the parameters and the schedules of each deployment.
DEPLOYMENTS = {
    "inspect-demo": ("inspect_site", {"site": "demo"}, ["inspect-demo"]),
    "purge-published-demo": ("purge_published", {"site": "demo", "dry_run": False}, ["purge-published-demo"]),
    "watch-jobs": ("watch_jobs", {}, ["watch-jobs"]),
    "publish-status": ("publish_status", {}, ["publish-status"]),
    "prune-ledger": ("prune_ledger", {"dry_run": False}, ["prune-ledger"]),
}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_found_where_it_was_under_its_name_and_takes_what_it_took(name):
    """A server knows a deployment by the names of its flow and of itself, and stored parameters by theirs."""
    flow_name, parameters = JOBS[name]
    job = import_object(f"flows.jobs.{name}.{name}")
    assert flow_name == job.name
    assert parameters.split() == list(inspect.signature(job.fn).parameters)


def test_each_deployment_keeps_its_name_entrypoint_parameters_and_schedules():
    found = {
        one["name"]: (one["entrypoint"], one["parameters"], [schedule["slug"] for schedule in one["schedules"]])
        for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    }
    assert found == {
        name: (f"flows.jobs.{job}.{job}", parameters, slugs) for name, (job, parameters, slugs) in DEPLOYMENTS.items()
    }
