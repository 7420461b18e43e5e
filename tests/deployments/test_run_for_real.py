"""The whole service: a server and a worker, deployed from a clone, on the demo site; then what can break is broken.

The tests run in this order and take their minutes: cron's shortest step is one.
"""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime

import httpx
import pytest

from deployments.demo.__main__ import serving
from deployments.specs import POOL, ROOT
from tests import needs
from tests.deployments.test_board_browser import PATIENCE_MS, browser
from tests.receiver import receiver
from tests.service import client, cut_power, environment, has_process, serving_prefect, until, working

pytestmark = [pytest.mark.slow, pytest.mark.harness, pytest.mark.waits]

#: As `python -m deployments.worker` names it, so that `watch_jobs` may look for its runs' processes.
NAME = f"{POOL}@{socket.gethostname()}"

SITE = """
site: demo
base_url: {address}
owner: web-platform <web-oncall@example.com>
edge: demo-edge/local
health: {{path: /health, expect: 200}}
sessions: [member/ada, member/ben]
blocks:
  demo-edge/local: {{}}
  custom-webhook/oncall:
    {{name: oncall, url: "{inbox}", method: POST, json_data: {{subject: "{{{{subject}}}}", body: "{{{{body}}}}"}}}}
  member/ada: {{login: /login, form: {{user: ada, password: {{env: DEMO_ADA_PASSWORD}}}}, sentinels: [Ada Lovelace]}}
  member/ben: {{login: /login, form: {{user: ben, password: {{env: DEMO_BEN_PASSWORD}}}}, sentinels: [Ben Bitdiddle]}}
manners: {{rate: 40, timeout: 5s, samples: 80}}
notify: {{channels: [custom-webhook/oncall]}}
rules:
  - name: news
    paths: [/news]
    cache: {{by: everyone, edge_ttl: 5m..1h}}
    examples: {{cached: [/news]}}
    response_time: {{hit: {{p95: 5s}}}}
    expected_result: The front page is asked from the origin at most every five minutes.
    rollback: {{note: the previous ruleset is kept, command: [make, render]}}
release: {{version: {{path: /version, json: commit}}}}
schedule: {{inspect: "* * * * *", timezone: UTC}}
"""


class Service:
    """Everything that runs, and what it said."""

    def __init__(self, stack, home):
        self.stack, self.home = stack, home
        self.clone = home / "clone"
        subprocess.run(["git", "clone", "--quiet", f"file://{ROOT}", str(self.clone)], check=True)
        self.inbox = stack.enter_context(receiver())
        self.address = stack.enter_context(serving())
        (self.clone / "deployments/sites/demo.yaml").write_text(
            SITE.format(address=self.address, inbox=self.inbox.url("/oncall"))
        )
        self.variables = environment(
            home,
            ROUNDSMAN_HOME=str(self.clone),
            ROUNDSMAN_NOTIFY="custom-webhook/oncall",
            PREFECT_UI_URL="http://prefect.example.com",
        )
        self.api = stack.enter_context(client(self.variables))
        self.server, self.worker, self.process = ExitStack(), ExitStack(), None
        stack.callback(self.server.close)
        stack.callback(self.worker.close)
        self.demo("PUT", "/faults", json=[])

    def start_server(self):
        self.server.enter_context(serving_prefect(self.home, self.variables))

    def start_worker(self):
        """Start the worker, unless it runs."""
        if self.process is None or self.process.poll() is not None:
            log = self.home / "worker.log"
            self.process = self.worker.enter_context(working(POOL, self.variables, log, name=NAME))

    def demo(self, method, path, **more):
        httpx.request(method, f"{self.address}{path}", timeout=60, **more).raise_for_status()

    def faults(self, *names):
        """What the demo does wrong from now on, also for readers: the edge forgets the page."""
        self.demo("PUT", "/faults", json=list(names))
        httpx.request("PURGE", f"{self.address}/news", timeout=60)

    def command(self, *words, ends=0):
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.clone,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in ([ends] if isinstance(ends, int) else ends), done.stdout + done.stderr
        return done.stdout

    def watch(self, ends=(0, 1, 2)):
        return self.command("flows", "watch", ends=ends)

    def runs(self, *kinds, name="inspect-demo"):
        """The runs of a deployment that are in a state of some kind, the newest first; those of its schedule."""
        wanted = {
            "deployments": {"name": {"any_": [name]}},
            "flow_runs": {"state": {"type": {"any_": list(kinds)}}},
            "sort": "EXPECTED_START_TIME_DESC",
        }
        return [one for one in self.api.post("/flow_runs/filter", json=wanted).json() if one["auto_scheduled"]]

    def next_round(self, since, seconds=400):
        """A round of a slot after some moment, once it has ended well or found something."""
        return until(
            "the next slot's round has ended",
            lambda: [
                run
                for run in self.runs("COMPLETED", "FAILED")
                if datetime.fromisoformat(run["expected_start_time"]) > since and run["state"]["name"] != "Failed"
            ],
            seconds,
        )[-1]

    def mails(self, *words):
        """The messages that hold all of some words."""
        sent = [json.dumps(one) for one in self.inbox.got.get("/oncall", [])]
        return [one for one in sent if all(word in one for word in words)]

    def told(self, *words, seconds=300):
        return until(f"told of {words}; told so far {self.mails()}", lambda: self.mails(*words), seconds)[0]


