"""What a cache says it did, in one vocabulary. The only room that knows vendors' status headers.

HIT a fresh copy, MISS fetched, EXPIRED a stale copy was fetched anew, REVALIDATED a stale copy was confirmed, STALE a
stale copy was served, BYPASS the cache stood aside on purpose, DYNAMIC not a thing it caches, UNKNOWN it does not say.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

import http_sf

from flows.rules.cache_control import age
from flows.rules.exchange import Exchange


class CacheState(StrEnum):
    """What the nearest cache did with one request."""

    HIT = "HIT"
    MISS = "MISS"
    EXPIRED = "EXPIRED"
    REVALIDATED = "REVALIDATED"
    STALE = "STALE"
    BYPASS = "BYPASS"
    DYNAMIC = "DYNAMIC"
    UNKNOWN = "UNKNOWN"

    @property
    def from_store(self) -> bool | None:
        """Whether a stored copy answered; None when nobody says."""
        return (
            None if self is CacheState.UNKNOWN else self in {CacheState.HIT, CacheState.STALE, CacheState.REVALIDATED}
        )


_WORDS = {state.value: state for state in CacheState} | {
    "UPDATING": CacheState.STALE,
    "PASS": CacheState.BYPASS,
    "NOCACHE": CacheState.BYPASS,
    "NOSTORE": CacheState.DYNAMIC,
    "PRERENDER": CacheState.HIT,
}
#: What became of a stale copy, where the word REFRESH stands beside it; the first that is said counts.
_REFRESHED = {
    "FAIL": CacheState.STALE,
    "HIT": CacheState.REVALIDATED,
    "UNMODIFIED": CacheState.REVALIDATED,
    "MISS": CacheState.EXPIRED,
    "MODIFIED": CacheState.EXPIRED,
}
#: Here the word means that the page was made anew.
_VERCEL = _WORDS | {"REVALIDATED": CacheState.EXPIRED}
_FORWARDED = {
    "bypass": CacheState.BYPASS,
    "method": CacheState.BYPASS,
    "request": CacheState.BYPASS,
    "stale": CacheState.EXPIRED,
}


def cache_state(exchange: Exchange) -> CacheState:
    """Read the status headers of a response, the most exact one first: RFC 9211, then vendors', then Age alone."""
    for read in _READERS:
        if (state := read(exchange)) is not None:
            return state
    return CacheState.HIT if (age(exchange) or 0) > 0 else CacheState.UNKNOWN


def _cache_status(exchange: Exchange) -> CacheState | None:
    """Cache-Status (RFC 9211): the last member is the cache nearest to the user."""
    if not (value := exchange.header("cache-status")):
        return None
    try:
        members = http_sf.parse(value.encode("latin-1"), tltype="list")
    except (ValueError, UnicodeError):
        return None
    # With a trailing parameterless token some caches sign every answer, so only one that says something counts.
    parameters = next((said for _, said in reversed(members) if {"hit", "fwd"} & set(said)), None)
    if parameters is None:
        return None
    if parameters.get("hit"):
        return _WORDS.get(str(parameters.get("detail", "")).upper(), CacheState.HIT)
    forwarded = str(parameters.get("fwd", ""))
    if forwarded == "stale" and parameters.get("fwd-status") == 304:
        return CacheState.REVALIDATED
    return _FORWARDED.get(forwarded, CacheState.MISS)


def _word(
    name: str, meanings: Mapping[str, CacheState] = MappingProxyType(_WORDS)
) -> Callable[[Exchange], CacheState | None]:
    """A header that holds one of the common words, alone, as in TCP_MEM_HIT, or as in `RefreshHit from cloudfront`.

    Of several tiers the last is nearest.
    """

    def read(exchange: Exchange) -> CacheState | None:
        if not (value := exchange.header(name)):
            return None
        said = next(iter(value.rpartition(",")[2].split()), "")
        words = [word.upper() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", said)]
        known = _REFRESHED if "REFRESH" in words else meanings
        return next((known[word] for word in words if word in known), None)

    return read


def _x_varnish(exchange: Exchange) -> CacheState | None:
    """X-Varnish holds two transaction numbers when a stored object answered, and one when it did not."""
    if not (value := exchange.header("x-varnish")):
        return None
    return CacheState.HIT if len(value.rpartition(",")[2].split()) == 2 else CacheState.MISS


_READERS: Sequence[Callable[[Exchange], CacheState | None]] = (
    _cache_status,
    _word("cf-cache-status"),
    _word("x-cache-status"),
    _word("cdn-cache"),
    _word("x-cache"),
    _word("x-vercel-cache", _VERCEL),
    _x_varnish,
)
