"""The outbox: every message is sent once at least, however often a channel or a sender breaks down."""

import asyncio
import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from prefect import task
from prefect.blocks.abstract import NotificationBlock
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, Secret, SecretStr
from sqlalchemy import Engine, exists, or_, select, update
from sqlalchemy.orm import Session, aliased

from blocks.registry import BlockError
from flows.rules.notice import clipped, scrubbed
from flows.rules.site import Site
from flows.rules.site_file import SiteFileError
from flows.tasks.ledger import open_ledger
from flows.tasks.service_tables import OutboxRow
from flows.tasks.site_file import all_sites, check, load
from flows.tasks.vendors import block, saved

#: Seconds for sending one message.
PATIENCE = 15.0
#: For how long a message is whose takes it; after that its sender is held for dead. Well above PATIENCE.
LEASE = timedelta(seconds=60)
#: The pause after a first failure; each further one doubles it, up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(hours=1)

#: The same name can mean another block in another site's file.
Channel = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many messages were sent, and how many attempts failed; those are due again later."""

    sent: int = 0
    failed: int = 0


@task(task_run_name="deliver messages", cache_policy=NO_CACHE, persist_result=False)
async def deliver(limit: int = 50) -> Delivered:
    """Send what is due, up to `limit` messages of each channel. A channel in trouble does not hold up the others.

    Safe beside itself: a message belongs to whoever took it until its lease ends.

    Raises:
        LedgerError: the outbox itself can't be opened.
    """
    engine = await asyncio.to_thread(open_ledger)
    try:
        channels = await asyncio.to_thread(_due_channels, engine)
        sites = {name: await asyncio.to_thread(_written, name) for name in {site for site, _ in channels}}
        ended = await asyncio.gather(*(_drain(engine, one, sites[one[0]], limit) for one in channels))
    finally:
        engine.dispose()
    return Delivered(sum(one.sent for one in ended), sum(one.failed for one in ended))


def _written(site: str) -> Site | None:
    """A site's file; None when the round was of a file elsewhere, or of a site that is no longer there."""
    try:
        return load(site)
    except SiteFileError:
        return None


async def _drain(engine: Engine, channel: Channel, site: Site | None, limit: int) -> Delivered:
    """Send a channel's messages one after another, until none is due or one fails."""
    sent = 0
    while sent < limit and (row := await asyncio.to_thread(_take, engine, channel)):
        trouble = await _send(site, row)
        await asyncio.to_thread(_settle, engine, row, trouble)
        if trouble:
            return Delivered(sent, 1)
        sent += 1
    return Delivered(sent)


async def _send(site: Site | None, row: OutboxRow) -> str:
    """Send a message. Returns "" when it was sent, else what went wrong, without secrets."""
    secrets: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE):
            sender = await _sender(site, row.channel)
            secrets += _secrets(sender)
            with sender.raise_on_failure():
                answer = cast("Any", sender.notify)(row.body, row.subject)
                if inspect.isawaitable(answer):
                    await answer
    except TimeoutError:
        return f"no end after {PATIENCE:g}s"
    except Exception as error:  # noqa: BLE001 - a channel may raise whatever it likes; it is kept with the message
        said = str(error) or str(getattr(error, "log", ""))  # Prefect's own hides its words there
        return clipped(f"{type(error).__name__}: {scrubbed(said, secrets)}")
    return ""


async def _sender(site: Site | None, channel: str) -> NotificationBlock:
    """A channel's block: from the site's file, else from Prefect.

    What is no site's, such as that Prefect's server is gone, goes by any site file that declares the channel: Prefect
    can't be asked for it then.
    """
    site = site or await asyncio.to_thread(_declaring, channel)
    found = await (block(site, channel) if site else saved(channel))
    if not isinstance(found, NotificationBlock):
        raise BlockError(channel, "a block that can't tell anybody anything", "name a notification block")
    return found


def _declaring(channel: str) -> Site | None:
    """The first site of the project whose file holds the settings of a channel."""
    for path in all_sites():
        with suppress(SiteFileError):
            if channel in (site := check(path)).blocks:
                return site
    return None


def _secrets(sender: BaseModel) -> Iterator[str]:
    """Every secret of a block, and the parts of those that are addresses."""
    for name in type(sender).model_fields:
        value = getattr(sender, name)
        if isinstance(value, Secret | SecretStr):
            for text in _texts(value.get_secret_value()):
                yield text
                yield from (part for part in re.split(r"[/:@?&=,#]+", text) if len(part) > 5)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif value is not None:
        yield str(value)


def _due_channels(engine: Engine) -> list[Channel]:
    now = datetime.now(UTC)
    with Session(engine) as session:
        found = session.execute(select(OutboxRow.site, OutboxRow.channel).where(*_is_due(now)).distinct())
        return sorted((site, channel) for site, channel in found)


def _is_due(now: datetime) -> tuple[Any, ...]:
    lease, unsent = OutboxRow.lease_until, OutboxRow.sent_at.is_(None)
    return unsent, OutboxRow.told_with.is_(None), OutboxRow.due_at <= now, or_(lease.is_(None), lease <= now)


def _take(engine: Engine, channel: Channel) -> OutboxRow | None:
    """Lease the next message of a channel that is due. A recovery waits until its trouble was told."""
    now = datetime.now(UTC)
    told, earlier = aliased(OutboxRow), aliased(OutboxRow)
    waits = exists().where(
        or_(told.id == OutboxRow.id, told.told_with == OutboxRow.id),
        earlier.channel == told.channel,
        earlier.dedup_key == told.dedup_key,
        earlier.sent_at.is_(None),
        earlier.id < told.id,
    )
    next_one = (
        select(OutboxRow)
        .filter_by(site=channel[0], channel=channel[1])
        .where(*_is_due(now), ~waits)
        .order_by(OutboxRow.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=OutboxRow)
    )
    with Session(engine.execution_options(writes=True), expire_on_commit=False) as session, session.begin():
        row = session.scalars(next_one).first()
        if row:
            row.lease_until, row.lease_token, row.attempts = now + LEASE, uuid4().hex, row.attempts + 1
        return row


def _settle(engine: Engine, row: OutboxRow, trouble: str) -> None:
    """Write down how it went, of it and all that it told, unless somebody else took it in the meantime."""
    now = datetime.now(UTC)
    pause = min(FIRST_PAUSE * 2 ** min(row.attempts - 1, 20), LONGEST_PAUSE)
    ended: dict[str, Any] = {"due_at": now + pause, "error": trouble} if trouble else {"sent_at": now, "error": ""}
    mine = update(OutboxRow).filter_by(id=row.id, lease_token=row.lease_token).returning(OutboxRow.id)
    with Session(engine.execution_options(writes=True)) as session, session.begin():
        is_mine = session.scalar(mine.values(**ended, lease_until=None, lease_token=""))
        if is_mine and not trouble:
            session.execute(update(OutboxRow).filter_by(told_with=row.id).values(sent_at=now))
