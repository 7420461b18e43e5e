"""What is told of a round: alerts move on, and what begins to fire with it is one incident, in one transaction.

Each channel hears of an incident once when it opens and once when all of it is well again, with reminders in between. A
channel that comes later, or that comes back, hears of what is open then: at the next round of the site, or at the next
pass of the watch.
"""

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, or_, select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.alerts.rules.alert import (
    Alert,
    AlertState,
    IncidentLevel,
    MessageKind,
    advance,
    is_bad,
    let_go,
    notified,
)
from roundsman.alerts.rules.notice import (
    AlertChange,
    Notice,
    alert_notice,
    job_is_well_notice,
    lead_of,
    level_of,
    services_notice,
)
from roundsman.database.database_file import load_database
from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.tables import AlertRow, IncidentRow, OutboxRow, ReleaseRow
from roundsman.ledger.transaction import clock, insert_row, rows_changed, writing_session
from roundsman.report.rules.grouping import group, urgency
from roundsman.report.rules.rehearsed import Rehearsal
from roundsman.report.rules.report import Report
from roundsman.report.rules.text import plain
from roundsman.report.rules.verdict import Outcome, Verdict
from roundsman.rollback.store import find_rehearsals
from roundsman.site.rules.promises import AlertPolicy
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_file import SiteFileError
from roundsman.site.rules.wording import is_of_services
from roundsman.site.site_file import load

#: Checks of other jobs: a round that is silent about them says nothing.
APART = frozenset({"compare-release", "purge-queue", "purge-sample", "rehearse-release"})
#: A check and its subject; the alerts of a site are told apart by them.
Subject = tuple[str, str]
#: For so long a channel that comes back hears of the end of what it heard the beginning of.
BACK = timedelta(days=30)
#: The environment variable with the notification blocks that hear of everything: `TYPE/NAME`, apart by commas.
OPERATORS = "ROUNDSMAN_NOTIFY"
#: What the name of a database begins with where it stands in the place of a site's.
DATABASE = "database-"
#: States of an alert of which people were told, and that is not well again.
OPEN = frozenset({AlertState.FIRING, AlertState.RECOVERING})
#: What the key of a job's trouble begins with; its letters go by the kind of trouble.
JOB = "job/"


@dataclass(frozen=True, slots=True)
class _Step:
    """What a round made of an alert."""

    row: AlertRow
    kind: MessageKind | None
    verdict: Verdict | None
    folded: int
    """Rounds that were folded before this one."""

    @property
    def is_open(self) -> bool:
        return AlertState(self.row.state) in OPEN

    @property
    def level(self) -> IncidentLevel | None:
        """How grave its trouble is, as far as this round saw it."""
        bad = self.is_open and self.verdict is not None and is_bad(self.verdict.outcome)
        return level_of(group([self.verdict])) if bad and self.verdict else None

    def told_as(self, kind: MessageKind) -> AlertChange:
        return AlertChange(kind, replace(_alert(self.row), folded=self.folded), self.verdict)


async def tell(site: Site, report: Report, link: str, *, full: bool = True) -> None:
    """Put what a round has to tell into the outbox. Doing it again changes nothing, so it may be retried.

    Args:
        site: The site whose owner gets the message, through its channels; without any, alerts change state silently.
        report: What the round found.
        link: The run in Prefect's UI, or empty.
        full: Whether the round made every check, so that what it did not look at is no longer looked at.
    """
    proofs = await find_rehearsals(site)
    await asyncio.to_thread(_tell, site, report, link, proofs, full=full)


async def tell_new_channels() -> int:
    """Put what channels have not heard of open incidents into the outbox, and of the end of those that they heard of.

    For channels that were added, renamed or brought back since. Doing it again changes nothing. Returns how many
    messages were put.
    """
    return await asyncio.to_thread(_tell_new_channels)


def enqueue(  # noqa: PLR0913 - the columns of a message
    where: Engine | Session,
    notice: Notice,
    *,
    dedup_key: str,
    kind: str,
    number: int = 1,
    channels: Sequence[str],
    site: str,
) -> list[str]:
    """Put a message into the outbox, once for each channel; one that is there already stays as it is.

    With a session it is part of that session's transaction. Returns the channels for which it is new.
    """
    if isinstance(where, Engine):
        with writing_session(where) as session:
            return enqueue(session, notice, dedup_key=dedup_key, kind=kind, number=number, channels=channels, site=site)
    now = clock(where)
    put = []
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
        )
        if insert_row(where, row, "dedup_key", "kind", "number", "channel") is not None:
            put.append(channel)
    return put


