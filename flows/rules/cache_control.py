"""May a shared cache store this response, and for how long? RFC 9111, with the reason for each answer.

Directive names are case-insensitive, quoted arguments count like tokens, the first of two equal directives wins, and a
lifetime that is no number of seconds is no lifetime at all (RFC 9111 sections 4.2.1 and 5.2).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import MappingProxyType

from flows.rules.exchange import Exchange

#: Statuses that may be kept without a word about freshness (RFC 9110 section 15.1).
HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})

_DIRECTIVE = re.compile(r'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]*))?')


def directives(value: str) -> Mapping[str, str | None]:
    """Split a Cache-Control value into its directives; names in lower case, the first of equal ones."""
    found: dict[str, str | None] = {}
    for name, argument in _DIRECTIVE.findall(value):
        plain = re.sub(r"\\(.)", r"\1", argument[1:-1]) if argument[:1] == '"' else argument
        found.setdefault(name.lower(), plain or None)
    return MappingProxyType(found)


def is_private(said: Mapping[str, str | None]) -> bool:
    """Whether a shared cache must keep out. With field names `private` speaks of those alone (RFC 9111 5.2.2.7)."""
    return "private" in said and said["private"] is None


def seconds(text: str | None) -> int | None:
    """A delta-seconds (RFC 9111 section 1.2.2), or None when it is none."""
    return min(int(text), 2**31) if text and text.isascii() and text.isdigit() else None


def age(exchange: Exchange) -> int | None:
    """The Age of a response in seconds, or None when it has no usable one. The first of several counts."""
    return seconds(exchange.header("age").partition(",")[0].strip())


def birth(exchange: Exchange) -> float | None:
    """When the origin made this copy, on the prober's own clock: the moment of the answer less its Age."""
    old = age(exchange)
    return None if old is None else exchange.started + exchange.phases.first_byte - old


@dataclass(frozen=True, slots=True)
class Answer:
    """A yes or no about a response, and why."""

    yes: bool
    why: str


def _yes(why: str) -> Answer:
    return Answer(yes=True, why=why)


def _no(why: str) -> Answer:
    return Answer(yes=False, why=why)


def storable(exchange: Exchange, *, authorized: bool = False) -> Answer:
    """May a shared cache store it (RFC 9111 section 3)? `authorized`: the request carried an Authorization header."""
    said = directives(exchange.header("cache-control"))
    if "no-store" in said:
        return _no("`no-store`, RFC 9111 5.2.2.5")
    if is_private(said):
        return _no("`private` without field names, RFC 9111 5.2.2.7")
    if authorized and not {"public", "s-maxage", "must-revalidate"} & said.keys():
        return _no("the request had Authorization, RFC 9111 3.5")
    for name in ("s-maxage", "max-age", "public"):
        if name in said:
            return _yes(f"`{name}`, RFC 9111 3")
    if exchange.header("expires"):
        return _yes("`Expires`, RFC 9111 3")
    if exchange.status in HEURISTIC:
        return _yes(f"nothing forbids it and {exchange.status} may be kept heuristically, RFC 9111 4.2.2")
    return _no(f"no lifetime, and {exchange.status} may not be kept without one, RFC 9111 3")


def lifetime(exchange: Exchange, *, shared: bool = True) -> int | None:
    """The explicit freshness lifetime in seconds (RFC 9111 section 4.2.1); None when the response names none.

    A shared cache reads s-maxage first; a browser does not know it. `no-cache` makes it 0: a copy may not be used
    without asking.
    """
    said = directives(exchange.header("cache-control"))
    if {"no-store", "no-cache"} & said.keys() or (shared and is_private(said)):
        return 0
    for name in ("s-maxage", "max-age") if shared else ("max-age",):
        if name in said:
            return seconds(said[name]) or 0
    if not (expires := exchange.header("expires")):
        return None
    end, start = _when(expires), _when(exchange.header("date"))
    return 0 if end is None else max(0, int(end - (start if start is not None else exchange.started)))


def left(exchange: Exchange) -> int | None:
    """Seconds until a shared copy goes stale, or None when the response does not say."""
    whole = lifetime(exchange)
    return None if whole is None else whole - (age(exchange) or 0)


def _when(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
