"""Asking as members and as strangers, and purging what that may have stored. It judges nothing."""

import secrets
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace

from roundsman.logged_in.rules import visit_plan as plan
from roundsman.logged_in.rules.cleanup import left, request_for
from roundsman.logged_in.rules.private_key import probe
from roundsman.logged_in.rules.visit_plan import Cleanup, Visits
from roundsman.probe.ask import ask
from roundsman.purge.prove import Edges, carry_out, powers_of
from roundsman.purge.rules.order import PurgeError
from roundsman.purge.rules.plan import plan_purge
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site

#: How long an edge is waited for until a purge is done: a round has other things to do.
MAX_WAIT_SECONDS = 60.0

VisitPlan = Generator[Probe, Exchange, Visits]
#: Finds the edges of a site; ValueError when one can't be had.
FindEdges = Callable[[Site], Awaitable[Edges]]


async def visit(site: Site, rule: Rule, members: Sequence[Visitor], find_edges: FindEdges) -> Mapping[str, Visits]:
    """Visit the routes of a rule, and purge what may be left of it in the store.

    How many requests each route takes at most stands at `roundsman.logged_in.rules.visit_plan.visit`; one more for
    each URL that is purged.
    """
    names = _names()
    visits = await _carry_out(site, {path: plan.visit(site, rule, path, members, names) for path in plan.routes(rule)})
    urls = {path: found for path, seen in visits.items() if (found := left(site, rule, path, seen, members))}
    if not urls:
        return visits
    every = tuple(dict.fromkeys(url for found in urls.values() for url in found))
    problem = await _purge(site, every, find_edges)
    paths = [] if problem else [url.removeprefix(site.base_url) for url in every]
    after = dict(zip(every, await ask(site, [probe(site, path) for path in paths]), strict=False))
    cleanups = {
        path: Cleanup(found, problem, tuple(after[url] for url in found if after)) for path, found in urls.items()
    }
    return visits | {path: replace(visits[path], cleanup=cleanup) for path, cleanup in cleanups.items()}


def _names() -> Iterator[str]:
    """Random names of 128 bits."""
    while True:
        yield secrets.token_hex(16)


async def _carry_out(site: Site, plans: Mapping[str, VisitPlan]) -> dict[str, Visits]:
    """Carry out plans side by side: what each wants to ask next goes into one batch."""
    visits: dict[str, Visits] = {}
    answers: dict[str, Exchange] = {}
    while len(visits) < len(plans):
        wanted: dict[str, Probe] = {}
        for path, steps in plans.items():
            if path in visits:
                continue
            try:
                wanted[path] = steps.send(answers[path]) if path in answers else next(steps)
            except StopIteration as end:
                visits[path] = end.value
        answers = dict(zip(wanted, await ask(site, list(wanted.values())), strict=True))
    return {path: visits[path] for path in plans}


async def _purge(site: Site, urls: Sequence[str], find_edges: FindEdges) -> str:
    """Why some URLs could not be purged; empty when every edge took the purge."""
    if site.edge is None:
        return "the site names no edge"
    try:
        edges = await find_edges(site)
        planned = plan_purge(site, request_for(site, urls, secrets.token_hex(16)), powers_of(edges))
        if not planned.refusals:
            # What is not done by then is found by the look at it.
            await carry_out(edges, planned, patience=MAX_WAIT_SECONDS)
    except (PurgeError, ValueError) as error:
        return str(error)
    return "; ".join(map(str, planned.refusals))
