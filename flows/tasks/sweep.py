"""Having a sweep done: its shards as runs of a deployment, as many at once as the site allows, until each has ended.

What tells that a shard has ended is the ledger, not the state of a run.
"""

import asyncio
import hashlib
import json
import logging
import math
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import Task, task
from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import TaskRunContext
from prefect.deployments import arun_deployment
from prefect.runtime import flow_run
from prefect.serializers import JSONSerializer
from prefect.states import Crashed

from flows.tasks.progress import advance
from flows.tasks.report import attempt
from flows.tasks.results import KEY_PREFIX
from roundsman.batch.running import Progress, Report
from roundsman.ledger.ledger import ledger_url, use_ledger_async
from roundsman.report.rules.text import for_markdown
from roundsman.site.rules.site import Site
from roundsman.sweep import listing
from roundsman.sweep import shards as library
from roundsman.sweep.listing import Listing
from roundsman.sweep.rules.judge import Swept, markdown
from roundsman.sweep.shards import Shard, conclude, standing

log = logging.getLogger("roundsman")

#: How long a run takes the listing of an earlier one: as long as a shard's run may take, so that a sweep that is run
#: again goes on at once. The pages of an edition never change; what may be gone by then is the ledger's row.
LISTING_LASTS = timedelta(hours=6)
#: So often a shard is begun anew in one run of the sweep.
MAX_TRIES = 3
#: Seconds that a run may take from its worker's word that it begins to its first page. On a busy machine a process
#: takes a minute to start; given up too soon, runs take the place of runs, and all of them are slow.
START_SECONDS = 300.0
#: Seconds between two looks at how far the shards are.
POLL_SECONDS = 2.0


class SweepError(Exception):
    """The sweep can't be brought to its end; says what was seen and what to do."""


@task(task_run_name="begin a sweep of {site.site}", cache_policy=NO_CACHE, persist_result=False)
async def begin_sweep(site: Site, edition: str = "", due: datetime | None = None) -> str:
    """As `listing.begin_sweep`."""
    async with use_ledger_async() as engine:
        return await asyncio.to_thread(listing.begin_sweep, engine, site, edition, due)


def listing_key(_context: TaskRunContext, parameters: Mapping[str, Any]) -> str:
    """A listing is the same for one edition of one site in one ledger."""
    ledger = ledger_url().render_as_string(hide_password=True)
    facts = json.dumps([parameters["site"].site, parameters["edition"], ledger])
    return f"{KEY_PREFIX}listing-{hashlib.sha256(facts.encode()).hexdigest()}"


# As plain data, so that reading a result store that somebody else can write to runs no code of theirs.
@task(
    task_run_name="list the pages of {site.site}",
    cache_key_fn=listing_key,
    cache_expiration=LISTING_LASTS,
    persist_result=True,
    result_serializer=JSONSerializer(object_encoder=None, object_decoder=None),
)
async def read_listing(site: Site, edition: str) -> dict[str, int | str]:
    """As `listing.list_pages`, cached: the pages themselves stand in the ledger, only where they are is kept here."""
    async with use_ledger_async() as engine:
        return (await asyncio.to_thread(listing.list_pages, engine, site, edition)).as_data()


async def list_pages(site: Site, edition: str) -> Listing:
    """The pages of a sweep that was begun: a cached listing, if the ledger still has its pages; else a new one.

    Raises:
        RobotsError: nobody could say what may be asked for.
    """
    state = await attempt(read_listing, site, edition)
    found = Listing.from_data(await state.aresult(), cached=state.name == "Cached")
    if found.cached:
        async with use_ledger_async() as engine:
            if not await asyncio.to_thread(listing.still_stands, engine, site, found):
                log.info("%s: the cached listing is not in this ledger any more", site.site)
                anew: Task[..., Coroutine[Any, Any, dict[str, int | str]]] = read_listing.with_options(
                    refresh_cache=True
                )
                found = Listing.from_data(await anew(site, edition))
    if described := found.described(datetime.now(UTC)):
        log.info("%s: %s", site.site, described)
    return found


@task(task_run_name="look at all pages of {site.site}", cache_policy=NO_CACHE, persist_result=False)
async def look_at_all(site: Site, where: str, sweep: int, *, here: bool) -> None:
    """Have every shard of a sweep looked at.

    Args:
        site: The site.
        where: How the runs of shards find it: a name in deployments/sites/, or a path.
        sweep: The sweep's number.
        here: One shard after another in this process, instead of runs of the deployment.

    Raises:
        SweepError: a shard ended three times without being done.
    """
    artifact = await acreate_progress_artifact(0.0, description=f"sweep of {site.site}")
    progress = _SweepProgress(site.site, artifact)
    async with use_ledger_async() as engine:
        runs = _Runs(site, where, sweep)
        while True:
            shards = await asyncio.to_thread(standing, engine, sweep)
            await progress(shards)
            if not (open_ := [one for one in shards if not one.ended]):
                return
            if here:
                await sweep_pages(
                    site, sweep, open_[0].number, site.sweep.rate, progress=progress.within(shards, open_[0])
                )
            else:
                await runs.tend(open_)
                await asyncio.sleep(POLL_SECONDS)