def tell_of_job(  # noqa: PLR0913 - what an incident is made of
    session: Session,
    notice: Notice,
    *,
    key: str,
    kind: str,
    deployment: str,
    site: str,
    channels: Sequence[str],
    now: datetime,
    again: bool = True,
) -> None:
    """Put what is wrong with a job into the outbox. It is open until `job_is_well`, so channels that come later hear.

    While the same trouble of the same deployment is open it is told of anew, unless `again` says that it need not be.
    """
    before = select(IncidentRow).filter_by(check=kind, subject=deployment, resolved_at=None)
    known = session.scalars(before.where(col(IncidentRow.key).startswith(JOB)).with_for_update()).first()
    if known is None and not again:  # it was told of under another key not long ago
        return
    incident = known or IncidentRow(
        key=f"{key}/{kind}", site=site, check=kind, subject=deployment, level=IncidentLevel.ERROR,
        headline="", body="", as_of=now, opened_at=now,
    )  # fmt: skip
    incident.headline, incident.body, incident.as_of = notice.subject, notice.body, now
    incident.reminders += bool(known and again)
    session.add(incident)
    session.flush()
    spread(session, incident, channels, again=bool(known and again))


def job_is_well(session: Session, incident: IncidentRow, channels: Sequence[str], now: datetime) -> None:
    """Close what was wrong with a job, and tell whoever heard of it."""
    about = {"deployment": incident.subject, "site": incident.site, "kind": incident.check}
    notice = job_is_well_notice(**about, opened=incident.opened_at, now=now)
    incident.headline, incident.body = notice.subject, notice.body
    incident.as_of = incident.resolved_at = now
    session.flush()
    spread(session, incident, channels)


def spread(
    session: Session, incident: IncidentRow, channels: Sequence[str], *, again: bool = False, late: bool = False
) -> list[str]:
    """Put what channels have not heard of an incident into the outbox: its beginning, or its end.

    Args:
        session: One in whose transaction nobody else changes the incident.
        incident: With its newest message.
        channels: Who is to hear of it.
        again: Whether those who heard of it are reminded. A message that waits already takes the new words instead.
        late: Whether its newest message is older, so that it says when it was written.

    Returns:
        The channels for which something was put.
    """
    known: dict[str, list[OutboxRow]] = {channel: [] for channel in channels}
    mine = select(OutboxRow).filter_by(dedup_key=incident.key).where(col(OutboxRow.channel).in_(known))
    for row in session.scalars(mine.order_by(col(OutboxRow.id))):
        known[row.channel].append(row)
    put: list[str] = []
    for channel, letters in known.items():
        kinds = {row.kind for row in letters}
        if incident.resolved_at:
            had_its_beginning = letters and MessageKind.RESOLVED not in kinds
            put += _post(session, incident, channel, MessageKind.RESOLVED) if had_its_beginning else []
        elif not letters:
            put += _post(session, incident, channel, MessageKind.FIRING, late=late)
        elif again and not any(_reworded(session, incident, row) for row in letters):
            put += _post(session, incident, channel, MessageKind.REMINDER, incident.reminders)
        elif again:
            put.append(channel)
    return put


def _post(  # noqa: PLR0913 - the columns of a message
    session: Session, incident: IncidentRow, channel: str, kind: str, number: int = 1, *, late: bool = False
) -> list[str]:
    as_of = f"\nas of: {incident.as_of:%Y-%m-%d %H:%M} UTC" if late else ""
    notice = Notice(incident.headline, f"{incident.body}{as_of}")
    if incident.key.startswith(JOB) and kind is not MessageKind.RESOLVED:
        kind, number = incident.check, number + (kind is MessageKind.REMINDER)
    key, site = incident.key, incident.site
    return enqueue(session, notice, dedup_key=key, kind=str(kind), number=number, site=site, channels=[channel])


def _reworded(session: Session, incident: IncidentRow, row: OutboxRow) -> bool:
    """Give a message that was not sent the newest words, unless somebody is sending it; a dead one lives again."""
    idle = update(OutboxRow).filter_by(id=row.id, lease_token="").where(col(OutboxRow.sent_at).is_(None))
    words = {"subject": incident.headline, "body": incident.body}
    alive: dict[str, Any] = {"dead_at": None, "attempts": 0, "due_at": clock(session)} if row.dead_at else {}
    return bool(rows_changed(session, idle.values(**words, **alive)))


def last_release(session: Session, site: str) -> Release | None:
    """The version that a site was last seen to run; None when it was never seen."""
    newest = select(ReleaseRow).filter_by(site=site).order_by(col(ReleaseRow.seen_at).desc()).limit(1)
    row = session.scalars(newest).first()
    return Release(row.version, row.seen_at) if row else None


