"""Logged-in traffic: no visitor gets another's page, and a member is not answered from the shared store.

What is tried, in which order, is in `visit_plan`; `deception` and `unkeyed_headers` are the tests beside the visits,
`cleanup`
is what came of the purge after them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from roundsman.cache.rules.plain_visits import cookie_names
from roundsman.http.cache_status import cache_state
from roundsman.http.copies import by_rfc, observed, states, tells
from roundsman.http.freshness import kept_out, storable
from roundsman.http.vendor_headers import STICKY
from roundsman.logged_in.rules import cleanup, deception, unkeyed_headers
from roundsman.logged_in.rules.claims import (
    BYPASS,
    CHECK,
    COOKIE,
    KEPT,
    LEAK,
    MEMBERS,
    PERSONAL,
    POLICY,
    PRIVATE_KEY,
    SHARED,
    STORED,
)
from roundsman.logged_in.rules.private_key import NAME, Query, from_store
from roundsman.logged_in.rules.visit_plan import Visits, order, reflects
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
IDENTITY_CHARACTERS = 8
#: Words with a short number at most, such as web-frontend-01: what a server calls itself or a group of visitors.
_WORD = r"(?:(?:[A-Z]?[a-z]{1,15}|[A-Z]{1,15})[0-9]{0,4}|[0-9]{1,4})"
_WORDS = re.compile(rf"{_WORD}(?:[-_.|: ]+{_WORD})*")


def judge(site: Site, rule: Rule, path: str, visits: Visits, members: Sequence[Visitor]) -> Verdict:
    """Judge one route by its visits."""
    found = [redacted(finding, secrets_of(members)) for finding in _findings(site, rule, path, visits, members)]
    law, seen = _columns(site, rule, visits, cast(members))
    return verdict_on(site, rule, CHECK, path, found, by_rfc=law, observed=seen)


def _findings(site: Site, rule: Rule, path: str, visits: Visits, members: Sequence[Visitor]) -> Iterator[Finding]:
    actors = cast(members)
    failed = [f"{member.name}: {member.problem}" for member in members if member.problem]
    silent = unanswered(CHECK, [*visits.proof, *(exchange for _, exchange in visits.steps)])
    if order(rule) and (failed or not members):
        why = "; ".join(failed) or "the site file names no sessions"
        yield MEMBERS.against(why, "two test members that can log in", holds=None)
    elif silent:
        leak = _leak(visits.steps, actors)
        yield from [leak] * (leak.outcome is Outcome.FAIL)
    elif order(rule):
        yield _private_key(rule, visits)
        if visits.asked and rule.cache.by is Audience.MEMBER:
            yield from _personal(site, rule, visits, actors)
        elif visits.asked:
            yield from _shared(rule, visits.steps, actors)
    elif visits.steps:
        yield from _in_passing(visits.steps, actors)
    if silent:
        yield silent
    else:
        yield from deception.findings(site, visits.disguises, actors.get("A", actors["N"]))
        if reflects(rule, path):
            yield from unkeyed_headers.findings(visits.query, visits.injections, visits.proof[0])
    yield from cleanup.findings(site, visits, members)


def _private_key(rule: Rule, visits: Visits) -> Finding:
    if not visits.asked:
        asks = "`status_header` in the site file, or " if visits.query is Query.UNKNOWN else ""
        wanted = f"{asks}`allow_shared_key: true` in the rule {rule.name}, or `staging: true` in the site file"
        return PRIVATE_KEY.against(f"not tried: {visits.query}", wanted, holds=None, evidence=visits.proof)
    mine = f"{NAME}=" in visits.asked
    message = f"{visits.query}; {'under a random one' if mine else 'on the real URL, as the site file allows'}"
    return PRIVATE_KEY.against(message, "a key that nobody else asks for, or leave to use the real one", holds=True)


def _columns(site: Site, rule: Rule, visits: Visits, actors: Mapping[str, Visitor]) -> tuple[str, str]:
    """What a shared cache may do with the page that the rule speaks of, and what it did in all visits."""
    seen = [exchange for _, exchange in visits.steps]
    if rule.cache.by is not Audience.MEMBER and not seen:
        seen = list(visits.proof)
    if not seen or not all(exchange.answered for exchange in seen):
        return "", ""
    first = actors.get("A", actors["N"]) if rule.cache.by is Audience.MEMBER else actors["N"]
    return by_rfc(seen[0], targeted_of(site), authorized=first.authorized), observed(seen)


def _personal(site: Site, rule: Rule, visits: Visits, actors: Mapping[str, Visitor]) -> Iterator[Finding]:
    steps = visits.steps
    pages = {who: [exchange for letter, exchange in steps if letter == who] for who in ("A", "B") if who in actors}
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
        yield from _by_body(visits)
        # A page that is the same for everyone can still hand out a session.
        yield from _replayed(steps)
        return
    law = f"by the RFC {by_rfc(mine[0], targeted_of(site), authorized=actors['A'].authorized)}"
    own = [exchange for exchange in mine if any(actors[owner].shows_in(exchange) for owner in pages)]
    bodies = {exchange.body_hash for exchange in own}
    copies = [answer for answer in strangers if from_store(answer) and answer.body_hash in bodies]
    message = ", ".join(f"{answer.status} {cache_state(answer)}" for answer in strangers)
    if copies:
        message = f"the member's copy as a {cache_state(copies[0])}; {law}"
    holds = not copies if tells(strangers) else None
    yield STORED.against(message, "an answer of their own", holds=holds, evidence=copies or strangers)
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


def _by_body(visits: Visits) -> Iterator[Finding]:
    """A finding when somebody got the very copy that a member's visit made, although no sentinel tells whose it is.

    Weaker than a sentinel: the page can be anybody's. One that the origin gives to strangers is no finding.
    """
    public = {exchange.body_hash for exchange in visits.proof}
    public |= {exchange.body_hash for who, exchange in visits.steps if who == "N" and from_store(exchange) is False}
    makers: dict[str, str] = {}
    for who, exchange in visits.steps:
        if who != "N" and from_store(exchange) is False and exchange.body_hash not in public:
            makers.setdefault(exchange.body_hash, who)
    copies = [
        exchange
        for who, exchange in visits.steps
        if from_store(exchange) and makers.get(exchange.body_hash, who) != who
    ]
    if copies:
        message = f"a member's copy as a {cache_state(copies[0])}, by its body alone: no sentinel tells whose it is"
        yield STORED.against(message, "an answer of their own", holds=False, evidence=copies)


def _is_personal(seen: Sequence[Exchange], member: Visitor, status: int, strangers: Sequence[Exchange]) -> Finding:
    strange = _strange(seen, member, status)
    message = "a sentinel on every visit"
    if strange:
        first = strange[0]
        message = f"{first.status}{redirected(first)}" if first.status != status else f"no sentinel of {member.name}"
        if first.body_hash in {exchange.body_hash for exchange in strangers}:
            message += ": the stranger's page"
        if first.status // 100 == 3 or first.status == 401:
            message += f"; {member.name} is not logged in"
        if not member.sentinels:
            message = f"{member.name} has no sentinel that is in no other member's"
    wanted = f"{status} with a sentinel of {member.name}"
    return PERSONAL.against(message, wanted, holds=None if strange else True, evidence=strange or seen)


def _strange(seen: Sequence[Exchange], member: Visitor, status: int) -> list[Exchange]:
    """The answers that are not the member's own page."""
    return [exchange for exchange in seen if exchange.status != status or not member.shows_in(exchange)]


