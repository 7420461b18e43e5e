"""Roundsman's own services can restart during a round: nothing is lost, and no site's owner is told of it."""

import asyncio
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    PREFECT_CLIENT_RETRY_EXTRA_CODES,
    PREFECT_CLIENT_RETRY_JITTER_FACTOR,
    temporary_settings,
)
from prefect.settings.models.client import ClientSettings
from sqlalchemy.exc import OperationalError

from deployments import up
from deployments.cluster.parts import of_client
from flows.commands import common
from flows.tasks.alerts import deliver, tell
from flows.tasks.ledger import record
from flows.tasks.watch import is_ours
from roundsman.alerts.outbox import Delivered
from roundsman.ledger import ledger as room
from roundsman.ledger.ledger import LedgerError, open_ledger
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.wording import could_not_look, services_failed
from tests import postgres
from tests.alerts.telling import START, a_report, a_site, alerts, outbox, told, verdict
from tests.ledger.rounds import counted

ROOT = Path(__file__).parents[2]
API = "http://127.0.0.1:1/api"
CODES = "PREFECT_CLIENT_RETRY_EXTRA_CODES"


def refused(url, status=500):
    request = httpx.Request("POST", url)
    return PrefectHTTPStatusError("it failed", request=request, response=httpx.Response(status, request=request))


def unreachable(url):
    return httpx.ConnectError("no way", request=httpx.Request("GET", url))


def caused_by(error):
    one = ValueError("a check broke down")
    one.__cause__ = error
    return one


GONE = OperationalError("SELECT 1", {}, Exception("server closed the connection unexpectedly"))


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (refused(f"{API}/flow_runs/"), True),
        (unreachable(f"{API}/flow_runs/"), True),
        (RuntimeError(f"Failed to reach API at {API}/"), True),
        (LedgerError("the ledger can't be opened"), True),
        (GONE, True),
        (caused_by(GONE), True),
        (caused_by(None), False),
        (unreachable("http://example.test/"), False),
        (httpx.ConnectError("no request"), False),
        (RuntimeError("no event loop"), False),
    ],
)
def test_trouble_of_prefect_s_api_and_of_the_ledger_is_ours(error, ours):
    with temporary_settings({PREFECT_API_URL: API}):
        assert ours == is_ours(error)


def test_a_database_under_review_is_not_ours():
    assert not is_ours(GONE, databases=False)


def test_wherever_runs_are_started_a_500_of_prefect_s_api_is_tried_again():
    """As it answers while its database restarts."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["worker"]["environment"]
    helm = yaml.safe_load((ROOT / "deployments/helm/worker.yaml").read_text())["worker"]["extraEnvVars"]
    unit = (ROOT / "deployments/systemd/roundsman-worker.service").read_text()
    places = type("Places", (), {"balancer": 1, "postgresql": lambda _, name: name})()
    values = {
        "make up": up.SETTINGS[CODES],
        "by hand": common.EMBEDDED[CODES],
        "compose": compose[CODES],
        "helm": {one["name"]: one["value"] for one in helm}[CODES],
        "systemd": unit.partition(f"{CODES}=")[2].splitlines()[0],
        "cluster": of_client(places)[CODES],
    }
    assert {place: {500, 504} for place in values} == {
        place: ClientSettings(retry_extra_codes=value).retry_extra_codes for place, value in values.items()
    }


@pytest.mark.slow
async def test_a_500_of_prefect_s_api_is_tried_again_until_its_database_is_back():
    asked = []

    class Restarting(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(500 if len(asked) < 3 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *said):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Restarting) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        settings = {
            PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api",
            PREFECT_CLIENT_RETRY_EXTRA_CODES: up.SETTINGS[CODES],
            PREFECT_CLIENT_RETRY_JITTER_FACTOR: 0,
            PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: False,
        }
        with temporary_settings(settings):
            async with get_client() as client:
                assert 200 == (await client._client.get("/health")).status_code
        server.shutdown()
    assert 3 == len([path for path in asked if path.endswith("/health")])


@pytest.fixture
def restarted(monkeypatch):
    """A PostgreSQL of one's own with a ledger, in a deployment's run."""
    with postgres.server() as server:
        monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", server.ledger())
        engine = open_ledger()
        monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "00000000-0000-4000-8000-000000000001")
        yield server, engine
        engine.dispose()


@pytest.mark.slow
async def test_a_ledger_that_restarts_during_a_round_loses_nothing(restarted):
    """What the round found is recorded, told and sent, once each, as soon as it is back."""
    server, engine = restarted
    site, report = a_site("ops"), a_report(0, verdict())
    server.stop()
    steps = asyncio.gather(record.fn(report), tell.fn(site, report, ""), deliver.fn())
    await asyncio.sleep(2)  # for so long it is away
    assert not steps.done()
    server.start()
    *_, sent = await steps
    assert (1, 1) == (counted(engine)["run"], len(outbox(engine)))
    assert sent in {Delivered(0, 1), Delivered(0, 0)}  # there is no such block


@pytest.mark.slow
def test_a_ledger_that_stays_away_is_told_in_the_end_and_by_hand_at_once(restarted, monkeypatch):
    server, _ = restarted
    monkeypatch.setattr(room, "RESTART_WAIT_SECONDS", 1.0)
    server.stop()
    try:
        for deployed, at_least in ((True, 1.0), (False, 0.0)):
            if not deployed:
                monkeypatch.delenv("PREFECT__FLOW_RUN_ID")
            began = time.monotonic()
            with pytest.raises(LedgerError, match="the ledger can't be opened"):
                open_ledger()
            assert at_least <= time.monotonic() - began < at_least + 5
    finally:
        server.start()


BLIND = services_failed(could_not_look(a_site("ops"), "cache-headers", "Error: 500 of postgresql://u:hush@db/prefect"))


@pytest.fixture
def at_url(monkeypatch, url):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    monkeypatch.setenv("ROUNDSMAN_NOTIFY", "slack-webhook/operators")


def test_the_operators_hear_once_of_what_our_own_services_broke_and_no_site_s_owner_does(ledger, at_url):
    checks = [BLIND, services_failed(could_not_look(a_site("ops"), "response-time", "Error: 500"))]
    told(a_site("ops"), a_report(0, *checks), a_report(0.5, *checks))
    other = a_site("ops").model_copy(update={"site": "barn"})
    asyncio.run(tell.fn(other, Report("run-x", "barn", START, START, tuple(checks)), "", full=True))
    [row] = outbox(ledger)
    assert ("slack-webhook/operators", "services", "") == (row.channel, row.kind, row.site)
    assert "COULD NOT LOOK: Roundsman's own services failed in a round of site shop" == row.subject
    assert {"observed: cache-headers: Error: 500 of postgresql://...", "observed: response-time: Error: 500"} < set(
        row.body.splitlines()
    )
    assert "purge" not in row.body
    assert {} == alerts(ledger)


def test_what_our_own_services_kept_from_being_looked_at_stays_as_it_was(ledger, at_url):
    told(a_site("ops"), a_report(0, verdict()), a_report(1, BLIND))
    assert "firing" == alerts(ledger)["cache-headers /a"].state
    told(a_site("ops"), a_report(2, verdict(Outcome.PASS)))
    assert ["firing", "services", "resolved"] == [row.kind for row in outbox(ledger)]
