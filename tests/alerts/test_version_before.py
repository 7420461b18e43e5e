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
#: How that version wrote down the command of a rehearsal, and eight response times of some 5 ms.
MAKE_BACK = "e25d656156febc33e92c7240e13d436cf48be29f9a6bf3a5e4e21547b48f3b31"
EIGHT_TIMES = b"\x01x\x9ckddd\xa0-\x18\xaa\xe63\xd1\xd8|j\x9b\x0b3\x0f\x00\xf5E\x00\x8b"


@pytest.fixture
def kept(url, monkeypatch):
    """What that version had written, opened by this one. Not named `ledger`: `url` would hold one of this version."""
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
        "sweep": {
            "id": 1, "site": "shop", "edition": "today", "status": "done", "listed": 0, "notes": ["/sitemap.xml: saw 404"],
            "started_at": at, "ended_at": at,
        },
        "sweep_group": {
            "id": 1, "sweep_id": 1, "shard": -1,
            "told": {
                "check": "sweep", "rule": "no-rule", "owner": "web", "rollback": "make back", "claim": "sweep/sitemap",
                "says": "It can be read.", "outcome": "unknown", "severity": None, "saw": "404", "wanted": "200",
                "varied": False, "count": 1, "subjects": 1, "examples": ["/sitemap.xml"], "by_rfc": "", "observed": "",
                "rollback_fault": "",
            },
        },
        "rehearsal": {
            "site": "shop", "rule": "articles", "command_hash": MAKE_BACK, "environment": "staging", "ok": True,
            "seconds": 4.0, "from_version": "v2", "to_version": "v1", "finished_at": at,
        },
        "sample_key": {
            "id": 1, "site": "shop", "rule": "articles", "path": "/a", "series": "edge", "cache_state": "miss",
            "warm": True, "raw_from": 0,
        },
        "histogram": {
            "key_id": 1, "span": 3600, "start": int(START.timestamp()) // 3600 * 3600, "samples": 8,
            "p50_us": 4471, "p95_us": 6942, "p99_us": 6942, "first_byte": EIGHT_TIMES, "total": EIGHT_TIMES,
        },
    }  # fmt: skip
    defaults = {"lease_token": "", "error": "", "sent_at": None, "dead_at": None}
    with old.begin() as connection:
        for name, values in rows.items():
            for row in values if isinstance(values, list) else [values]:
                connection.execute(tables.tables[name].insert(), (defaults if name == "outbox" else {}) | row)


def test_an_open_alert_is_still_open_and_nobody_hears_of_it_twice(kept):
    site = a_site("ops")
    told(site, a_report(1, verdict()))
    [alert] = alerts(kept).values()
    assert ("firing", KEY, START) == (alert.state, alert.dedup_key, alert.opened_at)
    assert ["firing", "purge"] == [row.kind for row in outbox(kept)]
    told(site, *(a_report(number, verdict(Outcome.PASS)) for number in (2, 3)))
    assert [("resolved", KEY, CHANNEL)] == [(row.kind, row.dedup_key, row.channel) for row in outbox(kept)[2:]]


def test_its_history_is_read(kept):
    now = START + timedelta(hours=1)
    with Session(kept) as session:
        known = read_facts(session, a_site("ops"), now)
    assert [(START, Outcome.FAIL)] == [(mark.at, mark.outcome) for mark in known.rounds]
    faults = {fault.group.claim: (fault.group.examples[0], fault.since) for fault in known.promises.faults}
    assert {"cache-headers/stored": ("/a", START), "sweep/sitemap": ("/sitemap.xml", START)} == faults
    rehearsal, [latency] = known.rehearsals["articles"], known.lately
    assert (True, 4.0, START) == (rehearsal.ok, rehearsal.seconds, rehearsal.finished_at)
    assert ("/a", "miss", 8, 7) == (latency.path, latency.state, latency.samples, round(latency.p95_ms))
    assert ["finished"] == [slot.state for slot in known.jobs.slots]
    assert (START, ["v1"]) == (known.jobs.watched_at, [release.version for release in known.releases])


def test_its_outbox_goes_on(kept):
    assert (0, 1) == undelivered(kept)
    assert [(START.astimezone(UTC), 30)] == [(letter.dead_at, letter.attempts) for letter in dead_letters(kept)]
    assert isinstance(dead_letters(kept)[0].created_at, datetime)
