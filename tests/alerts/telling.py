"""Rounds that have something to tell, the site that they are of, and what came of it in the ledger."""

import asyncio
from datetime import UTC, datetime, timedelta

import yaml
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from flows.tasks.alerts import tell
from roundsman.ledger.tables import AlertRow, OutboxRow
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Finding, Outcome, Verdict
from roundsman.site.rules.site import Site
from tests.make import RULE

START = datetime(2026, 3, 1, 4, 7, tzinfo=UTC)
LINK = "http://127.0.0.1:4200/runs/flow-run/1"


def written(*channels, blocks=None, **notify):
    """A site file's content. `channels` are names of custom webhooks unless they say their type."""
    names = [name if "/" in name else f"custom-webhook/{name}" for name in channels]
    site = {"site": "shop", "base_url": "http://example.test", "owner": "web <w@example.com>", "rules": [RULE]}
    site |= {"notify": {"channels": names, **notify}} if names else {}
    return site | ({"blocks": blocks} if blocks else {})


def webhook(name, url, **more):
    return {"name": name, "url": url, "json_data": {"subject": "{{subject}}", "body": "{{body}}"}, **more}


def a_site(*channels, **more):
    return Site.model_validate(written(*channels, **more))


def keep_site(folder, monkeypatch, content):
    """Write a site where sites are looked for."""
    monkeypatch.setattr("roundsman.site.site_file.SITES", folder)
    (folder / "shop.yaml").write_text(yaml.safe_dump(content))
    return Site.model_validate(content)


def verdict(outcome=Outcome.FAIL, subject="/a", check="cache-headers", claim="stored"):
    finding = Finding(f"{check}/{claim}", "It is stored.", outcome, "no copy", "a copy")
    return Verdict(check, subject, "articles", "web", "All is well.", "make back", (finding,))


def a_report(number, *verdicts):
    """The round of an hour."""
    at = START + timedelta(hours=number)
    return Report(f"run-{number}", "shop", at - timedelta(minutes=1), at, verdicts)


def told(site, *reports, full=True):
    for report in reports:
        asyncio.run(tell.fn(site, report, LINK, full=full))


def alerts(engine: Engine) -> dict[str, AlertRow]:
    with Session(engine) as session:
        return {f"{row.check} {row.subject}": row for row in session.scalars(select(AlertRow))}


def outbox(engine: Engine) -> list[OutboxRow]:
    with Session(engine) as session:
        return list(session.scalars(select(OutboxRow).order_by(OutboxRow.id)))


def kinds(engine: Engine) -> list[str]:
    return [row.kind for row in outbox(engine)]
