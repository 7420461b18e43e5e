"""The visits to one route: who asks for what, in which order, and when it ends early.

A plan asks nobody itself: it yields probes and is sent their answers, so that it can be tried against a made-up edge.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from roundsman.logged_in.rules import deception, unkeyed_headers
from roundsman.logged_in.rules.deception import Disguise
from roundsman.logged_in.rules.private_key import Query, own, probe, prove, read
from roundsman.logged_in.rules.unkeyed_headers import Injection
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.visitor import Step, Visitor, cast, leaks
from roundsman.site.rules.promises import Audience, Rule
from roundsman.site.rules.site import Site

#: Who asks, in order: A and B are the members, N is nobody.
PERSONAL_ORDER = "AABNNA"
SHARED_ORDER = "NNAN"
#: On a page for everyone whose rule speaks of no member: what one leaves to the next stranger.
PASSING_ORDER = "AN"


@dataclass(frozen=True, slots=True)
class Cleanup:
    """How the purge of what may have been stored went: its problem or "", and what a stranger then got of each URL."""

    urls: tuple[str, ...]
    problem: str = ""
    after: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True)
class Visits:
    """What was observed of one route. `asked` is the path that members were sent to; empty when none was safe."""

    proof: tuple[Exchange, ...] = ()
    asked: str = ""
    steps: tuple[Step, ...] = ()
    disguises: tuple[Disguise, ...] = ()
    injections: tuple[Injection, ...] = ()
    cleanup: Cleanup | None = None

    @property
    def query(self) -> Query:
        """What the edge was proven to do with a query."""
        return read(self.proof) if len(self.proof) == 3 else Query.UNKNOWN


def order(rule: Rule) -> str:
    """Who visits a rule's routes, in which order; empty when the rule promises members nothing."""
    if rule.cache.by is Audience.MEMBER:
        return PERSONAL_ORDER
    return SHARED_ORDER if rule.bypasses_cookies else ""


def routes(rule: Rule) -> tuple[str, ...]:
    """The routes that are visited: a member's, those with a bypass for members, and one of each other shared rule."""
    if rule.cache.by is Audience.MEMBER:
        return rule.examples.not_cached
    return rule.examples.cached if order(rule) else rule.examples.cached[:1]


def reflects(rule: Rule, path: str) -> bool:
    """Whether unkeyed headers are tried on a route: on the first shared one of each rule."""
    return path in rule.examples.cached[:1]


def visit(
    site: Site, rule: Rule, path: str, members: Sequence[Visitor], names: Iterator[str]
) -> Generator[Probe, Exchange, Visits]:
    """Visit one route. `names` are random, 32 hexadecimal digits each.

    Requests at most: 3 for the proof of a key of its own and 6 visits; on a member's page 24 in disguise; on the first
    shared route of a rule 22 with unkeyed headers. After a leak no member asks again.
    """
    can_log_in = bool(members) and not any(member.problem for member in members)
    compares = bool(order(rule)) and can_log_in
    if not (compares or reflects(rule, path)):
        return Visits()
    name, proof = yield from prove(site, path, names)
    if not all(exchange.answered for exchange in proof):
        return Visits(proof)
    query, actors = read(proof), cast(members)
    asked = ""
    steps: tuple[Step, ...] = ()
    disguises: tuple[Disguise, ...] = ()
    injections: tuple[Injection, ...] = ()
    if compares and (
        asked := _asked_path(site, rule, path, query, name if order(rule) == SHARED_ORDER else next(names))
    ):
        warm = [("N", exchange) for exchange in proof[:2]] if asked == proof[0].url.removeprefix(site.base_url) else []
        steps = yield from _visits(site, asked, order(rule), actors, warm)
        if rule.cache.by is Audience.MEMBER and _personal(steps, actors) and not leaks(steps, actors):
            disguises = yield from deception.attempt(site, path, actors["A"], names)
    if can_log_in and not order(rule) and query is Query.APART:
        steps = yield from _visits(site, own(path, next(names)), PASSING_ORDER, actors, [])
    if reflects(rule, path) and query is Query.APART and not leaks(steps, actors):
        injections = yield from unkeyed_headers.attempt(site, path, proof[0], names)
    return Visits(proof, asked, steps, disguises, injections)


def _asked_path(site: Site, rule: Rule, path: str, query: Query, name: str) -> str:
    """Where members may ask without a reader meeting what they leave; empty when there is no such place.

    Where strangers' answers are not kept, as on most members' pages, two misses are all the proof there can be.
    """
    if query is Query.APART:
        return own(path, name)
    if rule.allow_shared_key or site.staging:
        return path
    return own(path, name) if query is Query.COLD and rule.cache.by is Audience.MEMBER else ""


def _visits(
    site: Site, path: str, turns: str, actors: Mapping[str, Visitor], warm: Sequence[Step]
) -> Generator[Probe, Exchange, tuple[Step, ...]]:
    """The visits in their order; `warm` were made already. After a leak only the stranger asks, who stores nothing."""
    steps = list(warm)
    for who in turns[len(warm) :]:
        if who not in actors or (who != "N" and leaks(steps, actors)):
            continue
        exchange = yield probe(site, path, actors[who])
        steps.append((who, exchange))
        if not exchange.answered:
            break
    return tuple(steps)


def _personal(steps: Sequence[Step], actors: Mapping[str, Visitor]) -> bool:
    """Whether the first visit brought the member's own page: the login works, and a leak would show."""
    return bool(steps) and actors["A"].shows_in(steps[0][1])
