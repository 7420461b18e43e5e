"""What is told of a round: each alert is moved on and its message put into the outbox, in one transaction."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import Engine, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from flows.rules.alert import Alert, Kind, Policy, State, advance, is_bad, let_go
from flows.rules.grouping import urgency
from flows.rules.notice import Change, Notice, Release, alert_notice, bundled
from flows.rules.rehearsal import Rehearsal
from flows.rules.report import Report
from flows.rules.site import RELEASE, Site
from flows.rules.text import plain
from flows.rules.verdict import Outcome, Verdict
from flows.tasks.ledger import open_ledger
from flows.tasks.rehearsals import find_rehearsals
from flows.tasks.service_tables import AlertRow, ReleaseRow
from roundsman.ledger.outbox import OutboxRow

_ALONE: Mapping[str, int] = MappingProxyType({})
#: Checks of other jobs: a round that is silent about them says nothing.
APART = frozenset({"compare-release", "purge-queue", "purge-sample", "rehearse-release"})
#: A check and its subject; the alerts of a site are told apart by them.
Subject = tuple[str, str]


@task(
    task_run_name="tell {report.site}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def tell(site: Site, report: Report, link: str, *, full: bool = True) -> None:
    """Put what a round has to tell into the outbox. Doing it again changes nothing, so it may be retried.

    Args:
        site: Whose owner is told, through the channels of its site file; without them the alerts move on in silence.
        report: What the round found.
        link: The run in Prefect's UI, or empty.
        full: Whether the round made every check, so that what it did not look at is no longer looked at.
    """
    proofs = await find_rehearsals.fn(site)
    await asyncio.to_thread(_tell, site, report, link, proofs, full=full)


def enqueue(  # noqa: PLR0913 - the columns of a message
    where: Engine | Session,
    notice: Notice,
    *,
    dedup_key: str,
    kind: str,
    number: int = 1,
    channels: Sequence[str],
    site: str,
    told_with: Mapping[str, int] = _ALONE,
) -> dict[str, int]:
    """Put a message into the outbox, once for each channel; one that is there already stays as it is.

    With a session it is part of that session's transaction. `told_with` names for each channel the message that tells
    this one as well, so that it is never sent itself. Returns the new messages' ids by channel.
    """
    if isinstance(where, Engine):
        with Session(where.execution_options(writes=True)) as session, session.begin():
            names = {"dedup_key": dedup_key, "kind": kind, "number": number, "channels": channels, "site": site}
            return enqueue(session, notice, **names, told_with=told_with)
    now = datetime.now(UTC)
    put: dict[str, int] = {}
    for channel in channels:
        row = OutboxRow(
            dedup_key=dedup_key,
            kind=kind,
            number=number,
            channel=channel,
            site=site,
            subject=notice.subject,
            body=notice.body,
            created_at=now,
            due_at=now,
            told_with=told_with.get(channel),
        )
        if (new := _insert(where, row, ("dedup_key", "kind", "number", "channel"))) is not None:
            put[channel] = new
    return put


def last_release(session: Session, site: str) -> Release | None:
    """The version that a site was last seen to run; None when it was never seen."""
    newest = select(ReleaseRow).filter_by(site=site).order_by(ReleaseRow.seen_at.desc()).limit(1)
    row = session.scalars(newest).first()
    return row and Release(row.version, row.seen_at)


def _tell(site: Site, report: Report, link: str, proofs: dict[str, Rehearsal | None], *, full: bool) -> None:
    found = _by_subject(report.verdicts)
    engine = open_ledger()
    try:
        with Session(engine.execution_options(writes=True)) as session, session.begin():
            changes: list[Change] = []
            for row in _rows(session, report, found):
                verdict = found.get((row.check, row.subject))
                before = _alert(row)
                after, kind = _moved(before, verdict, site, report, full=full)
                _keep(row, after)
                if kind:
                    changes.append(Change(kind, replace(after, folded=before.folded), verdict))
            release = last_release(session, report.site)
            for together in bundled(changes) if site.notify else ():
                proof = proofs.get(together[0].alert.rule or RELEASE)
                _put(session, site, together, now=report.ended, release=release, rehearsal=proof, link=link)
    finally:
        engine.dispose()


def _put(session: Session, site: Site, together: Sequence[Change], **more: Any) -> None:
    """Put one message into the outbox for some changes: each has its own row there, and the first one's is sent."""
    notice, first = alert_notice(together, **more), _ALONE
    for change in together:
        key = change.alert.dedup_key
        names = {"dedup_key": key, "kind": change.kind.value, "site": site.site}
        number = _next(session, key) if change.kind is Kind.REMINDER else 1
        own = notice if change is together[0] else alert_notice([change], **more)
        put = enqueue(session, own, **names, number=number, channels=site.notify.channels, told_with=first)
        first = first or put


