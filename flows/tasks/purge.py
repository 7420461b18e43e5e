"""Purging by a plan: what the edges can, and every request of a plan in its order. It judges nothing."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from math import inf
from typing import Protocol

import httpx

from blocks import registry
from blocks.edge import Edge
from flows.tasks.vendors import block
from roundsman.probe.ask import outside
from roundsman.probe.probe import now
from roundsman.purge.rules.order import By, Order, PurgeError, Receipt, Settling
from roundsman.purge.rules.plan import Plan, Powers, Request
from roundsman.purge.rules.proof import Purged
from roundsman.purge.rules.purge_request import Wish, targets
from roundsman.purge.rules.queue import unfit
from roundsman.report.rules.durations import spoken
from roundsman.site.rules.site import Site

#: Seconds for which an edge is waited for at most, where somebody waits for the proof of a purge.
LONGEST = 300.0

_NO_TURN = nullcontext()


class Gate(Protocol):
    """What each request of a purge waits for, and is told of each refusal."""

    async def wait(self, name: str, edge: Edge, items: int, by: By = By.URL) -> None:
        """Return when a request with so many items of a kind may be sent."""

    async def told(self, name: str, edge: Edge, error: PurgeError, by: By = By.URL) -> None:
        """Hear what an edge said in place of a success to a purge of a kind."""


#: Set where several workers have to keep to a vendor's rate together.
gate: ContextVar[Gate | None] = ContextVar("gate", default=None)


async def edges_of(site: Site) -> Mapping[str, Edge]:
    """The edges in a request's way by name, the one nearest to the origin first; BlockError as for `block`."""
    names = dict.fromkeys(filter(None, (site.shield, site.edge)))
    found = {name: await block(site, name) for name in names}
    return {name: edge for name, edge in found.items() if isinstance(edge, Edge)}


def powers_of(edges: Mapping[str, Edge]) -> tuple[Powers, ...]:
    """The same, as a plan takes them."""
    return tuple(Powers(name=name, **edge.powers()) for name, edge in edges.items())


def unpurgeable(site: Site, routes: Sequence[str], keys: Sequence[str]) -> str:
    """Why no run of the purge queue would ever purge these at this site, in words; empty when one would.

    It needs no secret: a block's own say what it can stands for the block, wherever that is kept.
    """
    names = dict.fromkeys(filter(None, (site.shield, site.edge)))
    edges = {name: registry.shaped(name, site.blocks.get(name)) for name in names}
    edges = {name: edge for name, edge in edges.items() if isinstance(edge, Edge)}
    if trouble := unfit(site, routes, keys, powers_of(edges)):
        return trouble
    urls, _ = targets(site, Wish(tuple(routes)))
    items = [*((By.URL, url) for url in urls), *((By.KEY, key) for key in keys)]
    for name, edge in edges.items():
        # Of a block that Prefect keeps nothing is known that a request needs.
        for by, item in items if name in site.blocks else ():
            if trouble := _unspelled(edge, by, item):
                return f"saw {item!r} for {name}; {trouble}"
    return ""


def _unspelled(edge: Edge, by: By, item: str) -> str:
    """Why an edge can't put an item into a request; empty when it can."""
    try:
        edge.request(Order(by, (item,), next(iter((*edge.shields, *edge.nodes)), "")))
    except UnicodeEncodeError:
        return "no header can carry it: wanted ASCII, encoded where it is not"
    except (PurgeError, httpx.InvalidURL, ValueError) as error:
        return str(error)
    return ""


@dataclass(frozen=True, slots=True)
class Taken:
    """A plan whose requests were all taken.

    `open` are those of the last tier, of which nobody has asked yet whether they are done. `unsettled` is as `Purged`
    has it, of the tiers before.
    """

    started: float
    answers: str = ""
    open: tuple[tuple[Edge, Receipt], ...] = ()
    unsettled: str = ""


async def carry_out(edges: Mapping[str, Edge], plan: Plan, *, patience: float | None = None) -> Purged:
    """Send every request, as `hand_over` does, and wait until all of it is done on every node.

    `patience` are seconds for each tier, `LONGEST` when left out.

    Raises:
        PurgeError: as for `hand_over`, or a purge failed after all.
    """
    longest = LONGEST if patience is None else patience
    with outside():
        async with httpx.AsyncClient() as client:
            taken = await hand_over(edges, plan, client, patience=longest)
            unsettled = await until_done(taken, client, patience=longest)
    return Purged(taken.started, now(), taken.answers, unsettled)


