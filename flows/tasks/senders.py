"""How a message leaves the house: words to people by a notification block, a purge by an edge, a webhook by POST."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar, cast

import httpx
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.types import SecretDict
from pydantic import BaseModel, Secret, SecretStr

from blocks import pagers
from blocks.apprise import Apprise
from blocks.edge import Edge
from blocks.pagers import Event, knows_keys
from blocks.registry import BlockError, alert_fields
from blocks.webhook import OutgoingWebhook
from flows.tasks.purge import hand_over, powers_of
from flows.tasks.site_blocks import all_sites, check
from flows.tasks.vendors import block, saved
from roundsman.alerts.rules.alert import Kind, Level
from roundsman.ledger.outbox import OutboxRow
from roundsman.ledger.rules.delivery import PURGE, WEBHOOK, Purge, Trouble
from roundsman.purge.rules.order import PurgeError
from roundsman.purge.rules.plan import plan_purge
from roundsman.purge.rules.purge_request import all_of
from roundsman.report.rules.text import clipped, scrubbed
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_file import SiteFileError

#: Seconds for sending one message, and for a purge, which asks every node. Both are well below the lease.
PATIENCE, PURGE_PATIENCE = 15.0, 40.0

Wanted = TypeVar("Wanted", bound=Block)


async def send(site: Site | None, row: OutboxRow, level: str = "") -> Trouble | None:
    """Send a message, by its kind. Returns None when it was sent, else what went wrong, without secrets.

    `level` says how grave the incident is that it tells of: critical, error or warning.
    """
    secrets: list[str] = []
    patience = PURGE_PATIENCE if row.kind == PURGE else PATIENCE
    try:
        async with asyncio.timeout(patience):
            if row.kind in _BY_KIND:
                await _BY_KIND[row.kind](site, row, secrets)
            else:
                await _notify(site, row, level or Level.ERROR, secrets)
    except TimeoutError:
        return Trouble(f"no end after {patience:g}s")
    except Exception as error:  # noqa: BLE001 - a channel may raise whatever it likes; it is kept with the message
        said = str(error) or str(getattr(error, "log", ""))  # Prefect's own hides its words there
        return Trouble(
            clipped(f"{type(error).__name__}: {scrubbed(said, secrets)}"),
            permanent=_is_permanent(row, error),
            wait=getattr(error, "retry_after", None) or 0.0,
        )
    return None


def _is_permanent(row: OutboxRow, error: Exception) -> bool:
    """Whether the message itself is wrong; what a site file or Prefect lacks can be mended, and so can a token."""
    unreadable = row.kind == PURGE and isinstance(error, ValueError) and not isinstance(error, BlockError)
    return unreadable or (getattr(error, "permanent", False) and not getattr(error, "denied", False))


async def _notify(site: Site | None, row: OutboxRow, level: str, secrets: list[str]) -> None:
    mend = "name a notification block"
    sender = _as(NotificationBlock, await _block(site, row.channel), row, "that can't tell anybody anything", mend)
    secrets += _secrets(sender)
    event = Event(row.dedup_key, row.subject, row.body, row.kind == Kind.RESOLVED, level, row.site or "roundsman")
    if isinstance(sender, Apprise | OutgoingWebhook):
        await sender.tell(event)
        return
    client = getattr(sender, "_apprise_client", None)
    if client is not None and knows_keys(client):
        if not await asyncio.to_thread(pagers.send, client, event):
            raise NotificationError(log="it did not take the message")
        return
    if isinstance(sender, CustomWebhookNotificationBlock):
        sender.secrets = SecretDict({**sender.secrets.get_secret_value(), **alert_fields(event)})
    elif "notify_type" in type(sender).model_fields:
        cast("Any", sender).notify_type = event.type
    with sender.raise_on_failure():
        answer = cast("Any", sender.notify)(row.body, row.subject)
        if inspect.isawaitable(answer):
            await answer


async def _purge(site: Site | None, row: OutboxRow, _: list[str]) -> None:
    """Purge what the message names, every variant of it, the site's shield first; it is sent once the edge took it.

    When nobody knows whether a purge was done, it is sent again after the lease or the pause: a second one drops the
    new copy as well, which costs one fetch, while one that is missing leaves readers with the old page.
    """
    if site is None:
        raise BlockError(row.channel, f"no site file of {row.site!r}", "put it into deployments/sites/")
    wanted = Purge.from_body(row.body)
    # The same for each attempt, so that a vendor that does an order only once can tell.
    run = f"outbox {row.dedup_key} {row.number} {row.created_at.isoformat()}"
    shield = [site.shield] if site.shield and row.channel == site.edge else []
    edges = {
        name: _as(Edge, await block(site, name), row, "that can't purge", "name the site's edge")
        for name in (*shield, row.channel)
    }
    planned = plan_purge(site, all_of(wanted.routes, wanted.keys, run), powers_of(edges))
    if planned.refusals:
        raise ValueError("; ".join(map(str, planned.refusals)))
    async with httpx.AsyncClient() as client:
        taken = await hand_over(edges, planned, client, patience=PURGE_PATIENCE / 2, unseen=True)
    if taken.unsettled:
        raise PurgeError(taken.unsettled)


async def _post(site: Site | None, row: OutboxRow, _: list[str]) -> None:
    """Post the body; a repeat carries the same `Idempotency-Key`, so that the other side can tell."""
    found = await _block(site, row.channel)
    hook = _as(OutgoingWebhook, found, row, "that posts no webhooks", "name a block such as outgoing-webhook/shop")
    await hook.post(row.body, row.dedup_key)


_BY_KIND: dict[str, Callable[[Site | None, OutboxRow, list[str]], Awaitable[None]]] = {PURGE: _purge, WEBHOOK: _post}


def _as(kind: type[Wanted], found: Block, row: OutboxRow, saw: str, mend: str) -> Wanted:
    if not isinstance(found, kind):
        raise BlockError(row.channel, f"a block {saw}", mend)
    return found


async def _block(site: Site | None, channel: str) -> Block:
    """A channel's block: from the site's file, else from Prefect.

    What is no site's, such as that Prefect's server is gone, goes by any site file that declares the channel: Prefect
    can't be asked for it then.
    """
    site = site or await asyncio.to_thread(_declaring, channel)
    return await (block(site, channel) if site else saved(channel))


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
