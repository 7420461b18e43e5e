import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from prefect import Flow, State, flow
from prefect.runtime import flow_run
from prefect.utilities.annotations import quote

from flows.checks.cache_headers import check_cache_headers
from flows.checks.logged_in_traffic import check_logged_in_traffic
from flows.checks.response_time import check_response_time
from flows.checks.rollback_ready import check_rollback_ready
from flows.checks.targeted_purge import check_targeted_purge
from flows.tasks.alerts import notify_now
from flows.tasks.ledger import record
from flows.tasks.report import attempt, conclude, log_faults, publish, verdicts_of
from flows.tasks.rollback import find_rollback_faults
from flows.tasks.site import load
from flows.tasks.status import record_release
from flows.tasks.watch import is_ours, notify_failure
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job
from roundsman.ledger.ledger import ready
from roundsman.probe.ask import Clock, looking
from roundsman.report.rules.grouping import group
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Verdict, summary
from roundsman.rollback.rules.judge import warned
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import could_not_look, services_failed

log = logging.getLogger("roundsman")


class Check(StrEnum):
    """The five points of a round, in their order."""

    CACHE_HEADERS = "cache-headers"
    LOGGED_IN_TRAFFIC = "logged-in-traffic"
    TARGETED_PURGE = "targeted-purge"
    RESPONSE_TIME = "response-time"
    ROLLBACK_READY = "rollback-ready"


CHECKS: dict[Check, Flow[[Site], Any]] = {
    Check.CACHE_HEADERS: check_cache_headers,
    Check.LOGGED_IN_TRAFFIC: check_logged_in_traffic,
    Check.TARGETED_PURGE: check_targeted_purge,
    Check.RESPONSE_TIME: check_response_time,
    Check.ROLLBACK_READY: check_rollback_ready,
}


@job(
    owner=SITE_OWNER,
    expects="No claim fails: every route keeps its written promise.",
    on_fail="Readers may see stale or private pages, or wait. First look: the run's artifact, then the edge's status.",
    rollback=NothingToUndo("a round purges its canaries and what its own tests may leave, and nothing else"),
    min_runtime=1.0,
    start_grace=60.0,
)
@flow(
    name="inspect-site",
    flow_run_name="{site}",
    persist_result=False,
    timeout_seconds=840,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def inspect_site(site: str, only: Sequence[Check] = ()) -> State[Report]:
    """Walk the five-point round of one site: cache headers, logged-in traffic, purge, response time, rollback.

    Args:
        site: A name in deployments/sites/, a path to a site file, or a URL for a first look.
        only: The checks to make; all of them when empty.
    """
    promised, clock = load(site), Clock()
    await asyncio.to_thread(ready)
    looking.set(clock)
    if promised.release:
        await attempt(record_release, promised)
    started = datetime.now(UTC)  # what comes now is of that version
    verdicts: list[Verdict] = []
    for name, check in CHECKS.items():
        if not only or name in only:
            log.info("%s: looking at %s", promised.site, name.replace("-", " "))
            made = await settle(promised, name, check)
            log.info("%s: %s: %s", promised.site, name.replace("-", " "), summary([one.outcome for one in made]))
            # Whether the rollbacks work is looked at last, so the log does not quote them yet.
            log_faults(promised.site, group(replace(one, rollback="") for one in made))
            verdicts += made
    honest = warned(verdicts, await find_rollback_faults(promised))
    report = Report(run_id(), promised.site, started, datetime.now(UTC), honest, looking=clock.seconds)
    written = await attempt(record, quote(report), whole=not only)
    if not written.is_completed():
        lost = could_not_look(promised, "ledger", f"the round was not recorded: {written.message}")
        log_faults(promised.site, group([lost]))
        report = replace(report, verdicts=(*report.verdicts, lost))
    else:
        await notify_now(promised, report, full=not only)
    await attempt(publish, quote(report))
    return conclude(report)


def run_id() -> str:
    """Prefect's id of this run. When the run is tried again it is another round, with another report."""
    again = flow_run.get_run_count() or 1
    return f"{flow_run.get_id() or uuid4()}{f'.{again}' if again > 1 else ''}"


async def settle(site: Site, name: str, check: Flow[[Site], Any]) -> list[Verdict]:
    """Make a check; one that breaks down says `unknown`, and the round goes on."""
    try:
        return await verdicts_of(check, site)
    except Exception as error:  # noqa: BLE001 - whatever it was, nobody could look
        why = f"the check broke down: {type(error).__name__}: {error}"
        blind = could_not_look(site, name, why)
        return [services_failed(blind) if is_ours(error) else blind]