async def hand_over(
    edges: Mapping[str, Edge], plan: Plan, client: httpx.AsyncClient, *, patience: float = inf, unseen: bool = False
) -> Taken:
    """Send every request, tier by tier; a tier is begun when the one before is done on every node.

    A node in trouble is left alone then, and does not keep the others of its tier from being asked; but the next tier
    would only fetch the old copy again, and is not begun. `patience` are seconds for each tier but the last, which is
    not waited for; an edge is never waited for longer than it promises. `unseen`: nobody looks afterwards and purges
    again what is still old, so that a page is asked for between two of its variants where one hides the others; it is
    a new copy then, and of a page without variants nothing more is asked.

    Raises:
        PurgeError: with what went wrong, and the receipts of what was done in this tier.
    """
    taken = Taken(now())
    for _, tier in groupby(plan.requests, key=lambda request: request.tier):
        if unsettled := await until_done(taken, client, patience=patience):
            return replace(taken, open=(), unsettled=unsettled)
        done: list[tuple[Edge, Receipt]] = []
        errors: list[PurgeError] = []
        left: set[tuple[str, ...]] = set()
        following = [*tier]
        for request, next_one in zip(following, [*following[1:], None], strict=True):
            edge, station, page = edges[request.edge], (request.edge, request.node), _page(request)
            if left & {station, page}:
                continue
            try:
                done.append((edge, await _send(edge, request, client)))
            except PurgeError as error:
                errors.append(error)
                if not error.permanent:
                    left.add(station)
                continue
            hides = unseen and not done[-1][1].absent and next_one is not None and _page(next_one) == page
            if hides and not await edge.remind(_order(request), client):
                left.add(page)
        if errors:
            raise PurgeError.of(errors, [receipt for _, receipt in done])
        counts = Counter(f"{one.status}{' (was not there)' if one.absent else ''}" for _, one in done)
        said = [f"{many} x {answer}" if many > 1 else answer for answer, many in counts.items()]
        taken = Taken(taken.started, ", ".join(filter(None, [taken.answers, *said])), tuple(done))
    return taken


def _page(request: Request) -> tuple[str, ...]:
    """What requests of which each drops another variant have in common."""
    return request.edge, request.node, request.by, *request.items


async def until_done(
    taken: Taken,
    client: httpx.AsyncClient,
    *,
    patience: float = inf,
    linger: bool = True,
    turn: AbstractAsyncContextManager = _NO_TURN,
) -> str:
    """Wait until what was taken is done on every node; what is not, in words, when the patience or the promise is over.

    `linger=False` does not wait where an edge never says that it is done. Where several plans are waited for, only
    whose `turn` it is asks.

    Raises:
        PurgeError: a purge failed after all.
    """
    begun, unsettled = now(), taken.unsettled
    for edge, receipt in taken.open:
        until = begun + min(edge.settles_within, patience)
        pause = 0.25
        while (seen := await _settling(edge, receipt, client, turn)).done is False:
            if now() >= until:
                if not seen.heard and patience >= edge.settles_within:
                    # Nobody answers, and the time that the vendor promises is over: as where nobody can be asked.
                    break
                name, took = edge.get_block_type_name(), spoken(round(now() - begun))
                return unsettled or f"{name} took the purge, and had not done it after {took}"
            await asyncio.sleep(min(max(pause, seen.wait), max(0.0, until - now())))
            pause = min(10.0, 2 * pause)
        if seen.done is None and linger:
            await asyncio.sleep(max(0.0, until - now()))
    return unsettled


async def _settling(
    edge: Edge, receipt: Receipt, client: httpx.AsyncClient, turn: AbstractAsyncContextManager
) -> Settling:
    async with turn:
        return await edge.settling(receipt, client)


async def _send(edge: Edge, request: Request, client: httpx.AsyncClient) -> Receipt:
    """One request of a plan, when it is its turn."""
    if (turns := gate.get()) is None:
        return await edge.send(_order(request), client)
    await turns.wait(request.edge, edge, len(request.items), By(request.by))
    try:
        return await edge.send(_order(request), client, patient=False)
    except PurgeError as error:
        await turns.told(request.edge, edge, error, By(request.by))
        raise


def _order(request: Request) -> Order:
    return Order(**{name: value for name, value in asdict(request).items() if name not in {"edge", "tier"}})
