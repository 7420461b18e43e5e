"""Deploying again changes nothing, and never what an operator did."""

import pytest

from deployments.specs import POOL
from tests.service import prefect

pytestmark = [pytest.mark.slow, pytest.mark.harness]


def test_a_second_deploy_changes_nothing(deployed):
    assert "work pool roundsman: created, type process" in deployed.deploy("shop", "shop-de")
    before, pool = deployed.everything(), deployed.pool()
    assert {"inspect-shop", "inspect-shop-de"} == set(before)
    assert "work pool roundsman: as it was" in deployed.well("deploy")
    assert before == deployed.everything()
    prefect(deployed.variables, "--no-prompt", "deploy", "--all", "--prefect-file", str(deployed.file))
    assert before == deployed.everything()
    assert pool == deployed.pool()
    assert before["inspect-shop"]["version"]


def test_what_was_rendered_is_what_the_server_has(deployed):
    prefect(deployed.variables, "work-pool", "create", POOL, "--type", "process")
    deployed.write("shop")
    release = {**deployed.variables, "ROUNDSMAN_VERSION": "release 7"}
    prefect(release, "--no-prompt", "deploy", "--all", "--prefect-file", str(deployed.file))
    made = deployed.everything()["inspect-shop"]
    (schedule,) = made["schedules"]
    assert "release 7" == made["version"]
    assert "flows.jobs.inspect_site.inspect_site" == made["entrypoint"]
    assert ["roundsman", "owner:web", "site:shop", "job:inspect_site"] == made["tags"]
    assert ({"site": "shop"}, True) == (made["parameters"], made["enforce_parameter_schema"])
    assert ("32 * * * *", "UTC") == (schedule["schedule"]["cron"], schedule["schedule"]["timezone"])
    assert ("inspect-shop", True, {}) == (schedule["slug"], schedule["active"], schedule["parameters"])
    assert "**On failure:**" in made["description"]
    assert 1 == made["global_concurrency_limit"]["limit"]
    assert "CANCEL_NEW" == made["concurrency_options"]["collision_strategy"]
    described = made["parameter_openapi_schema"]["properties"]["site"]["description"]
    assert described.startswith("A name in deployments/sites/")


def test_what_an_operator_paused_stays_paused(deployed):
    deployed.deploy("shop", "shop-de")
    first = deployed.everything()
    shop, shop_de = first["inspect-shop"], first["inspect-shop-de"]
    schedule = f"/deployments/{shop['id']}/schedules/{shop['schedules'][0]['id']}"
    deployed.api.patch(schedule, json={"active": False}).raise_for_status()
    deployed.api.post(f"/deployments/{shop_de['id']}/pause_deployment").raise_for_status()
    changed = {"is_paused": True, "concurrency_limit": 3, "base_job_template": {}}
    deployed.api.patch(f"/work_pools/{POOL}", json=changed).raise_for_status()
    paused = deployed.everything()
    assert (False, True) == (paused["inspect-shop"]["schedules"][0]["active"], paused["inspect-shop-de"]["paused"])

    assert "work pool roundsman: template brought up to date" in deployed.well("deploy")
    assert paused == deployed.everything()
    pool = deployed.pool()
    assert (True, 3) == (pool["is_paused"], pool["concurrency_limit"])
    assert "env" in pool["base_job_template"]["variables"]["properties"]


def test_a_schedule_that_git_changes_is_changed_and_stays_paused(deployed):
    deployed.deploy("shop")
    before = deployed.everything()["inspect-shop"]
    schedule = f"/deployments/{before['id']}/schedules/{before['schedules'][0]['id']}"
    deployed.api.patch(schedule, json={"active": False}).raise_for_status()
    deployed.deploy("shop", change=lambda text: text.replace("32 * * * *", "33 * * * *"))
    (after,) = deployed.everything()["inspect-shop"]["schedules"]
    assert (before["schedules"][0]["id"], "33 * * * *", False) == (
        after["id"],
        after["schedule"]["cron"],
        after["active"],
    )
