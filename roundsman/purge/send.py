"""Sending a purge by its plan: every order in its turn, until all of it is done. It judges nothing."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import groupby
from math import inf
from typing import ClassVar, Protocol

import httpx

from roundsman.probe.ask import outside
from roundsman.probe.probe import now
from roundsman.purge.rules.order import By, Order, PlannedOrder, Powers, PurgeError, Rate, Receipt, Settling
from roundsman.purge.rules.plan import PurgePlan, PurgeRequest, misnamed, plan_purge, targets
from roundsman.purge.rules.proof import Purged
from roundsman.purge.rules.queue import unfit
from roundsman.report.rules.durations import spoken
from roundsman.site.rules.site import Site

#: How long an edge is waited for at most, where somebody waits for the proof of a purge.
MAX_WAIT_SECONDS = 300.0


class Purgeable(Protocol):
    """An edge as a purge needs it."""

    settles_within: ClassVar[float]
    """Seconds after the answer until every node has done it; 0 when the answer itself means that it is done."""

    def get_block_type_name(self) -> str:
        """What people call this kind of edge."""

    def powers(self, name: str) -> Powers:
        """What it can, under the name by which a site knows it."""

    def rates(self) -> tuple[Rate, ...]:
        """How often it may be asked."""

    def request(self, order: Order) -> httpx.Request:
        """Spell one order as the vendor wants it."""

    async def send(self, order: Order, client: httpx.AsyncClient, *, patient: bool = True) -> Receipt:
        """Send one order; PurgeError when it is not known to have been done."""

    async def remind(self, order: Order, client: httpx.AsyncClient) -> bool:
        """Let the cache find its other variants again; whether there may be any."""

    async def settling(self, receipt: Receipt, client: httpx.AsyncClient) -> Settling:
        """Ask once how far an accepted purge is."""


#: The edges between a reader and the origin by name, the one nearest to the origin first.
Edges = Mapping[str, Purgeable]


class Gate(Protocol):
    """What each order of a purge waits for, and what hears of each refusal."""

    async def wait(self, name: str, edge: Purgeable, items: int, by: By = By.URL) -> None:
        """Return when an order with so many items of a kind may be sent."""

    async def refused(self, name: str, edge: Purgeable, error: PurgeError, by: By = By.URL) -> None:
        """Hear what an edge answered in place of a success to a purge of a kind."""


#: Set where several workers have to keep to a vendor's rate together.
gate: ContextVar[Gate | None] = ContextVar("gate", default=None)


def powers_of(edges: Edges) -> tuple[Powers, ...]:
    """What each edge can."""
    return tuple(edge.powers(name) for name, edge in edges.items())


def refused_by_file(site: Site, edges: Edges | None, routes: Sequence[str], *, soft: bool) -> PurgePlan | None:
    """The plan with what is refused by the site's file alone, before anybody is asked; None when nothing is refused.

    `edges` is None when the file does not say what they can. Where redirects lead is not known yet.
    """
    request = PurgeRequest(tuple(routes), soft=soft, accept=frozenset(site.accept), max_urls=site.purge_at_most)
    if edges is None:
        plan = PurgePlan(refusals=tuple(misnamed(site, request)))
    else:
        plan = plan_purge(site, request, powers_of(edges))
    return plan if plan.refusals else None


def unpurgeable(site: Site, edges: Edges, routes: Sequence[str], keys: Sequence[str]) -> str:
    """Why no run of the purge queue would ever purge these at this site, in words; empty when one would."""
    if trouble := unfit(site, routes, keys, powers_of(edges)):
        return trouble
    urls, _ = targets(site, PurgeRequest(tuple(routes)))
    items = [*((By.URL, url) for url in urls), *((By.KEY, key) for key in keys)]
    for name, edge in edges.items():
        # Of a block that Prefect keeps nothing is known that a request needs.
        for by, item in items if name in site.blocks else ():
            if trouble := _unspelled(edge, edge.powers(name), by, item):
                return f"saw {item!r} for {name}; {trouble}"
    return ""


def _unspelled(edge: Purgeable, powers: Powers, by: By, item: str) -> str:
    """Why an edge can't put an item into a request; empty when it can."""
    try:
        edge.request(Order(by, (item,), next(iter((*powers.shields, *powers.nodes)), "")))
    except UnicodeEncodeError:
        return "no header can carry it: wanted ASCII, encoded where it is not"
    except (PurgeError, httpx.InvalidURL, ValueError) as error:
        return str(error)
    return ""


@dataclass(frozen=True, slots=True)
class AcceptedPlan:
    """A plan whose orders were all accepted.

    `open` are those of the last tier, of which nobody has asked yet whether they are done. `unsettled` is as `Purged`
    has it, of the tiers before.
    """

    started: float
    answers: str = ""
    open: tuple[tuple[Purgeable, Receipt], ...] = ()
    unsettled: str = ""


