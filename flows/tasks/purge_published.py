"""One run of the purge queue: claim, purge, purge again, settle; and the proof of a sample."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import Engine

from blocks.edge import Edge
from flows.tasks.prove import Trial, prove
from flows.tasks.purge import Taken, edges_of, hand_over, powers_of, until_done
from flows.tasks.purge_rate import paced
from roundsman.ledger.ledger import use_ledger_async
from roundsman.ledger.rules.delivery import DeliveryFailure
from roundsman.probe.ask import outside, pause
from roundsman.probe.probe import now
from roundsman.purge import queue
from roundsman.purge.rules import queue as rules
from roundsman.purge.rules.judge import judge_all
from roundsman.purge.rules.order import PurgeError
from roundsman.purge.rules.plan import Plan, plan_purge
from roundsman.purge.rules.proof import flight
from roundsman.purge.rules.purge_request import Wish
from roundsman.purge.rules.queue import LEASE, PASS, Claim, Kind, Pass, Progress, State
from roundsman.report.rules.text import plain
from roundsman.site.rules.site import Site

log = logging.getLogger("roundsman")


@task(task_run_name="plan what was published at {site.site}", cache_policy=NO_CACHE, persist_result=False)
async def plan_published(site: Site) -> list[Plan]:
    """The plans of what is due; nothing is purged, and nothing stays claimed."""
    async with use_ledger_async() as engine:
        tiers = powers_of(await edges_of(site))
        claim = await asyncio.to_thread(queue.claim, engine, site.site)
        if claim is None:
            return []
        await asyncio.to_thread(queue.release, engine, claim)
        parts = rules.together(claim.items, claim.kind, site, tiers)
        return [plan_purge(site, rules.wish(site, claim, part, 0), tiers) for part in parts]


@task(task_run_name="purge what was published at {site.site}", cache_policy=NO_CACHE, persist_result=False)
async def purge_due(site: Site, seconds: float = PASS, *, again: bool = True) -> Pass:
    """Purge what is due, until nothing is, the edge is in trouble, or the time is over.

    Safe beside itself: a change belongs to whoever claimed it until the lease ends, and all keep to one rate.

    Args:
        site: The site whose changes are purged.
        seconds: After these nothing more is claimed.
        again: Whether each is purged twice, the second time when a fetch that was under way has ended.

    Raises:
        LedgerError: the ledger can't be opened.
        BlockError: the site's edge can't be had; nothing was claimed.
    """
    async with use_ledger_async() as engine:
        edges = await edges_of(site)
        found, until = Pass(), now() + seconds
        with paced(engine):
            while now() < until and (claim := await asyncio.to_thread(queue.claim, engine, site.site)):
                work = _Work(site, edges, claim)
                found = found.and_then(await _carried_out(engine, work, again=again))
                if work.progress.held_up:
                    break
        left = await asyncio.to_thread(queue.counts, engine, site.site)
        oldest = await asyncio.to_thread(queue.oldest, engine, site.site)
        return replace(found, waiting=left[State.WAITING], kept=left[State.QUARANTINED], oldest=oldest)


@task(task_run_name="prove a sample at {site.site}", cache_policy=NO_CACHE, persist_result=False)
async def prove_sample(site: Site, routes: Sequence[str]) -> Pass:
    """Purge one of some routes once more, with proof; no verdict where there is none to prove."""
    route = rules.sample(site, routes, random.random())  # noqa: S311 - any will do
    if not route:
        return Pass()
    async with use_ledger_async() as engine:
        since = await asyncio.to_thread(queue.clock, engine)
        wish = Wish((route,), accept=frozenset(site.accept), most=site.purge_at_most)
        with paced(engine):
            seen = await prove.fn(site, Trial(wish, regardless=True))
        disturbed = await asyncio.to_thread(queue.purged_since, engine, site.site, since)
    if seen.plan.refusals:
        return Pass(troubles=(f"no sample was proven: {seen.plan.refusals[0]}",))
    verdicts = tuple(judge_all(site, seen, [route]))
    if rules.spoiled(verdicts, disturbed=disturbed):
        return Pass(troubles=("no sample was proven: other changes were purged meanwhile",))
    return Pass(verdicts=rules.sampled(site, verdicts))


@dataclass(slots=True)
class _Work:
    """A claim under way."""

    site: Site
    edges: Mapping[str, Edge]
    claim: Claim
    progress: Progress = field(default_factory=Progress)

    @property
    def left(self) -> list[str]:
        """The items that have met no trouble."""
        over = {*self.progress.met, *self.progress.untried}
        return [item for item in self.claim.items if item not in over]


async def _carried_out(engine: Engine, work: _Work, *, again: bool) -> Pass:
    """Purge a claim and settle it. What is not done when it is stopped is given back."""
    try:
        async with _kept(engine, work.claim):
            await _purge_all(work, 0, last=not again)
            if again and not work.progress.held_up:
                routes = [item.removeprefix(work.site.base_url) for item in work.claim.items]
                await pause(max(flight(work.site.rule_for(route), []) for route in routes))
                await _purge_all(work, 1, last=True)
    except BaseException:
        work.progress.stop(work.claim.items)
        # Not in a thread: a run whose time is over is cancelled anew at each await.
        _settled(engine, work)
        raise
    return await asyncio.to_thread(_settled, engine, work)


def _settled(engine: Engine, work: _Work) -> Pass:
    """Write down what became of a claim."""
    claim, met = work.claim, work.progress.met
    ends = [
        queue.Failed(change.id, *rules.after(change, met[change.item], random.random()))  # noqa: S311 - so they spread
        for change in claim.of(met)
    ]
    done = queue.settle(engine, claim, ends, [change.id for change in claim.of(work.progress.untried)])
    lost = sum(one.state is State.QUARANTINED for one in ends)
    log.info("%s: %d changes done, %d put off, %d quarantined", work.site.site, done, len(ends) - lost, lost)
    return Pass(
        done=done,
        purged=len(work.left),
        quarantined=lost,
        retried=len(ends) - lost,
        routes=tuple(work.left) if claim.kind is Kind.ROUTE else (),
        troubles=tuple(dict.fromkeys(trouble.says for trouble in met.values())),
    )


async def _purge_all(work: _Work, time: int, *, last: bool) -> None:
    """Purge every item that has met no trouble; once the edge itself is in trouble, the rest is left untried.

    An edge may need minutes for each part, so all are sent before any is waited for. After a refusal a part is purged
    in halves, so that only what it is about is refused.
    """
    parts = list(rules.together(work.left, work.claim.kind, work.site, powers_of(work.edges)))
    with outside():
        async with httpx.AsyncClient() as client:
            while parts:
                parts = await _purge_parts(work, parts, time, client, last=last)


async def _purge_parts(
    work: _Work, parts: Sequence[Sequence[str]], time: int, client: httpx.AsyncClient, *, last: bool
) -> list[Sequence[str]]:
    """Send some parts one after another, and wait for all of them together; the smaller parts to try after refusals."""
    progress, sent, smaller = work.progress, [], []
    for part in parts:
        if progress.held_up:
            progress.untried += tuple(part)
            continue
        progress.sent.update(part)
        answer = await _hand_over(work, part, time, client)
        if isinstance(answer, DeliveryFailure):
            smaller += progress.meet(part, answer)
        else:
            sent.append((part, answer))
    # One question at a time: a vendor counts them as well.
    turn = asyncio.Lock()

    async def wait(part: Sequence[str], taken: Taken) -> None:
        if trouble := await _trouble(taken, client, turn):
            smaller.extend(progress.meet(part, trouble))
        elif last:
            progress.done += tuple(part)

    async with asyncio.TaskGroup() as waiting:
        for part, taken in sent:
            waiting.create_task(wait(part, taken))
    return smaller


async def _hand_over(work: _Work, part: Sequence[str], time: int, client: httpx.AsyncClient) -> Taken | DeliveryFailure:
    """Plan and send; what was met in place of an answer."""
    planned = plan_purge(work.site, rules.wish(work.site, work.claim, part, time), powers_of(work.edges))
    if planned.refusals:
        return DeliveryFailure("; ".join(map(str, planned.refusals)), permanent=True)
    try:
        return await hand_over(work.edges, planned, client, unseen=True)
    except PurgeError as error:
        return _said(error)


async def _trouble(taken: Taken, client: httpx.AsyncClient, turn: asyncio.Lock) -> DeliveryFailure | None:
    """Wait for what was sent; None when it is done, else what was met."""
    try:
        unsettled = await until_done(taken, client, linger=False, turn=turn)
    except PurgeError as error:
        return _said(error)
    return DeliveryFailure(unsettled) if unsettled else None


def _said(error: PurgeError) -> DeliveryFailure:
    # Who asks, or where, is mended for all of them together: they wait for it.
    lasting = error.permanent and not error.shut_out
    return DeliveryFailure(plain(str(error)), permanent=lasting, wait=error.retry_after or 0.0)


@asynccontextmanager
async def _kept(engine: Engine, claim: Claim) -> AsyncIterator[None]:
    """Renew a claim for as long as the block runs: a vendor's rate can make it long."""
    renewing = asyncio.create_task(_renew(engine, claim))
    try:
        yield
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing


async def _renew(engine: Engine, claim: Claim) -> None:
    while True:
        await asyncio.sleep(LEASE / 4)
        try:
            await asyncio.to_thread(queue.renew, engine, claim)
        except Exception as error:  # noqa: BLE001 - the lease may end then, and somebody else goes on
            log.warning("the lease was not renewed: %s", type(error).__name__)
