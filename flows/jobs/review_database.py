import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from prefect import Flow, State, flow
from prefect.utilities.annotations import quote

from flows.checks.indexes import check_indexes
from flows.checks.migration_rehearsal import check_migration_rehearsal
from flows.checks.query_plans import check_query_plans
from flows.jobs.inspect_site import run_id
from flows.tasks.alerts import notify_now
from flows.tasks.database import publish_review
from flows.tasks.ledger import record
from flows.tasks.report import attempt, conclude, log_faults, verdicts_of
from flows.tasks.watch import is_ours, notify_failure
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job
from roundsman.database.copied_database import RehearsalError
from roundsman.database.database_file import check_golden, folder_of, load_database
from roundsman.database.rules.promise import Database, as_site, could_not_review
from roundsman.ledger.ledger import ready
from roundsman.report.rules.grouping import group
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Verdict, summary
from roundsman.site.rules.wording import services_failed

log = logging.getLogger("roundsman")


class ReviewPart(StrEnum):
    """The parts of a review, in their order."""

    INDEXES = "indexes"
    QUERIES = "queries"
    MIGRATIONS = "migrations"


#: What each part's verdicts are called by.
NAMES = {ReviewPart.INDEXES: "indexes", ReviewPart.QUERIES: "query-plans", ReviewPart.MIGRATIONS: "migration-rehearsal"}


@job(
    owner=SITE_OWNER,
    expects="No index is missing or idle, every query has a good plan, and what is pending can come and go.",
    on_fail="Nothing is broken yet: a query, a write or the next release will be slow or stuck. First look: the run's "
    "artifact, which has the statement that fixes it.",
    rollback=NothingToUndo("the live database is only read, and the copy that migrations are tried on is dropped"),
    max_runtime=6 * 3600.0,
    start_grace=300.0,
)
@flow(
    name="review-database",
    flow_run_name="{database}",
    persist_result=False,
    timeout_seconds=6 * 3600 - 120,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def review_database(database: str, only: Sequence[ReviewPart] = ()) -> State[Report]:
    """Review a database: indexes, plans of named queries, and a rehearsal of pending migrations on a copy.

    Args:
        database: A name in deployments/databases/, or a path to a database file.
        only: The parts to review; all of them when empty.
    """
    promised, folder = load_database(database), folder_of(database)
    await asyncio.to_thread(check_golden, promised, database)
    await asyncio.to_thread(ready)
    started = datetime.now(UTC)
    verdicts: list[Verdict] = []
    for part, check in _parts(promised, folder).items():
        if not only or part in only:
            log.info("%s: looking at %s", promised.database, part)
            made = await _settle(promised, part, check)
            log.info("%s: %s: %s", promised.database, part, summary([one.outcome for one in made]))
            log_faults(promised.database, group(made))
            verdicts += made
    report = Report(run_id(), promised.database, started, datetime.now(UTC), tuple(verdicts))
    report = await _notified(promised, report, full=not only)
    await attempt(publish_review, report)
    return conclude(report)


def _parts(promised: Database, folder: Path) -> dict[ReviewPart, tuple[Flow[..., Any], tuple[Any, ...]]]:
    """Each part that the database file asks for: its check and what that is called with."""
    parts: dict[ReviewPart, tuple[Flow[..., Any], tuple[Any, ...]]] = {ReviewPart.INDEXES: (check_indexes, (promised,))}
    if promised.queries:
        parts[ReviewPart.QUERIES] = (check_query_plans, (promised, promised.queries, folder))
    if promised.migrations:
        about = (promised.database, promised.team, promised.migrations, promised.url.env, folder, promised.queries)
        parts[ReviewPart.MIGRATIONS] = (check_migration_rehearsal, about)
    return parts


async def _settle(promised: Database, part: ReviewPart, check: tuple[Flow[..., Any], tuple[Any, ...]]) -> list[Verdict]:
    """Make a check; one that breaks down says `unknown`, and the review goes on."""
    try:
        return await verdicts_of(check[0], *check[1])
    except RehearsalError as error:
        return [could_not_review(promised, NAMES[part], str(error))]
    except Exception as error:  # noqa: BLE001 - whatever it was, nobody could look
        why = f"the check broke down: {type(error).__name__}: {error}"
        blind = could_not_review(promised, NAMES[part], why)
        return [services_failed(blind) if is_ours(error, databases=False) else blind]


async def _notified(promised: Database, report: Report, *, full: bool) -> Report:
    """The report, recorded, and told to whoever the database file names."""
    written = await attempt(record, quote(report), job=review_database.name, whole=full)
    if not written.is_completed():
        lost = could_not_review(promised, "ledger", f"the review was not recorded: {written.message}")
        log_faults(promised.database, group([lost]))
        return replace(report, verdicts=(*report.verdicts, lost))
    site = as_site(promised)
    await notify_now(site, replace(report, site=site.site), full=full)
    return report
