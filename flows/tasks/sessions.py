"""Asking as members and as strangers, and purging what that may have stored. It judges nothing."""

import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.edge import PurgeError
from flows.tasks.purge import carry_out, edges_of, powers_of
from roundsman.logged_in.rules import visit_plan as plan
from roundsman.logged_in.rules.cleanup import left, wish
from roundsman.logged_in.rules.private_key import probe
from roundsman.logged_in.rules.visit_plan import Purge, Walk
from roundsman.probe.ask import ask
from roundsman.purge.rules.plan import plan_purge
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site

#: Seconds for which an edge is waited for until a purge is done: a round has other things to do.
PATIENCE = 60.0

Plan = Generator[Probe, Exchange, Walk]


@task(task_run_name="walk {rule.name}", cache_policy=NO_CACHE, persist_result=False)
async def walk(site: Site, rule: Rule, members: Sequence[Visitor]) -> Mapping[str, Walk]:
    """Walk the routes of a rule, and purge what may be left of it in the store.

    How many requests each route takes at most is said at `roundsman.logged_in.rules.visit_plan.walk`; one more for each
    URL that is purged.
    """
    names = _names()
    walks = await _talk(site, {path: plan.walk(site, rule, path, members, names) for path in plan.routes(rule)})
    urls = {path: found for path, seen in walks.items() if (found := left(site, rule, path, seen, members))}
    if not urls:
        return walks
    every = tuple(dict.fromkeys(url for found in urls.values() for url in found))
    problem = await _purge(site, every)
    paths = [] if problem else [url.removeprefix(site.base_url) for url in every]
    after = dict(zip(every, await ask(site, [probe(site, path) for path in paths]), strict=False))
    purges = {path: Purge(found, problem, tuple(after[url] for url in found if after)) for path, found in urls.items()}
    return walks | {path: replace(walks[path], purge=purge) for path, purge in purges.items()}


def _names() -> Iterator[str]:
    """Random names of 128 bits."""
    while True:
        yield secrets.token_hex(16)


async def _talk(site: Site, plans: Mapping[str, Plan]) -> dict[str, Walk]:
    """Carry out plans side by side: what each wants to ask next goes into one batch."""
    walks: dict[str, Walk] = {}
    wanted: dict[str, Probe] = {}
    answers: dict[str, Exchange | None] = dict.fromkeys(plans)
    while answers:
        wanted.clear()
        for path, answer in answers.items():
            try:
                # Sending None starts a plan.
                wanted[path] = plans[path].send(answer)
            except StopIteration as end:
                walks[path] = end.value
        answers = dict(zip(wanted, await ask(site, list(wanted.values())), strict=True))
    return {path: walks[path] for path in plans}


async def _purge(site: Site, urls: Sequence[str]) -> str:
    """Why some URLs could not be purged; empty when every edge took the purge."""
    if site.edge is None:
        return "the site names no edge"
    try:
        edges = await edges_of(site)
        planned = plan_purge(site, wish(site, urls, secrets.token_hex(16)), powers_of(edges))
        if not planned.refusals:
            # What is not done by then is found by the look at it.
            await carry_out(edges, planned, patience=PATIENCE)
    except (PurgeError, ValueError) as error:
        return str(error)
    return "; ".join(map(str, planned.refusals))
