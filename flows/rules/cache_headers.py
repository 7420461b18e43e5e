"""Cache headers: the edge keeps what is for everyone, and nothing that is for one. By the RFC, and as observed."""

from collections.abc import Iterator, Sequence

from flows.rules.cache_control import birth, directives, is_private, lifetime, storable
from flows.rules.cache_status import CacheState, cache_state
from flows.rules.exchange import Exchange
from flows.rules.quantity import Span, spoken
from flows.rules.site import Audience, Rule, Site
from flows.rules.subject import unanswered, verdict_on, wrong_status
from flows.rules.verdict import Claim, Finding, Outcome, Verdict
from flows.rules.visitor import Visitor

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
AGREE = Claim(f"{CHECK}/agree", "The edge keeps only what the headers let it keep.", f"{RFC}#section-3")
STATUS = Claim(f"{CHECK}/status", "The route does not end in a server error.", "RFC 9110 section 15.6")

#: One request to warm, and two in which the copy must show.
VISITS = 3


def judge(site: Site, rule: Rule, path: str, seen: Sequence[Exchange], visitor: Visitor) -> Verdict:
    """Judge one route by the answers to a few equal requests in a row, made by a visitor."""
    if visitor.problem:
        findings = [PRIVATE.against(visitor.problem, "the page as a member sees it", holds=None)]
    elif silent := unanswered(CHECK, seen):
        findings = [silent]
    elif other := _wrong_status(rule, path, seen):
        findings = [other]
    else:
        findings = list(_findings(rule, path, seen, visitor))
    return verdict_on(site, rule, CHECK, path, findings)


def _wrong_status(rule: Rule, path: str, seen: Sequence[Exchange]) -> Finding | None:
    """A cached or a member's page keeps the promised status; a preview may say 403 or 404, but not break."""
    if path in rule.examples.cached or rule.cache.by is Audience.MEMBER:
        return wrong_status(CHECK, seen, rule.status)
    broken = next((exchange for exchange in seen if exchange.status >= 500 and exchange.status != rule.status), None)
    return STATUS.against(broken.status, "no server error", holds=False, evidence=[broken]) if broken else None


def _findings(rule: Rule, path: str, seen: Sequence[Exchange], visitor: Visitor) -> Iterator[Finding]:
    first = seen[:1]
    said = first[0].header("cache-control")
    shown = said or "no Cache-Control"
    if path in rule.examples.cached:
        yield from _shared(rule, seen)
        return
    match rule.cache.by:
        case Audience.MEMBER:
            policy = directives(said)
            holds = "no-store" in policy or is_private(policy)
            yield PRIVATE.against(shown, "private or no-store", holds=holds, evidence=first)
        case Audience.NOBODY:
            yield NO_STORE.against(shown, "no-store", holds="no-store" in directives(said), evidence=first)
        case Audience.UNSAID:
            yield _agreement(seen, visitor)
            return
        case Audience.EVERYONE:
            answer = storable(first[0], authorized=visitor.authorized)
            yield NOT_STORABLE.against(
                f"storable: {answer.why}" if answer.yes else answer.why,
                "private or no-store",
                holds=not answer.yes,
                evidence=first,
            )
    kept = [exchange for exchange in seen if cache_state(exchange).from_store]
    holds = not kept if _tells(seen) else None
    yield NOT_KEPT.against(_states(seen), "no HIT", holds=holds, evidence=kept or first)


def _shared(rule: Rule, seen: Sequence[Exchange]) -> Iterator[Finding]:
    """A page for everyone: storable, with the promised lifetimes, and really kept."""
    first, promise = seen[0], rule.cache
    answer = storable(first)
    yield STORABLE.against(answer.why, "no directive against it", holds=answer.yes, evidence=[first])
    if answer.yes and promise.edge_ttl:
        yield _ttl(EDGE_TTL, lifetime(first), promise.edge_ttl, first)
    if promise.browser_ttl:
        yield _ttl(BROWSER_TTL, lifetime(first, shared=False), promise.browser_ttl, first)
    if promise.vary is not None:
        varies = {name.strip().lower() for name in first.header("vary").split(",") if name.strip()}
        wanted = {name.lower() for name in promise.vary}
        shown = ", ".join(sorted(varies)) or "no Vary"
        yield VARY.against(shown, ", ".join(sorted(wanted)) or "no Vary", holds=varies <= wanted, evidence=[first])
    states = [cache_state(exchange) for exchange in seen]
    holds = None if all(state.from_store is None for state in states) else any(state.from_store for state in states[1:])
    yield HIT.against(_states(seen), "HIT within two more requests", holds=holds, evidence=seen)


def _ttl(claim: Claim, seconds: int | None, wanted: Span, first: Exchange) -> Finding:
    shown = "no explicit lifetime" if seconds is None else spoken(seconds)
    return claim.against(shown, wanted, holds=seconds is not None and seconds in wanted, evidence=[first])


def _agreement(seen: Sequence[Exchange], visitor: Visitor) -> Finding:
    """Without a promise there is still a contradiction to find: a page that is kept although it says not to."""
    answer = storable(seen[0], authorized=visitor.authorized)
    kept = any(cache_state(exchange).from_store for exchange in seen) or _same_birth(seen)
    shown = f"by the RFC {'storable' if answer.yes else 'not storable'} ({answer.why}), observed {_states(seen)}"
    wanted = "a copy only where the headers allow one"
    holds = answer.yes or (not kept if kept or _tells(seen) else None)
    return AGREE.against(shown, wanted, holds=holds, evidence=seen)


def _same_birth(seen: Sequence[Exchange]) -> bool:
    births = [birth(exchange) for exchange in seen if exchange.header("age")]
    return len(births) > 1 and any((exchange.header("age") or "0") != "0" for exchange in seen)


def _tells(seen: Sequence[Exchange]) -> bool:
    """Whether a cache said what it did, at least once."""
    return any(cache_state(exchange) is not CacheState.UNKNOWN for exchange in seen)


def _states(seen: Sequence[Exchange]) -> str:
    return ", ".join(cache_state(exchange) for exchange in seen)
