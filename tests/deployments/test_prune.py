"""What git no longer has is told, and removed when asked to; what is not ours is never touched."""

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments import deploy
from deployments.__main__ import main
from deployments.deploy import wanted
from tests.service import until

pytestmark = [pytest.mark.slow, pytest.mark.harness]


BY_HAND, NIGHTLY = {"schedule": {"cron": "1 1 * * *"}}, {"schedule": {"cron": "2 2 * * *"}, "slug": "nightly"}


def add(deployed, name, tags, schedules=()):
    """A deployment that is not in the file; SQLite refuses a writer now and then."""
    flow = deployed.api.get("/flows/name/inspect-site").raise_for_status().json()["id"]
    wanted = {"flow_id": flow, "name": name, "tags": tags, "schedules": list(schedules)}
    return until(f"{name} is made", lambda: deployed.api.post("/deployments/", json=wanted).raise_for_status().json())


def test_a_site_that_left_git_is_told_and_then_removed(deployed):
    deployed.deploy("shop")
    add(deployed, "inspect-old", ["roundsman", "site:old"])
    add(deployed, "by-hand", ["owner:web"])
    assert ["not in git any more: deployment inspect-site/inspect-old"] == deployed.prune()
    assert {"inspect-shop", "inspect-old", "by-hand"} == set(deployed.everything())
    assert "not in git any more: deployment inspect-site/inspect-old\n" in deployed.well("deploy")
    assert ["removed: deployment inspect-site/inspect-old"] == deployed.prune("--apply")
    assert {"inspect-shop", "by-hand"} == set(deployed.everything())
    assert [] == deployed.prune("--apply")


def test_a_schedule_that_left_git_is_told_and_then_removed(deployed):
    deployed.deploy("shop")
    shop = deployed.everything()["inspect-shop"]
    schedules = f"/deployments/{shop['id']}/schedules"
    until("schedules are made", lambda: deployed.api.post(schedules, json=[BY_HAND, NIGHTLY]).raise_for_status())
    foreign = add(deployed, "by-hand", ["owner:web"], [NIGHTLY])
    assert ["not in git any more: schedule nightly of inspect-site/inspect-shop"] == deployed.prune()
    assert {"inspect-shop", "nightly", None} == slugs(deployed)
    assert ["removed: schedule nightly of inspect-site/inspect-shop"] == deployed.prune("--apply")
    assert {"inspect-shop", None} == slugs(deployed)
    assert shop["id"] == deployed.everything()["inspect-shop"]["id"]
    assert foreign["schedules"][0]["id"] == deployed.everything()["by-hand"]["schedules"][0]["id"]


def slugs(deployed):
    return {schedule["slug"] for schedule in deployed.everything()["inspect-shop"]["schedules"]}


async def test_more_deployments_than_the_server_gives_at_once_are_all_found(deployed, monkeypatch):
    deployed.api.post("/flows/", json={"name": "inspect-site"}).raise_for_status()
    made = {add(deployed, f"old-{number}", ["roundsman"])["id"] for number in range(5)}
    monkeypatch.setattr("deployments.deploy._PAGE_SIZE", 2)
    with deployed.at_hand():
        async with get_client() as client:
            found = await deploy.deployments(client, {"tags": {"all_": ["roundsman"]}})
    assert (5, made) == (len(found), {str(one.id) for one in found})


def test_a_server_that_is_gone_is_told(deployed, capsys):
    deployed.write("shop")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert 1 == main(["prune", "--apply", "--file", str(deployed.file)])
    assert "the server did not take it: ConnectError" in capsys.readouterr().err


@pytest.mark.parametrize("config", [{}, {"deployments": []}])
def test_an_empty_file_does_not_make_everything_a_leftover(config):
    with pytest.raises(ValueError, match="saw none, so nothing is pruned"):
        wanted(config)
