"""A pager opens one alert for an incident and closes it under the same key; other channels hear how grave it is."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from flows.tasks.alerts import deliver
from roundsman.alerts.outbox import Delivered, dead_letters
from roundsman.ledger.tables import OutboxRow
from roundsman.report.rules.verdict import Outcome, Severity
from tests.alerts.telling import START, a_report, keep_site, outbox, told, verdict, written
from tests.pagers import API_KEY, ROUTING_KEY, pagers
from tests.receiver import receiver

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

PAST = datetime(2026, 1, 1, tzinfo=UTC)
LEAK = verdict(subject="/inbox", check="logged-in-traffic", claim="stranger")
LEAK = replace(LEAK, findings=(LEAK.findings[0]._replace(severity=Severity.CRITICAL),))
FAULT, NOBODY = verdict(subject="/inbox"), verdict(Outcome.UNKNOWN, "/inbox")
CALM = verdict(Outcome.PASS, "/inbox"), verdict(Outcome.PASS, "/inbox", "logged-in-traffic")
KEY = f"shop|logged-in-traffic|/inbox|{START.isoformat()}"

PAGERDUTY = {
    "pager-duty-webhook/ops": {"integration_key": {"env": "ROUTING_KEY"}, "api_key": {"env": "PD_KEY"}},
    "apprise/pd": {"url": {"env": "PD_URL"}},
}
OPSGENIE = {
    "opsgenie-webhook/ops": {"apikey": {"env": "OG_KEY"}, "target_team": ["web"], "tags": ["cdn"]},
    "apprise/og": {"url": {"env": "OG_URL"}},
    "apprise/jira": {"url": {"env": "JIRA_URL"}},
}


@pytest.fixture(autouse=True)
def environment(monkeypatch, url):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    monkeypatch.setenv("ROUTING_KEY", ROUTING_KEY)
    monkeypatch.setenv("PD_KEY", "pd-api-key")
    monkeypatch.setenv("PD_URL", f"pagerduty://{ROUTING_KEY}@pd-api-key")
    monkeypatch.setenv("OG_KEY", API_KEY)
    monkeypatch.setenv("OG_URL", f"opsgenie://{API_KEY}")
    monkeypatch.setenv("JIRA_URL", f"jira://{API_KEY}")


@pytest.fixture
def pager(monkeypatch):
    with pagers(monkeypatch) as server:
        yield server


def a_site(folder, monkeypatch, channel, settings, **notify):
    return keep_site(folder, monkeypatch, written(channel, blocks={channel: settings}, **notify))


async def round_of(site, number, *verdicts):
    await asyncio.to_thread(told, site, a_report(number, *verdicts))
    return await deliver.fn()


@pytest.mark.parametrize("channel", PAGERDUTY)
async def test_pagerduty_is_triggered_and_resolved_under_one_key(ledger, pager, tmp_path, monkeypatch, channel):
    site = a_site(tmp_path, monkeypatch, channel, PAGERDUTY[channel], remind="1h")
    for number, found in enumerate([[FAULT, LEAK], [FAULT, LEAK], CALM]):
        assert Delivered(1, 0) == await round_of(site, number, *found)
    assert ["trigger", "trigger", "resolve"] == [one["event_action"] for one in pager.events]
    assert {KEY} == {one["dedup_key"] for one in pager.events}
    first = pager.events[0]["payload"]
    assert ("critical", "shop") == (first["severity"], first["source"])
    assert "FIRING, CRITICAL: site shop, logged-in-traffic, /inbox and 1 more" == first["summary"]
    assert outbox(ledger)[0].body == first["custom_details"]["message"]
    assert ({}, []) == (pager.alerts, pager.refusals)


@pytest.mark.parametrize(("found", "severity"), [(LEAK, "critical"), (FAULT, "error"), (NOBODY, "warning")])
async def test_pagerduty_hears_how_grave_it_is(ledger, pager, tmp_path, monkeypatch, found, severity):
    site = a_site(tmp_path, monkeypatch, "apprise/pd", PAGERDUTY["apprise/pd"])
    await round_of(site, 0, found)
    assert [severity] == [one["payload"]["severity"] for one in pager.events]


@pytest.mark.parametrize("channel", OPSGENIE)
async def test_opsgenie_and_jira_open_and_close_one_alert(ledger, pager, tmp_path, monkeypatch, channel):
    site = a_site(tmp_path, monkeypatch, channel, OPSGENIE[channel])
    await round_of(site, 0, LEAK)
    assert {KEY: "P1"} == {key: alert["priority"] for key, alert in pager.alerts.items()}
    if channel.startswith("opsgenie"):
        assert ([{"type": "team", "name": "web"}], ["cdn"]) == (pager.events[0]["responders"], pager.events[0]["tags"])
    await round_of(site, 1, *CALM)
    assert [("create", KEY), ("close", KEY)] == [(one["action"], one["alias"]) for one in pager.events]
    assert ({}, []) == (pager.alerts, pager.refusals)


@pytest.mark.parametrize("channel", ["apprise/pd", "apprise/og"])
async def test_a_key_that_is_too_long_for_the_pager_is_the_same_from_open_to_closed(
    ledger, pager, tmp_path, monkeypatch, channel
):
    """And another one than that of a page whose address begins alike."""
    site = a_site(tmp_path, monkeypatch, channel, (PAGERDUTY | OPSGENIE)[channel])
    long = [verdict(subject=f"/{'a' * 600}{end}") for end in "xy"]
    await round_of(site, 0, long[0])
    await round_of(site, 1, *long)
    assert 2 == len(pager.alerts)
    await round_of(site, 2)
    assert ({}, []) == (pager.alerts, pager.refusals)


async def test_a_pager_that_is_down_opens_and_closes_the_alert_later(ledger, pager, tmp_path, monkeypatch):
    site = a_site(tmp_path, monkeypatch, "apprise/pd", PAGERDUTY["apprise/pd"])
    pager.status = 503
    assert Delivered(0, 1) == await round_of(site, 0, LEAK)
    assert "PagerError: it answered 503, wanted 2xx" == outbox(ledger)[0].error
    await round_of(site, 1, *CALM)
    pager.status = 202
    with Session(ledger) as session, session.begin():
        session.execute(update(OutboxRow).values(due_at=PAST))
    await deliver.fn()
    assert ["trigger", "resolve"] == [one["event_action"] for one in pager.events]


async def test_a_pager_s_error_quotes_no_key(ledger, pager, tmp_path, monkeypatch):
    monkeypatch.setenv("PD_URL", "pagerduty://a-wrong-key-hush@pd-hush")
    site = a_site(tmp_path, monkeypatch, "apprise/pd", PAGERDUTY["apprise/pd"])
    await round_of(site, 0, LEAK)
    [dead] = dead_letters(ledger)
    assert "PagerError: it answered 400, wanted 2xx" == dead.error


WEBHOOKS = {
    "custom-webhook/ops": {
        "name": "ops",
        "url": "{{address}}",
        "secrets": {"address": {"env": "HOOK"}},
        "json_data": {
            "status": "{{alert_status}}", "severity": "{{alert_severity}}", "key": "{{alert_key}}",
            "source": "{{alert_source}}", "subject": "{{subject}}", "body": "{{body}}",
        },
    },
    "outgoing-webhook/ops": {"url": {"env": "HOOK"}},
}  # fmt: skip


@pytest.mark.parametrize("channel", WEBHOOKS)
async def test_a_webhook_s_json_says_what_is_open_and_how_grave_it_is(ledger, tmp_path, monkeypatch, channel):
    with receiver() as server:
        monkeypatch.setenv("HOOK", server.url("/hook"))
        site = a_site(tmp_path, monkeypatch, channel, WEBHOOKS[channel])
        await round_of(site, 0, LEAK)
        await round_of(site, 1, *CALM)
        got = server.got["/hook"]
    assert [("firing", "critical", KEY, "shop"), ("resolved", "critical", KEY, "shop")] == [
        (one["status"], one["severity"], one["key"], one["source"]) for one in got
    ]
    assert [row.body for row in outbox(ledger)] == [one["body"] for one in got]


async def test_a_service_without_keys_hears_the_type_of_the_message(ledger, tmp_path, monkeypatch):
    with receiver() as server:
        monkeypatch.setenv("HOOK", server.url("/hook", "json"))
        site = a_site(tmp_path, monkeypatch, "apprise/ops", {"url": {"env": "HOOK"}})
        await round_of(site, 0, NOBODY)
        await round_of(site, 1, FAULT)
        await round_of(site, 2, *CALM)
        assert ["warning", "failure", "success"] == [one["type"] for one in server.got["/hook"]]
