"""Deployments of the version before are updated in place: who they are, what they run and what they are given stays."""

import inspect

import pytest
import yaml
from prefect.utilities.importtools import import_object

from deployments.render import prefect_yaml
from deployments.specs import POOL, ROOT, database_specs, shared_specs, specs
from deployments.validate import problems
from tests.make import database, site

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
#: The job, parameters, cron, time zone, runs at once and what becomes of one more, of each deployment of a whole project.
DEPLOYMENTS = {
    "inspect-shop": ("inspect_site", {"site": "shop"}, "32 * * * *", "UTC", 1, "CANCEL_NEW"),
    "sweep-shop": ("sweep_site", {"site": "shop"}, "14 3 * * *", "Europe/Berlin", 1, "CANCEL_NEW"),
    "sweep-shard-shop": ("sweep_shard", {"site": "shop", "sweep": 0, "shard": 0}, "", "", 2, "ENQUEUE"),
    "purge-published-shop": ("purge_published", {"site": "shop", "dry_run": False}, "* * * * *", "UTC", 1, "ENQUEUE"),
    "import-catalogue-shop": (
        "import_catalogue",
        {"site": "shop", "feed": "articles.csv", "dry_run": False},
        "18 * * * *",
        "UTC",
        1,
        "ENQUEUE",
    ),
    "compare-shop": ("compare_release", {"site": "shop"}, "18 3 * * *", "Europe/Berlin", 1, "CANCEL_NEW"),
    "rehearse-shop": (
        "rehearse_release",
        {"site": "shop", "dry_run": False},
        "7 5 * * 1",
        "Europe/Berlin",
        1,
        "CANCEL_NEW",
    ),
    "review-shop": ("review_database", {"database": "shop"}, "57 3 * * *", "Europe/Berlin", 1, "ENQUEUE"),
    "watch-jobs": ("watch_jobs", {}, "* * * * *", "UTC", 1, "CANCEL_NEW"),
    "publish-status": ("publish_status", {}, "*/5 * * * *", "UTC", 1, "CANCEL_NEW"),
    "prune-ledger": ("prune_ledger", {"dry_run": False}, "23 3 * * *", "UTC", 1, "CANCEL_NEW"),
}


def project():
    """The same project, as this version renders it."""
    schedule = {
        "inspect": "hourly",
        "sweep": "daily",
        "purge": "* * * * *",
        "catalogue": "hourly",
        "compare": "daily",
        "rehearse": "7 5 * * 1",
        "timezone": "Europe/Berlin",
    }
    shop = site(schedule=schedule, catalogue={"feed": "articles.csv"})
    reviewed = database(schedule={"review": "daily", "timezone": "Europe/Berlin"})
    return prefect_yaml([*specs([shop]), *database_specs([reviewed]), *shared_specs()])


@pytest.mark.parametrize("name", JOBS)
def test_a_job_is_found_where_it_was_under_its_name_and_takes_what_it_took(name):
    """A server knows a deployment by the names of its flow and of itself, and stored parameters by theirs."""
    flow_name, parameters = JOBS[name]
    job = import_object(f"flows.jobs.{name}.{name}")
    assert flow_name == job.name
    assert parameters.split() == list(inspect.signature(job.fn).parameters)


def test_each_deployment_keeps_its_name_entrypoint_parameters_schedule_and_limit():
    config = yaml.safe_load(project())
    assert [] == list(problems(config))
    found = {one["name"]: one for one in config["deployments"]}
    assert list(DEPLOYMENTS) == list(found)
    for name, (job, parameters, cron, timezone, limit, strategy) in DEPLOYMENTS.items():
        assert (f"flows.jobs.{job}.{job}", parameters) == (found[name]["entrypoint"], found[name]["parameters"])
        assert [{"slug": name, "cron": cron, "timezone": timezone}] * bool(cron) == found[name]["schedules"]
        given = found[name]["concurrency_limit"]
        assert (limit, strategy) == (given["limit"], given["collision_strategy"])


#: Those that a server is given; each costs it a second.
ON_SERVER = ("inspect-shop", "sweep-shop", "sweep-shard-shop", "purge-published-shop", "prune-ledger")
KEPT = ("id", "created", "flow_id", "entrypoint", "parameters", "paused", "schedules", "concurrency_options")


def deployed_before(api):
    """A server as the version before left it, with a deployment of a site that has left git since."""
    api.post("/work_pools/", json={"name": POOL, "type": "process"}).raise_for_status()
    old = {name: DEPLOYMENTS[name] for name in ON_SERVER}
    old["inspect-old"] = ("inspect_site", {"site": "old"}, "4 * * * *", "UTC", 1, "CANCEL_NEW")
    for name, (job, parameters, cron, timezone, limit, strategy) in old.items():
        flow = api.post("/flows/", json={"name": JOBS[job][0]}).raise_for_status().json()["id"]
        schedule = {"slug": name, "active": True, "schedule": {"cron": cron, "timezone": timezone}}
        made = {
            "name": name,
            "flow_id": flow,
            "entrypoint": f"flows.jobs.{job}.{job}",
            "version": "before",
            "tags": ["roundsman", f"job:{job}"],
            "parameters": parameters,
            "schedules": [schedule] * bool(cron),
            "concurrency_limit": limit,
            "concurrency_options": {"collision_strategy": strategy},
            "work_pool_name": POOL,
            "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": "/opt/before"}}],
        }
        api.post("/deployments/", json=made).raise_for_status()


@pytest.mark.slow
@pytest.mark.harness
def test_a_server_is_updated_in_place_with_its_pauses_and_its_runs(deployed):
    api = deployed.api
    deployed_before(api)
    first = deployed.everything()
    schedule = f"/deployments/{first['sweep-shop']['id']}/schedules/{first['sweep-shop']['schedules'][0]['id']}"
    api.patch(schedule, json={"active": False}).raise_for_status()
    api.post(f"/deployments/{first['purge-published-shop']['id']}/pause_deployment").raise_for_status()
    ended = {"state": {"type": "COMPLETED", "name": "Kept"}}
    run = api.post(f"/deployments/{first['inspect-shop']['id']}/create_flow_run", json=ended).raise_for_status().json()
    before = deployed.everything()
    assert before["purge-published-shop"]["paused"]
    assert not before["sweep-shop"]["schedules"][0]["active"]

    config = yaml.safe_load(project())
    config["deployments"] = [one for one in config["deployments"] if one["name"] in ON_SERVER]
    deployed.file.write_text(yaml.safe_dump(config))
    assert "not in git any more: deployment inspect-site/inspect-old\n" in deployed.well("deploy")
    after = deployed.everything()
    assert {name: {key: one[key] for key in KEPT} for name, one in before.items()} == {
        name: {key: one[key] for key in KEPT} for name, one in after.items()
    }
    assert before["inspect-old"] == after["inspect-old"]
    for name in ON_SERVER:
        (job, _, _, _, limit, _), new = DEPLOYMENTS[name], after[name]
        assert "before" != new["version"]
        assert limit == new["global_concurrency_limit"]["limit"]
        [pull] = new["pull_steps"]
        assert str(ROOT) == pull["prefect.deployments.steps.set_working_directory"]["directory"]
        assert JOBS[job][1].split() == list(new["parameter_openapi_schema"]["properties"])
    kept = api.get(f"/flow_runs/{run['id']}").raise_for_status().json()
    assert (first["inspect-shop"]["id"], "Kept") == (kept["deployment_id"], kept["state"]["name"])

    assert ["removed: deployment inspect-site/inspect-old"] == deployed.prune("--apply")
    assert set(ON_SERVER) == set(deployed.everything())