def _tell(site: Site, report: Report, link: str, proofs: dict[str, Rehearsal | None], *, full: bool) -> None:
    with use_ledger() as engine, writing_session(engine) as session:
        steps = list(_steps(session, site, report, full=full))
        _tell_operators(session, report, link)
        release = last_release(session, report.site)
        words = {"now": report.ended, "release": release, "rehearsals": proofs, "link": link}
        opened = select(IncidentRow).filter_by(site=report.site, resolved_at=None)
        opened = opened.where(~col(IncidentRow.key).startswith(JOB)).order_by(col(IncidentRow.id))
        incidents = list(session.scalars(opened.with_for_update()))
        for incident in incidents:
            own = [step for step in steps if step.row.incident == incident.key]
            _go_on(session, site, incident, own, words)
        keys = {incident.key for incident in incidents}
        if new := [step for step in steps if step.kind is MessageKind.FIRING and step.row.incident not in keys]:
            _open(session, site, new, words)


def _tell_operators(session: Session, report: Report, link: str) -> None:
    """What Roundsman's own services kept from being looked at is no site owner's trouble."""
    if ours := group(filter(is_of_services, report.verdicts)):
        notice = services_notice(report.site, ours, now=report.ended, link=link)
        key = f"services|{report.ended.astimezone(UTC):%Y-%m-%dT%H}"
        enqueue(session, notice, dedup_key=key, kind="services", channels=operators(), site="")


def operators() -> list[str]:
    """The blocks that hear of everything, as ROUNDSMAN_NOTIFY names them."""
    return [name.strip() for name in os.environ.get(OPERATORS, "").split(",") if name.strip()]


def _steps(session: Session, site: Site, report: Report, *, full: bool) -> Iterator[_Step]:
    """Move each alert of the site on by a round."""
    seen = _by_subject(report.verdicts)
    for row in _rows(session, report, seen):
        before, verdict = _alert(row), seen.get((row.check, row.subject))
        after, kind = _moved(before, verdict, site, report, full=full)
        _keep(row, after)
        yield _Step(row, kind, verdict, before.folded)


def _open(session: Session, site: Site, steps: Sequence[_Step], words: Mapping[str, Any]) -> None:
    """Begin an incident with the alerts that began to fire in a round."""
    at = words["now"]
    check, subject = lead_of([step.told_as(MessageKind.FIRING) for step in steps])
    first = next(step for step in steps if (step.row.check, step.row.subject) == (check, subject))
    incident = IncidentRow(
        key=first.row.dedup_key, site=site.site, check=check, subject=subject, level="", headline="", body="",
        as_of=at, opened_at=min(step.row.opened_at or at for step in steps),
    )  # fmt: skip
    for step in steps:
        step.row.incident = incident.key
    _reword(incident, steps, MessageKind.FIRING, words)
    session.add(incident)
    session.flush()
    if spread(session, incident, _channels(site)):
        _notified(steps, at)


def _go_on(
    session: Session, site: Site, incident: IncidentRow, steps: Sequence[_Step], words: Mapping[str, Any]
) -> None:
    """Bring an open incident up to date: it is over, worse, due for a reminder, or there is nothing new to tell."""
    bad, at = [step for step in steps if step.is_open], words["now"]
    if not bad:
        incident.resolved_at = at
        _reword(incident, sorted(steps, key=lambda step: step.kind is None), MessageKind.RESOLVED, words)
        spread(session, incident, _channels(site))
        return
    seen = [step for step in bad if step.level]
    worse = any(step.level and step.level.exceeds(incident.level) for step in seen)
    # People were not told that it had been well in between; of a leak they hear again all the same.
    leaks_again = any(step.kind is MessageKind.FIRING and step.level is IncidentLevel.CRITICAL for step in seen)
    again = worse or leaks_again or any(step.kind is MessageKind.REMINDER for step in steps)
    if again or len(seen) == len(bad):
        shown = seen or bad
        incident.check, incident.subject = lead_of([step.told_as(MessageKind.REMINDER) for step in shown])
        _reword(incident, shown, MessageKind.REMINDER, words)
    incident.reminders += again
    if spread(session, incident, _channels(site), again=again):
        _notified([step for step in steps if again or step.row.told_at is None], at)


def _reword(incident: IncidentRow, steps: Sequence[_Step], kind: MessageKind, words: Mapping[str, Any]) -> None:
    """Write the newest message about an incident, for whoever has to hear of it now or later."""
    lead = incident.check, incident.subject
    notice = alert_notice([step.told_as(kind) for step in steps], lead=lead, **words)
    incident.headline, incident.body, incident.as_of = notice.subject, notice.body, words["now"]
    if levels := [step.level for step in steps if step.level]:
        incident.level = min(levels, key=list(IncidentLevel).index).value


def _notified(steps: Iterable[_Step], at: datetime) -> None:
    for step in steps:
        _keep(step.row, notified(_alert(step.row), at))


def _channels(site: Site) -> tuple[str, ...]:
    return site.notify.channels if site.notify else ()