SAVE = """
import asyncio, sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock as Webhook
block = Webhook(name="oncall", url=sys.argv[1], method="POST", json_data={"subject": "{{subject}}", "body": "{{body}}"})
asyncio.run(block.asave("oncall", overwrite=True))
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    needs.program("git")
    with ExitStack() as stack:
        made = Service(stack, tmp_path_factory.mktemp("service"))
        made.start_server()
        subprocess.run([sys.executable, "-c", SAVE, made.inbox.url("/oncall")], env=made.variables, check=True)
        made.command("deployments")
        made.command("deployments", "deploy")
        made.command("deployments", "automations")
        made.start_worker()
        yield made


@pytest.fixture(autouse=True)
def at_work(service):
    """A test that failed half-way fails no other one."""
    service.start_worker()


def test_a_scheduled_round_that_finds_nothing_tells_nobody(service):
    run = service.next_round(datetime.now(UTC))
    assert ("COMPLETED", True) == (run["state"]["type"], run["auto_scheduled"])
    assert [] == service.mails()


def test_a_fault_is_told_once_with_its_runbook_and_so_is_its_recovery(service):
    service.faults("news")
    body = service.told("FIRING", "/news")
    for line in (
        "site demo",
        "rule news",
        "since: ",
        "expected: ",
        "observed: fail: ",
        "last change: version ",
        "owner: web-platform",
        "first look: ",
        "rollback: make render (never rehearsed)",
        "run: http://prefect.example.com/runs/flow-run/",
    ):
        assert line in body
    assert 12 >= len(json.loads(body)["body"].splitlines())
    service.next_round(datetime.now(UTC))
    service.faults()
    service.told("RESOLVED", "/news")


async def place_of(what):
    """Where it is on the page; Prefect's draws itself anew now and then, and meanwhile it is nowhere."""
    async with asyncio.timeout(30):
        while (found := await what.bounding_box()) is None:
            await what.wait_for()
    return found


async def test_prefect_shows_the_runbook_the_form_and_the_picture(service):
    needs.program("chromium")
    (deployment,) = service.api.post(
        "/deployments/filter", json={"deployments": {"name": {"any_": ["inspect-demo"]}}}
    ).json()
    latest = {"artifacts": {"key": {"any_": ["round-demo"]}}, "limit": 1}
    (artifact,) = service.api.post("/artifacts/latest/filter", json=latest).json()
    at = f"{service.variables['PREFECT_API_URL'].removesuffix('/api')}/v2"
    async with browser() as chromium:
        page = await chromium.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(f"{at}/deployments/deployment/{deployment['id']}?tab=Description")
        for words in (
            "Owner: web-platform",
            "Expected: No claim fails",
            "On failure: Readers may",
            "Rollback: nothing to undo",
        ):
            await page.get_by_text(words).wait_for()
        await page.goto(f"{at}/deployments/deployment/{deployment['id']}/run")
        await page.get_by_text(
            "A name in deployments/sites/, a path to a site file, or a URL for a first look."
        ).wait_for()
        await page.get_by_text("The checks to make; all of them when empty.").wait_for()
        assert "demo" == await page.get_by_role("textbox").nth(1).input_value()
        await page.goto(f"{at}/artifacts/artifact/{artifact['latest_id']}")
        picture = page.get_by_alt_text("Time to first byte by route and cache state")
        await picture.wait_for()
        await page.wait_for_function(
            "words => { const image = document.querySelector(`img[alt^='${words}']`);"
            " return image?.naturalWidth > 0 && image.getBoundingClientRect().width >= 400 }",
            arg="Time to first byte by route and cache state",
        )
        table = await place_of(page.get_by_role("table"))
        beside = await place_of(page.get_by_role("link", name="publish demo"))
        assert table["x"] + table["width"] < beside["x"], "it does not run into what stands beside it"
        await page.get_by_role("heading", name=re.compile("What is wrong|Nothing needs anybody")).first.wait_for()


