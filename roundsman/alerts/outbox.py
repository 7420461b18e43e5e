"""The outbox: every message is sent once at least, however often a channel or a sender breaks down.

Messages to people, purges and webhooks alike. One that can't be sent is dead in the end: it is kept, shown, and sent
again when somebody says so. What tells people of an incident is still tried now and then while that is open, so that a
channel that was repaired hears of it.

The clock is the database's: those of two workers can differ by more than a lease.

Databases of batch jobs: each has an outbox of its own, which is served and shown as the ledger's is.
"""

import asyncio
import logging
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from sqlalchemy import ColumnElement, Engine, Select, exists, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, aliased
from sqlmodel import col

from roundsman.batch import BatchError, open_target
from roundsman.batch.events import Teller
from roundsman.batch.target import has_tables
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.rules.delivery import DeliveryFailure, is_over, pause
from roundsman.ledger.tables import IncidentRow, OutboxRow
from roundsman.ledger.transaction import clock, writing
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_file import SiteFileError
from roundsman.site.site_file import load

#: For how long a message belongs to whoever takes it; after that its sender is held for dead. Well above the time that
#: sending one may take.
LEASE_SECONDS = 60.0

#: The same name can mean another block in another site's file.
Channel = tuple[str, str]


class Send(Protocol):
    """Sends one message."""

    async def __call__(self, site: Site | None, row: OutboxRow, level: str, /) -> DeliveryFailure | None:
        """Returns None when it was sent, else what went wrong. `level`: how grave its incident is, if that is known."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many messages were sent, and how many attempts failed; those are due again later, or are dead."""

    sent: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that is not tried any more, and what its last attempt met."""

    id: int
    kind: str
    channel: str
    site: str
    subject: str
    error: str
    attempts: int
    created_at: datetime
    dead_at: datetime


async def deliver(
    send: Send, limit: int = 50, target: Engine | None = None, site: Site | None = None, run_id: str = ""
) -> Delivered:
    """Send what is due, up to `limit` messages of each channel. A channel in trouble does not hold up the others.

    Safe beside itself: a message belongs to whoever took it until its lease ends.

    Args:
        send: What sends a message.
        limit: Messages of each channel.
        target: The database whose outbox is served, such as a batch job's; the ledger's when left out. It stays open.
        site: A site whose file is not in deployments/sites/.
        run_id: The run that sends them, for the log.

    Raises:
        LedgerError: the ledger's outbox can't be opened.
    """
    engine = await asyncio.to_thread(open_ledger) if target is None else target
    work = _Delivery(engine, send, Teller("outbox", run_id), limit, ledger=target is None)
    try:
        channels = await asyncio.to_thread(_due_channels, engine, ledger=work.ledger)
        sites = {name: await asyncio.to_thread(_site_file, name, site) for name in {name for name, _ in channels}}
        drained = await asyncio.gather(*(_drain(work, channel, sites[channel[0]]) for channel in channels))
    finally:
        if target is None:
            engine.dispose()
    return Delivered(sum(part.sent for part in drained), sum(part.failed for part in drained))


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What serving an outbox needs. `ledger`: whether it is the ledger's, the only one with incidents."""

    engine: Engine
    send: Send
    log: Teller
    limit: int
    ledger: bool


def undelivered(engine: Engine) -> tuple[int, int]:
    """How many messages wait, and how many are dead."""
    waits, dead = col(OutboxRow.dead_at).is_(None), col(OutboxRow.dead_at).is_not(None)
    with Session(engine) as session:
        return session.scalar(_counted(waits)) or 0, session.scalar(_counted(dead)) or 0


def dead_letters(engine: Engine, most: int = 100) -> list[DeadLetter]:
    """The messages that are not tried any more, the newest first."""
    fields = [getattr(OutboxRow, name) for name in DeadLetter.__slots__]
    found = select(*fields).where(col(OutboxRow.dead_at).is_not(None), col(OutboxRow.told_with).is_(None))
    with Session(engine) as session:
        return [DeadLetter(*row) for row in session.execute(found.order_by(col(OutboxRow.id).desc()).limit(most))]


