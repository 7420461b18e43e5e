import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

from prefect import State, flow
from prefect.states import Completed, Failed

from flows.tasks.site import all_sites, load
from flows.tasks.status import (
    find_facts,
    find_reviews,
    find_shared_jobs,
    publish_answers,
    publish_overview,
    record_health,
    record_release,
    ui,
)
from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import NothingToUndo, job
from roundsman.ledger.ledger import ready
from roundsman.report.rules.text import scrubbed
from roundsman.status.rules.answers import broken, shared, status
from roundsman.status.rules.facts import SiteStatus
from roundsman.status.rules.page import headline, title

log = logging.getLogger("roundsman")

OWNER = "roundsman operators"
#: Sites that are looked at together, so that one that does not answer holds up few others.
SITES_AT_ONCE = 4


@job(
    owner=OWNER,
    expects="Each site's status page is at most ten minutes old.",
    on_fail="Status pages and board grow stale and say `unknown`; readers notice nothing. First look: the run's logs, "
    "which name the site that broke down, then the board's /health.",
    rollback=NothingToUndo("it looks at each site twice, and writes to the ledger and to its own artifacts only"),
    max_runtime=240.0,
)
@flow(
    name="publish-status",
    flow_run_name="status",
    persist_result=False,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def publish_status(site: str = "") -> State[list[SiteStatus]]:
    """Answer for each site: does it keep its promises, is it up, is it slow, are jobs failing, did a release change it.

    Args:
        site: A name in deployments/sites/ or a path to a site file; every site of deployments/sites/ when empty.
    """
    await asyncio.to_thread(ready)
    places = [site] if site else [str(path) for path in all_sites()]
    turn = asyncio.Semaphore(SITES_AT_ONCE)
    settled = [await one for one in [asyncio.create_task(_settle(place, turn)) for place in places]]
    statuses = [one for one, _ in settled]
    if not site:
        for review in await find_reviews():
            await publish_answers(review)
            statuses.append(review)
        statuses.append(shared(await find_shared_jobs(), datetime.now(UTC), OWNER, ui()))
        await publish_overview(statuses)
    lost = [title(one) for one, well in settled if not well]
    if lost:
        return Failed(message=f"no status of {', '.join(lost)}", data=statuses)
    return Completed(message=headline(statuses), data=statuses)


async def _settle(place: str, turn: asyncio.Semaphore) -> tuple[SiteStatus, bool]:
    """A site's status, published. One that breaks down is unknown, and the others go on."""
    try:
        async with turn:
            promised = load(place)
            # In this order: what is seen of a site after a look at its version is not older than that version.
            await record_release(promised)
            await record_health(promised)
            made = status(await find_facts(promised))
            await publish_answers(made)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is this site's trouble alone
        why = f"{type(error).__name__}: {scrubbed(str(error))}"
        log.error("%s: no status: %s", Path(place).stem, why)  # noqa: TRY400 - a traceback may show a secret
        return broken(Path(place).stem, datetime.now(UTC), why), False
    log.info("%s: %s", made.site, made.outcome)
    return made, True
