"""One run of the purge queue: claim, purge, purge again, settle; and the proof of a sample."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import httpx
from sqlalchemy import Engine

from roundsman.ledger.ledger import use_ledger_async
from roundsman.ledger.rules.delivery import DeliveryFailure
from roundsman.probe.ask import outside, pause
from roundsman.probe.probe import now
from roundsman.purge import queue
from roundsman.purge.prove import AcceptedPlan, Edges, PurgeTest, hand_over, powers_of, prove, until_done
from roundsman.purge.queue import paced
from roundsman.purge.rules import queue as rules
from roundsman.purge.rules.judge import judge_all
from roundsman.purge.rules.order import PurgeError
from roundsman.purge.rules.plan import PurgePlan, PurgeRequest, plan_purge
from roundsman.purge.rules.proof import flight
from roundsman.purge.rules.queue import (
    LEASE_SECONDS,
    RUN_SECONDS,
    ChangeState,
    ItemKind,
    LeaseProgress,
    QueueLease,
    QueueRun,
)
from roundsman.report.rules.text import plain
from roundsman.site.rules.site import Site

log = logging.getLogger("roundsman")


async def plan_published(site: Site, edges: Edges) -> list[PurgePlan]:
    """The plans of what is due; nothing is purged, and nothing stays claimed."""
    async with use_ledger_async() as engine:
        tiers = powers_of(edges)
        lease = await asyncio.to_thread(queue.claim, engine, site.site)
        if lease is None:
            return []
        await asyncio.to_thread(queue.release, engine, lease)
        parts = rules.together(lease.items, lease.kind, site, tiers)
        return [plan_purge(site, rules.request_for(site, lease, part, 0), tiers) for part in parts]


async def purge_due(site: Site, edges: Edges, seconds: float = RUN_SECONDS, *, again: bool = True) -> QueueRun:
    """Purge what is due, until nothing is, the edge is in trouble, or the time is over.

    Safe beside itself: a change belongs to whoever claimed it until the lease ends, and all keep to one rate.

    Args:
        site: The site whose changes are purged.
        edges: The site's edges.
        seconds: After these nothing more is claimed.
        again: Whether each is purged twice, the second time when a fetch that was under way has ended.

    Raises:
        LedgerError: the ledger can't be opened.
    """
    async with use_ledger_async() as engine:
        total, until = QueueRun(), now() + seconds
        with paced(engine):
            while now() < until and (lease := await asyncio.to_thread(queue.claim, engine, site.site)):
                work = _Work(site, edges, lease)
                total = total.and_then(await _carried_out(engine, work, again=again))
                if work.progress.held_up:
                    break
        counts = await asyncio.to_thread(queue.counts, engine, site.site)
        oldest = await asyncio.to_thread(queue.oldest, engine, site.site)
        waiting, kept = counts[ChangeState.WAITING], counts[ChangeState.QUARANTINED]
        return replace(total, waiting=waiting, kept=kept, oldest=oldest)


async def prove_sample(site: Site, edges: Edges, routes: Sequence[str]) -> QueueRun:
    """Purge one of some routes once more, with proof; no verdict where there is none to prove."""
    route = rules.sample(site, routes, random.random())  # noqa: S311 - any will do
    if not route:
        return QueueRun()
    async with use_ledger_async() as engine:
        since = await asyncio.to_thread(queue.clock, engine)
        request = PurgeRequest((route,), accept=frozenset(site.accept), max_urls=site.purge_at_most)
        with paced(engine):
            proof = await prove(site, PurgeTest(request, regardless=True), edges)
        disturbed = await asyncio.to_thread(queue.purged_since, engine, site.site, since)
    if proof.plan.refusals:
        return QueueRun(troubles=(f"no sample was proven: {proof.plan.refusals[0]}",))
    verdicts = tuple(judge_all(site, proof, [route]))
    if rules.spoiled(verdicts, disturbed=disturbed):
        return QueueRun(troubles=("no sample was proven: other changes were purged meanwhile",))
    return QueueRun(verdicts=rules.sampled(site, verdicts))


@dataclass(slots=True)
class _Work:
    """A lease under way."""

    site: Site
    edges: Edges
    lease: QueueLease
    progress: LeaseProgress = field(default_factory=LeaseProgress)

    @property
    def left(self) -> list[str]:
        """The items that have met no trouble."""
        over = {*self.progress.met, *self.progress.untried}
        return [item for item in self.lease.items if item not in over]


async def _carried_out(engine: Engine, work: _Work, *, again: bool) -> QueueRun:
    """Purge what a lease holds and settle it. What is not done when it is stopped is given back."""
    try:
        async with _kept(engine, work.lease):
            await _purge_all(work, 0, last=not again)
            if again and not work.progress.held_up:
                routes = [item.removeprefix(work.site.base_url) for item in work.lease.items]
                await pause(max(flight(work.site.rule_for(route), []) for route in routes))
                await _purge_all(work, 1, last=True)
    except BaseException:
        work.progress.stop(work.lease.items)
        # Not in a thread: a run whose time is over is cancelled anew at each await.
        _settled(engine, work)
        raise
    return await asyncio.to_thread(_settled, engine, work)


def _settled(engine: Engine, work: _Work) -> QueueRun:
    """Write down what became of a lease."""
    lease, met = work.lease, work.progress.met
    ends = [
        queue.FailedChange(change.id, *rules.after(change, met[change.item], random.random()))  # noqa: S311 - so they spread
        for change in lease.of(met)
    ]
    done = queue.settle(engine, lease, ends, [change.id for change in lease.of(work.progress.untried)])
    lost = sum(end.state is ChangeState.QUARANTINED for end in ends)
    log.info("%s: %d changes done, %d put off, %d quarantined", work.site.site, done, len(ends) - lost, lost)
    return QueueRun(
        done=done,
        purged=len(work.left),
        quarantined=lost,
        retried=len(ends) - lost,
        routes=tuple(work.left) if lease.kind is ItemKind.ROUTE else (),
        troubles=tuple(dict.fromkeys(trouble.says for trouble in met.values())),
    )


async def _purge_all(work: _Work, time: int, *, last: bool) -> None:
    """Purge every item that has met no trouble; once the edge itself is in trouble, the rest is left untried.

    An edge may need minutes for each part, so all are sent before any is waited for. After a refusal a part is purged
    in halves, so that only what it is about is refused.
    """
    parts: list[Sequence[str]] = list(rules.together(work.left, work.lease.kind, work.site, powers_of(work.edges)))
    with outside():
        async with httpx.AsyncClient() as client:
            while parts:
                parts = await _purge_parts(work, parts, time, client, last=last)


async def _purge_parts(
    work: _Work, parts: Sequence[Sequence[str]], time: int, client: httpx.AsyncClient, *, last: bool
) -> list[Sequence[str]]:
    """Send some parts one after another, and wait for all of them together; the smaller parts to try after refusals."""
    progress = work.progress
    sent: list[tuple[Sequence[str], AcceptedPlan]] = []
    smaller: list[Sequence[str]] = []
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

    async def wait(part: Sequence[str], accepted: AcceptedPlan) -> None:
        if trouble := await _wait(accepted, client, turn):
            smaller.extend(progress.meet(part, trouble))
        elif last:
            progress.done += tuple(part)

    async with asyncio.TaskGroup() as waiting:
        for part, accepted in sent:
            waiting.create_task(wait(part, accepted))
    return smaller


async def _hand_over(
    work: _Work, part: Sequence[str], time: int, client: httpx.AsyncClient
) -> AcceptedPlan | DeliveryFailure:
    """Plan and send; what went wrong in place of an answer."""
    planned = plan_purge(work.site, rules.request_for(work.site, work.lease, part, time), powers_of(work.edges))
    if planned.refusals:
        return DeliveryFailure("; ".join(map(str, planned.refusals)), permanent=True)
    try:
        return await hand_over(work.edges, planned, client, unseen=True)
    except PurgeError as error:
        return _trouble_of(error)


async def _wait(accepted: AcceptedPlan, client: httpx.AsyncClient, turn: asyncio.Lock) -> DeliveryFailure | None:
    """Wait for what was sent; None when it is done, else what went wrong."""
    try:
        unsettled = await until_done(accepted, client, linger=False, turn=turn)
    except PurgeError as error:
        return _trouble_of(error)
    return DeliveryFailure(unsettled) if unsettled else None


def _trouble_of(error: PurgeError) -> DeliveryFailure:
    # Who asks, or where, is mended for all of them together: they wait for it.
    lasting = error.permanent and not error.shut_out
    return DeliveryFailure(plain(str(error)), permanent=lasting, wait=error.retry_after or 0.0)


@asynccontextmanager
async def _kept(engine: Engine, lease: QueueLease) -> AsyncIterator[None]:
    """Renew a lease for as long as the block runs: a vendor's rate can make it long."""
    renewing = asyncio.create_task(_renew(engine, lease))
    try:
        yield
    finally:
        renewing.cancel()
        with suppress(asyncio.CancelledError):
            await renewing


async def _renew(engine: Engine, lease: QueueLease) -> None:
    while True:
        await asyncio.sleep(LEASE_SECONDS / 4)
        try:
            await asyncio.to_thread(queue.renew, engine, lease)
        except Exception as error:  # noqa: BLE001 - the lease may end then, and somebody else goes on
            log.warning("the lease was not renewed: %s", type(error).__name__)