def replay(engine: Engine, number: int | None = None) -> int:
    """Let a dead message be sent again, with all its attempts before it; every one without a number. Says how many."""
    again = update(OutboxRow).where(col(OutboxRow.dead_at).is_not(None))
    if number is not None:
        again = again.where(or_(col(OutboxRow.id) == number, col(OutboxRow.told_with) == number))
    with _writing(engine) as session:
        alive: dict[str, Any] = {"dead_at": None, "attempts": 0, "due_at": clock(session)}
        revived = session.execute(again.values(**alive).returning(col(OutboxRow.told_with))).scalars().all()
        return sum(one is None for one in revived)


def _counted(which: ColumnElement[bool]) -> Select[tuple[int]]:
    return select(func.count()).where(col(OutboxRow.sent_at).is_(None), col(OutboxRow.told_with).is_(None), which)


@contextmanager
def _writing(engine: Engine) -> Iterator[Session]:
    """A session in a transaction that has the right to write from its first statement on, whatever the engine."""
    with writing(engine) as connection, Session(connection, expire_on_commit=False) as session:
        yield session
        session.flush()


def _site_file(name: str, known: Site | None) -> Site | None:
    """A site's file; None when the round was of a file elsewhere, or of a site that is no longer there."""
    if known and known.site == name:
        return known
    try:
        return load(name)
    except SiteFileError:
        return None


async def _drain(work: _Delivery, channel: Channel, site: Site | None) -> Delivered:
    """Send a channel's messages one after another, until none is due or the channel fails."""
    sent = failed = 0
    while sent + failed < work.limit:
        taken = await asyncio.to_thread(_take, work.engine, channel, ledger=work.ledger)
        if taken is None:
            break
        row, level = taken
        trouble = await work.send(site, row, level)
        await asyncio.to_thread(_settle, work.engine, row, trouble)
        _log(work.log, row, trouble)
        if trouble is None:
            sent += 1
            continue
        failed += 1
        if not trouble.permanent:  # else it is the message's trouble, and not the channel's
            break
    return Delivered(sent, failed)


def _log(log: Teller, row: OutboxRow, trouble: DeliveryFailure | None) -> None:
    """Without subject and body, which may name what is private."""
    facts = {"message": row.id, "what": row.kind, "channel": row.channel, "attempt": row.attempts}
    if trouble is None:
        log("sent", **facts)
    else:
        log("dead" if is_over(row.attempts, trouble, row.kind) else "not sent", **facts, error=trouble.says)


def _due_channels(engine: Engine, *, ledger: bool) -> list[Channel]:
    with Session(engine) as session:
        due = _is_due(clock(session), ledger=ledger)
        found = session.execute(select(col(OutboxRow.site), col(OutboxRow.channel)).where(*due).distinct())
        return sorted((site, channel) for site, channel in found)


def _is_due(now: datetime, *, ledger: bool) -> tuple[ColumnElement[bool], ...]:
    alive: ColumnElement[bool] = col(OutboxRow.dead_at).is_(None)
    if ledger:  # only there are incidents
        alive = or_(alive, _is_of_an_open_incident())
    return (
        col(OutboxRow.sent_at).is_(None),
        alive,
        col(OutboxRow.told_with).is_(None),
        col(OutboxRow.due_at) <= now,
        or_(col(OutboxRow.lease_until).is_(None), func.coalesce(col(OutboxRow.lease_until), now) <= now),
    )


def _is_of_an_open_incident() -> ColumnElement[bool]:
    return exists().where(col(IncidentRow.key) == col(OutboxRow.dedup_key), col(IncidentRow.resolved_at).is_(None))


def _take(engine: Engine, channel: Channel, *, ledger: bool = True) -> tuple[OutboxRow, str] | None:
    """Lease the next message of a channel that is due, and say how grave its incident is, if that is known.

    A recovery waits until its trouble was told, or is dead.
    """
    message, earlier = aliased(OutboxRow), aliased(OutboxRow)
    waits = exists().where(
        or_(col(message.id) == col(OutboxRow.id), col(message.told_with) == col(OutboxRow.id)),
        col(earlier.channel) == col(message.channel),
        col(earlier.dedup_key) == col(message.dedup_key),
        col(earlier.sent_at).is_(None),
        col(earlier.dead_at).is_(None),
        col(earlier.id) < col(message.id),
    )
    with _writing(engine) as session:
        now = clock(session)
        next_one = (
            select(OutboxRow)
            .filter_by(site=channel[0], channel=channel[1])
            .where(*_is_due(now, ledger=ledger), ~waits)
            .order_by(col(OutboxRow.id))
            .limit(1)
            .with_for_update(skip_locked=True, of=OutboxRow)
        )
        row = session.scalars(next_one).first()
        if row is None:
            return None
        row.lease_until, row.lease_token = now + timedelta(seconds=LEASE_SECONDS), uuid4().hex
        row.attempts += 1
        level = session.scalar(select(col(IncidentRow.level)).filter_by(key=row.dedup_key)) if ledger else None
        return row, level or ""


