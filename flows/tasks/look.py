"""Looking at routes, a batch at a time. What is measured is never cached."""

import secrets

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.rules.exchange import Exchange, Probe
from flows.rules.promises import Audience, Rule
from flows.rules.response_time import states
from flows.rules.site import Site
from flows.rules.visitor import STRANGER, Visitor
from flows.tasks.ask import ask

Seen = dict[str, list[Exchange]]


@task(task_run_name="time {rule.name}", cache_policy=NO_CACHE, persist_result=False)
async def sample(site: Site, rule: Rule, visitor: Visitor) -> Seen:
    """Take the response times of a rule's routes: due at even intervals, warm first, hits and misses apart.

    A miss is made by a query that nobody else asks, so that no reader's copy is touched.
    """
    seen = {}
    for path in rule.routes:
        count = site.manners.samples
        every = 1 / site.manners.rate
        probes: list[Probe] = []
        shared = rule.cache.by is Audience.EVERYONE and path in rule.examples.cached
        if "hit" in states(rule, path):
            probes += [_probe(site, path, visitor, at) for at in range(count + 2)]
        if "miss" in states(rule, path):
            joint = "&" if "?" in path else "?"
            paths = [f"{path}{joint}roundsman={secrets.token_hex(8)}" if shared else path for _ in range(count + 1)]
            probes += [_probe(site, one, visitor, len(probes) + at) for at, one in enumerate(paths)]
        paced = [_due(one, one.at * every) for one in probes]
        if paced:
            seen[path] = await ask(site, paced, connections=4, again=False)
    return seen


@task(task_run_name="look at {path}", cache_policy=NO_CACHE, persist_result=False)
async def glance(site: Site, path: str) -> Exchange:
    """Ask one path once, as a stranger."""
    return (await ask(site, [_probe(site, path, STRANGER)]))[0]


def _probe(site: Site, path: str, visitor: Visitor, at: float = 0.0) -> Probe:
    return Probe(site.url(path), headers=visitor.headers, at=at)


def _due(probe: Probe, at: float) -> Probe:
    return Probe(probe.url, headers=probe.headers, at=at)
