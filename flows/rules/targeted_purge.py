"""Targeted purge: this route is new, its neighbours are not, and it is cached again.

A 200 from the purge, a MISS and an Age of 0 each prove nothing alone. What proves is, in this order, a content marker
that changed, a copy born after the purge on the prober's own clock, and only then the edge's label.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from flows.rules.cache_control import birth, left
from flows.rules.cache_status import cache_state
from flows.rules.exchange import Exchange
from flows.rules.quantity import spoken
from flows.rules.site import Audience, Marker, PurgeDrill, Rule, Site
from flows.rules.subject import unanswered, verdict_on, wrong_status
from flows.rules.verdict import Claim, Finding, Outcome, Verdict

CHECK = "targeted-purge"

WARM = Claim(f"{CHECK}/warm", "The route is in the store, with time left, so that a purge can show.")
TOUCHED = Claim(f"{CHECK}/touched", "The command that changes the canary works.", breach=Outcome.UNKNOWN)
ACCEPTED = Claim(f"{CHECK}/accepted", "The edge takes the purge.")
REFRESHED = Claim(f"{CHECK}/refreshed", "After the purge the route is new.")
CACHED_AGAIN = Claim(f"{CHECK}/cached-again", "The new copy is kept.")
NEIGHBOUR = Claim(f"{CHECK}/neighbour", "The purge leaves its neighbours alone.")
CONTROL = Claim(f"{CHECK}/control", "A far route did not change by itself meanwhile.")
NO_CONTROL = replace(CONTROL, breach=Outcome.WARN)

#: Seconds: the grain of Age on both sides of a birth time.
GRAIN = 1.0
#: Requests made to see two HITs in a row before the purge, and one HIT after it.
TRIES = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a drill asks: the canary, neighbours that must stay, and a far control."""

    canary: str
    neighbours: tuple[str, ...]
    control: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path, the canary first."""
        return (self.canary, *self.neighbours, *filter(None, [self.control]))


@dataclass(frozen=True, slots=True)
class Drill:
    """What happened, in order. `warm` holds every request before the purge by path; times are on the prober's clock."""

    plan: Plan
    warm: dict[str, list[Exchange]]
    touch_problem: str = ""
    purged_at: float = 0.0
    answer: str = ""
    problem: str = ""
    permanent: bool = False
    after: list[Exchange] = field(default_factory=list)
    others: dict[str, Exchange] = field(default_factory=dict)


def plan(site: Site, rule: Rule, drill: PurgeDrill, nonce: str) -> Plan:
    """Choose two neighbours (siblings first, then the canary under a query of its own) and a far control."""
    siblings = [path for path in rule.examples.cached if path != drill.canary]
    joint = "&" if "?" in drill.canary else "?"
    neighbours = (*siblings[:2], f"{drill.canary}{joint}roundsman={nonce}")[:2]
    far = (
        path
        for other in site.rules
        if other.name != rule.name and other.cache.by is Audience.EVERYONE
        for path in other.examples.cached
    )
    return Plan(drill.canary, neighbours, next(far, ""))


def warm_enough(seen: Sequence[Exchange]) -> bool:
    """Whether the last two answers were hits on the same copy."""
    return (
        len(seen) > 1
        and all(cache_state(exchange).from_store for exchange in seen[-2:])
        and seen[-1].body_hash == seen[-2].body_hash
    )


def age_to_wait(warm: Sequence[Exchange], now: float) -> float:
    """Seconds to wait so that old and new births differ by more than the grain; 0 when the edge sends no Age."""
    born = birth(warm[-1])
    return 0.0 if born is None else max(0.0, born + 2 * GRAIN + 0.1 - now)


def mark(exchange: Exchange, marker: Marker | None) -> str:
    """The content marker of a response; empty when it has none."""
    if marker is None:
        return ""
    if marker.header:
        return exchange.header(marker.header)
    found = re.search(marker.pattern or "", (exchange.body or b"").decode("utf-8", "replace"))
    return found[1 if found.re.groups else 0] if found else ""


def judge(site: Site, rule: Rule, promise: PurgeDrill, drill: Drill) -> Verdict:
    """Judge a whole drill."""
    seen = [*(exchange for every in drill.warm.values() for exchange in every), *drill.after, *drill.others.values()]
    canary = drill.warm.get(drill.plan.canary, [])
    if silent := unanswered(CHECK, seen):
        findings = [silent]
    elif other := wrong_status(CHECK, canary + drill.after, rule.status):
        findings = [other]
    elif (cold := _cold(drill)) is not None:
        findings = [cold]
    elif drill.touch_problem:
        findings = [TOUCHED.against(drill.touch_problem, "exit 0", holds=False)]
    elif drill.problem:
        holds = False if drill.permanent else None
        findings = [ACCEPTED.against(drill.problem, "a purge that is taken", holds=holds)]
    else:
        findings = list(_proof(promise, drill))
    return verdict_on(site, rule, CHECK, promise.canary, findings)


