"""A purge with its proof: warm, purge twice, look again. It records what happened and judges nothing.

It takes about five seconds where a purge is done at once: two until old and new copies differ in age, one until a
fetch that was under way has ended, one more for the late look; and six seconds more where the old copy stays. One
target with six neighbours and a control, on one server, costs about 35 requests: a first look, two or three for each
page before the purge, two for the target and one for each other page afterwards, and one late.

Sending a purge by its plan: every order in its turn, until all of it is done. It judges nothing.
"""

import asyncio
import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import inf
from typing import ClassVar, Protocol
from urllib.parse import urljoin

import httpx

from roundsman.http.freshness import age
from roundsman.probe.ask import ask, outside, pause
from roundsman.probe.probe import now
from roundsman.purge.rules.evidence import AGE_GRAIN_SECONDS, age_to_wait, ends_in, kept_again, warm_enough
from roundsman.purge.rules.judge import old_ones
from roundsman.purge.rules.order import By, Order, PlannedOrder, Powers, PurgeError, Rate, Receipt, Settling
from roundsman.purge.rules.plan import PurgePlan, PurgeRequest, misnamed, plan_purge, targets
from roundsman.purge.rules.proof import (
    MAX_TRIES,
    PATIENCE_SECONDS,
    Proof,
    Purged,
    Scene,
    View,
    flight,
    scene,
    stale_window,
    without_unkept,
)
from roundsman.purge.rules.queue import unfit
from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.rollback.find_and_run import run
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_edge import targeted_of

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


#: How often a redirect is followed on the site.
MAX_REDIRECTS = 5
#: How long the first purge may take for a second one to be sent; else a check would take too long.
MAX_FIRST_PURGE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class PurgeTest:
    """What to purge and to prove.

    `touch` is a command that changes the content; `changed` says that it has been changed already. `regardless`: purge
    also what was not stored, so that nothing can be proven. `again=False` purges once only. `patience` is in seconds.
    """

    request: PurgeRequest
    touch: Sequence[str] = ()
    changed: bool = False
    regardless: bool = False
    again: bool = True
    patience: float = PATIENCE_SECONDS
    nonce: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def name(self) -> str:
        """What is purged, in a few words."""
        first, *more = (*self.request.routes, *self.request.keys)
        return f"{first} and {len(more)} more" if more else first


async def plan(site: Site, request: PurgeRequest, edges: Edges) -> PurgePlan:
    """The plan of a purge, with the ends of its redirects; nothing is purged."""
    return (await _planned(site, request, powers_of(edges)))[0]


async def prove(site: Site, test: PurgeTest, edges: Edges) -> Proof:
    """Purge some routes, and see what became of them, of their neighbours and of a far control."""
    tiers = powers_of(edges)
    planned, seen = await _planned(site, replace(test.request, run=f"{test.nonce}-0"), tiers)
    proof = Proof(planned, seen=seen, soft=test.request.soft)
    if planned.refusals or not all(answers[-1].answered for answers in seen.values()):
        return proof
    chosen = scene(site, planned, tiers, seen, test.nonce)
    warm = await _warm(site, chosen)
    chosen = without_unkept(site, chosen, warm)
    warm = await _lasting(site, chosen, {view: answers for view, answers in warm.items() if view in chosen.views})
    proof = replace(
        proof,
        scene=chosen,
        warm=warm,
        changed=test.changed or bool(test.touch),
        labels_tell=not any(tier.refills for tier in tiers),
        one_variant=any(tier.one_variant for tier in tiers),
    )
    if not test.regardless and not all(warm_enough(warm[view]) for view in chosen.targets):
        return proof
    await pause(max(age_to_wait(warm[view][-1], now()) for view in chosen.views))
    proof = replace(proof, before=await _before(site, proof))
    if test.touch:
        with outside():
            problem = await run(test.touch, timeout=30)
        if problem:
            return replace(proof, touch_problem=problem)
    try:
        proof = await _purge(site, test, edges, proof)
    except PurgeError as error:
        return replace(proof, problem=str(error), permanent=error.permanent)
    others = dict(zip(chosen.others, await _ask(site, chosen.others), strict=True))
    await pause(proof.purges[-1].ended + max(_flight(site, proof) + _window(proof), _watch(site, proof)) - now())
    late = dict(zip(chosen.targets, await _ask(site, chosen.targets), strict=True))
    return replace(proof, others=others, late=late)


async def _before(site: Site, proof: Proof) -> dict[View, Exchange]:
    """One more look at what sends an Age, as late as can be."""
    aged = [view for view in proof.scene.views if age(proof.warm[view][-1]) is not None]
    return dict(zip(aged, await _ask(site, aged), strict=True))


