"""Logged-in traffic: no visitor gets another's page, and a member is not answered from the shared store.

What is tried, in which order, is in `walk`; `deception` and `reflection` are the tests beside the visits, `cleaning`
is what came of the purge after them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from roundsman.cache.rules.plain_visits import cookie_names
from roundsman.http.cache_status import cache_state
from roundsman.http.copies import by_rfc, observed, states, tells
from roundsman.http.freshness import kept_out, storable
from roundsman.http.vendor_cookies import STICKY
from roundsman.logged_in.rules import cleanup as cleaning
from roundsman.logged_in.rules import deception
from roundsman.logged_in.rules import unkeyed_headers as reflection
from roundsman.logged_in.rules.claims import (
    BYPASS,
    CHECK,
    COOKIE,
    KEPT,
    LEAK,
    MEMBERS,
    OWN_KEY,
    PERSONAL,
    POLICY,
    SHARED,
    STORED,
)
from roundsman.logged_in.rules.private_key import NAME, Query, from_store
from roundsman.logged_in.rules.visit_plan import Walk, order, reflects
from roundsman.report.rules.exchange import Exchange, cookie_of
from roundsman.report.rules.redaction import redacted, secrets_of
from roundsman.report.rules.verdict import Finding, Outcome, Severity, Verdict
from roundsman.report.rules.visitor import Step, Visitor, cast, leaks
from roundsman.site.rules.promises import Audience, Rule
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_edge import targeted_of
from roundsman.site.rules.wording import redirected, unanswered, verdict_on

Steps = Sequence[Step]

#: Characters from which on a cookie's value can tell one visitor from all others.
IDENTITY = 8
#: Words with a short number at most, such as web-frontend-01: what a server calls itself or a group of visitors.
_WORD = r"(?:(?:[A-Z]?[a-z]{1,15}|[A-Z]{1,15})[0-9]{0,4}|[0-9]{1,4})"
_WORDS = re.compile(rf"{_WORD}(?:[-_.|: ]+{_WORD})*")


def judge(site: Site, rule: Rule, path: str, walk: Walk, members: Sequence[Visitor]) -> Verdict:
    """Judge one route by its walk."""
    found = [redacted(finding, secrets_of(members)) for finding in _findings(site, rule, path, walk, members)]
    law, seen = _columns(site, rule, walk, cast(members))
    return verdict_on(site, rule, CHECK, path, found, by_rfc=law, observed=seen)


def _findings(site: Site, rule: Rule, path: str, walk: Walk, members: Sequence[Visitor]) -> Iterator[Finding]:
    actors = cast(members)
    failed = [f"{member.name}: {member.problem}" for member in members if member.problem]
    silent = unanswered(CHECK, [*walk.proof, *(exchange for _, exchange in walk.steps)])
    if order(rule) and (failed or not members):
        why = "; ".join(failed) or "the site file names no sessions"
        yield MEMBERS.against(why, "two test members that can log in", holds=None)
    elif silent:
        leak = _leak(walk.steps, actors)
        yield from [leak] * (leak.outcome is Outcome.FAIL)
    elif order(rule):
        yield _own_key(rule, walk)
        if walk.asked and rule.cache.by is Audience.MEMBER:
            yield from _personal(site, rule, walk, actors)
        elif walk.asked:
            yield from _shared(rule, walk.steps, actors)
    elif walk.steps:
        yield from _in_passing(walk.steps, actors)
    if silent:
        yield silent
    else:
        yield from deception.findings(site, walk.disguises, actors.get("A", actors["N"]))
        if reflects(rule, path):
            yield from reflection.findings(walk.query, walk.injections, walk.proof[0])
    yield from cleaning.findings(site, walk, members)


def _own_key(rule: Rule, walk: Walk) -> Finding:
    if not walk.asked:
        asks = "`status_header` in the site file, or " if walk.query is Query.UNTOLD else ""
        wanted = f"{asks}`allow_shared_key: true` in the rule {rule.name}, or `staging: true` in the site file"
        return OWN_KEY.against(f"not tried: {walk.query}", wanted, holds=None, evidence=walk.proof)
    mine = f"{NAME}=" in walk.asked
    saw = f"{walk.query}; {'under a random one' if mine else 'on the real URL, as the site file allows'}"
    return OWN_KEY.against(saw, "a key that nobody else asks for, or leave to use the real one", holds=True)


def _columns(site: Site, rule: Rule, walk: Walk, actors: Mapping[str, Visitor]) -> tuple[str, str]:
    """What a shared cache may do with the page that the rule speaks of, and what it did in all visits."""
    seen = [exchange for _, exchange in walk.steps]
    if rule.cache.by is not Audience.MEMBER and not seen:
        seen = list(walk.proof)
    if not seen or not all(exchange.answered for exchange in seen):
        return "", ""
    first = actors.get("A", actors["N"]) if rule.cache.by is Audience.MEMBER else actors["N"]
    return by_rfc(seen[0], targeted_of(site), authorized=first.authorized), observed(seen)


def _personal(site: Site, rule: Rule, walk: Walk, actors: Mapping[str, Visitor]) -> Iterator[Finding]:
    steps = walk.steps
    pages = {who: [exchange for letter, exchange in steps if letter == who] for who in "AB" if who in actors}
    # A visitor who began with no member's page at all tells nothing about the store.
    mine = [
        exchange
        for seen in pages.values()
        if any(not _strange(seen[:1], actors[owner], rule.status) for owner in pages)
        for exchange in seen
    ]
    strangers = [exchange for who, exchange in steps if who == "N"]
    leak = _leak(steps, actors)
    if leak.outcome is not Outcome.FAIL:
        for who, seen in pages.items():
            yield _is_personal(seen, actors[who], rule.status, strangers)
    if mine or leak.outcome is Outcome.FAIL:
        yield leak
    if not mine:
        yield from _by_body(walk)
        # A page that is the same for everyone can still hand out a session.
        yield from _replayed(steps)
        return
    law = f"by the RFC {by_rfc(mine[0], targeted_of(site), authorized=actors['A'].authorized)}"
    own = [exchange for exchange in mine if any(actors[owner].shows_in(exchange) for owner in pages)]
    bodies = {exchange.body_hash for exchange in own}
    copies = [n for n in strangers if from_store(n) and n.body_hash in bodies]
    saw = ", ".join(f"{n.status} {cache_state(n)}" for n in strangers)
    if copies:
        saw = f"the member's copy as a {cache_state(copies[0])}; {law}"
    holds = not copies if tells(strangers) else None
    yield STORED.against(saw, "an answer of their own", holds=holds, evidence=copies or strangers)
    yield _not_from_store(mine, own, law)
    yield _policy(site, rule, mine[0], law, authorized=actors["A"].authorized)
    if "B" not in actors:
        yield MEMBERS.against("one test member", "two", holds=None)
    yield from _cookies(steps)


def _in_passing(steps: Steps, actors: Mapping[str, Visitor]) -> Iterator[Finding]:
    """What a member leaves on a page for everyone whose rule speaks of no member."""
    if actors["A"].sentinels:
        yield _leak(steps, actors)
    yield from _replayed(steps)


def _by_body(walk: Walk) -> Iterator[Finding]:
    """A finding when somebody got the very copy that a member's visit made, although no sentinel tells whose it is.

    Weaker than a sentinel: the page can be anybody's. One that the origin gives to strangers is no finding.
    """
    public = {exchange.body_hash for exchange in walk.proof}
    public |= {exchange.body_hash for who, exchange in walk.steps if who == "N" and from_store(exchange) is False}
    makers: dict[str, str] = {}
    for who, exchange in walk.steps:
        if who != "N" and from_store(exchange) is False and exchange.body_hash not in public:
            makers.setdefault(exchange.body_hash, who)
    copies = [
        exchange for who, exchange in walk.steps if from_store(exchange) and makers.get(exchange.body_hash, who) != who
    ]
    if copies:
        saw = f"a member's copy as a {cache_state(copies[0])}, by its body alone: no sentinel tells whose it is"
        yield STORED.against(saw, "an answer of their own", holds=False, evidence=copies)


def _is_personal(seen: Sequence[Exchange], member: Visitor, status: int, strangers: Sequence[Exchange]) -> Finding:
    strange = _strange(seen, member, status)
    saw = "a sentinel on every visit"
    if strange:
        first = strange[0]
        saw = f"{first.status}{redirected(first)}" if first.status != status else f"no sentinel of {member.name}"
        if first.body_hash in {exchange.body_hash for exchange in strangers}:
            saw += ": the stranger's page"
        if first.status // 100 == 3 or first.status == 401:
            saw += f"; {member.name} is not logged in"
        if not member.sentinels:
            saw = f"{member.name} has no sentinel that is in no other member's"
    wanted = f"{status} with a sentinel of {member.name}"
    return PERSONAL.against(saw, wanted, holds=None if strange else True, evidence=strange or seen)


def _strange(seen: Sequence[Exchange], member: Visitor, status: int) -> list[Exchange]:
    """The answers that are not the member's own page."""
    return [exchange for exchange in seen if exchange.status != status or not member.shows_in(exchange)]


