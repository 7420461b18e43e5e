"""Cache-Status (RFC 9211), and the values under that name that are no structured field."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import http_sf

from roundsman.http.cache_states import (
    BYPASS,
    EXPIRED,
    HIT,
    MISS,
    REVALIDATED,
    STALE,
    STALE_WHILE_FETCHING,
    Tier,
    Told,
    tier,
    tiers,
    told,
)

#: `fwd` (RFC 9211 section 2.2); whatever else it says, the request went on.
_FORWARDED = {"bypass": BYPASS, "method": BYPASS, "request": BYPASS, "stale": EXPIRED}
_QUOTED = r'"(?:[^"\\]|\\.)*"?'
_MEMBER = re.compile(rf'(?:[^,"]|{_QUOTED})+', re.DOTALL)
_PART = re.compile(rf'(?:[^;"]|{_QUOTED})+', re.DOTALL)
#: What a Boolean that is not so looks like, in a structured field and out in the world.
_FALSE = frozenset({"?0", "0", "false"})


def cache_status(said: Mapping[str, str]) -> Told | None:
    """Read Cache-Status: the first member is nearest the origin, the last nearest the user."""
    found = [(name, one) for name, parameters in _members(said.get("cache-status", "")) if (one := _tier(parameters))]
    if found:
        return told([one for _, one in found], "cache-status", found[-1][0])
    # Some write $upstream_cache_status under this name, and so do the caches before and behind them; a member of
    # RFC 9211 with nothing but a name says nothing.
    value = said.get("cache-status", "")
    return None if ";" in value else told(tiers(value), "cache-status")


def _tier(parameters: Mapping[str, str]) -> Tier | None:
    """What one member says; None when it has neither `hit` nor `fwd`, as a cache that only signs its name."""
    forwarded = parameters.get("fwd", "?0")
    if parameters.get("hit", "?0") not in _FALSE:
        # `hit` and `fwd` exclude each other; Souin says both of a stale copy that it renews after serving it.
        if forwarded == "stale":
            return STALE_WHILE_FETCHING
        detail = tier(parameters.get("detail", ""))
        if detail in {STALE_WHILE_FETCHING, REVALIDATED}:
            return detail
        return STALE if parameters.get("ttl", "").startswith("-") else HIT
    if forwarded in _FALSE:
        return MISS if "hit" in parameters else None
    if forwarded == "stale" and parameters.get("fwd-status") == "304":
        return REVALIDATED
    return _FORWARDED.get(forwarded, MISS)


def _members(value: str) -> list[tuple[str, dict[str, str]]]:
    """Each member's name and parameters, by RFC 9651 or, where that is no use, by the punctuation."""
    try:
        # Its annotation has every type of field in one; of a list each member is a pair of value and parameters.
        parsed = cast("list[tuple[Any, dict[str, Any]]]", http_sf.parse(value.encode("latin-1"), tltype="list"))
    except (ValueError, UnicodeError):
        return list(_by_punctuation(value))
    return [(str(name), {key: _text(one) for key, one in parameters.items()}) for name, parameters in parsed]


def _text(value: object) -> str:
    return f"?{value:d}" if isinstance(value, bool) else str(value).lower()


def _by_punctuation(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    for member in _MEMBER.findall(value):
        name, *rest = [part.strip() for part in _PART.findall(member.strip())] or [""]
        pairs = (part.partition("=") for part in rest)
        yield (
            name.strip('"'),
            {key.strip().lower(): one.strip().strip('"').lower() if is_set else "?1" for key, is_set, one in pairs},
        )
