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
from flows.tasks.rehearse import (
    BEGINNING,
    Refused,
    begin,
    carry_out,
    compare_settings,
    conclude_walk,
    end_earlier,
    prepare,
    publish_rehearsal,
    take_up,
    under_way,
)
from flows.tasks.report import attempt, conclude, log_faults
from flows.tasks.rollback import find_rollback_faults
from flows.tasks.site import load
from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job
from roundsman.ledger.ledger import ready
from roundsman.report.rules.grouping import group
from roundsman.report.rules.report import Report
from roundsman.rollback.rules.judge import warned
from roundsman.rollback.rules.judge_rehearsal import Rehearsing, judge
from roundsman.rollback.rules.legs import COURSE
from roundsman.rollback.rules.plan import LONGEST
from roundsman.rollback.steps import LegFailedError, Walk
from roundsman.site.rules.rehearsal_promise import STAGING
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
    max_runtime=LONGEST + 900,
    start_grace=300.0,
)
@flow(
    name="rehearse-release",
    flow_run_name="{site}: rehearse in {environment}",
    persist_result=False,
    timeout_seconds=LONGEST + 600,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def rehearse_release(
    site: str,
    environment: str = STAGING,
    confirm: str = "",
    dry_run: bool = True,  # noqa: FBT001, FBT002 - a job's parameters are given by name
) -> State[Rehearsing]:
    """Rehearse a release: deploy, verify, roll back by the real command, verify that all is as before, deploy again.

    Args:
        site: A name in deployments/sites/, or a path to a site file.
        environment: Where, `staging` or `production`.
        confirm: For production the site and the version that runs there now, such as shop:1.8.1.
        dry_run: Whether to plan only; no command is run then.
    """
    promised, started = load(site), datetime.now(UTC)
    plan = await prepare(promised, environment, confirm)
    made = Rehearsing(promised.site, started, plan)
    if plan.refusals:
        return _refused(made, plan.refusals)
    if dry_run:
        return Completed(message="a dry run: no command was run", data=made)
    await asyncio.to_thread(ready)
    held = await take_up(plan, run_id())
    if isinstance(held, Refused):
        return _refused(replace(made, refused=(held.because,)), (held.because,))
    try:
        await (end_earlier(held.walk) if held.of_before else _rehearse(held.walk))
        done = await conclude_walk(held, await compare_settings(promised))
    finally:
        await asyncio.to_thread(held.let_go)
    honest = warned([judge(promised, done)], await find_rollback_faults(promised))
    report = Report(run_id(), promised.site, started, datetime.now(UTC), honest)
    report = await _told(promised, report)
    log_faults(promised.site, group(report.verdicts))
    await attempt(publish_rehearsal, report, done)
    return conclude(report, replace(made, rehearsed=done, report=report))


async def _rehearse(walk: Walk) -> None:
    """The whole course. When a leg fails, Prefect's transaction rolls back, and its hook ends the rehearsal."""
    under_way.set(walk)
    try:
        async with atransaction():
            await begin(walk)
            for leg in COURSE[len(BEGINNING) :]:
                await carry_out(walk, leg)
    except LegFailedError as error:
        log.warning("%s: %s", walk.site.site, error)
        if walk.ran and not walk.ended:  # Prefect only logs what a hook breaks down with
            raise


async def _told(promised: Site, report: Report) -> Report:
    """The report, recorded and told to whoever is told of rounds."""
    written = await attempt(record, quote(report), job=rehearse_release.name, whole=False)
    if not written.is_completed():
        lost = could_not_look(promised, "ledger", f"the rehearsal was not recorded: {written.message}")
        return replace(report, verdicts=(*report.verdicts, lost))
    await notify_now(promised, report, full=False)
    return report


def _refused(made: Rehearsing, reasons: tuple[str, ...]) -> State[Rehearsing]:
    return Failed(name="Refused", message=f"nothing was run: {'; '.join(reasons)}", data=made)
