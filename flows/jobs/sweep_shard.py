"""One shard of a sweep: some thousands of pages, each looked at once, however often the run is killed."""

from prefect import State, flow
from prefect.states import Completed

from flows.tasks.site import load
from flows.tasks.sweep import sweep_pages
from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job


@job(
    owner=SITE_OWNER,
    expects="Each page of the shard was looked at once.",
    on_fail="The sweep starts the shard again, where it was stopped. First look: the run's message.",
    rollback=NothingToUndo("it only looks"),
    max_runtime=6 * 3600.0,
)
@flow(
    name="sweep-shard",
    flow_run_name="{site}: sweep {sweep}, shard {shard}",
    persist_result=False,
    timeout_seconds=6 * 3600 - 60,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def sweep_shard(site: str, sweep: int, shard: int, rate: float = 20.0) -> State[int]:
    """Look at the pages of one shard. It is started by sweep_site, and safe to run again.

    Args:
        site: A name in deployments/sites/, or a path to a site file.
        sweep: The sweep's number.
        shard: The shard's number within it.
        rate: Requests a second, at most.
    """
    pages = await sweep_pages(load(site), sweep, shard, rate)
    return Completed(message=f"{pages:,} pages looked at", data=pages)
