import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from prefect import State, flow
from prefect.states import Completed, Failed
from prefect.utilities.annotations import quote

from flows.jobs.inspect_site import run_id
from flows.tasks.blocks import edges_of
from flows.tasks.ledger import record
from flows.tasks.purge import plan, prove
from flows.tasks.report import attempt, conclude, log_faults, publish
from flows.tasks.rollback import find_rollback_faults
from flows.tasks.site import load
from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job
from roundsman.ledger.ledger import ready
from roundsman.purge.prove import PurgeTest
from roundsman.purge.rules.judge import judge_all
from roundsman.purge.rules.plan import PurgePlan, PurgeRequest
from roundsman.purge.rules.report import Purging
from roundsman.report.rules.grouping import group
from roundsman.report.rules.report import Report
from roundsman.rollback.rules.judge import warned

log = logging.getLogger("roundsman")


@job(
    owner=SITE_OWNER,
    expects="The routes are new, nothing else is, and they are cached again.",
    on_fail="Readers may get old pages, or lose copies they should not. First look: the run's artifact, then the edge.",
    rollback=NothingToUndo("a dropped copy is fetched again by the next request"),
    max_runtime=1800.0,
)
@flow(
    name="purge-routes",
    flow_run_name="{site}: purge",
    persist_result=False,
    timeout_seconds=1740,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def purge_routes(
    site: str,
    routes: Sequence[str],
    dry_run: bool = True,  # noqa: FBT001, FBT002 - a job's parameters are given by name
    soft: bool = False,  # noqa: FBT001, FBT002
    changed: bool = False,  # noqa: FBT001, FBT002
) -> State[Purging]:
    """Purge some routes of a site, and prove that they are new and nothing else is. A dry run only plans.

    Args:
        site: A name in deployments/sites/, or a path to a site file.
        routes: Paths such as /articles/tomatoes, or URLs of the site.
        dry_run: Whether to plan only; nothing is purged then.
        soft: Whether the old copies become stale instead of being dropped.
        changed: Whether the pages have another content now, so that the old one is a failure however new its copy.
    """
    promised, started = load(site), datetime.now(UTC)
    request = PurgeRequest(tuple(routes), soft=soft, accept=frozenset(promised.accept), max_urls=promised.purge_at_most)
    edges = await edges_of(promised)
    if dry_run:
        planned = await plan(promised, request, edges)
        return _refused(promised.site, started, planned) or Completed(
            message=f"a dry run: {len(planned.orders)} requests for {len(planned.urls)} URLs",
            data=Purging(promised.site, started, planned),
        )
    await asyncio.to_thread(ready)
    log.info("%s: purging %s", promised.site, ", ".join(routes))
    proof = await prove(promised, PurgeTest(request, changed=changed, regardless=True), edges)
    if refused := _refused(promised.site, started, proof.plan):
        return refused
    verdicts = warned(judge_all(promised, proof, routes), await find_rollback_faults(promised))
    report = Report(run_id(), promised.site, started, datetime.now(UTC), verdicts)
    written = await attempt(record, quote(report), job=purge_routes.name, whole=False)
    if not written.is_completed():
        log.warning("%s: the purge was not recorded: %s", promised.site, written.message)
    log_faults(promised.site, group(verdicts))
    await attempt(publish, quote(report), "purge", "purge-verdicts")
    return conclude(report, Purging(promised.site, started, proof.plan, report))


def _refused(site: str, started: datetime, planned: PurgePlan) -> State[Purging] | None:
    """The end of a run whose plan was refused: nothing was done."""
    if not planned.refusals:
        return None
    reasons = "; ".join(map(str, planned.refusals))
    return Failed(name="Refused", message=f"nothing was purged: {reasons}", data=Purging(site, started, planned))
