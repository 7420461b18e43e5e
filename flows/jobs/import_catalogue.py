"""The model of a batch job: articles from a feed, and a purge of each route that changed."""

import logging
from dataclasses import dataclass, field

from prefect import State, flow
from prefect.states import Completed, Failed

from flows.tasks.catalogue import VARIABLE, import_articles, send_purges
from flows.tasks.site import load
from flows.tasks.watch import notify_failure
from roundsman.alerts.outbox import Delivered
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job
from roundsman.batch import BatchOutcome

log = logging.getLogger("roundsman")


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import: the rows, and the purges of what they changed."""

    outcome: BatchOutcome
    delivered: Delivered = field(default_factory=Delivered)
    waiting: int = 0
    dead: int = 0


@job(
    owner=SITE_OWNER,
    expects="Each article of the feed is in the shop's database, and no edge has an old copy of one that changed.",
    on_fail="Readers may get old articles. First look: the run's message; then run it again, which doubles nothing.",
    rollback=NothingToUndo(
        "the feed says how things are: an older edition, put in its place and imported, brings its articles back; "
        "those that only the newer one had stay until they are deleted, and purged, by hand"
    ),
    max_runtime=3600.0,
)
@flow(
    name="import-catalogue",
    flow_run_name="{site}: import",
    persist_result=False,
    timeout_seconds=3540,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def import_catalogue(
    site: str,
    feed: str,
    dry_run: bool = True,  # noqa: FBT001, FBT002 - a job's parameters are given by name
) -> State[Imported]:
    """Import a feed of articles, and purge the routes that changed. Safe to run again: nothing is done twice.

    The shop's database is where ROUNDSMAN_CATALOGUE_URL says.

    Args:
        site: A name in deployments/sites/, or a path to a site file: its edge is purged.
        feed: A file of JSON lines or CSV, or the address of a paged API, with `route`, `title` and `text`.
        dry_run: Whether to change nothing, and only say what would change.
    """
    promised = load(site)
    outcome = await import_articles(promised, feed, dry_run=dry_run)
    if dry_run:
        for change in outcome.changes:
            log.info("%s: would change %s", promised.site, change.key)
        return Completed(message=f"a dry run: {counts(outcome)}", data=Imported(outcome))
    imported = Imported(outcome, *await send_purges(promised))
    if outcome.quarantined:
        log.warning("%s: %d rows are in quarantine; see roundsman quarantine", promised.site, outcome.quarantined)
    message = f"{counts(outcome)}; purges sent: {imported.delivered.sent}"
    if imported.waiting or imported.dead:
        # What waits is sent by the next run, whatever it imports.
        look = f"roundsman outbox --in {VARIABLE}"
        message = (
            f"{message}, waiting: {imported.waiting}, dead: {imported.dead}; readers may get old copies; see {look}"
        )
        log.error("%s: %s", promised.site, message)
        return Failed(name="NotDelivered", message=message, data=imported)
    return Completed(message=message, data=imported)


def counts(outcome: BatchOutcome) -> str:
    """`1,000 rows, 3 changed, 0 in quarantine`, and whether all this was done before."""
    counts = f"{outcome.rows:,} rows, {outcome.changed:,} changed, {outcome.quarantined:,} in quarantine"
    return f"{counts} (imported before)" if outcome.again else counts
