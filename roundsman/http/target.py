"""When two requests ask for the same thing: their target URI, and the headers a response varies on."""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from roundsman.http.fields import members

Headers = tuple[tuple[str, str], ...]

_PORTS = {"http": 80, "https": 443}
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


@lru_cache(maxsize=4096)
def target(url: str) -> tuple[object, ...]:
    """A URL in the one form that all its equivalents share, without the fragment (RFC 9110 4.2.3, RFC 3986 6.2.2).

    Scheme and host in lower case, the default port left out, dot segments resolved, and no character encoded that need
    not be. One that can't be read is only equal to itself.
    """
    whole = url.partition("#")[0]
    try:
        parts = urlsplit(whole)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        return (whole,)
    standard = _PORTS.get(scheme)
    query = _decoded(parts.query) if "?" in whole else None
    return scheme, host, port or standard, _without_dots(_decoded(parts.path)) or "/", query


def with_query(url: str, query: str) -> str:
    """A URL, or a path, with one more piece of query such as `page=2`."""
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _decoded(text: str) -> str:
    """Unreserved characters as they are, and what stays encoded in capitals."""

    def plain(found: re.Match[str]) -> str:
        character = chr(int(found[1], 16))
        return character if _UNRESERVED.fullmatch(character) else found[0].upper()

    return _ENCODED.sub(plain, text)


def _without_dots(path: str) -> str:
    """RFC 3986 section 5.2.4, for a path that starts with a slash."""
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[max(1, len(kept) - 1) :]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/".join(kept)


def varies_on(value: str) -> frozenset[str]:
    """The request headers that a response varies on, in lower case; a `*` anywhere stands for all and more."""
    return frozenset(name.lower() for name in members(value))


def differing(vary: frozenset[str], first: Headers, second: Headers) -> str | None:
    """The header by which two requests differ for a response that varies on some; None when they match.

    An absent header matches only an absent one; lines and white space of a list do not count (RFC 9111 section 4.1).
    `*` never matches.
    """
    if "*" in vary:
        return "*"
    return next((name for name in sorted(vary) if sent(first, name) != sent(second, name)), None)


def sent(headers: Headers, name: str) -> tuple[str, ...] | None:
    """The members that a request gives a header in all its lines; None when it has none. `name` is in lower case."""
    lines = [value for key, value in headers if key.lower() == name]
    return tuple(member for line in lines for member in members(line)) if lines else None
