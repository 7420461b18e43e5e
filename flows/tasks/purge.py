"""Purging by a plan: what the edges can, and every request of a plan in its order. It judges nothing."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict
from itertools import groupby
from typing import Protocol

import httpx

from blocks.edge import Edge
from blocks.purge import Order, PurgeError, Receipt
from flows.rules.purge_plan import Plan, Powers, Request
from flows.rules.quantity import spoken
from flows.rules.site import Site
from flows.rules.targeted_purge import Purged
from flows.tasks.ask import outside
from flows.tasks.probe import now
from flows.tasks.vendors import block

#: Seconds that an edge may take at most until it says that a purge is done everywhere.
LONGEST = 300.0


class Gate(Protocol):
    """What each request of a purge waits for, and is told of each refusal."""

    async def wait(self, name: str, edge: Edge, items: int) -> None:
        """Return when a request with so many items may be sent."""

    async def told(self, name: str, edge: Edge, error: PurgeError) -> None:
        """Hear what an edge said in place of a success."""


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


async def carry_out(edges: Mapping[str, Edge], plan: Plan, *, linger: bool = True) -> Purged:
    """Send every request, tier by tier; a tier is begun when the one before is done on every node.

    `linger=False` does not wait in the end where an edge never says that it is done.

    A node in trouble does not keep the others of its tier from being asked, but the next tier would only fetch the old
    copy again, and is not begun.

    Raises:
        PurgeError: with what went wrong, and the receipts of what was done in this tier.
    """
    started, said, unsettled = now(), [], ""
    with outside():
        async with httpx.AsyncClient() as client:
            for _, tier in groupby(plan.requests, key=lambda request: request.tier):
                done: list[tuple[Edge, Receipt]] = []
                errors: list[PurgeError] = []
                for request in tier:
                    try:
                        done.append((edges[request.edge], await _send(edges[request.edge], request, client)))
                    except PurgeError as error:
                        errors.append(error)
                if errors:
                    raise PurgeError.of(errors, [receipt for _, receipt in done])
                answers = Counter(f"{one.status}{' (was not there)' if one.absent else ''}" for _, one in done)
                said += [f"{many} x {answer}" if many > 1 else answer for answer, many in answers.items()]
                is_last = request.tier == plan.requests[-1].tier
                unsettled = unsettled or await _settle(done, client, linger=linger or not is_last)
    return Purged(started, now(), ", ".join(said), unsettled)


async def _send(edge: Edge, request: Request, client: httpx.AsyncClient) -> Receipt:
    """One request of a plan, when it is its turn."""
    asked = asdict(request)
    name = asked.pop("edge")
    del asked["tier"]
    if (turns := gate.get()) is None:
        return await edge.send(Order(**asked), client)
    await turns.wait(name, edge, len(request.items))
    try:
        return await edge.send(Order(**asked), client, patient=False)
    except PurgeError as error:
        await turns.told(name, edge, error)
        raise


async def _settle(done: Sequence[tuple[Edge, Receipt]], client: httpx.AsyncClient, *, linger: bool) -> str:
    """Wait until some purges are done on every node; what is not, in words, when the patience is over."""
    begun = now()
    for edge, receipt in done:
        until = begun + min(edge.settles_within, LONGEST)
        pause = 0.25
        while (settled := await edge.settled(receipt, client)) is False:
            if now() >= until:
                name, took = edge.get_block_type_name(), spoken(round(now() - begun))
                return f"{name} took the purge, and had not done it after {took}"
            await asyncio.sleep(min(pause, max(0.0, until - now())))
            pause = min(10.0, 2 * pause)
        if settled is None and linger:
            await asyncio.sleep(max(0.0, until - now()))
    return ""