def _cold(drill: Drill) -> Finding | None:
    """Why the drill can't be judged: a route that was not stored, or whose copy ends too soon by itself."""
    for path in drill.plan.paths:
        seen = drill.warm[path]
        if not warm_enough(seen):
            if path in drill.plan.neighbours and "roundsman=" in path:
                continue
            states = ", ".join(cache_state(exchange) for exchange in seen)
            return WARM.against(f"{path}: {states}", "two HITs in a row on the same copy", holds=None, evidence=seen)
        rest, needed = left(seen[-1]), 2 * _duration(drill)
        if rest is not None and rest < needed:
            wanted = f"more than {spoken(round(needed))} of its lifetime left"
            return WARM.against(f"{path}: {spoken(max(0, rest))} left", wanted, holds=None, evidence=seen[-1:])
    return None


def _duration(drill: Drill) -> float:
    """From the last warm look to the last one of all."""
    ends = [exchange.ended for exchange in [*drill.after, *drill.others.values()]]
    return max(ends, default=0.0) - min(seen[-1].started for seen in drill.warm.values()) if ends else 0.0


def _proof(promise: PurgeDrill, drill: Drill) -> Iterator[Finding]:
    moved = drill.plan.control and not _untouched(promise, drill, drill.plan.control)
    if drill.plan.control:
        yield _other(CONTROL, promise, drill, drill.plan.control, holds=None if moved else True)
    else:
        wanted = "another rule for everyone with a cached example"
        yield NO_CONTROL.against("no far route to watch", wanted, holds=False)
    yield ACCEPTED.against(drill.answer, "a purge that is taken", holds=True)
    yield _refreshed(promise, drill, certain=not moved)
    new = drill.after[0]
    again = [exchange for exchange in drill.after[1:] if cache_state(exchange).from_store]
    kept = any(exchange.body_hash == new.body_hash for exchange in again)
    states = ", ".join(cache_state(exchange) for exchange in drill.after)
    yield CACHED_AGAIN.against(states, "a HIT on the new copy", holds=kept, evidence=drill.after)
    watched = [path for path in drill.plan.neighbours if _keyed(drill, path)]
    if not watched:
        yield NEIGHBOUR.against("no neighbour to watch", "two examples beside the canary", holds=None)
    for path in watched:
        holds = _untouched(promise, drill, path)
        yield _other(NEIGHBOUR, promise, drill, path, holds=None if moved and not holds else holds)


def _refreshed(promise: PurgeDrill, drill: Drill, *, certain: bool) -> Finding:
    """The strongest proof that there is: marker, then birth time, then label."""
    old, new = drill.warm[drill.plan.canary][-1], drill.after[0]
    before, after, born = mark(old, promise.marker), mark(new, promise.marker), birth(new)
    evidence = [old, new]
    if before and after and before != after:
        return REFRESHED.against("a new marker (proven by content)", "a new copy", holds=True, evidence=evidence)
    if promise.touch and before and after:
        return REFRESHED.against(
            "the old marker, though the content changed", "a new one", holds=False, evidence=evidence
        )
    same = "content unchanged, "
    if born is not None:
        since = born - drill.purged_at
        saw = f"{same}born {abs(since):.1f}s {'after' if since >= 0 else 'before'} the purge (by birth time)"
        return REFRESHED.against(
            saw, "a copy born after the purge", holds=since >= -GRAIN if certain else None, evidence=evidence
        )
    state = cache_state(new)
    holds = None if state.from_store is None or not certain else not state.from_store
    return REFRESHED.against(f"{same}{state} (by label only)", "no HIT", holds=holds, evidence=evidence)


def _keyed(drill: Drill, path: str) -> bool:
    """A neighbour under a query counts only where the edge keeps queries apart: its first request was no hit."""
    return "roundsman=" not in path or (
        not cache_state(drill.warm[path][0]).from_store and warm_enough(drill.warm[path])
    )


def _untouched(promise: PurgeDrill, drill: Drill, path: str) -> bool:
    """Still the same copy: answered from the store, with the same content, born before the purge."""
    before, after = drill.warm[path][-1], drill.others[path]
    born = birth(after)
    return (
        bool(cache_state(after).from_store)
        and after.body_hash == before.body_hash
        and mark(after, promise.marker) == mark(before, promise.marker)
        and (born is None or born < drill.purged_at - GRAIN)
    )


def _other(claim: Claim, promise: PurgeDrill, drill: Drill, path: str, *, holds: bool | None) -> Finding:
    before, after = drill.warm[path][-1], drill.others[path]
    born = birth(after)
    aged = (
        ""
        if born is None
        else f", born {abs(born - drill.purged_at):.1f}s {'before' if born < drill.purged_at else 'after'} the purge"
    )
    same = mark(after, promise.marker) == mark(before, promise.marker) and after.body_hash == before.body_hash
    saw = f"{path}: {cache_state(after)}, {'same' if same else 'other'} content{aged}"
    return claim.against(saw, "the same copy as before", holds=holds, evidence=[before, after])
