import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime

from prefect import State, flow
from prefect.states import Completed
from prefect.utilities.annotations import quote

from flows.jobs.inspect_site import run_id
from flows.tasks.alerts import notify_now
from flows.tasks.blocks import edges_of
from flows.tasks.ledger import record
from flows.tasks.purge import plan_published, prove_sample, purge_due
from flows.tasks.report import attempt, conclude, log_faults, publish
from flows.tasks.rollback import find_rollback_faults
from flows.tasks.site import load
from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job
from roundsman.ledger.ledger import ready
from roundsman.purge.rules.queue import MAX_RUN_SECONDS, QueueRun, judge
from roundsman.report.rules.grouping import group
from roundsman.report.rules.report import Report
from roundsman.rollback.rules.judge import warned

log = logging.getLogger("roundsman")


@job(
    owner=SITE_OWNER,
    expects="What an application says has changed is purged within a minute or two, and a sample of it is proven.",
    on_fail="Readers may get old pages. First look: `roundsman purges`, which says why, then the edge.",
    rollback=NothingToUndo("a dropped copy is fetched again by the next request"),
    max_runtime=MAX_RUN_SECONDS + 60,
)
@flow(
    name="purge-published",
    flow_run_name="{site}: what was published",
    persist_result=False,
    timeout_seconds=MAX_RUN_SECONDS,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def purge_published(
    site: str,
    dry_run: bool = True,  # noqa: FBT001, FBT002 - a job's parameters are given by name
    again: bool = True,  # noqa: FBT001, FBT002
    proof: bool = True,  # noqa: FBT001, FBT002
) -> State[QueueRun]:
    """Purge the routes that an application says have changed, and prove a sample of them. A dry run only plans.

    Args:
        site: A name in deployments/sites/, or a path to a site file.
        dry_run: Whether to plan only; nothing is purged then, and every change stays where it is.
        again: Whether each is purged twice, the second time when a fetch that was under way has ended.
        proof: Whether one of the routes is purged once more, with proof.
    """
    promised, started = load(site), datetime.now(UTC)
    await asyncio.to_thread(ready)
    edges = await edges_of(promised)
    if dry_run:
        plans = await plan_published(promised, edges)
        count = sum(len(plan.orders) for plan in plans)
        refused = "; ".join(str(refusal) for plan in plans for refusal in plan.refusals)
        return Completed(
            message=f"a dry run: {count} requests are next{f', and refused: {refused}' if refused else ''}"
        )
    done = await purge_due(promised, edges, again=again)
    log.info("%s: %s", promised.site, done)
    if not done.says_something:
        return Completed(message=str(done), data=done)
    verdict = judge(promised, done)
    if proof and done.purged:
        done = done.and_then(await prove_sample(promised, edges, done.routes))
    done = replace(done, verdicts=(verdict, *done.verdicts))
    honest = warned(done.verdicts, await find_rollback_faults(promised))
    report = Report(run_id(), promised.site, started, datetime.now(UTC), honest)
    written = await attempt(record, quote(report), job=purge_published.name, whole=False)
    if not written.is_completed():
        log.warning("%s: what was purged was not recorded: %s", promised.site, written.message)
    else:
        await notify_now(promised, report, full=False)
    log_faults(promised.site, group(report.verdicts))
    await attempt(publish, quote(report), "published", "published-verdicts")
    ended = conclude(report, done)
    ended.message = f"{done}; {ended.message}"
    return ended