def _leak(steps: Steps, actors: Mapping[str, Visitor]) -> Finding:
    found = leaks(steps, actors)
    leaks_found = {f"{actors[who].name} got a page of {actors[owner].name}" for who, owner, _ in found}
    if not any(actor.sentinels for actor in actors.values()):
        return LEAK.against("no sentinel to look for", "only one's own sentinels", holds=None)
    evidence = [exchange for _, _, exchange in found] or [exchange for _, exchange in steps]
    message = "; ".join(sorted(leaks_found)) or "no sentinel"
    return LEAK.against(message, "only one's own sentinels", holds=not found, evidence=evidence)


def _not_from_store(mine: Sequence[Exchange], own: Sequence[Exchange], law: str) -> Finding:
    stored = [exchange for exchange in mine if from_store(exchange)]
    # With a member's sentinel it is more than a rule broken: the store holds that page.
    held = any(exchange in own for exchange in stored)
    claim = replace(SHARED, severity=Severity.STORED) if held else SHARED
    message = f"{law}, observed {states(mine)}" if held else states(mine)
    return claim.against(
        message, "no HIT", holds=not stored if tells(mine) or stored else None, evidence=stored or mine
    )


def _policy(site: Site, rule: Rule, first: Exchange, law: str, *, authorized: bool) -> Finding:
    # A field of the edge's own opens what Cache-Control shuts.
    shut = (
        kept_out(first.header("cache-control"))
        and not storable(first, authorized=authorized, targeted=targeted_of(site)).yes
    )
    message = law if shut or not rule.bypasses_cookies else f"{law}; the rule names its bypass"
    return POLICY.against(
        message, "private or no-store, or a bypass in the rule", holds=shut or rule.bypasses_cookies, evidence=[first]
    )


