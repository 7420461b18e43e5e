"""Copies in a store: which answers came from one, and whether two answers are the same copy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from roundsman.http.cache_status import cache_state, in_words
from roundsman.http.freshness import age, birth, lifetime, storable
from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import Exchange, Probe

#: Seconds by which the births of one copy may differ: Age is cut to whole seconds on its way, perhaps more than once.
AGE_GRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ProbeStep:
    """One look at a route beside the plain visits: on whose verdict it bears, what for, and what to ask."""

    route: str
    name: str
    probe: Probe


#: What came of the steps of one route, by their names and in their order.
Extra = Mapping[str, Sequence[Exchange]]


@dataclass(frozen=True, slots=True)
class RuleVisits:
    """What was seen of a rule: the plain visits of each route, and what came of the steps of some."""

    seen: Mapping[str, Sequence[Exchange]]
    extra: Mapping[str, Extra] = field(default_factory=dict)


def kept(seen: Sequence[Exchange]) -> list[Exchange]:
    """The answers that came from a store."""
    return [exchange for exchange in seen if cache_state(exchange).from_store]


def tells(seen: Sequence[Exchange]) -> bool:
    """Whether a cache said what it did, at least once."""
    return any(cache_state(exchange).from_store is not None for exchange in seen)


def states(seen: Sequence[Exchange]) -> str:
    """What the caches said they did, in a row."""
    return ", ".join(["no answer" if exchange.error else in_words(exchange) for exchange in seen])


def observed(seen: Sequence[Exchange]) -> str:
    """States and ages in a row, as `MISS, HIT, HIT; Age 0, 0, 3`; no ages where the edge sends none."""
    ages = [age(exchange) for exchange in seen]
    shown = ", ".join("none" if one is None else str(one) for one in ages)
    return states(seen) + (f"; Age {shown}" if any(one is not None for one in ages) else "")


def difference(one: Exchange, other: Exchange) -> str:
    """In what two answers are not the same copy, in a word or two; empty when nothing tells them apart."""
    if one.body_hash != other.body_hash:
        return "another body"
    for name in ("etag", "last-modified"):
        if one.header(name) != other.header(name):
            return f"another {name}"
    born, reborn = birth(one), birth(other)
    if born is not None and reborn is not None and abs(born - reborn) > AGE_GRAIN_SECONDS:
        return "another birth time"
    return ""


def by_rfc(first: Exchange, targeted: Sequence[str], *, authorized: bool = False) -> str:
    """What a shared cache may do with an answer, as `storable: `max-age`, RFC 9111 3; fresh for 10m`."""
    answer = storable(first, authorized=authorized, targeted=targeted)
    if not answer.yes:
        return f"not storable: {answer.why}"
    limit = lifetime(first, targeted=targeted)
    return f"storable: {answer.why}{'' if limit is None else f'; fresh for {spoken(limit)}'}"


def silence(seen: Sequence[Exchange]) -> str:
    """Why some answers say nothing: none came, or a server error did; empty when they can be judged."""
    for exchange in seen:
        if not exchange.answered:
            return f"no answer: {exchange.detail or exchange.error}"
        if exchange.status >= 500:
            return f"{exchange.status}"
    return "" if seen else "not tried"
