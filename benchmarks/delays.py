"""How late a scheduled run says its first word, and how long after a failure somebody hears of it: a real service.

Takes some three minutes, so it is run by its name: `python -m benchmarks delays`.
"""

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from statistics import median

import yaml

from deployments.render import prefect_yaml
from deployments.specs import POOL, project_specs
from tests.receiver import receiver
from tests.service import environment, prefect, serving_prefect, until, working

BY_NAME = True
RUNS = 10
#: Seconds in which somebody has to hear of a failure.
AT_MOST = 15
#: Seconds between two runs.
EVERY = 15

SAVE = """
import asyncio, sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock as Webhook
block = Webhook(name="ops", url=sys.argv[1], method="POST", json_data={"body": "{{body}}"})
asyncio.run(block.asave("ops", overwrite=True))
"""


def rows() -> list[tuple[str, str, str, bool]]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="roundsman-bench-")))
        inbox = stack.enter_context(receiver())
        variables = environment(
            home, ROUNDSMAN_NOTIFY="custom-webhook/ops", PREFECT_UI_URL="http://prefect.example.com"
        )
        api = stack.enter_context(serving_prefect(home, variables))
        subprocess.run([sys.executable, "-c", SAVE, inbox.url("/ops")], env=variables, check=True)
        prefect(variables, "work-pool", "create", POOL, "--type", "process")
        prefect(variables, "--no-prompt", "deploy", "--all", "--prefect-file", str(_failing(home)))
        automations = [sys.executable, "-m", "deployments", "automations"]
        subprocess.run(automations, env=variables, check=True, stdout=subprocess.DEVNULL)
        stack.enter_context(working(POOL, variables, home / "worker.log"))
        failed = until("the runs have failed", lambda: _failed(api), RUNS * EVERY + 600)
        heard = until("all of them are told", lambda: _heard(inbox, failed), 60)
        first = [_first_word(api, run) - _seconds(run["expected_start_time"]) for run in failed]
    return [
        (f"from a slot to its run's own first log line, median of {RUNS}", _told(first), "-", True),
        (f"from a failure soon after a deploy to its notification, median of {RUNS}", _told(heard), *_within(heard)),
    ]


def _failing(home: Path) -> Path:
    """The deployment of the demo's round, of a site that there is not."""
    config = yaml.safe_load(prefect_yaml(project_specs()))
    (one,) = [found for found in config["deployments"] if found["name"] == "inspect-demo"]
    one["parameters"] = {"site": "nowhere"}
    one["schedules"] = [{"slug": "bench", "interval": EVERY}]
    config["deployments"] = [one]
    path = home / "prefect.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _failed(api: object) -> list[dict]:
    wanted = {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}, "sort": "EXPECTED_START_TIME_ASC"}
    found = [run for run in api.post("/flow_runs/filter", json=wanted).json() if run["auto_scheduled"]]
    # What was due before the worker was there waited for it.
    return found[-RUNS:] if len(found) > RUNS + 1 else []


def _heard(inbox: object, failed: list[dict]) -> list[float]:
    came = [
        (json.dumps(body), at) for body, at in zip(inbox.got.get("/ops", []), inbox.at.get("/ops", []), strict=False)
    ]
    told = [[at for text, at in came if run["id"] in text] for run in failed]
    return [min(at) - _seconds(run["end_time"]) for at, run in zip(told, failed, strict=True)] if all(told) else []


def _first_word(api: object, run: dict) -> float:
    """When the run's own process first said something; its worker speaks of it up to ten seconds ahead."""
    wanted = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "sort": "TIMESTAMP_ASC", "limit": 50}
    said = api.post("/logs/filter", json=wanted).json()
    return next(_seconds(one["timestamp"]) for one in said if one["name"] == "prefect.flow_runs")


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _within(seconds: list[float]) -> tuple[str, bool]:
    """Prefect's own notification would come 15 minutes late."""
    return f"all < {AT_MOST} s", max(seconds) < AT_MOST


def _told(seconds: list[float]) -> str:
    return f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
