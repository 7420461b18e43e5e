"""What the headers of an exchange let a cache do: may it store the response, and for how long?"""

from collections.abc import Iterator, Sequence

from roundsman.http.cache_status import edges
from roundsman.http.fields import delta_seconds as seconds
from roundsman.http.fields import directives
from roundsman.http.rfc9111_store import (
    CachePolicy,
    Reading,
    Storability,
    StoreContext,
    age_of,
    is_private,
    read,
)
from roundsman.http.vendor_headers import EDGES
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.verdict import Claim, Finding, Outcome

__all__ = [
    "Storability",
    "age",
    "ambiguities",
    "birth",
    "dated",
    "directives",
    "grace",
    "keeps_until_deploy",
    "kept_out",
    "left",
    "lifetime",
    "read_policy",
    "seconds",
    "storable",
    "troubles",
    "wants_a_question",
]

CLEAR = Claim(
    "cache-headers/clear",
    "What the headers say of caching reads in one way only.",
    "https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1",
    breach=Outcome.WARN,
)


def keeps_until_deploy(exchange: Exchange) -> bool:
    """Whether the edge keeps its copies until the next deploy by contract, whatever lifetime the headers name."""
    return any(EDGES[kind].keeps_until_deploy for kind in edges(exchange) if kind in EDGES)


def storable(exchange: Exchange, *, authorized: bool = False, targeted: Sequence[str] = ()) -> Storability:
    """May a shared cache store it (RFC 9111 section 3)?

    `authorized`: the request carried an Authorization header, also where the probe does not show it. `targeted`: names
    of fields obeyed instead of Cache-Control, in lower case, the first one first.
    """
    policy, *_ = _read(exchange, targeted, authorized=authorized)
    return policy.storable


def kept_out(said: str) -> bool:
    """Whether a Cache-Control value says that shared caches keep out, whatever other fields say."""
    policy = directives(said)
    return "no-store" in policy or is_private(policy)


def lifetime(exchange: Exchange, *, shared: bool = True, targeted: Sequence[str] = ()) -> int | None:
    """How long a copy may be used without asking, in seconds; None when the response names no time.

    A shared cache reads s-maxage first; a browser knows neither that nor targeted fields. `no-cache`, `no-store` and,
    for a shared cache, `private` make it 0.
    """
    policy, named, *_ = _read(exchange, targeted, shared=shared)
    said = policy.said
    unkept = ("no-store" in said and "must-understand" not in said) or (shared and is_private(said))
    return 0 if unkept or policy.no_cache else named


def grace(exchange: Exchange, *, targeted: Sequence[str] = ()) -> int:
    """Seconds past its lifetime in which a shared copy may answer while a new one is fetched (RFC 5861 section 3)."""
    policy, *_ = _read(exchange, targeted)
    return 0 if policy.strict or policy.no_cache else policy.while_revalidate


def read_policy(exchange: Exchange, targeted: Sequence[str] = ()) -> tuple[CachePolicy, int | None]:
    """What a shared cache goes by: the policy, equal only to itself, and the lifetime that is named, in seconds."""
    policy, named, *_ = _read(exchange, targeted)
    return policy, named


def left(exchange: Exchange, *, targeted: Sequence[str] = ()) -> int | None:
    """Seconds until a shared copy goes stale, or None when the response does not say."""
    whole = lifetime(exchange, targeted=targeted)
    return None if whole is None else whole - (age(exchange) or 0)


def age(exchange: Exchange) -> int | None:
    """The Age of a response in seconds, or None when it has no usable one. The first of several counts."""
    return age_of(said[0]) if (said := exchange.all("age")) else None


def wants_a_question(exchange: Exchange, *, targeted: Sequence[str] = ()) -> bool:
    """Whether its headers let a cache keep it, and use the copy only once the origin has confirmed it, or never."""
    policy, named, *_ = _read(exchange, targeted)
    return (named == 0 or policy.no_cache or "*" in policy.varies) and policy.storable.yes


def troubles(exchange: Exchange, *, targeted: Sequence[str] = ()) -> tuple[str, ...]:
    """What of its policy can't be read, or is read in two ways, in words."""
    policy, *_ = _read(exchange, targeted)
    if policy.ends > 1 and len({value.strip() for value in exchange.all("expires")}) > 1:
        return (*policy.troubles, "two Expires, and they differ")
    return policy.troubles


def ambiguities(first: Exchange, targeted: Sequence[str] = ()) -> Iterator[Finding]:
    """One finding when something can't be read, or is read one way here and another way there; else none."""
    if found := troubles(first, targeted=targeted):
        wanted = "each directive once, with its seconds as a number"
        yield CLEAR.against("; ".join(found), wanted, holds=False, evidence=[first])


def dated(exchange: Exchange) -> int | None:
    """The Date of a response in Unix seconds of the origin's clock, or None when it has no usable one."""
    return _read(exchange, ())[4]


def birth(exchange: Exchange) -> float | None:
    """When the origin made this copy, on the prober's own clock: the moment of the answer less its Age."""
    old = age(exchange)
    return None if old is None else _received(exchange) - old


def _received(exchange: Exchange) -> float:
    return exchange.started + exchange.phases.first_byte


def _read(exchange: Exchange, targeted: Sequence[str], *, authorized: bool = False, shared: bool = True) -> Reading:
    known = tuple(targeted), authorized, shared
    kept: Reading | None = exchange.read.get(known)
    if kept is not None:
        return kept
    probe = exchange.probe
    terms = StoreContext(
        exchange.status,
        probe.method,
        shared,
        probe.url if probe.method == "POST" else "",
        authorized or any(name.lower() == "authorization" for name, _ in probe.headers),
        targeted=known[0],
    )
    reading: Reading = read(exchange.headers, _received(exchange), terms)
    exchange.read[known] = reading
    return reading
