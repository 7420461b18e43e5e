"""What the ledger knows of rollbacks: the last rehearsal of each, what it still says, and which ones are missing."""

import asyncio
import logging
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.ledger import LedgerError, known, last_rehearsal, use_ledger
from roundsman.ledger.tables import FindingRow, RehearsalRow, RunRow, VerdictRow
from roundsman.ledger.transaction import writing_session
from roundsman.report.rules.rehearsed import OTHER_COMMAND, Rehearsal, held_against
from roundsman.report.rules.verdict import Outcome
from roundsman.rollback.look import look, schema_head
from roundsman.rollback.rules.judge import CHECK, COMMAND
from roundsman.site.rules.site import RELEASE, Site

log = logging.getLogger("roundsman")


async def find_rehearsals(site: Site) -> dict[str, Rehearsal | None]:
    """The last rehearsal of each rule's rollback, by the rule's name, and of the site's release as `release`."""
    return await asyncio.to_thread(_rehearsals, site)


async def hold_against_now(site: Site, rehearsal: Rehearsal | None) -> Rehearsal | None:
    """The last rehearsal of a site's release, stale if another version or another schema runs now.

    It is written down, for the notices that quote it.
    """
    if rehearsal is None or rehearsal.stale == OTHER_COMMAND or not (site.release and site.release.version):
        return rehearsal
    now = held_against(rehearsal, (await look(site)).running, await schema_head(site))
    if now != rehearsal:
        await asyncio.to_thread(_keep_staleness, site.site, now)
    return now


async def find_rollback_faults(site: Site) -> dict[str, str]:
    """What the last round that looked at a site's rollbacks found to be missing, by command; nothing if unknown."""
    try:
        return await asyncio.to_thread(_rollback_faults, site.site)
    except (LedgerError, SQLAlchemyError) as error:  # a report without it is better than none
        log.warning("%s: what is wrong with its rollbacks could not be read: %s", site.site, type(error).__name__)
        return {}


def rollback_faults_of(session: Session, site: str) -> dict[str, str]:
    """As `find_rollback_faults`, in a session."""
    found = (
        select(col(RunRow.id), col(VerdictRow.rollback), col(FindingRow.outcome), col(FindingRow.saw))
        .join(VerdictRow, col(VerdictRow.run_id) == col(RunRow.id))
        .join(FindingRow, col(FindingRow.verdict_id) == col(VerdictRow.id))
        .where(col(RunRow.site) == site, col(VerdictRow.check) == CHECK, col(FindingRow.claim) == COMMAND.id)
    )
    newest = found.with_only_columns(col(RunRow.id))
    newest = newest.order_by(col(RunRow.started_at).desc(), col(RunRow.id).desc()).limit(1)
    last = session.scalar(newest)
    rows = session.execute(found.where(col(RunRow.id) == last)).all()
    return {row.rollback: row.saw for row in rows if row.outcome == Outcome.FAIL}


def last_rehearsal_of(session: Session, site: str, rule: str) -> RehearsalRow | None:
    """The last rehearsal of a rule's rollback, whichever command that was then."""
    newest = select(RehearsalRow).filter_by(site=site, rule=rule).order_by(col(RehearsalRow.finished_at).desc())
    return session.scalars(newest.limit(1)).first()


def _rehearsals(site: Site) -> dict[str, Rehearsal | None]:
    commands = {rule.name: rule.rollback.command for rule in site.rules}
    if site.release and site.release.rollback:
        commands[RELEASE] = site.release.rollback
    with use_ledger() as engine:
        found = {name: last_rehearsal(engine, site.site, name, command) for name, command in commands.items()}
        with Session(engine) as session:
            others = {name: last_rehearsal_of(session, site.site, name) for name, row in found.items() if row is None}
    return {name: known(row) or of_other(others.get(name)) for name, row in found.items()}


def _rollback_faults(site: str) -> dict[str, str]:
    with use_ledger() as engine, Session(engine) as session:
        return rollback_faults_of(session, site)


def _keep_staleness(site: str, rehearsal: Rehearsal) -> None:
    with use_ledger() as engine, writing_session(engine) as session:
        same = select(RehearsalRow).filter_by(site=site, rule=RELEASE, finished_at=rehearsal.finished_at)
        for row in session.scalars(same):
            row.stale = rehearsal.stale


def of_other(row: RehearsalRow | None) -> Rehearsal | None:
    """A rehearsal of a command that is not the one of today."""
    one = known(row)
    return one and replace(one, stale=OTHER_COMMAND)
