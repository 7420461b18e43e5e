"""A ledger of the version before the library was split from the Prefect project goes on: open alerts, and history."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import MetaData, create_engine, make_url
from sqlalchemy.orm import Session

from roundsman.alerts.outbox import dead_letters, undelivered
from roundsman.ledger.ledger import alembic_config, open_ledger
from roundsman.report.rules.verdict import Outcome
from roundsman.status.facts import read_facts
from tests.alerts.telling import START, a_report, a_site, alerts, outbox, told, verdict

#: The newest migration of that version.
BEFORE = "0017"
KEY = "shop|cache-headers|/a|2026-03-01T04:07:00+00:00"
CHANNEL = "custom-webhook/ops"


@pytest.fixture
def ledger(url, monkeypatch):
    """What that version had written, opened by this one."""
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    address = make_url(url)
    if address.get_backend_name() == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    else:
        Path(str(address.database)).parent.mkdir()
    old = create_engine(address)
    command.upgrade(alembic_config(old), BEFORE)
    fill(old)
    old.dispose()
    engine = open_ledger(url)
    yield engine
    engine.dispose()


def fill(old):
    """Rows by the tables as they are in the database, and not as this version knows them."""
    tables = MetaData()
    tables.reflect(old)
    # SQLite keeps no zone; the ledger's times are in UTC.
    at = START if old.dialect.name == "postgresql" else START.replace(tzinfo=None)
    verdict_of = {"rule": "articles", "owner": "web", "expected_result": "All is well.", "rollback": "make back"}
    finding = {"claim": "cache-headers/stored", "outcome": "fail", "saw": "no copy", "wanted": "a copy"}
    message = {"dedup_key": KEY, "channel": CHANNEL, "site": "shop", "subject": "FIRING", "body": "text"}
    times = {"created_at": at, "due_at": at}
    rows = {
        "run": {
            "id": "run-0", "site": "shop", "job": "inspect-site", "started_at": at, "ended_at": at, "outcome": "fail",
            "counts": {"fail": 1, "findings": 1, "exchanges": 0}, "whole": True,
        },
        "verdict": {
            "id": 1, "run_id": "run-0", "position": 0, "check": "cache-headers", "subject": "/a", "outcome": "fail",
            **verdict_of,
        },
        "finding": {"id": 1, "verdict_id": 1, "position": 0, **finding},
        "alert": {
            "site": "shop", "check": "cache-headers", "subject": "/a", "rule": "articles", "owner": "web",
            "state": "firing", "since": at, "recent": ["fail"], "opened_at": at, "dedup_key": KEY, "incident": KEY,
            "told_at": at, "folded": 0, "run_id": "run-0",
        },
        "incident": {
            "key": KEY, "site": "shop", "check": "cache-headers", "subject": "/a", "level": "error", "reminders": 0,
            "headline": "FIRING", "body": "text", "as_of": at, "opened_at": at,
        },
        "outbox": [
            {**message, "kind": "firing", "number": 1, "attempts": 1, "sent_at": at, **times},
            {**message, "dedup_key": "other", "kind": "purge", "number": 1, "attempts": 30, "dead_at": at, **times},
        ],
        "slot": {
            "deployment": "inspect-shop", "site": "shop", "slot_at": at, "start_grace_s": 120.0,
            "max_runtime_s": 900.0, "min_runtime_s": 0.0, "state": "finished", "since": at, "started_at": at,
            "ended_at": at, "overlapped": False, "detail": "",
        },
        "watch": {"at": at, "seconds": 0.1, "ok": True, "detail": "nothing wrong"},
        "release": {"site": "shop", "seen_at": at, "version": "v1", "source": "site"},
    }  # fmt: skip
    defaults = {"lease_token": "", "error": "", "sent_at": None, "dead_at": None}
    with old.begin() as connection:
        for name, values in rows.items():
            for row in values if isinstance(values, list) else [values]:
                connection.execute(tables.tables[name].insert(), (defaults if name == "outbox" else {}) | row)


def test_an_open_alert_is_still_open_and_nobody_hears_of_it_twice(ledger):
    site = a_site("ops")
    told(site, a_report(1, verdict()))
    [alert] = alerts(ledger).values()
    assert ("firing", KEY, START) == (alert.state, alert.dedup_key, alert.opened_at)
    assert ["firing", "purge"] == [row.kind for row in outbox(ledger)]
    told(site, *(a_report(number, verdict(Outcome.PASS)) for number in (2, 3)))
    assert [("resolved", KEY, CHANNEL)] == [(row.kind, row.dedup_key, row.channel) for row in outbox(ledger)[2:]]


def test_its_history_is_read(ledger):
    now = START + timedelta(hours=1)
    with Session(ledger) as session:
        known = read_facts(session, a_site("ops"), now)
    assert [(START, Outcome.FAIL)] == [(mark.at, mark.outcome) for mark in known.rounds]
    [fault] = known.promises.faults
    assert ("cache-headers/stored", START) == (fault.group.claim, fault.since)
    assert ["finished"] == [slot.state for slot in known.jobs.slots]
    assert (START, ["v1"]) == (known.jobs.watched_at, [release.version for release in known.releases])


def test_its_outbox_goes_on(ledger):
    assert (0, 1) == undelivered(ledger)
    assert [(START.astimezone(UTC), 30)] == [(letter.dead_at, letter.attempts) for letter in dead_letters(ledger)]
    assert isinstance(dead_letters(ledger)[0].created_at, datetime)