def _moved(
    alert: Alert, verdict: Verdict | None, site: Site, report: Report, *, full: bool
) -> tuple[Alert, Kind | None]:
    """An alert after a round, which may have nothing to say about it."""
    if verdict:
        alert = replace(alert, rule=plain(verdict.rule), owner=plain(verdict.owner))
        return advance(
            alert, verdict.outcome, report.ended, report.run, site.notify.policy if site.notify else Policy()
        )
    if _left(alert, site, report, full=full):
        return let_go(alert, report.ended, report.run)
    return alert, None


def _by_subject(verdicts: Sequence[Verdict]) -> dict[Subject, Verdict]:
    """The worst verdict on each subject of each check."""
    found: dict[Subject, Verdict] = {}
    for verdict in verdicts:
        key = plain(verdict.check), plain(verdict.subject)
        if key not in found or _urgency(verdict) < _urgency(found[key]):
            found[key] = verdict
    return found


def _urgency(verdict: Verdict) -> tuple[int, int]:
    return min(map(urgency, verdict.findings))


def _rows(session: Session, report: Report, found: dict[Subject, Verdict]) -> list[AlertRow]:
    """The site's alerts, for this transaction only, with a new one for each subject in trouble.

    A second writer waits here until the first has ended. All of them take the rows in one order.
    """
    for check, subject in sorted(key for key, verdict in found.items() if is_bad(verdict.outcome)):
        values = {"site": report.site, "check": check, "subject": subject, "rule": "", "owner": "", "run_id": ""}
        row = AlertRow(**values, state=State.OK, since=report.ended, recent=[])
        _insert(session, row, ("site", "check", "subject"))
    return list(session.scalars(select(AlertRow).filter_by(site=report.site).order_by(AlertRow.id).with_for_update()))


def _insert(session: Session, row: AlertRow | OutboxRow, unique: Sequence[str]) -> int | None:
    """Insert a row, unless one like it is there. Returns its id, if it is new."""
    table = type(row)
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(table).values(row.model_dump(exclude={"id"})).on_conflict_do_nothing(index_elements=unique)
    return session.scalar(new.returning(table.id))


def _left(alert: Alert, site: Site, report: Report, *, full: bool) -> bool:
    """Whether a round says by its silence that it no longer looks at a subject.

    A check that could not look has nothing to say about any. One that could has answered for the trouble that kept it
    from looking, which goes by the site's name.
    """
    looked = {verdict.check for verdict in report.verdicts}
    blind = {
        verdict.check
        for verdict in report.verdicts
        if any(finding.claim == f"{verdict.check}/looked" for finding in verdict.findings)
    }
    return alert.check not in blind and (
        (full and alert.check not in APART) or (alert.subject == site.site and alert.check in looked)
    )


def _alert(row: AlertRow) -> Alert:
    kept = {field.name: getattr(row, field.name) for field in fields(Alert)}
    return Alert(**kept | {"state": State(row.state), "recent": tuple(map(Outcome, row.recent))})


def _keep(row: AlertRow, alert: Alert) -> None:
    for field in fields(Alert):
        setattr(row, field.name, getattr(alert, field.name))
    row.state, row.recent = alert.state.value, [outcome.value for outcome in alert.recent]


def _next(session: Session, dedup_key: str) -> int:
    last = select(func.max(OutboxRow.number)).filter_by(dedup_key=dedup_key, kind=Kind.REMINDER.value)
    return (session.scalar(last) or 0) + 1
