"""Alerts and the outbox as Prefect tasks, and a site's blocks as what sends its messages."""

import asyncio
import logging
from contextlib import suppress
from functools import partial

import httpx
from prefect import task
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.runtime import deployment, flow_run
from prefect.utilities.annotations import quote
from prefect.utilities.urls import url_for
from sqlalchemy import Engine

from blocks.channels import BlockChannel
from blocks.edge import Edge
from blocks.registry import BlockError
from blocks.webhook import OutgoingWebhook
from flows.tasks.blocks import block, saved
from flows.tasks.report import attempt
from flows.tasks.site import all_sites, check
from roundsman.alerts import alerts, channels, outbox
from roundsman.alerts.outbox import Delivered
from roundsman.ledger.rules.delivery import PurgeMessage
from roundsman.ledger.tables import OutboxRow
from roundsman.purge.prove import hand_over, powers_of
from roundsman.purge.rules.order import PurgeError
from roundsman.purge.rules.plan import plan_purge, unguarded_request
from roundsman.report.rules.report import Report
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_file import SiteFileError

log = logging.getLogger("roundsman")

tell = task(
    task_run_name="tell {report.site}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)(alerts.tell)
tell_new_channels = task(task_run_name="tell new channels", cache_policy=NO_CACHE, persist_result=False)(
    alerts.tell_new_channels
)


# Prefect does not try these again: a message that failed rests in the outbox until a later run.
@task(task_run_name="deliver messages", cache_policy=NO_CACHE, persist_result=False)
async def deliver(limit: int = 50, target: Engine | None = None, site: Site | None = None) -> Delivered:
    """As `outbox.deliver`, by the blocks of sites and of Prefect."""
    return await outbox.deliver(send, limit, target, site, str(flow_run.get_id() or ""))


@task(task_run_name="deliver what batch jobs left", cache_policy=NO_CACHE, persist_result=False)
async def deliver_targets() -> Delivered:
    """As `outbox.deliver_targets`, by the blocks of sites and of Prefect."""
    return await outbox.deliver_targets(send, str(flow_run.get_id() or ""))


async def notify_now(site: Site, report: Report, *, full: bool) -> None:
    """Put what a recorded report has to tell into the outbox, and send what waits there.

    Only for a deployment's run: who looks by hand has the report before them. A message that can't be put there is
    logged, and the job goes on.

    Args:
        site: The site whose owner gets the message.
        report: What was found.
        full: Whether every check of a round was made; see `roundsman.alerts.alerts.tell`.
    """
    if not deployment.get_id():
        return
    link = url_for("flow-run", flow_run.get_id()) or ""
    state = await attempt(tell, site, quote(report), link, full=full)
    if not state.is_completed():
        log.warning("%s: nobody was told of this run: %s", site.site, state.message)
    await attempt(deliver)


class BlockOutlets:
    """What sends messages: the blocks that a site's file declares, and those that Prefect keeps."""

    async def channel(self, site: Site | None, name: str) -> BlockChannel:
        """The notification block of a name.

        Raises:
            BlockError: there is none.
        """
        found = await _block(site, name)
        if not isinstance(found, NotificationBlock):
            raise BlockError(name, "a block that can't tell anybody anything", "name a notification block")
        return BlockChannel(found)

    async def webhook(self, site: Site | None, name: str) -> OutgoingWebhook:
        """The outgoing webhook of a name; BlockError when there is none."""
        found = await _block(site, name)
        if not isinstance(found, OutgoingWebhook):
            remedy = "name a block such as outgoing-webhook/shop"
            raise BlockError(name, "a block that posts no webhooks", remedy)
        return found

    async def purge(self, site: Site | None, row: OutboxRow) -> None:
        """Purge what a message names, every variant of it, the site's shield first; done once the edge took it.

        When nobody knows whether a purge was done, it is sent again after the lease or the pause: a second one drops
        the new copy as well, which costs one fetch, while one that is missing leaves readers with the old page.

        Raises:
            BlockError: no such site, or no such edge.
            PurgeError: an edge did not take it.
            ValueError: the message names no purge, or one that the edge will never be able to do.
        """
        if site is None:
            raise BlockError(row.channel, f"no site file of {row.site!r}", "put it into deployments/sites/")
        wanted = PurgeMessage.from_body(row.body)
        # The same for each attempt, so that a vendor that does an order only once can tell.
        run = f"outbox {row.dedup_key} {row.number} {row.created_at.isoformat()}"
        shield = [site.shield] if site.shield and row.channel == site.edge else []
        edges: dict[str, Edge] = {}
        for name in (*shield, row.channel):
            edge = await block(site, name)
            if not isinstance(edge, Edge):
                raise BlockError(row.channel, "a block that can't purge", "name the site's edge")
            edges[name] = edge
        planned = plan_purge(site, unguarded_request(wanted.routes, wanted.keys, run), powers_of(edges))
        if planned.refusals:
            raise ValueError("; ".join(map(str, planned.refusals)))
        async with httpx.AsyncClient() as client:
            taken = await hand_over(edges, planned, client, patience=channels.PURGE_SECONDS / 2, unseen=True)
        if taken.unsettled:
            raise PurgeError(taken.unsettled)


send = partial(channels.send, BlockOutlets())


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
