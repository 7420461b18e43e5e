"""What the headers of a response let a cache do with it: RFC 9111, RFC 5861, RFC 9213, with the reason for each answer.

A policy depends on few words that many responses share, so it is made once for each such shape.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urljoin

from roundsman.http.fields import (
    MAX_DELTA_SECONDS,
    Directives,
    accel_expires,
    delta_seconds,
    dictionary,
    directives,
    edge_control,
    http_date,
    pairs,
    surrogate,
    troubles,
)
from roundsman.http.target import Headers, target, varies_on
from roundsman.report.rules.exchange import names_of

#: Final statuses that may be kept without a word about freshness (RFC 9110 section 15.1).
HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
#: Statuses whose caching is specified, as `must-understand` asks (RFC 9110 section 15, RFC 9111 section 5.2.2.3).
UNDERSTOOD = frozenset({*range(200, 207), *range(300, 309), *range(400, 418), 421, 422, 426, *range(500, 506)}) - {306}

#: Targeted fields with a grammar of their own; all others are Dictionaries (RFC 9213 section 2.1).
_GRAMMARS: Mapping[str, Callable[[str], Directives | None]] = MappingProxyType(
    {"surrogate-control": surrogate, "edge-control": edge_control, "x-accel-expires": accel_expires}
)
#: What a policy is made of, beside the targeted fields; Date, Age and Expires are not, since they change all the time.
_RULING = frozenset({"cache-control", "content-location", "vary"})
_YEAR_SECONDS = 365.2425 * 86400


@dataclass(frozen=True, slots=True)
class Storability:
    """A yes or no about a response, and why."""

    yes: bool
    why: str


# A layout and a policy are equal only to themselves: keys of a memo that are hashed in no time.
@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where in the headers of a response those stand that a cache reads. Most responses of a site share one."""

    ruling: tuple[str, ...]
    ruling_at: tuple[int, ...]
    date: int | None
    age: int | None
    expires: tuple[int, ...]


class StoreContext(NamedTuple):
    """What beside the headers of a response decides about it. The request's part, and the cache's."""

    status: int
    method: str
    shared: bool
    url: str = ""
    """Only of a POST, whose Content-Location must name it."""
    authorized: bool = False
    unwanted: bool = False
    """Whether the request said no-store."""
    targeted: tuple[str, ...] = ()
    """The fields that the cache obeys instead of Cache-Control, in lower case, the first one first."""


@dataclass(frozen=True, slots=True, eq=False)
class CachePolicy:
    """What the headers of one shape say."""

    storable: Storability
    said: Directives
    """By Cache-Control, or by the targeted field that replaces it."""
    lifetime: int | None
    """Of the first directive that names one, in seconds; None leaves it to Expires or a heuristic."""
    contested: bool
    """Whether the lifetime is said twice, differently."""
    uses_expires: bool
    no_cache: bool
    strict: str
    """The directive that forbids any use of a stale copy; empty when none does."""
    while_revalidate: int
    """For how many seconds a stale copy may be served while a new one is fetched (RFC 5861 section 3)."""
    if_error: int
    """For how many seconds a stale copy may be served instead of an error (RFC 5861 section 4)."""
    varies: frozenset[str]
    heuristic: bool
    """Whether a cache may make up a lifetime (RFC 9111 section 4.2.2)."""
    troubles: tuple[str, ...]
    """What of all this can't be read, or is read in two ways."""
    ends: int
    """How many Expires there are."""


#: A response, read: its policy; the lifetime that it names in seconds, or None; whether it names another one, too; its
#: Age in seconds and its Date in Unix seconds, None where there is none to be used. A plain tuple, since one is made
#: for every exchange of a round.
Reading = tuple[CachePolicy, int | None, bool, int | None, int | None]