async def carry_out(edges: Edges, plan: PurgePlan, *, patience: float | None = None) -> Purged:
    """Send every order, as `hand_over` does, and wait until all of it is done on every node.

    `patience` are seconds for each tier, `MAX_WAIT_SECONDS` when left out.

    Raises:
        PurgeError: as for `hand_over`, or a purge failed after all.
    """
    longest = MAX_WAIT_SECONDS if patience is None else patience
    with outside():
        async with httpx.AsyncClient() as client:
            accepted = await hand_over(edges, plan, client, patience=longest)
            unsettled = await until_done(accepted, client, patience=longest)
    return Purged(accepted.started, now(), accepted.answers, unsettled)


async def hand_over(
    edges: Edges, plan: PurgePlan, client: httpx.AsyncClient, *, patience: float = inf, unseen: bool = False
) -> AcceptedPlan:
    """Send every order, tier by tier; a tier is begun when the one before is done on every node.

    A node in trouble is left alone then, and does not keep the others of its tier from being asked; but the next tier
    would only fetch the old copy again, and is not begun. `patience` are seconds for each tier but the last, which is
    not waited for; an edge is never waited for longer than it promises. `unseen`: nobody looks afterwards and purges
    again what is still old, so that a page is asked for between two of its variants where one hides the others; it is
    a new copy then, and of a page without variants nothing more is asked.

    Raises:
        PurgeError: with what went wrong, and the receipts of what was done in this tier.
    """
    accepted = AcceptedPlan(now())
    for _, tier in groupby(plan.orders, key=lambda order: order.tier):
        if unsettled := await until_done(accepted, client, patience=patience):
            return replace(accepted, open=(), unsettled=unsettled)
        done: list[tuple[Purgeable, Receipt]] = []
        errors: list[PurgeError] = []
        skipped: set[tuple[str, ...]] = set()
        orders = [*tier]
        for order, next_order in zip(orders, [*orders[1:], None], strict=True):
            edge, station, page = edges[order.edge], (order.edge, order.node), _page(order)
            if skipped & {station, page}:
                continue
            try:
                done.append((edge, await _send(edge, order, client)))
            except PurgeError as error:
                errors.append(error)
                if not error.permanent:
                    skipped.add(station)
                continue
            hides = unseen and not done[-1][1].absent and next_order is not None and _page(next_order) == page
            if hides and not await edge.remind(order, client):
                skipped.add(page)
        if errors:
            raise PurgeError.of(errors, [receipt for _, receipt in done])
        counts = Counter(f"{receipt.status}{' (was not there)' if receipt.absent else ''}" for _, receipt in done)
        answers = [f"{count} x {answer}" if count > 1 else answer for answer, count in counts.items()]
        accepted = AcceptedPlan(accepted.started, ", ".join(filter(None, [accepted.answers, *answers])), tuple(done))
    return accepted


def _page(order: PlannedOrder) -> tuple[str, ...]:
    """What orders of which each drops another variant have in common."""
    return order.edge, order.node, order.by, *order.items


async def until_done(
    accepted: AcceptedPlan,
    client: httpx.AsyncClient,
    *,
    patience: float = inf,
    linger: bool = True,
    turn: AbstractAsyncContextManager[None] | None = None,
) -> str:
    """Wait until what was accepted is done on every node. In words what is not, when patience or promise is over.

    `linger=False` does not wait where an edge never says that it is done. Where several plans are waited for, only
    whose `turn` it is asks.

    Raises:
        PurgeError: a purge failed after all.
    """
    begun, unsettled = now(), accepted.unsettled
    for edge, receipt in accepted.open:
        until = begun + min(edge.settles_within, patience)
        pause = 0.25
        while (progress := await _settling(edge, receipt, client, turn or nullcontext())).done is False:
            if now() >= until:
                if not progress.heard and patience >= edge.settles_within:
                    # Nobody answers, and the time that the vendor promises is over: as where nobody can be asked.
                    break
                name, took = edge.get_block_type_name(), spoken(round(now() - begun))
                return unsettled or f"{name} took the purge, and had not done it after {took}"
            await asyncio.sleep(min(max(pause, progress.wait), max(0.0, until - now())))
            pause = min(10.0, 2 * pause)
        if progress.done is None and linger:
            await asyncio.sleep(max(0.0, until - now()))
    return unsettled


async def _settling(
    edge: Purgeable, receipt: Receipt, client: httpx.AsyncClient, turn: AbstractAsyncContextManager[None]
) -> Settling:
    async with turn:
        return await edge.settling(receipt, client)


async def _send(edge: Purgeable, order: PlannedOrder, client: httpx.AsyncClient) -> Receipt:
    """One order of a plan, when it is its turn."""
    if (turns := gate.get()) is None:
        return await edge.send(order, client)
    await turns.wait(order.edge, edge, len(order.items), order.by)
    try:
        return await edge.send(order, client, patient=False)
    except PurgeError as error:
        await turns.refused(order.edge, edge, error, order.by)
        raise
