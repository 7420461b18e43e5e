"""Every page of a site's sitemaps, looked at once, by as many workers as the site allows."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from prefect import State, flow
from prefect.runtime import flow_run

from flows.tasks.report import attempt, ended, log_faults
from flows.tasks.rollback import find_rollback_faults
from flows.tasks.site import load
from flows.tasks.sweep import begin_sweep, list_pages, look_at_all, publish_sweep, sum_up
from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job
from roundsman.ledger.ledger import ready
from roundsman.sweep.rules.judge import Swept


@job(
    owner=SITE_OWNER,
    expects="Every page of the sitemaps is there, and its headers are as its rule says.",
    on_fail="Pages may be gone, or be cached as they should not. First look: the run's artifact; then a new run.",
    rollback=NothingToUndo("it only looks"),
    max_runtime=24 * 3600.0,
)
@flow(
    name="sweep-site",
    flow_run_name="{site}: sweep",
    persist_result=False,
    timeout_seconds=24 * 3600 - 60,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def sweep_site(
    site: str,
    edition: str = "",
    here: bool = False,  # noqa: FBT001, FBT002 - a job's parameters are given by name
) -> State[Swept]:
    """Look at every page of a site's sitemaps. An unfinished sweep is gone on with, and repeats no shard that ended.

    Args:
        site: A name in deployments/sites/, or a path to a site file.
        edition: What makes this sweep another one than the last. When left out, the unfinished one goes on, else a
            new one begins; a run that is tried again stays with its own.
        here: Whether the pages are looked at in this run, instead of by runs of the deployment sweep-shard.
    """
    promised = load(site)
    await asyncio.to_thread(ready)
    edition = await begin_sweep(promised, edition, flow_run.scheduled_start_time)
    listing = await list_pages(promised, edition)
    await look_at_all(promised, site, listing.sweep, here=here)
    swept = await sum_up(listing.sweep)
    faults = await find_rollback_faults(promised)
    groups = [replace(one, rollback_fault=faults.get(one.rollback, "")) for one in swept.groups]
    swept = replace(swept, groups=groups, listing=listing.described(datetime.now(UTC)))
    log_faults(promised.site, swept.groups)
    await attempt(publish_sweep, swept)
    return ended(swept.outcome, swept.message, swept)