def _cookies(steps: Steps) -> Iterator[Finding]:
    owners: dict[tuple[str, str], set[str]] = {}
    carriers: dict[tuple[str, str], list[Exchange]] = {}
    for index, (who, exchange) in enumerate(steps):
        for cookie in _identities(exchange):
            # A stranger brings no cookie, so each time it is another one; what the origin gives both may be the time.
            again = who == "N" and from_store(exchange)
            owners.setdefault(cookie, set()).add(f"{who}{index}" if again else who)
            carriers.setdefault(cookie, []).append(exchange)
    if not owners:
        return
    twice = [cookie for cookie, given_to in owners.items() if len(given_to) > 1]
    names = cookie_names(sorted({name for name, _ in twice or owners}))
    message = f"{names} with the same value for two visitors" if twice else f"{names} with a value for each visitor"
    evidence = list({id(one): one for cookie in twice or owners for one in carriers[cookie]}.values())
    yield COOKIE.against(message, "a value for each visitor", holds=not twice, evidence=evidence)


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
        if len(value) >= IDENTITY_CHARACTERS and not deleted and not shared:
            yield name, value


def _shared(rule: Rule, steps: Steps, actors: Mapping[str, Visitor]) -> Iterator[Finding]:
    if [who for who, _ in steps[:3]] != ["N", "N", "A"]:
        yield _leak(steps, actors)
        return
    (_, _), (_, warm), (_, member), *after = steps
    if unsent := _unsent(rule, actors["A"]):
        yield BYPASS.against(unsent, "a request that the bypass names", holds=None, evidence=[member])
    elif not from_store(warm):
        message = f"{cache_state(warm)} on the second visit"
        yield BYPASS.against(message, "a warm copy to try a member against", holds=None, evidence=[warm])
    elif member.status >= 500:
        yield BYPASS.against(member.status, "no server error for a member", holds=None, evidence=[warm, member])
    else:
        stored = from_store(member)
        holds = None if stored is None else not stored
        yield BYPASS.against(cache_state(member), "no HIT for a member", holds=holds, evidence=[warm, member])
    if after and from_store(warm):
        later = after[0][1]
        same = later.body_hash == warm.body_hash
        message = f"{'the same copy' if same else 'another body'}, {cache_state(later)}"
        # A fresh answer can differ by itself, and says nothing of the copy that was kept.
        holds = same if from_store(later) else None
        yield KEPT.against(message, "the same copy", holds=holds, evidence=[warm, member, later])
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
