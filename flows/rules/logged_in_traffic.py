"""Logged-in traffic: no visitor gets another's page, and a member is not answered from the shared store."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flows.rules.cache_status import CacheState, cache_state
from flows.rules.exchange import Exchange
from flows.rules.site import Audience, Rule, Site
from flows.rules.subject import unanswered, verdict_on
from flows.rules.verdict import Claim, Finding, Outcome, Verdict
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

#: Characters from which on a cookie's value can tell one visitor from all others.
IDENTITY = 8

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
    pages = {who: [exchange for letter, exchange in steps if letter == who] for who in "AB" if who in actors}
    # A visitor who began with no member's page at all tells nothing about the store.
    mine = [
        exchange
        for seen in pages.values()
        if any(not _strange(seen[:1], actors[owner], status) for owner in pages)
        for exchange in seen
    ]
    leak = _leak(steps, actors)
    if leak.outcome is not Outcome.FAIL:
        for who, seen in pages.items():
            yield _is_personal(seen, actors[who], status)
    if mine or leak.outcome is Outcome.FAIL:
        yield leak
    if not mine:
        return
    strangers = [exchange for who, exchange in steps if who == "N"]
    own = [exchange for exchange in mine if any(actors[owner].shows_in(exchange) for owner in pages)]
    bodies = {exchange.body_hash for exchange in own}
    copies = [n for n in strangers if cache_state(n).from_store and n.body_hash in bodies]
    saw = "the member's copy as a HIT" if copies else ", ".join(f"{n.status} {cache_state(n)}" for n in strangers)
    holds = not copies if _tells(strangers) else None
    yield STORED.against(saw, "an answer of their own", holds=holds, evidence=copies or strangers)
    yield _not_from_store(mine)
    if "B" not in actors:
        yield MEMBERS.against("one test member", "two", holds=None)
    yield from _cookies(steps)


def _is_personal(seen: Sequence[Exchange], member: Visitor, status: int) -> Finding:
    strange = _strange(seen, member, status)
    saw = "a sentinel on every visit"
    if strange:
        saw = f"{strange[0].status}" if strange[0].status != status else f"no sentinel of {member.name}"
    wanted = f"{status} with a sentinel of {member.name}"
    return PERSONAL.against(saw, wanted, holds=None if strange else True, evidence=strange or seen)


def _strange(seen: Sequence[Exchange], member: Visitor, status: int) -> list[Exchange]:
    """The answers that are not the member's own page."""
    return [exchange for exchange in seen if exchange.status != status or not member.shows_in(exchange)]


def _tells(seen: Sequence[Exchange]) -> bool:
    """Whether a cache said what it did, at least once."""
    return any(cache_state(exchange) is not CacheState.UNKNOWN for exchange in seen)


def _leak(steps: Steps, actors: Mapping[str, Visitor]) -> Finding:
    owners = [(who, actor) for who, actor in actors.items() if actor.sentinels]
    leaks = [
        (who, owner.name, exchange)
        for who, exchange in steps
        for letter, owner in owners
        if letter != who and owner.shows_in(exchange)
    ]
    saw = "; ".join(sorted({f"{actors[who].name} got a page of {owner}" for who, owner, _ in leaks})) or "no sentinel"
    if not owners:
        return LEAK.against("no sentinel to look for", "only one's own sentinels", holds=None)
    evidence = [exchange for _, _, exchange in leaks] or [exchange for _, exchange in steps]
    return LEAK.against(saw, "only one's own sentinels", holds=not leaks, evidence=evidence)


def _not_from_store(mine: Sequence[Exchange]) -> Finding:
    stored = [exchange for exchange in mine if cache_state(exchange).from_store]
    states = ", ".join(cache_state(exchange) for exchange in mine)
    return SHARED.against(states, "no HIT", holds=not stored if _tells(mine) else None, evidence=stored or mine)


def _cookies(steps: Steps) -> Iterator[Finding]:
    owners: dict[tuple[str, str], set[str]] = {}
    carriers: dict[tuple[str, str], list[Exchange]] = {}
    for who, exchange in steps:
        for cookie in _identities(exchange):
            owners.setdefault(cookie, set()).add(who)
            carriers.setdefault(cookie, []).append(exchange)
    if not owners:
        return
    twice = [cookie for cookie, given_to in owners.items() if len(given_to) > 1]
    names = ", ".join(sorted({name for name, _ in twice or owners}))
    saw = f"{names} with the same value for two visitors" if twice else f"{names} with a value for each visitor"
    evidence = [exchange for cookie in twice or owners for exchange in carriers[cookie]]
    yield COOKIE.against(saw, "a value for each visitor", holds=not twice, evidence=evidence)


def _identities(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """The cookies, by name and value, that could stand for one visitor; a deletion or `lang=en` can't."""
    for cookie in exchange.all("set-cookie"):
        pair, *attributes = cookie.split(";")
        name, _, value = (part.strip() for part in pair.partition("="))
        deleted = any(re.fullmatch(r"\s*max-age\s*=\s*0+\s*", one, re.IGNORECASE) for one in attributes)
        if len(value) >= IDENTITY and not deleted:
            yield name, value


def _shared(rule: Rule, steps: Steps, actors: Mapping[str, Visitor]) -> Iterator[Finding]:
    (_, _), (_, warm), (_, member), (_, later) = steps
    if unsent := _unsent(rule, actors["A"]):
        yield BYPASS.against(unsent, "a request that the bypass names", holds=None, evidence=[member])
    elif not cache_state(warm).from_store:
        saw = f"{cache_state(warm)} on the second visit"
        yield BYPASS.against(saw, "a warm copy to try a member against", holds=None, evidence=[warm])
    elif member.status >= 500:
        yield BYPASS.against(member.status, "no server error for a member", holds=None, evidence=[warm, member])
    else:
        state = cache_state(member)
        holds = None if state.from_store is None else not state.from_store
        yield BYPASS.against(state, "no HIT for a member", holds=holds, evidence=[warm, member])
    if cache_state(warm).from_store:
        same, state = later.body_hash == warm.body_hash, cache_state(later)
        saw = f"{'the same copy' if same else 'another body'}, {state}"
        # A fresh answer can differ by itself, and says nothing of the copy that was kept.
        holds = same if state.from_store else None
        yield KEPT.against(saw, "the same copy", holds=holds, evidence=[warm, member, later])
    yield _leak(steps, actors)


def _unsent(rule: Rule, member: Visitor) -> str:
    """Why a member's visit is none that the bypass names; empty when it is one."""
    headers = {name.lower() for name, _ in member.headers}
    pairs = [pair for name, value in member.headers if name.lower() == "cookie" for pair in value.split(";")]
    cookies = {pair.partition("=")[0].strip() for pair in pairs}
    named = [bypass.when for bypass in rule.bypass if bypass.when.partition(" ")[0] in {"cookie", "header"}]
    for condition in named:
        kind, _, name = condition.partition(" ")
        if name in cookies if kind == "cookie" else name.lower() in headers:
            return ""
    return f"{member.name} sends no {' or '.join(named)}"
