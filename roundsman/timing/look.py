"""Looking at routes, a batch at a time. What is measured is never cached."""

import secrets

from roundsman.probe.ask import ask, ask_apart
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site
from roundsman.timing.rules.sampling import plan

#: Requests under way at once: so many that a slow answer keeps nobody waiting, and not so many as to be a load.
AT_ONCE = 64

Seen = dict[str, list[Exchange]]


async def sample(site: Site, rule: Rule, visitor: Visitor) -> Seen:
    """Take the response times of a rule's routes by `sampling.plan`, without those that only warm up."""
    planned = plan(site, rule, visitor, lambda: secrets.token_hex(8))
    seen: Seen = {one.path: [] for one in planned}
    answers = await ask_apart(site, [one.probe for one in planned], connections=AT_ONCE)
    for one, exchange in zip(planned, answers, strict=True):
        if not one.warms_up:
            seen[one.path].append(exchange)
    return seen


async def glance(site: Site, path: str) -> Exchange:
    """Ask one path once, as a stranger."""
    return (await ask(site, [Probe(site.url(path))]))[0]