def _settle(engine: Engine, row: OutboxRow, trouble: DeliveryFailure | None) -> None:
    """Write down how it went, of it and all that it told, unless somebody else took it in the meantime."""
    mine = update(OutboxRow).filter_by(id=row.id, lease_token=row.lease_token).returning(col(OutboxRow.id))
    with _writing(engine) as session:
        now = clock(session)
        ended: dict[str, Any] = {"sent_at": now, "dead_at": None}
        rests = trouble and pause(row.attempts, trouble, random.random(), row.kind)  # noqa: S311 - so that they spread
        if trouble and is_over(row.attempts, trouble, row.kind):
            ended = {"dead_at": row.dead_at or now}
        elif trouble:
            ended = {}
        due = {"due_at": now + rests} if rests else {}
        own = {**ended, **due, "error": trouble.says if trouble else "", "lease_until": None, "lease_token": ""}
        if session.scalar(mine.values(**own)) and ended:
            session.execute(update(OutboxRow).filter_by(told_with=row.id).values(**ended))


log = logging.getLogger("roundsman")

#: Names of environment variables, each with the address of a target, between spaces or commas.
NAMES = "ROUNDSMAN_TARGETS"
#: The one that is served when nothing is named, if it is set.
CATALOGUE = "ROUNDSMAN_CATALOGUE_URL"


@dataclass(frozen=True, slots=True)
class TargetOutbox:
    """The outbox of a target: what is dead in it, the newest first, and how many that are. Or why nobody knows."""

    variable: str
    dead: tuple[DeadLetter, ...] = ()
    count: int = 0
    problem: str = ""


def target_variables() -> tuple[str, ...]:
    """The variables that hold the address of a target."""
    names = os.environ.get(NAMES, "").replace(",", " ").split()
    return tuple(dict.fromkeys(names)) or ((CATALOGUE,) if os.environ.get(CATALOGUE) else ())


def target_outboxes(most: int) -> tuple[TargetOutbox, ...]:
    """What is dead in each target, up to `most` of each."""
    return tuple(_letters(variable, most) for variable in target_variables())


async def deliver_targets(send: Send, run_id: str = "") -> Delivered:
    """Send what is due in each target. A target that can't be used is logged, and holds up no other."""
    sent = failed = 0
    for variable in target_variables():
        try:
            with _opened(variable) as engine:
                if await asyncio.to_thread(has_tables, engine):
                    done = await deliver(send, target=engine, run_id=run_id)
                    sent, failed = sent + done.sent, failed + done.failed
        except (BatchError, SQLAlchemyError) as error:
            log.warning("%s: its outbox can't be served: %s", variable, _why(error))
    return Delivered(sent, failed)


def _letters(variable: str, most: int) -> TargetOutbox:
    try:
        with _opened(variable) as engine:
            if not has_tables(engine):
                return TargetOutbox(variable)
            return TargetOutbox(variable, tuple(dead_letters(engine, most)), undelivered(engine)[1])
    except (BatchError, SQLAlchemyError) as error:
        return TargetOutbox(variable, problem=_why(error))


@contextmanager
def _opened(variable: str) -> Iterator[Engine]:
    engine = open_target(variable)
    try:
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        if file and not Path(file).exists():  # who only looks shall not make an empty one
            raise BatchError(f"{variable}: saw a file that is not there; wanted the database of a batch job")
        yield engine
    finally:
        engine.dispose()


def _why(error: Exception) -> str:
    """What a database says can name its user and host."""
    return str(error) if isinstance(error, BatchError) else type(error).__name__
