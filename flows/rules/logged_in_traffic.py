"""Logged-in traffic: no visitor gets another's page, and a member is not answered from the shared store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flows.rules.cache_status import CacheState, cache_state
from flows.rules.exchange import Exchange
from flows.rules.site import Audience, Rule, Site
from flows.rules.subject import unanswered, verdict_on
from flows.rules.verdict import Claim, Finding, Verdict
from flows.rules.visitor import STRANGER, Visitor

CHECK = "logged-in-traffic"

PERSONAL = Claim(f"{CHECK}/personal", "The member's page is personal, so that a leak would show.")
LEAK = Claim(f"{CHECK}/leak", "Nobody sees what belongs to another member.")
STORED = Claim(f"{CHECK}/stored", "No stranger gets the copy that a member's visit made.")
SHARED = Claim(f"{CHECK}/not-from-store", "A member is not answered from the shared store.")
COOKIE = Claim(f"{CHECK}/set-cookie", "No two visitors are given the same cookie.")
BYPASS = Claim(f"{CHECK}/bypass", "A warm shared copy is not handed to a member.")
KEPT = Claim(f"{CHECK}/copy-kept", "A member's visit does not replace the shared copy.")
MEMBERS = Claim(f"{CHECK}/members", "Two test members can log in.")

#: Who asks, in order: A and B are the members, N is nobody.
PERSONAL_ORDER = "AABNNA"
SHARED_ORDER = "NNAN"


def order(rule: Rule) -> str:
    """Who visits a rule's routes, in which order; empty when the rule promises members nothing."""
    if rule.cache.by is Audience.MEMBER:
        return PERSONAL_ORDER
    return SHARED_ORDER if rule.bypasses_cookies else ""


def routes(rule: Rule) -> tuple[str, ...]:
    """The routes that the order is walked on."""
    return rule.examples.not_cached if rule.cache.by is Audience.MEMBER else rule.examples.cached


def cast(members: Sequence[Visitor]) -> Mapping[str, Visitor]:
    """Who plays A, B and N. With one member alone, B is missing."""
    return dict(zip("AB", members, strict=False)) | {"N": STRANGER}


def judge(site: Site, rule: Rule, path: str, seen: Sequence[Exchange], members: Sequence[Visitor]) -> Verdict:
    """Judge one route by the exchanges of its order; those of a missing B are left out."""
    actors = _told_apart(cast(members))
    steps = [(who, exchange) for who, exchange in zip([w for w in order(rule) if w in actors], seen, strict=False)]
    failed = [f"{member.name}: {member.problem}" for member in members if member.problem]
    if failed or not members:
        why = "; ".join(failed) or "the site file names no sessions"
        findings = [MEMBERS.against(why, "two test members that can log in", holds=None)]
    elif silent := unanswered(CHECK, seen):
        findings = [silent]
    elif rule.cache.by is Audience.MEMBER:
        findings = list(_personal(steps, actors, rule.status))
    else:
        findings = list(_shared(rule, steps, actors))
    return verdict_on(site, rule, CHECK, path, findings)


Steps = Sequence[tuple[str, Exchange]]


def _told_apart(actors: Mapping[str, Visitor]) -> Mapping[str, Visitor]:
    """The actors with only those sentinels that tell: an empty one is on every page, a common one on both members'."""

    def own(letter: str) -> tuple[str, ...]:
        others = [value for other, actor in actors.items() if other != letter for value in actor.sentinels]
        mine = actors[letter].sentinels
        return tuple(value for value in mine if value.strip() and not any(value in theirs for theirs in others))

    return {letter: replace(actor, sentinels=own(letter)) for letter, actor in actors.items()}


def _personal(steps: Steps, actors: Mapping[str, Visitor], status: int) -> Iterator[Finding]:
    leak = _leak(steps, actors)
    pages = {who: [exchange for letter, exchange in steps if letter == who] for who in "AB" if who in actors}
    if leak.outcome is not Outcome.FAIL:
        for who, seen in pages.items():
            yield _is_personal(actors[who], seen, status)
    elif any(exchange.status != status for seen in pages.values() for exchange in seen):
        yield from (_is_personal(actors[who], seen, status) for who, seen in pages.items())
    yield leak
    # A session that never worked says nothing about the store.
    mine = [
        exchange
        for who, seen in pages.items()
        if _mends(actors[who], seen[0], status)
        for exchange in seen
    ]
def _leak(steps: Steps, actors: Mapping[str, Visitor]) -> Finding:
    owners = [(who, actor) for who, actor in actors.items() if actor.sentinels]
    leaks = [
        (who, owner.name, exchange)
        for who, exchange in steps
        for letter, owner in owners
        if letter != who and owner.shows_in(exchange)
    ]
    saw = "; ".join(sorted({f"{actors[who].name} got a page of {owner}" for who, owner, _ in leaks})) or "no sentinel"
    evidence = [exchange for _, _, exchange in leaks] or [exchange for _, exchange in steps]
    return LEAK.against(saw, "only one's own sentinels", holds=not leaks, evidence=evidence)


def _not_from_store(mine: Sequence[Exchange]) -> Finding:
    stored = [exchange for exchange in mine if cache_state(exchange).from_store]
    states = ", ".join(cache_state(exchange) for exchange in mine)
    return SHARED.against(states, "no HIT", holds=not stored, evidence=stored or mine)


def _cookies(steps: Steps) -> Iterator[Finding]:
    given: dict[str, str] = {}
    twice = [
        exchange
        for who, exchange in steps
        for value in exchange.all("set-cookie")
        if given.setdefault(value, who) != who and value.partition(";")[0].partition("=")[2]
    ]
    if given:
        names = ", ".join(sorted({value.partition("=")[0] for value in given}))
        saw = f"{names} with the same value for two visitors" if twice else f"{names} with a value for each visitor"
        evidence = twice or [exchange for _, exchange in steps if exchange.all("set-cookie")]
        yield COOKIE.against(saw, "a value for each visitor", holds=not twice, evidence=evidence)


def _shared(steps: Steps, actors: Mapping[str, Visitor]) -> Iterator[Finding]:
    (_, _), (_, warm), (_, member), (_, later) = steps
    if not cache_state(warm).from_store:
        saw = f"{cache_state(warm)} on the second visit"
        yield BYPASS.against(saw, "a warm copy to try a member against", holds=None, evidence=[warm])
    else:
        state = cache_state(member)
        holds = None if state.from_store is None else not state.from_store
        yield BYPASS.against(state, "no HIT for a member", holds=holds, evidence=[warm, member])
        kept = later.body_hash == warm.body_hash
        saw = "the same copy" if kept else f"another body, {cache_state(later)}"
        yield KEPT.against(saw, "the same copy", holds=kept, evidence=[warm, member, later])
    yield _leak(steps, actors)