async def sweep_pages(site: Site, sweep: int, shard: int, rate: float, progress: Report | None = None) -> int:
    """As `shards.sweep_pages`, as the run that is under way in Prefect."""
    run_id = str(flow_run.get_id() or "")
    return await library.sweep_pages(site, sweep, shard, rate, run_id=run_id, progress=progress)


@dataclass
class _SweepProgress:
    """Tells how far a sweep is, in the log and by a progress artifact: a hundred times at most, and not too often."""

    site: str
    artifact: UUID
    percent: int = -1
    reported_at: float = -math.inf

    async def __call__(self, shards: Sequence[Shard], more: int = 0) -> None:
        done, pages = sum(one.done for one in shards) + more, sum(one.pages for one in shards)
        percent, now = 100 * done // max(pages, 1), time.monotonic()
        if percent == self.percent or (done < pages and now - self.reported_at < POLL_SECONDS):
            return
        self.percent, self.reported_at = percent, now
        message = f"{done:,} of {pages:,} pages"
        log.info("%s: %s", self.site, message)
        await advance(self.artifact, percent, message)

    def within(self, shards: Sequence[Shard], at: Shard) -> Report:
        """What is awaited while one of the shards is looked at here."""

        async def report(progress: Progress) -> None:
            await self(shards, progress.rows - at.done)

        return report


@dataclass
class _Runs:
    """The runs of shards that are under way."""

    site: Site
    where: str
    sweep: int
    tries: dict[int, int] = field(default_factory=dict)
    """The try that each shard is at; those of earlier runs of the sweep count."""
    begun: dict[int, int] = field(default_factory=dict)
    """How many tries this run of the sweep has begun."""
    runs: dict[int, FlowRun] = field(default_factory=dict)

    async def tend(self, shards: list[Shard]) -> None:
        """Begin what is to be begun: the first shards that have not ended, and those whose run did without them."""
        for shard in shards[: self.site.sweep.workers]:
            run = await self._run(shard.number)
            if silent := _is_silent(run, shard):
                await _give_up(run)
            if silent or (run.state and run.state.is_final()):
                self.tries[shard.number] = self.tries.get(shard.number, 1) + 1
                self.runs.pop(shard.number)
                log.info(
                    "%s: shard %d was left at %d of %d pages", self.site.site, shard.number, shard.done, shard.pages
                )

    async def _run(self, number: int) -> FlowRun:
        if known := self.runs.get(number):
            async with get_client() as client:
                return await client.read_flow_run(known.id)
        if self.begun.get(number, 0) >= MAX_TRIES:
            raise SweepError(
                f"shard {number} of sweep {self.sweep} ended {MAX_TRIES} times without being done; "
                "look at its last run, then run the sweep again: it goes on where it is"
            )
        # The same key is the same run: when the sweep itself is run again, it finds those it has begun.
        key = f"sweep-{self.sweep}-{number}-{self.tries.get(number, 1)}"
        rate = self.site.sweep.rate / self.site.sweep.workers
        parameters = {"site": self.where, "sweep": self.sweep, "shard": number, "rate": rate}
        name = f"sweep-shard/sweep-shard-{self.site.site}"
        run = await arun_deployment(name, parameters=parameters, idempotency_key=key, timeout=0, as_subflow=False)
        if not (run.state and run.state.is_final()):
            self.begun[number] = self.begun.get(number, 0) + 1
        self.runs[number] = run
        return run


def _is_silent(run: FlowRun, shard: Shard) -> bool:
    """Whether a run's worker was killed: nobody tells Prefect, so the run stays Running, or Pending before it began."""
    state = run.state
    if state is None or shard.held or not (state.is_running() or state.is_pending()):
        return False
    if shard.run == str(run.id):
        return shard.left
    # It has not come to its shard, as its process takes some seconds to start; or it never will.
    return datetime.now(UTC) - state.timestamp > timedelta(seconds=START_SECONDS)


async def _give_up(run: FlowRun) -> None:
    """Say so in Prefect, which keeps a place of the deployment for the run as long as it stays Running."""
    async with get_client() as client:
        message = "given up by its sweep: nothing was heard of it, so its worker is gone"
        await client.set_flow_run_state(run.id, Crashed(message=message), force=True)


@task(task_run_name="sum up", cache_policy=NO_CACHE, persist_result=False)
async def sum_up(sweep: int) -> Swept:
    """What the sweep has found."""
    async with use_ledger_async() as engine:
        return await asyncio.to_thread(conclude, engine, sweep)


@task(task_run_name="publish {swept.site}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
async def publish_sweep(swept: Swept) -> None:
    """Write the sweep as a page."""
    await acreate_markdown_artifact(markdown(swept), key=f"sweep-{swept.site}", description=for_markdown(swept.summary))
