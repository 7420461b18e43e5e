"""Looking at a rule's caching: plain visits, then what else its promises ask for, one request after another."""

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from roundsman.cache.rules.ageing import LATE_VISIT
from roundsman.cache.rules.judge import VISITS, late_at, plan
from roundsman.http.copies import RuleVisits
from roundsman.probe.ask import ask, pause
from roundsman.probe.probe import now
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site


async def examine(site: Site, rule: Rule, visitor: Visitor) -> RuleVisits:
    """Ask each example of a rule a few times in a row, as one visitor; then make the steps of its plan as a stranger.

    The steps are made over one connection, which mostly leads to one and the same cache server, and in their order.
    """
    seen: dict[str, list[Exchange]] = defaultdict(list)
    probes = [Probe(site.url(path), headers=visitor.headers) for path in rule.routes]
    for _ in range(VISITS):
        for path, exchange in zip(rule.routes, await ask(site, probes), strict=True):
            seen[path].append(exchange)
    steps = plan(site, rule, seen, secrets.token_hex(8))
    extra: dict[str, dict[str, list[Exchange]]] = defaultdict(lambda: defaultdict(list))
    made = await ask(site, [step.probe for step in steps], connections=1, again=False)
    for step, exchange in zip(steps, made, strict=True):
        extra[step.route][step.name].append(exchange)
    return RuleVisits(dict(seen), {route: dict(named) for route, named in extra.items()})


async def look_again(site: Site, rules: Sequence[Rule], looks: Sequence[RuleVisits]) -> list[RuleVisits]:
    """Visit one route of each rule once more, late enough for its Age to have grown. Waits two seconds at most."""
    due = [late_at(rule, look) for rule, look in zip(rules, looks, strict=True)]
    paths = [path for each in due for path in each]
    if not paths:
        return list(looks)
    await pause(max(at for each in due for at in each.values()) - now())
    late = dict(zip(paths, await ask(site, [Probe(site.url(path)) for path in paths]), strict=True))
    return [_with(look, {path: late[path] for path in each}) for look, each in zip(looks, due, strict=True)]


def _with(look: RuleVisits, late: dict[str, Exchange]) -> RuleVisits:
    more = {path: {**look.extra.get(path, {}), LATE_VISIT: [exchange]} for path, exchange in late.items()}
    return replace(look, extra={**look.extra, **more})
