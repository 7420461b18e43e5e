import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime

from prefect import State, flow
from prefect.states import Completed, Failed
from prefect.transactions import atransaction
from prefect.utilities.annotations import quote

from flows.jobs.inspect_site import run_id
from flows.tasks.alerts import notify_now
from flows.tasks.ledger import record
from flows.tasks.report import attempt, conclude, log_faults
from flows.tasks.rollback import (
    begin,
    compare_settings,
    conclude_rehearsal,
    end_earlier,
    find_rollback_faults,
    prepare,
    publish_rehearsal,
    run_leg,
    take_up,
    under_way,
)
from flows.tasks.site import load
from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job
from roundsman.ledger.ledger import ready
from roundsman.report.rules.grouping import group
from roundsman.report.rules.report import Report
from roundsman.rollback.rehearse import CHANGING_LEGS, RehearsalRefused
from roundsman.rollback.rules.judge import warned
from roundsman.rollback.rules.judge_rehearsal import ReleaseRehearsal, judge
from roundsman.rollback.rules.plan import MAX_REHEARSAL_SECONDS
from roundsman.rollback.steps import LegFailedError, RehearsalRun
from roundsman.site.rules.promises import STAGING
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import could_not_look

log = logging.getLogger("roundsman")


@job(
    owner=SITE_OWNER,
    expects="The release comes, goes back to what was there before, and comes again.",
    on_fail="Nobody knows whether a bad release could be undone. First look: the run's artifact, where it was left.",
    rollback=NothingToUndo(
        "a rehearsal that goes wrong is ended by itself, or by the next run; it says where it stands"
    ),
    max_runtime=MAX_REHEARSAL_SECONDS + 900,
    start_grace=300.0,
)
@flow(
    name="rehearse-release",
    flow_run_name="{site}: rehearse in {environment}",
    persist_result=False,
    timeout_seconds=MAX_REHEARSAL_SECONDS + 600,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def rehearse_release(
    site: str,
    environment: str = STAGING,
    confirm: str = "",
    dry_run: bool = True,  # noqa: FBT001, FBT002 - a job's parameters are given by name
) -> State[ReleaseRehearsal]:
    """Rehearse a release: deploy, verify, roll back by the real command, verify that all is as before, deploy again.

    Args:
        site: A name in deployments/sites/, or a path to a site file.
        environment: Where, `staging` or `production`.
        confirm: For production the site and the version that runs there now, such as shop:1.8.1.
        dry_run: Whether to plan only; no command is run then.
    """
    promised, started = load(site), datetime.now(UTC)
    plan = await prepare(promised, environment, confirm)
    made = ReleaseRehearsal(promised.site, started, plan)
    if plan.refusals:
        return _refused(made, plan.refusals)
    if dry_run:
        return Completed(message="a dry run: no command was run", data=made)
    await asyncio.to_thread(ready)
    rehearsal = await take_up(plan, run_id())
    if isinstance(rehearsal, RehearsalRefused):
        return _refused(replace(made, refused=(rehearsal.reason,)), (rehearsal.reason,))
    try:
        await (end_earlier(rehearsal.run) if rehearsal.is_resumed else _rehearse(rehearsal.run))
        outcome = await conclude_rehearsal(rehearsal, await compare_settings(promised))
    finally:
        await asyncio.to_thread(rehearsal.close)
    verdicts = warned([judge(promised, outcome)], await find_rollback_faults(promised))
    report = Report(run_id(), promised.site, started, datetime.now(UTC), verdicts)
    report = await _notified(promised, report)
    log_faults(promised.site, group(report.verdicts))
    await attempt(publish_rehearsal, report, outcome)
    return conclude(report, replace(made, rehearsed=outcome, report=report))


async def _rehearse(run: RehearsalRun) -> None:
    """The whole course. When a leg fails, Prefect's transaction rolls back, and its hook ends the rehearsal."""
    under_way.set(run)
    try:
        async with atransaction():
            await begin(run)
            for leg in CHANGING_LEGS:
                await run_leg(run, leg)
    except LegFailedError as error:
        log.warning("%s: %s", run.site.site, error)
        if run.ran and not run.ended:  # Prefect only logs what a hook breaks down with
            raise


async def _notified(promised: Site, report: Report) -> Report:
    """The report, recorded and told to whoever is told of rounds."""
    written = await attempt(record, quote(report), job=rehearse_release.name, whole=False)
    if not written.is_completed():
        lost = could_not_look(promised, "ledger", f"the rehearsal was not recorded: {written.message}")
        return replace(report, verdicts=(*report.verdicts, lost))
    await notify_now(promised, report, full=False)
    return report


def _refused(made: ReleaseRehearsal, reasons: tuple[str, ...]) -> State[ReleaseRehearsal]:
    return Failed(name="Refused", message=f"nothing was run: {'; '.join(reasons)}", data=made)
