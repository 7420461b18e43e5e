"""Rehearsals in the ledger: one lease per site and environment, each leg before and after it runs, what it proved.

Whatever is written begins by seeing that the lease is still ours, in the same transaction; so a runner that was stopped
and taken over writes nothing more.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.ledger import LedgerError, known, last_rehearsal, use_ledger
from roundsman.ledger.tables import ATTEMPT, LEASE, LEG, FindingRow, RehearsalRow, RunRow, VerdictRow
from roundsman.ledger.transaction import NowMs, insert_new, writing, writing_session
from roundsman.report.rules.rehearsed import OTHER_COMMAND, Rehearsal, held_against
from roundsman.report.rules.verdict import Outcome
from roundsman.rollback.look import look, schema_head
from roundsman.rollback.rules.judge import CHECK, COMMAND
from roundsman.rollback.rules.plan import Leg, LegResult, LegState
from roundsman.site.rules.site import RELEASE, Site

#: How long a lease holds unless it is renewed. A command is ended before it is over: see `MAX_UNRENEWED_SECONDS`.
LEASE_SECONDS = 60.0
#: Seconds without a renewal after which a command is ended; the rest of the lease is for its end.
MAX_UNRENEWED_SECONDS = 40.0
RUNNING, BY_HAND, SUCCEEDED, FAILED = "running", "by-hand", "succeeded", "failed"


class RehearsalTakenOverError(Exception):
    """Somebody else holds the lease now; nothing was written."""


class RehearsalHeldError(Exception):
    """Somebody else is at it; says who."""


@dataclass(frozen=True, slots=True)
class RehearsalLease:
    """The right to run a site's commands in one environment, as long as it is renewed."""

    engine: Engine
    site: str
    environment: str
    token: int

    def renew(self) -> None:
        """Hold it for another minute.

        Raises:
            RehearsalTakenOverError: it was taken over.
        """
        with self._fenced():
            pass

    def let_go(self) -> None:
        """Give it back; nothing when it is no longer ours."""
        with writing(self.engine) as connection:
            connection.execute(update(LEASE).where(self._ours()).values(until_ms=0))

    def begin(self, command_hash: str, run_id: str) -> int:
        """Write down that a rehearsal begins; its number."""
        values = {"site": self.site, "environment": self.environment, "command_hash": command_hash, "run_id": run_id}
        empty = {"before_version": "", "after_version": "", "before": {}, "after": {}, "stands": ""}
        with self._fenced() as connection:
            new = insert(ATTEMPT).values(**values, **empty, state=RUNNING, begun_ms=NowMs())
            attempt: int = connection.execute(new.returning(ATTEMPT.c.id)).scalar_one()
            return attempt

    def note(self, attempt: int, **values: Any) -> None:
        """Write down what is known of a rehearsal."""
        with self._fenced() as connection:
            connection.execute(update(ATTEMPT).where(ATTEMPT.c.id == attempt).values(**values))

    def end(self, attempt: int, state: str, stands: str, proof: Mapping[str, Any] | None = None) -> None:
        """Write down how a rehearsal ended, and with it what it proves of the rollback."""
        with self._fenced() as connection:
            ended = {"state": state, "stands": stands, "ended_ms": NowMs()}
            connection.execute(update(ATTEMPT).where(ATTEMPT.c.id == attempt).values(**ended))
            if proof:
                where = {"site": self.site, "environment": self.environment, "finished_at": datetime.now(UTC)}
                connection.execute(insert(RehearsalRow).values(**where, **proof))

    def begin_leg(self, attempt: int, position: int, leg: Leg) -> None:
        """Write down that a leg begins."""
        values = {"attempt_id": attempt, "position": position, "leg": leg.value, "state": LegState.BEGUN.value}
        rest = {"token": self.token, "seconds": 0.0, "detail": "", "output": ""}
        with self._fenced() as connection:
            connection.execute(insert(LEG).values(**values, **rest, begun_ms=NowMs()))

    def end_leg(self, attempt: int, position: int, step: LegResult) -> None:
        """Write down how a leg ended."""
        values = {name: getattr(step, name) for name in ("seconds", "exit_code", "detail", "output")}
        with self._fenced() as connection:
            ours = update(LEG).where(LEG.c.attempt_id == attempt, LEG.c.position == position)
            connection.execute(ours.values(state=step.state.value, ended_ms=NowMs(), **values))

    def _ours(self) -> Any:
        return (LEASE.c.site == self.site) & (LEASE.c.environment == self.environment) & (LEASE.c.token == self.token)

    @contextmanager
    def _fenced(self) -> Iterator[Connection]:
        """A transaction that begins by renewing the lease."""
        renewed = update(LEASE).where(self._ours()).values(until_ms=NowMs() + int(LEASE_SECONDS * 1000))
        with writing(self.engine) as connection:
            if connection.execute(renewed).rowcount != 1:
                raise RehearsalTakenOverError(f"{self.site}, {self.environment}: somebody else took it over")
            yield connection


def take(engine: Engine, site: str, environment: str) -> RehearsalLease:
    """Take the lease of a site and environment. Whoever held it before is fenced off.

    Raises:
        RehearsalHeldError: somebody holds it.
    """
    owner = f"{socket.gethostname()}/{os.getpid()}"
    here = (LEASE.c.site == site) & (LEASE.c.environment == environment)
    first = insert_new(engine, LEASE, "site", "environment")
    with writing(engine) as connection:
        connection.execute(first.values(site=site, environment=environment, token=0, owner="", until_ms=0))
        taken = connection.execute(
            update(LEASE)
            .where(here, LEASE.c.until_ms <= NowMs())
            .values(token=LEASE.c.token + 1, owner=owner, until_ms=NowMs() + int(LEASE_SECONDS * 1000))
        )
        row = connection.execute(select(LEASE, (LEASE.c.until_ms - NowMs()).label("left_ms")).where(here)).one()
    if not taken.rowcount:
        more = f"for {row.left_ms / 1000:.0f} s more unless it is renewed"
        raise RehearsalHeldError(f"{row.owner} is rehearsing {site} in {environment}; it holds the lease {more}")
    return RehearsalLease(engine, site, environment, row.token)


def unfinished(engine: Engine, site: str, environment: str) -> Any:
    """The last rehearsal that was begun and not ended, as a row; None when there is none."""
    open_one = select(ATTEMPT).where(
        ATTEMPT.c.site == site, ATTEMPT.c.environment == environment, ATTEMPT.c.state.in_([RUNNING, BY_HAND])
    )
    with engine.connect() as connection:
        return connection.execute(open_one.order_by(ATTEMPT.c.id.desc()).limit(1)).one_or_none()


def steps_of(engine: Engine, attempt: int) -> tuple[LegResult, ...]:
    """The legs of a rehearsal that were begun, in their order."""
    with engine.connect() as connection:
        rows = connection.execute(select(LEG).where(LEG.c.attempt_id == attempt).order_by(LEG.c.position)).all()
    return tuple(
        LegResult(Leg(row.leg), LegState(row.state), row.seconds, row.exit_code, row.detail, row.output) for row in rows
    )


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
