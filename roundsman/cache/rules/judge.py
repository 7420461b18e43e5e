"""Cache headers: the edge keeps what is for everyone, and nothing that is for one. By the RFC, and as observed.

A rule costs three visits to each example. Its first cached example, and the canary of its purge, cost more: what
`variants`, `bypass`, `cache_key` and `ageing` say, and what `missing_pages` says once for each
rule. What the rule does not promise is not asked, apart from one HEAD, one conditional request and one late visit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from roundsman.cache.rules import ageing, bypass, cache_key, missing_pages, plain_visits, variants
from roundsman.http.cache_status import at_edge, edges
from roundsman.http.copies import AGE_GRAIN_SECONDS, ProbeStep, RuleVisits, by_rfc, kept, observed, states, tells
from roundsman.http.freshness import (
    age,
    ambiguities,
    birth,
    directives,
    keeps_until_deploy,
    kept_out,
    lifetime,
    read_policy,
    storable,
)
from roundsman.report.rules.durations import Span, spoken
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.redaction import redacted, secrets_of
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.promises import Audience, Rule
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_edge import targeted_of
from roundsman.site.rules.wording import example_status, unanswered, verdict_on, wrong_status

CHECK = "cache-headers"
RFC = "https://www.rfc-editor.org/rfc/rfc9111"

STORABLE = Claim(f"{CHECK}/storable", "A shared cache may store a page meant for everyone.", f"{RFC}#section-3")
EDGE_TTL = Claim(f"{CHECK}/edge-ttl", "A shared copy stays fresh as long as promised.", f"{RFC}#section-4.2")
BROWSER_TTL = Claim(f"{CHECK}/browser-ttl", "A browser keeps its copy as long as promised.", f"{RFC}#section-4.2")
VARY = Claim(f"{CHECK}/vary", "Copies differ only by the promised request headers.", f"{RFC}#section-4.1")
HIT = Claim(f"{CHECK}/hit", "Once warm, the edge answers from its store.")
PRIVATE = Claim(f"{CHECK}/private", "No shared cache may store a member's page.", f"{RFC}#section-5.2.2.7")
NO_STORE = Claim(f"{CHECK}/no-store", "Nobody may store the page.", f"{RFC}#section-5.2.2.5")
NOT_KEPT = Claim(f"{CHECK}/not-kept", "The edge does not answer from its store.")
NOT_STORABLE = Claim(
    f"{CHECK}/not-storable", "The headers say that a shared cache keeps out.", f"{RFC}#section-3", breach=Outcome.WARN
)
DATED = Claim(
    f"{CHECK}/dated",
    "A page with dates says when it was made.",
    "https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1",
    breach=Outcome.WARN,
)
AGREE = Claim(f"{CHECK}/agree", "The edge keeps only what the headers let it keep.", f"{RFC}#section-3")

_GRAVITY = (Outcome.PASS, Outcome.WARN, Outcome.FAIL)
#: One request to warm, and two in which the copy must show.
VISITS = 3


def examined(rule: Rule) -> tuple[str, ...]:
    """The routes on which more is tried than plain visits: the first cached example, and the canary of the purge."""
    canary = [rule.purge.canary] if rule.purge and rule.purge.canary in rule.examples.cached else []
    return tuple(dict.fromkeys([*rule.examples.cached[:1], *canary]))


def plan(site: Site, rule: Rule, seen: Mapping[str, Sequence[Exchange]], nonce: str) -> list[ProbeStep]:
    """What else to ask after the plain visits, one after another; what needs a copy, only where there is one."""
    steps: list[ProbeStep] = []
    for path in examined(rule):
        visits = seen[path]
        if unanswered(CHECK, visits) or wrong_status(CHECK, visits, rule.status):
            continue
        if kept(visits[1:]):
            steps += bypass.steps(site, rule, path, nonce)
        steps += variants.steps(site, rule, path, visits[-1])
        if kept(visits[1:]):
            steps += cache_key.steps(site, rule, path, nonce, visits[-1])
        if path == examined(rule)[0]:
            steps += missing_pages.steps(site, rule, path, nonce)
    return steps


def late_at(rule: Rule, look: RuleVisits) -> dict[str, float]:
    """The routes of one more plain visit, which shows whether their Age grows, and when it is due."""
    due = {path: ageing.late_at(look.seen[path]) for path in examined(rule)[:1]}
    return {path: at for path, at in due.items() if at is not None}


def judge_rule(site: Site, rule: Rule, look: RuleVisits, visitor: Visitor) -> list[Verdict]:
    """Judge every route of a rule. The probe hit rate of all cached examples stands with the first of them."""
    return [judge(site, rule, path, exchanges, visitor, look=look) for path, exchanges in look.seen.items()]


def judge(  # noqa: PLR0913 - the look is known only where more than plain visits were made
    site: Site, rule: Rule, path: str, seen: Sequence[Exchange], visitor: Visitor, *, look: RuleVisits | None = None
) -> Verdict:
    """Judge one route by the answers to a few equal requests in a row, made by a visitor, and by what else was seen."""
    by_standard, targeted = "", targeted_of(site, seen[0] if seen else None)
    if visitor.problem:
        findings = [PRIVATE.against(visitor.problem, "the page as a member sees it", holds=None)]
    elif silent := unanswered(CHECK, seen):
        findings = [silent]
    else:
        by_standard = by_rfc(seen[0], targeted, authorized=visitor.authorized)
        if other := example_status(CHECK, rule, path, seen):
            findings = [other, *missing_pages.errors(rule, seen)]
        else:
            findings = list(_findings(rule, path, seen, visitor, targeted))
            if path in rule.examples.cached:
                findings += _deeper(site, rule, path, look or RuleVisits({path: seen}))
        if not (rule.set_at_edge and path in rule.examples.cached):
            findings.append(agreement(seen, visitor, targeted, unsaid=rule.cache.by is Audience.UNSAID))
            findings += _unasked(rule, path, seen, targeted)
        findings += ambiguities(seen[0], targeted)
    if secrets := secrets_of([visitor]):
        findings = [redacted(finding, secrets) for finding in findings]
    edge_did = "" if visitor.problem else observed(seen)
    return verdict_on(site, rule, CHECK, path, findings, by_rfc=by_standard, observed=edge_did)


def _findings(
    rule: Rule, path: str, seen: Sequence[Exchange], visitor: Visitor, targeted: Sequence[str]
) -> Iterator[Finding]:
    if path in rule.examples.cached:
        yield from _shared(rule, seen, targeted)
        return
    first = seen[:1]
    said = first[0].header("cache-control")
    shown = said or "no Cache-Control"
    answer = storable(first[0], authorized=visitor.authorized, targeted=targeted)
    # What opens the page to an edge for all that Cache-Control says: a field of the edge's own, or must-understand.
    opened = f"; storable: {answer.why}" if answer.yes and kept_out(said) else ""
    match rule.cache.by:
        case Audience.MEMBER:
            holds = kept_out(said) and not opened
            yield PRIVATE.against(f"{shown}{opened}", "private or no-store", holds=holds, evidence=first)
            if rule.cache.browser_ttl:
                yield _ttl(BROWSER_TTL, lifetime(first[0], shared=False), rule.cache.browser_ttl, first[0])
        case Audience.NOBODY:
            holds = "no-store" in directives(said) and not opened
            yield NO_STORE.against(f"{shown}{opened}", "no-store", holds=holds, evidence=first)
        case Audience.UNSAID:
            yield from _noticed(rule, seen, targeted)
            return
        case Audience.EVERYONE:
            yield NOT_STORABLE.against(
                f"storable: {answer.why}" if answer.yes else answer.why,
                "private or no-store",
                holds=not answer.yes,
                evidence=first,
            )
    stored = kept(seen)
    yield NOT_KEPT.against(states(seen), "no HIT", holds=not stored if tells(seen) else None, evidence=stored or first)


def _noticed(rule: Rule, seen: Sequence[Exchange], targeted: Sequence[str]) -> Iterator[Finding]:
    """What is worth a warning on a page of which nothing is promised yet; nothing where all is well."""
    first = seen[0]
    policy, _ = read_policy(first, targeted)
    if kept(seen):
        # What a shop's language or currency is set to is a nuisance; what can be a session is a leak.
        harm = Outcome.FAIL if plain_visits.replays_token(seen) else Outcome.WARN
        cookies = [one for one in plain_visits.cookie_findings(seen) if one.outcome is not Outcome.PASS]
        yield from (one._replace(outcome=min(one.outcome, harm, key=_GRAVITY.index)) for one in cookies)
    yield from (one for one in ageing.overdue(rule, seen, targeted) if one.outcome is not Outcome.PASS)
    if not policy.storable.yes:
        return
    varies = [one for one in variants.vary_findings(rule, seen) if one.outcome is not Outcome.PASS]
    yield from (one._replace(outcome=Outcome.WARN) for one in varies)
    if policy.no_cache and not (first.header("etag") or first.header("last-modified")):
        saw, wanted = (
            "no-cache, and no ETag or Last-Modified to ask with",
            "a validator to ask with",
        )
        yield variants.VALIDATOR.against(saw, wanted, holds=False, evidence=[first])
    dated = [name for name in ("expires", "last-modified") if first.header(name)]
    if dated and not first.header("date"):
        yield DATED.against(f"{' and '.join(dated)} without Date", "a Date", holds=False, evidence=[first])


def _shared(rule: Rule, seen: Sequence[Exchange], targeted: Sequence[str]) -> Iterator[Finding]:
    """A page for everyone: storable, with the promised lifetimes, and really kept."""
    yield from shareable(rule, seen, targeted)
    holds = bool(kept(seen[1:])) if tells(seen) else None
    yield HIT.against(states(seen), "HIT within two more requests", holds=holds, evidence=seen)


def shareable(rule: Rule, seen: Sequence[Exchange], targeted: Sequence[str]) -> Iterator[Finding]:
    """What the headers of a page for everyone say: storable, with the promised lifetimes."""
    first, promise, hidden = seen[0], rule.cache, _hidden(seen, targeted)
    if rule.set_at_edge:
        yield from _by_the_edge(rule, seen)
    else:
        yield from _by_headers(rule, first, targeted, hidden)
    if promise.browser_ttl:
        yield _ttl(BROWSER_TTL, lifetime(first, shared=False), promise.browser_ttl, first)
    if promise.vary is not None:
        varies, wanted = _names(first.header("vary")), _names(", ".join(promise.vary))
        shown, promised = (", ".join(names) or "no Vary" for names in (varies, wanted))
        yield VARY.against(shown, promised, holds=set(varies) <= set(wanted), evidence=[first])


def _by_the_edge(rule: Rule, seen: Sequence[Exchange]) -> Iterator[Finding]:
    """What shows of a lifetime that is a setting of the edge: no copy is older. A copy without an Age shows nothing."""
    if rule.cache.edge_ttl is None or not (stored := kept(seen)):
        return
    ages = [old for exchange in stored if (old := age(exchange)) is not None]
    wanted = f"a copy with an Age within {rule.cache.edge_ttl}"
    if not ages:
        saw = "a HIT without an Age, so that nobody sees how long the edge keeps it; leave edge_ttl out"
        yield EDGE_TTL.against(saw, wanted, holds=None, evidence=stored)
        return
    saw = f"a copy with an Age of {spoken(max(ages))}"
    longest = rule.cache.edge_ttl.high + AGE_GRAIN_SECONDS
    yield EDGE_TTL.against(saw, wanted, holds=max(ages) <= longest, evidence=stored)


def _by_headers(rule: Rule, first: Exchange, targeted: Sequence[str], hidden: str) -> Iterator[Finding]:
    """What the headers let a shared cache do, and for how long."""
    promise = rule.cache
    answer = storable(first, targeted=targeted)
    why = answer.why if answer.yes else f"{answer.why}{hidden}"
    yield _softened(STORABLE, hidden).against(why, "no directive against it", holds=answer.yes, evidence=[first])
    if answer.yes and promise.edge_ttl:
        seconds = lifetime(first, targeted=targeted)
        yield _ttl(_softened(EDGE_TTL, hidden), seconds, promise.edge_ttl, first, hidden)


@lru_cache(maxsize=1024)
def _names(listed: str) -> tuple[str, ...]:
    """The header names of a list, sorted and in lower case."""
    return tuple(sorted({name.strip().lower() for name in listed.split(",") if name.strip()}))


def _deeper(site: Site, rule: Rule, path: str, look: RuleVisits) -> Iterator[Finding]:
    """What shows beside status, lifetimes and HIT; most of it only where more than plain visits were made."""
    seen, extra, targeted = look.seen[path], look.extra.get(path, {}), targeted_of(site)
    yield from plain_visits.cookie_findings(seen)
    yield from ageing.findings(rule, seen, extra.get(ageing.LATE_VISIT, ()), targeted)
    yield from variants.findings(rule, seen, extra)
    yield from missing_pages.errors(rule, [exchange for step in extra.values() for exchange in step])
    if path not in look.extra:
        return
    yield from bypass.findings(site, rule, look.seen, extra, targeted)
    yield from cache_key.findings(rule, path, extra)
    if path == examined(rule)[0]:
        yield from missing_pages.findings(rule, extra, targeted)
        plain = [exchange for cached in rule.examples.cached for exchange in look.seen.get(cached, ())]
        yield from plain_visits.hit_rate_findings(plain)


def _ttl(claim: Claim, seconds: int | None, wanted: Span, first: Exchange, hidden: str = "") -> Finding:
    shown = "no explicit lifetime" if seconds is None else spoken(seconds)
    holds = seconds is not None and seconds in wanted
    return claim.against(shown if holds else f"{shown}{hidden}", wanted, holds=holds, evidence=[first])


def _hidden(seen: Sequence[Exchange], targeted: Sequence[str]) -> str:
    """What to add where a page is kept against the headers that are left: an edge seldom passes on a field of its own.

    Empty when the edge obeys no such field, shows one, or keeps nothing.
    """
    if not targeted or any(seen[0].header(name) for name in targeted) or not kept(seen):
        return ""
    return f"; kept all the same, perhaps by {' or '.join(targeted)}, which the edge does not show"


def _softened(claim: Claim, hidden: str) -> Claim:
    """The claim, as a warning where the edge may have obeyed what it does not show."""
    return replace(claim, breach=Outcome.WARN) if hidden else claim


def _old(seen: Sequence[Exchange]) -> list[Exchange]:
    """The answers that are older than our first request: some tier kept them, whatever is said."""
    first = seen[0].started
    return [exchange for exchange in seen if (birth(exchange) or first) < first - AGE_GRAIN_SECONDS]


def _unasked(rule: Rule, path: str, seen: Sequence[Exchange], targeted: Sequence[str]) -> Iterator[Finding]:
    """A finding when a copy was used that the headers want confirmed; a warning where the edge is to keep the page."""
    if keeps_until_deploy(seen[0]):
        return
    for saw, later in islice(plain_visits.unasked(seen, targeted), 1):
        unsaid = rule.cache.by is Audience.UNSAID
        hidden = _hidden(seen, targeted) or (_own_policy(seen) if unsaid else "")
        claim = _softened(plain_visits.CONFIRMED, hidden or ("kept" if path in rule.examples.cached else ""))
        wanted = "a question to the origin, or a lifetime in the headers"
        yield claim.against(f"{saw}{hidden}", wanted, holds=False, evidence=[later])


def _own_policy(seen: Sequence[Exchange]) -> str:
    """What to add where nothing is promised: an edge may keep a page by a setting that no header shows."""
    found = edges(seen[0])
    return f"; {f'the edge ({found[0]}, by its headers)' if found else 'an edge'} may have a setting for it"


def _keeper(stored: Sequence[Exchange]) -> str:
    """Who has kept some answers, by what the edge says of itself."""
    by_edge = {at_edge(exchange).from_store for exchange in stored}
    if True in by_edge:
        return "the edge"
    return "the edge or a cache behind it" if None in by_edge else "a cache behind the edge"


def agreement(seen: Sequence[Exchange], visitor: Visitor, targeted: Sequence[str], *, unsaid: bool = False) -> Finding:
    """The two columns in one sentence. Promise or none, a page that is kept although it says not to contradicts.

    `unsaid`: nothing is promised of the page, so that what may be the edge's own policy is a warning.
    """
    answer = storable(seen[0], authorized=visitor.authorized, targeted=targeted)
    stored = kept(seen) or _old(seen)
    shown = f"by the RFC {'storable' if answer.yes else 'not storable'} ({answer.why}); observed {states(seen)}"
    # No such field lets an edge keep what a token asked for, unless it says so itself.
    hidden = "" if visitor.authorized else _hidden(seen, targeted) or (_own_policy(seen) if unsaid else "")
    if stored and not answer.yes:
        who = _keeper(stored)
        harm = "keeps it and may give it to strangers" if visitor.authorized else "keeps it all the same"
        shown = f"{shown}: {who} {harm}{hidden}" if unsaid else f"{shown}{hidden or f': {who} {harm}'}"
    holds = answer.yes or (not stored if stored or tells(seen) else None)
    wanted = "a copy only where the headers allow one"
    return _softened(AGREE, hidden).against(shown, wanted, holds=holds, evidence=stored or seen)