async def _purge(site: Site, test: PurgeTest, edges: Edges, proof: Proof) -> Proof:
    """Purge, purge again, and look; once more where one variant hides another, and look longer where nothing is new."""
    proof = await _once(site, test, edges, proof)
    if test.again and proof.purges[0].ended - proof.purges[0].started <= MAX_FIRST_PURGE_SECONDS:
        # A fetch that was under way during the first purge may have stored the old page.
        await pause(_flight(site, proof))
        proof = await _once(site, test, edges, proof)
    proof = await _look(site, proof, proof.scene.targets)
    rounds = proof.plan.rounds if test.again and proof.plan.rounds > 1 else 0
    while (old := old_ones(site, proof)) and len(proof.purges) <= rounds:
        # The look has brought them into sight again; to purge the others as well would only hide them.
        proof = await _look(site, await _once(site, test, edges, proof, old), old)
    until = now() + test.patience
    while (old := old_ones(site, proof)) and now() < until:
        await pause(min(1.0, test.patience))
        proof = await _look(site, proof, old)
    return proof


async def _once(site: Site, test: PurgeTest, edges: Edges, proof: Proof, only: Sequence[View] = ()) -> Proof:
    """Carry out a plan of its own, of all variants or `only` of some; what was seen of these before counts no more."""
    run = f"{test.nonce}-{len(proof.purges)}"
    request = replace(test.request, run=run, redirects=_redirects(proof.seen))
    planned = plan_purge(site, request, powers_of(edges))
    if only:
        wanted = [order for order in planned.orders if any(view.is_of(order) for view in only)]
        planned = replace(planned, orders=tuple(wanted))
    purged = replace(await carry_out(edges, planned), partly=bool(only))
    after = {view: seen for view, seen in proof.after.items() if only and view not in only}
    return replace(proof, purges=(*proof.purges, purged), after=after)


async def _planned(
    site: Site, request: PurgeRequest, tiers: Sequence[Powers]
) -> tuple[PurgePlan, dict[str, list[Exchange]]]:
    """The plan, and a first answer of each target: where it leads, and by what it varies."""
    seen: dict[str, list[Exchange]] = {}
    planned = plan_purge(site, request, tiers)
    for _ in range(MAX_REDIRECTS):
        unseen = [url for url in planned.urls if url not in seen]
        if planned.refusals or not unseen:
            break
        for url, exchange in zip(unseen, await ask(site, [Probe(url) for url in unseen]), strict=True):
            seen[url] = [exchange]
        planned = plan_purge(site, replace(request, redirects=_redirects(seen)), tiers)
    return planned, seen


def _redirects(seen: Mapping[str, Sequence[Exchange]]) -> dict[str, str]:
    return {
        url: urljoin(url, answers[-1].header("location"))
        for url, answers in seen.items()
        if answers[-1].status // 100 == 3 and answers[-1].header("location")
    }


async def _warm(site: Site, views: Scene) -> dict[View, list[Exchange]]:
    """Ask every view until its last two answers are hits on one copy, a bounded number of times.

    The targets first: a neighbour that is a hit at once may then be a target's own copy under another name.
    """
    warm: dict[View, list[Exchange]] = defaultdict(list)
    for some in (views.targets, views.others):
        for _ in range(MAX_TRIES):
            cold = [view for view in some if not warm_enough(warm[view])]
            if not cold:
                break
            for view, exchange in zip(cold, await _ask(site, cold), strict=True):
                warm[view].append(exchange)
    return dict(warm)


async def _lasting(site: Site, views: Scene, warm: Mapping[View, list[Exchange]]) -> dict[View, list[Exchange]]:
    """Where a copy would end by itself during the proof, wait for its end and warm the next one."""
    targeted = targeted_of(site)
    found = dict(warm)
    for _ in range(2):
        ending = {
            view: seconds
            for view, seen in found.items()
            if warm_enough(seen) and (seconds := ends_in(seen, now(), targeted)) is not None
        }
        if not ending:
            break
        await pause(max(ending.values()) + AGE_GRAIN_SECONDS)
        targets, others = (tuple(view for view in some if view in ending) for some in (views.targets, views.others))
        found |= await _warm(site, Scene(targets, others))
    return found


async def _look(site: Site, proof: Proof, views: Sequence[View]) -> Proof:
    """Ask some targets until each is kept again, a bounded number of times."""
    found: dict[View, list[Exchange]] = defaultdict(list)
    for _ in range(MAX_TRIES):
        if not (cold := [view for view in views if not kept_again(found[view])]):
            break
        for view, exchange in zip(cold, await _ask(site, cold), strict=True):
            found[view].append(exchange)
    more = {view: [*proof.after.get(view, ()), *found[view]] for view in views}
    return replace(proof, after={**proof.after, **more})


async def _ask(site: Site, views: Sequence[View]) -> list[Exchange]:
    return await ask(site, [view.probe for view in views], connections=4)


def _flight(site: Site, proof: Proof) -> float:
    """Seconds that a fetch from the origin may take."""
    warm = [exchange for answers in proof.warm.values() for exchange in answers]
    return max(flight(site.rule_for(view.path), warm) for view in proof.scene.targets)


def _watch(site: Site, proof: Proof) -> float:
    """Seconds after the purge at which the rules want the last look; 0 when none says."""
    rules = [site.rule_for(view.path) for view in proof.scene.targets]
    return max((rule.purge.watch or 0.0 for rule in rules if rule and rule.purge), default=0.0)


def _window(proof: Proof) -> float:
    """Seconds in which a softly purged copy may still be served."""
    return stale_window([answers[-1] for answers in proof.after.values()]) if proof.soft else 0.0