def _leak(steps: Steps, actors: Mapping[str, Visitor]) -> Finding:
    found = leaks(steps, actors)
    said = {f"{actors[who].name} got a page of {actors[owner].name}" for who, owner, _ in found}
    if not any(actor.sentinels for actor in actors.values()):
        return LEAK.against("no sentinel to look for", "only one's own sentinels", holds=None)
    evidence = [exchange for _, _, exchange in found] or [exchange for _, exchange in steps]
    saw = "; ".join(sorted(said)) or "no sentinel"
    return LEAK.against(saw, "only one's own sentinels", holds=not found, evidence=evidence)


def _not_from_store(mine: Sequence[Exchange], own: Sequence[Exchange], law: str) -> Finding:
    stored = [exchange for exchange in mine if from_store(exchange)]
    # With a member's sentinel it is more than a rule broken: the store holds that page.
    held = any(exchange in own for exchange in stored)
    claim = replace(SHARED, severity=Severity.STORED) if held else SHARED
    saw = f"{law}, observed {states(mine)}" if held else states(mine)
    return claim.against(saw, "no HIT", holds=not stored if tells(mine) or stored else None, evidence=stored or mine)


def _policy(site: Site, rule: Rule, first: Exchange, law: str, *, authorized: bool) -> Finding:
    # A field of the edge's own opens what Cache-Control shuts.
    shut = (
        kept_out(first.header("cache-control"))
        and not storable(first, authorized=authorized, targeted=targeted_of(site)).yes
    )
    saw = law if shut or not rule.bypasses_cookies else f"{law}; the rule names its bypass"
    return POLICY.against(
        saw, "private or no-store, or a bypass in the rule", holds=shut or rule.bypasses_cookies, evidence=[first]
    )