def read(headers: Headers, received: float, terms: StoreContext) -> Reading:
    """Read the headers of a response that came at a time, in Unix seconds.

    Of two equal headers the first counts; an Expires that is no date has passed; without a Date, the time of receipt
    stands in for it.
    """
    layout = _layout(names_of(headers), terms.targeted)
    policy = _policy(layout, tuple([headers[place][1] for place in layout.ruling_at]), terms)
    year = int(received // _YEAR_SECONDS) + 1970
    made = None if layout.date is None else http_date(headers[layout.date][1], year)
    age = None if layout.age is None else age_of(headers[layout.age][1])
    if not policy.uses_expires:
        return policy, policy.lifetime, policy.contested, age, made
    lines = [headers[place][1] for place in layout.expires]
    end = http_date(lines[0], year)
    lasts = 0 if end is None else min(max(0, end - (int(received) if made is None else made)), MAX_DELTA_SECONDS)
    return policy, lasts, len(set(lines)) > 1, age, made


@lru_cache(maxsize=4096)
def age_of(value: str) -> int | None:
    """An Age in seconds, or None when it can't be used. The first member of a list counts (RFC 9111 section 5.1)."""
    return delta_seconds(value.partition(",")[0].strip())


@lru_cache(maxsize=4096)
def _layout(names: tuple[str, ...], targeted: tuple[str, ...]) -> Layout:
    plain = [name.lower() for name in names]
    ruling = [(name, place) for place, name in enumerate(plain) if name in _RULING or name in targeted]
    return Layout(
        ruling=tuple(name for name, _ in ruling),
        ruling_at=tuple(place for _, place in ruling),
        date=plain.index("date") if "date" in plain else None,
        age=plain.index("age") if "age" in plain else None,
        expires=tuple(place for place, name in enumerate(plain) if name == "expires"),
    )


@lru_cache(maxsize=4096)
def _policy(layout: Layout, values: tuple[str, ...], terms: StoreContext) -> CachePolicy:
    found: dict[str, str] = {}
    for name, value in zip(layout.ruling, values, strict=True):
        found[name] = f"{found[name]}, {value}" if name in found else value
    control = found.get("cache-control", "")
    field, said = "", directives(control)
    # The first field that can be read replaces Cache-Control and Expires (RFC 9213 section 2.2). No browser reads one.
    broken = troubles(control)
    for name in terms.targeted if terms.shared else ():
        if name in found and (instead := _GRAMMARS.get(name, dictionary)(found[name])) is not None:
            field, said = name, instead
            break
        if name not in _GRAMMARS and found.get(name, "").strip():
            broken = (*broken, f"{name} can't be read, so it does not count")
    expires = bool(layout.expires) and not field
    lives = ("s-maxage", "max-age") if terms.shared else ("max-age",)
    named = next((name for name in lives if name in said), "")
    ends_use = ("must-revalidate", "proxy-revalidate", "s-maxage") if terms.shared else ("must-revalidate",)
    no_cache = "no-cache" in said and said["no-cache"] is None
    storable = _storable(
        terms, said, field, expires=expires, located=_located(terms.url, found.get("content-location"))
    )
    varies = varies_on(found.get("vary", ""))
    may_guess = not named and not expires and (terms.status in HEURISTIC or "public" in said)
    return CachePolicy(
        storable=storable,
        said=said,
        lifetime=(delta_seconds(said[named]) or 0) if named else None,
        contested=not field and len({value for name, value in pairs(control) if name == named}) > 1,
        uses_expires=expires and not named,
        no_cache=no_cache,
        strict=next((name for name in ends_use if name in said), ""),
        while_revalidate=delta_seconds(said.get("stale-while-revalidate")) or 0,
        if_error=delta_seconds(said.get("stale-if-error")) or 0,
        varies=varies,
        heuristic=storable.yes and may_guess and not no_cache,
        troubles=broken,
        ends=len(layout.expires),
    )


def is_private(said: Directives) -> bool:
    """Whether a shared cache must keep out. With field names `private` speaks of those alone (RFC 9111 5.2.2.7)."""
    return "private" in said and said["private"] is None


def _storable(terms: StoreContext, said: Directives, field: str, *, expires: bool, located: bool) -> Storability:
    """RFC 9111 section 3, the reasons against it first."""
    place = f" in {field}, RFC 9213 2.2 and" if field else ","
    lasts = ("s-maxage", "max-age") if terms.shared else ("max-age",)
    lives = expires or any(name in said for name in lasts)
    for why in (*_refused(terms, lives=lives, located=located), *_forbidden(terms, said, place)):
        return Storability(yes=False, why=why)
    for name in (*lasts, "public", *(() if terms.shared else ("private",))):
        if name in said:
            return Storability(yes=True, why=f"`{name}`{place} RFC 9111 3")
    if expires:
        return Storability(yes=True, why="`Expires`, RFC 9111 3")
    if terms.status in HEURISTIC:
        why = f"nothing forbids it and {terms.status} may be kept heuristically, RFC 9111 4.2.2"
        return Storability(yes=True, why=why)
    return Storability(yes=False, why=f"no lifetime, and {terms.status} may not be kept without one, RFC 9111 3")


def _refused(terms: StoreContext, *, lives: bool, located: bool) -> Iterator[str]:
    """What keeps a cache out, whatever the headers say."""
    if terms.status < 200:
        yield f"{terms.status} is no final answer, RFC 9111 3"
    if terms.status == 304:
        yield "304 only refreshes a copy, RFC 9111 4.3.4"
    if terms.method == "POST":
        if not (lives and located):
            yield "a POST without both a lifetime and its own address in Content-Location, RFC 9110 9.3.3"
    elif terms.method not in {"GET", "HEAD"}:
        yield f"the answer to a {terms.method} may not be kept, RFC 9110 9.2.3"
    if terms.unwanted:
        yield "the request said `no-store`, RFC 9111 5.2.1.5"


def _forbidden(terms: StoreContext, said: Directives, place: str) -> Iterator[str]:
    """The directives against it. With `must-understand`, `no-store` is for caches that do not know the status."""
    if "must-understand" not in said:
        if "no-store" in said:
            yield f"`no-store`{place} RFC 9111 5.2.2.5"
    elif terms.status not in UNDERSTOOD:
        yield f"`must-understand`{place} RFC 9111 5.2.2.3, and nothing says how a {terms.status} is cached"
    if terms.shared and is_private(said):
        yield f"`private` without field names{place} RFC 9111 5.2.2.7"
    if terms.shared and terms.authorized and not {"public", "s-maxage", "must-revalidate"} & said.keys():
        yield "the request had Authorization, RFC 9111 3.5"


def _located(url: str, location: str | None) -> bool:
    """Whether Content-Location names a URL (RFC 9110 section 8.7)."""
    try:
        return bool(url) and location is not None and target(urljoin(url, location.strip())) == target(url)
    except ValueError:
        return False