def test_a_job_that_breaks_down_soon_after_a_deploy_is_told_at_once(service):
    """When Prefect holds its own events back for 15 minutes. `python -m benchmarks delays` says how soon it is."""
    site = service.clone / "deployments/sites/demo.yaml"
    text = site.read_text()
    service.command("deployments", "deploy")
    site.write_text("site: [")
    broken = until("a round broke down", lambda: [run for run in service.runs("FAILED") if breaks_down(run)], 300)[-1]
    service.told("inspect-demo", "FAILED", broken["id"])
    site.write_text(text)
    (told_at,) = (one["received"] for one in service.inbox.messages if broken["id"] in json.dumps(one))
    assert 60 > told_at - datetime.fromisoformat(broken["end_time"]).timestamp()


def breaks_down(run):
    """Whether a run could not read its site file."""
    return "SiteFileError" in run["state"]["message"]


def struck(service, strike):
    """A round that was under way when its worker was struck, and when that was; one that ended just before is none."""
    for _ in range(3):
        service.start_worker()
        (run, *_) = until(
            "a round is under way", lambda: [one for one in service.runs("RUNNING") if one["infrastructure_pid"]], 300
        )
        strike(run)
        service.process.wait()
        service.worker.close()
        until("the run's process is gone", lambda run=run: not has_process(run))
        if run["id"] not in [one["id"] for one in service.runs("COMPLETED")]:
            return run, datetime.now(UTC)
    return pytest.fail("every round had ended before its worker was struck")


def is_running(service, run):
    return run["id"] in [one["id"] for one in service.runs("RUNNING")]


def test_a_round_whose_worker_is_killed_is_told_once_and_the_next_slot_runs(service):
    """One that is told to end lets its runs end first, see test_drain.py."""
    run, ended = struck(service, lambda _: os.kill(service.process.pid, signal.SIGKILL))
    until("the run has an end", lambda: service.watch() and not is_running(service, run))
    service.told(run["id"])
    service.start_worker()
    service.next_round(ended)
    service.watch()
    assert 1 == len(service.mails(run["id"]))


def test_a_round_that_dies_with_its_worker_is_closed_told_once_and_the_next_slot_runs(service):
    """Prefect leaves it Running for ever, and its slot taken."""
    run, died = struck(service, lambda run: cut_power(service.process, run))
    assert is_running(service, run)
    service.watch()
    assert not is_running(service, run)
    service.told(run["id"])
    service.start_worker()
    service.next_round(died)
    service.watch()
    assert 1 == len(service.mails(run["id"]))


def test_a_server_that_is_gone_for_a_minute_is_told_once_from_outside(service):
    before = len(service.mails())
    service.server.close()
    gone = datetime.now(UTC)
    service.watch(ends=2)
    (said,) = service.mails()[before:]
    assert "server" in said
    until("a minute has passed", lambda: service.watch(ends=2) and (datetime.now(UTC) - gone).total_seconds() > 60)
    assert 1 == len(service.mails()) - before
    service.start_server()
    service.next_round(datetime.now(UTC))


def test_a_schedule_that_is_paused_and_a_pool_on_which_nothing_starts_are_told_once(service):
    """As an operator does it in Prefect's pages; and a pool that was drained and forgotten."""
    deployment = service.api.get("/deployments/name/inspect-site/inspect-demo").raise_for_status().json()
    (schedule,) = deployment["schedules"]
    at = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"
    kinds = ("PAUSED", "inspect-demo"), ("NOT STARTED", "watch-jobs"), ("NOT STARTED", "inspect-demo")
    paused, nothing, _ = before = [len(service.mails(*words)) for words in kinds]
    service.api.patch(at, json={"active": False}).raise_for_status()
    service.command("deployments.drain", "--timeout", "120")
    until(
        "both are told",
        lambda: service.watch() and len(service.mails(*kinds[0])) > paused and len(service.mails(*kinds[1])) > nothing,
        480,
    )
    service.watch()
    assert [1, 1, 0] == [len(service.mails(*words)) - was for words, was in zip(kinds, before, strict=True)]
    service.api.patch(at, json={"active": True}).raise_for_status()
    service.command("deployments.drain", "--resume")
    service.next_round(datetime.now(UTC))


def test_nothing_was_told_twice(service):
    """Neither a finding nor the end of a run, whoever told of it; that a run began late is another matter."""
    assert (1, 1) == (len(service.mails("FIRING", "/news")), len(service.mails("RESOLVED", "/news")))
    told = [json.loads(one) for one in service.mails()]
    ended = [one["body"] for one in told if one["subject"].startswith(("FAILED", "CRASHED", "CLOSED", "TIMED OUT"))]
    runs = [run for body in ended for run in re.findall(r"flow-run/([0-9a-f-]+)", body)]
    assert ended
    assert sorted(set(runs)) == sorted(runs), "\n\n".join(f"{one['subject']}\n{one['body']}" for one in told)
    assert len({json.dumps(one, sort_keys=True) for one in told}) == len(told)
