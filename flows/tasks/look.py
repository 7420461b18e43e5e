"""Looking at routes, a batch at a time. What is measured is never cached."""

import secrets

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.rules.exchange import Exchange, Probe
from flows.rules.promises import Rule
from flows.rules.sampling import plan
from flows.rules.site import Site
from flows.rules.visitor import Visitor
from flows.tasks.ask import ask, ask_apart

#: Requests under way at once: so many that a slow answer keeps nobody waiting, and not so many as to be a load.
AT_ONCE = 64

Seen = dict[str, list[Exchange]]


@task(task_run_name="time {rule.name}", cache_policy=NO_CACHE, persist_result=False)
async def sample(site: Site, rule: Rule, visitor: Visitor) -> Seen:
    """Take the response times of a rule's routes by `flows.rules.sampling.plan`, without those that only warm up."""
    planned = plan(site, rule, visitor, lambda: secrets.token_hex(8))
    seen: Seen = {one.path: [] for one in planned}
    answers = await ask_apart(site, [one.probe for one in planned], connections=AT_ONCE)
    for one, exchange in zip(planned, answers, strict=True):
        if not one.warms_up:
            seen[one.path].append(exchange)
    return seen


@task(task_run_name="look at {path}", cache_policy=NO_CACHE, persist_result=False)
async def glance(site: Site, path: str) -> Exchange:
    """Ask one path once, as a stranger."""
    return (await ask(site, [Probe(site.url(path))]))[0]