def _tell_new_channels() -> int:
    with use_ledger() as engine:
        with Session(engine) as session:
            missing = dict(_missing(session))
        if not missing:  # as nearly always, and then nobody is kept from writing
            return 0
        with writing_session(engine) as session:
            late = select(IncidentRow).where(col(IncidentRow.key).in_(missing)).order_by(col(IncidentRow.id))
            return sum(
                _spread_late(session, incident, missing[incident.key])
                for incident in session.scalars(late.with_for_update()).all()
            )


def _missing(session: Session) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Incidents of which a channel of their site has something to hear, by key, with those channels."""
    since = or_(col(IncidentRow.resolved_at).is_(None), col(IncidentRow.resolved_at) > clock(session) - BACK)
    found = session.execute(
        select(col(IncidentRow.key), col(IncidentRow.site), col(IncidentRow.resolved_at)).where(since)
    ).all()
    names = col(OutboxRow.dedup_key), col(OutboxRow.channel), col(OutboxRow.kind)
    letters = session.execute(select(*names).where(col(OutboxRow.dedup_key).in_([row.key for row in found]))).all()
    began = {(key, channel) for key, channel, kind in letters if kind != MessageKind.RESOLVED}
    ended = {(key, channel) for key, channel, kind in letters if kind == MessageKind.RESOLVED}
    of_site = {site: channels_of(site) for site in {row.site for row in found}}
    for key, site, resolved_at in found:
        channels = dict.fromkeys([*of_site[site], *operators()]) if key.startswith(JOB) else of_site[site]
        wanted = began - ended if resolved_at else {(key, channel) for channel in channels} - began
        if late := tuple(channel for channel in channels if (key, channel) in wanted):
            yield key, late


def _spread_late(session: Session, incident: IncidentRow, channels: Sequence[str]) -> int:
    put = spread(session, incident, channels, late=True)
    if put and not incident.resolved_at:
        untold = update(AlertRow).filter_by(incident=incident.key, told_at=None).where(col(AlertRow.state).in_(OPEN))
        session.execute(untold.values(told_at=clock(session)))
    return len(put)


def channels_of(name: str) -> tuple[str, ...]:
    """The channels in the file of a site or, as `database-NAME`, of a database; none where there is no such file."""
    try:
        of = load_database(name.removeprefix(DATABASE)) if name.startswith(DATABASE) else load(name)
    except SiteFileError:
        return ()
    return of.notify.channels if of.notify else ()


def _moved(
    alert: Alert, verdict: Verdict | None, site: Site, report: Report, *, full: bool
) -> tuple[Alert, MessageKind | None]:
    """An alert after a round, which may have nothing to say about it."""
    if verdict:
        alert = replace(alert, rule=plain(verdict.rule), owner=plain(verdict.owner))
        return advance(
            alert, verdict.outcome, report.ended, report.run, site.notify.policy if site.notify else AlertPolicy()
        )
    if _left(alert, site, report, full=full):
        return let_go(alert, report.ended, report.run)
    return alert, None


def _by_subject(verdicts: Sequence[Verdict]) -> dict[Subject, Verdict]:
    """The worst verdict on each subject of each check."""
    found: dict[Subject, Verdict] = {}
    for verdict in verdicts:
        if is_of_services(verdict):
            continue
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
        row = AlertRow(
            site=report.site, check=check, subject=subject, rule="", owner="", run_id="",
            state=AlertState.OK, since=report.ended, recent=[],
        )  # fmt: skip
        insert_row(session, row, "site", "check", "subject")
    return list(
        session.scalars(select(AlertRow).filter_by(site=report.site).order_by(col(AlertRow.id)).with_for_update())
    )


def _left(alert: Alert, site: Site, report: Report, *, full: bool) -> bool:
    """Whether a round says by its silence that it no longer looks at a subject.

    A check that could not look has nothing to say about any. One that could has answered for the trouble that kept it
    from looking, which goes by the site's name.
    """
    looked = {verdict.check for verdict in report.verdicts}
    blind = {
        verdict.check
        for verdict in report.verdicts
        if is_of_services(verdict) or any(one.claim == f"{verdict.check}/looked" for one in verdict.findings)
    }
    return alert.check not in blind and (
        (full and alert.check not in APART) or (alert.subject == site.site and alert.check in looked)
    )


def _alert(row: AlertRow) -> Alert:
    kept = {field.name: getattr(row, field.name) for field in fields(Alert)}
    return Alert(**kept | {"state": AlertState(row.state), "recent": tuple(map(Outcome, row.recent))})


def _keep(row: AlertRow, alert: Alert) -> None:
    for field in fields(Alert):
        setattr(row, field.name, getattr(alert, field.name))
    row.state, row.recent = alert.state.value, [outcome.value for outcome in alert.recent]
