"""A real server takes the deployments, schedules their runs, and a worker runs one."""

import json

import pytest

from deployments.demo.__main__ import SITE_FILE, WRITTEN_ADDRESS, serving
from tests.service import prefect, server, until, working

__all__ = ["server"]

pytestmark = [pytest.mark.slow, pytest.mark.harness]


def test_the_deployments_are_taken_scheduled_and_run(server, tmp_path, monkeypatch):
    api, environment = server
    prefect(environment, "work-pool", "create", "roundsman", "--type", "process")
    prefect(environment, "--no-prompt", "deploy", "--all")
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until("cron runs exist", lambda: api.post("/flow_runs/count", json=scheduled).json(), 30)
    # Else a round that is due in these minutes would be the one that is looked at.
    deployment = api.get("/deployments/name/inspect-site/inspect-demo").json()
    for schedule in deployment["schedules"]:
        stop = api.patch(f"/deployments/{deployment['id']}/schedules/{schedule['id']}", json={"active": False})
        stop.raise_for_status()

    for name in ("DEMO_ADA_PASSWORD", "DEMO_BEN_PASSWORD"):
        monkeypatch.setenv(name, environment[name])
    with serving() as address, working("roundsman", environment, tmp_path / "worker.log"):
        site = tmp_path / "demo.yaml"
        site.write_text(SITE_FILE.read_text().replace(WRITTEN_ADDRESS, address))
        prefect(environment, "deployment", "run", "inspect-site/inspect-demo", "-p", f"site={site}")
        ended = {
            "flow_runs": {
                "state": {"type": {"any_": ["FAILED", "CRASHED", "COMPLETED"]}},
            },
            "deployments": {"name": {"any_": ["inspect-demo"]}},
        }
        (run,) = until("the run has ended", lambda: api.post("/flow_runs/filter", json=ended).json(), 300)

    artifacts = {one["key"]: one for one in api.post("/artifacts/filter", json={}).json()}
    said = run["state"]["name"], run["state"]["message"]
    worst = "worst: FAIL cache-headers/private /inbox: saw public, max-age=60, wanted private or no-store"
    assert ("Breach", f"3 failed, 6 warned, 17 passed; {worst}") == said, artifacts["round-demo"]["data"]
    assert "**FAIL /inbox** `cache-headers/private`" in artifacts["round-demo"]["data"]
    said = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200}
    logs = " ".join(one["message"] for one in api.post("/logs/filter", json=said).json())
    runs = api.post("/flow_runs/filter", json={}).json()
    assert "demo: targeted purge" in [run["name"] for run in runs]
    for told in (artifacts, runs, logs):
        assert "hunter2" not in json.dumps(told)
        assert "sessionid=" not in json.dumps(told)
    assert "demo: cache headers: 2 failed, 5 passed" in logs
