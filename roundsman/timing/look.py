"""Looking at routes, a batch at a time. What is measured is never cached."""

import random
import secrets

from roundsman.http.target import with_query
from roundsman.probe.ask import ask, ask_apart, outside, probe_apart, user_agent
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site
from roundsman.timing.rules.interleaving import Arm, ArmExchange, Turn, turns
from roundsman.timing.rules.sampling import plan

#: Requests under way at once: so many that a slow answer keeps nobody waiting, and not so many as to be a load.
MAX_CONNECTIONS = 64

Seen = dict[str, list[Exchange]]


async def sample(site: Site, rule: Rule, visitor: Visitor) -> Seen:
    """Take the response times of a rule's routes by `sampling.plan`, without those that only warm up."""
    planned = plan(site, rule, visitor, lambda: secrets.token_hex(8))
    seen: Seen = {one.path: [] for one in planned}
    answers = await ask_apart(site, [one.probe for one in planned], connections=MAX_CONNECTIONS)
    for one, exchange in zip(planned, answers, strict=True):
        if not one.warms_up:
            seen[one.path].append(exchange)
    return seen


async def glance(site: Site, path: str) -> Exchange:
    """Ask one path once, as a stranger."""
    return (await ask(site, [Probe(site.url(path))]))[0]


async def ask_in_turn(
    site: Site, rule: Rule, baseline: str, candidate: str, samples: int
) -> dict[str, list[ArmExchange]]:
    """Ask a rule's routes at two addresses (scheme and host), in rounds, the baseline as two arms.

    One at a time and due at the site's rate, so that no arm waits for another; what comes back is in the order asked,
    without the warm-up.
    """
    order = turns(rule, samples, random.SystemRandom().shuffle)
    addresses = {Arm.BASELINE: baseline, Arm.AGAIN: baseline, Arm.CANDIDATE: candidate}
    probes = [_probe(site, turn, addresses[turn.arm], place) for place, turn in enumerate(order)]
    with outside():
        seen = await probe_apart(probes, manners=site.manners, user_agent=user_agent(site), connections=1)
    found: dict[str, list[ArmExchange]] = {turn.path: [] for turn in order}
    for turn, exchange in zip(order, seen, strict=True):
        if turn.round >= 0:
            found[turn.path].append(ArmExchange(turn.arm, turn.round, exchange, turn.fresh))
    return found


def _probe(site: Site, turn: Turn, address: str, place: int) -> Probe:
    path = with_query(turn.path, f"roundsman={secrets.token_hex(8)}") if turn.fresh else turn.path
    return Probe(
        f"{address}{path}",
        at=place / site.manners.rate,
        edge=(site.edge or "").partition("/")[0],
        status_header=site.status_header or "",
    )