def _cookies(steps: Steps) -> Iterator[Finding]:
    owners: dict[tuple[str, str], set[str]] = {}
    carriers: dict[tuple[str, str], list[Exchange]] = {}
    for place, (who, exchange) in enumerate(steps):
        for cookie in _identities(exchange):
            # A stranger brings no cookie, so each time it is another one; what the origin gives both may be the time.
            again = who == "N" and from_store(exchange)
            owners.setdefault(cookie, set()).add(f"{who}{place}" if again else who)
            carriers.setdefault(cookie, []).append(exchange)
    if not owners:
        return
    twice = [cookie for cookie, given_to in owners.items() if len(given_to) > 1]
    names = cookie_names(sorted({name for name, _ in twice or owners}))
    saw = f"{names} with the same value for two visitors" if twice else f"{names} with a value for each visitor"
    evidence = list({id(one): one for cookie in twice or owners for one in carriers[cookie]}.values())
    yield COOKIE.against(saw, "a value for each visitor", holds=not twice, evidence=evidence)


def _replayed(steps: Steps) -> Iterator[Finding]:
    """As `_cookies`, of those that came from the store; what the origin gives everybody is nobody's session."""
    return (one for one in _cookies(steps) if any(map(from_store, one.evidence)))


def _identities(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """The cookies, by name and value, that could stand for one visitor; a deletion, words or a backend can't."""
    for cookie in exchange.all("set-cookie"):
        _, *attributes = cookie.split(";")
        name, value = cookie_of(cookie)
        deleted = any(re.fullmatch(r"\s*max-age\s*=\s*0+\s*", one, re.IGNORECASE) for one in attributes)
        shared = _WORDS.fullmatch(value) or STICKY.fullmatch(f"{name}={value}")
        if len(value) >= IDENTITY and not deleted and not shared:
            yield name, value


def _shared(rule: Rule, steps: Steps, actors: Mapping[str, Visitor]) -> Iterator[Finding]:
    if [who for who, _ in steps[:3]] != ["N", "N", "A"]:
        yield _leak(steps, actors)
        return
    (_, _), (_, warm), (_, member), *after = steps
    if unsent := _unsent(rule, actors["A"]):
        yield BYPASS.against(unsent, "a request that the bypass names", holds=None, evidence=[member])
    elif not from_store(warm):
        saw = f"{cache_state(warm)} on the second visit"
        yield BYPASS.against(saw, "a warm copy to try a member against", holds=None, evidence=[warm])
    elif member.status >= 500:
        yield BYPASS.against(member.status, "no server error for a member", holds=None, evidence=[warm, member])
    else:
        stored = from_store(member)
        holds = None if stored is None else not stored
        yield BYPASS.against(cache_state(member), "no HIT for a member", holds=holds, evidence=[warm, member])
    if after and from_store(warm):
        later = after[0][1]
        same = later.body_hash == warm.body_hash
        saw = f"{'the same copy' if same else 'another body'}, {cache_state(later)}"
        # A fresh answer can differ by itself, and says nothing of the copy that was kept.
        holds = same if from_store(later) else None
        yield KEPT.against(saw, "the same copy", holds=holds, evidence=[warm, member, later])
    yield _leak(steps, actors)
    yield from _cookies(steps)


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
