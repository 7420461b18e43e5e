"""Reading the header fields that rule a cache. Nothing here raises, whatever a header holds.

A policy is read into one shape, whichever field it stands in: directive names in lower case, each with its argument or
None. Fields are text as the wire's bytes in latin-1.
"""

import re
from calendar import monthrange, timegm
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast

import http_sf

from roundsman.report.rules.text import nearest

#: What stands for every larger number of seconds (RFC 9111 section 1.2.2).
MAX_DELTA_SECONDS = 2**31

Directives = Mapping[str, str | None]

#: Directives whose argument is a number of seconds, so that in a Dictionary they are Integers (RFC 9213 section 2.1).
_SECONDS = frozenset({"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"})

#: What a response may say (RFC 9111 section 5.2.2, RFC 5861, RFC 8246), and what some say that no cache obeys any more.
_KNOWN = frozenset(
    [
        "max-age",
        "s-maxage",
        "no-cache",
        "no-store",
        "no-transform",
        "must-revalidate",
        "must-understand",
        "private",
        "proxy-revalidate",
        "public",
        "stale-while-revalidate",
        "stale-if-error",
        "immutable",
    ]
)
_HARMLESS = frozenset(["channel-maxage", "pre-check", "post-check", "max-stale", "min-fresh", "only-if-cached"])

#: Characters of a broken directive that are shown.
_SHOWN_CHARACTERS = 40

# No possessive quantifier: Python before 3.11.5 goes wrong with one around what can backtrack (gh-106052), and
# Debian 12 has 3.11.2. Each character fits in one way only, so there is nothing to try twice.
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
#: A member of a list runs to the next comma that stands in no quoted string. The second group starts with a quote that
#: is never closed; behind it every comma counts, so that nothing said there is swallowed.
_MEMBER = re.compile(rf'((?:{_QUOTED.pattern}|[^",])*)(".*)?', re.DOTALL)
_DIRECTIVE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=(.*))?", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPACE = " \t"


def members(value: str) -> Iterator[str]:
    """The members of a list, without the space around them; empty ones do not count (RFC 9110 section 5.6.1)."""
    for closed, _, unclosed in _MEMBER.findall(value):
        first, *more = unclosed.split(",")
        for part in (closed + first, *more):
            if member := part.strip(_SPACE):
                yield member


def pairs(value: str) -> Iterator[tuple[str, str | None]]:
    """Every directive of a Cache-Control value in order, equal ones included (RFC 9111 section 5.2).

    What is no directive by the grammar, such as `max-age =60`, is passed over.
    """
    for member in members(value):
        if found := _DIRECTIVE.fullmatch(member):
            yield found[1].lower(), found[2] and _unquoted(found[2])


@lru_cache(maxsize=4096)
def directives(value: str) -> Directives:
    """Read a Cache-Control value; the first of two equal directives counts (RFC 9111 section 4.2.1)."""
    found: dict[str, str | None] = {}
    for name, argument in pairs(value):
        found.setdefault(name, argument or None)
    return MappingProxyType(found)


def troubles(value: str) -> tuple[str, ...]:
    """What of a Cache-Control value caches read each in their own way, in words: what is broken, or said twice."""
    broken, timed = [], dict[str, set[str | None]]()
    for member in members(value):
        found = _DIRECTIVE.fullmatch(member)
        if found is None:
            broken.append(f"`{_short(member)}` is no directive")
        elif (name := found[1].lower()) in _SECONDS:
            argument = found[2] and _unquoted(found[2])
            if delta_seconds(argument) is None:
                broken.append(f"`{name}={_short(argument or '')}` names no seconds")
            timed.setdefault(name, set()).add(argument)
        elif name not in _KNOWN | _HARMLESS and (meant := nearest(name, _KNOWN, 1)):
            broken.append(f"no cache knows `{_short(name)}`; did you mean {meant[0]}?")
    twice = (f"{name} is said twice, and differs" for name, said in timed.items() if len(said) > 1)
    return (*broken, *twice)


def dictionary(value: str) -> Directives | None:
    """Read a targeted field (RFC 9213 section 2.1); None when it is empty or no Dictionary, so that it does not count.

    The last of two equal keys counts, parameters do not, and a member that is `?0` was not said. Seconds of another
    type than Integer, such as `max-age="600"`, are not to be made use of, so the field does not count either.
    """
    try:
        raw = value.encode("utf-8", "surrogatepass")
        # Its annotation has every type of field in one; of a dictionary each member is a pair of value and parameters.
        read = cast("dict[str, tuple[Any, Any]]", http_sf.parse(raw, tltype="dictionary"))
    except (ValueError, OverflowError):
        return None
    items = {name: item[0] for name, item in read.items() if item[0] is not False}
    if any(type(item) is not int for name, item in items.items() if name in _SECONDS):
        return None
    return MappingProxyType({name: _argument(item) for name, item in items.items()}) if read else None


def surrogate(value: str) -> Directives | None:
    """Read Surrogate-Control (Edge Architecture Specification 1.0); None when it says nothing about storing.

    The second number of `max-age=600+60` is how long a stale copy may still be served. A directive that names its
    target, as in `no-store;squid`, is taken as meant for this cache.
    """
    said: dict[str, str | None] = {}
    for name, argument in pairs(re.sub(r";[^,]*", "", value)):
        first, extended, more = (argument or "").partition("+")
        said.setdefault(name, first or None)
        if extended and name == "max-age":
            said.setdefault("stale-while-revalidate", more)
    return MappingProxyType(said) if said.keys() & {"max-age", "s-maxage", "no-store", "private"} else None


def edge_control(value: str) -> Directives | None:
    """Read Akamai's Edge-Control; None when it says nothing about storing.

    `cache-maxage=2h` has a unit; a directive that starts with `!`, such as `!no-store`, only takes back another one.
    """
    said: dict[str, str | None] = {}
    for name, argument in pairs(value):
        if name in {"max-age", "cache-maxage"}:
            said.setdefault("max-age", _unit(argument or ""))
        elif name in {"no-store", "bypass-cache"}:
            said.setdefault("no-store", None)
    return MappingProxyType(said) if said else None


def accel_expires(value: str) -> Directives | None:
    """Read nginx's X-Accel-Expires, a number of seconds; None for what depends on a clock (`@1790000000`) or is `off`.

    0 keeps nginx from storing. https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_cache_valid
    """
    seconds = delta_seconds(value.strip())
    if seconds is None:
        return None
    return MappingProxyType({"max-age": str(seconds)} if seconds else {"no-store": None})


def delta_seconds(text: str | None) -> int | None:
    """A number of seconds (RFC 9111 section 1.2.2), at most 2^31, or None when it is none."""
    if not text or not text.isascii() or not text.isdigit():
        return None
    digits = text.lstrip("0") or "0"
    # The interpreter refuses to read thousands of digits.
    return min(int(digits), MAX_DELTA_SECONDS) if len(digits) <= len(str(MAX_DELTA_SECONDS)) else MAX_DELTA_SECONDS


_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY = "|".join(day[:3] for day in _DAYS)
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
#: IMF-fixdate, RFC 850 and asctime (RFC 9110 section 5.6.7). Case does not matter, and no zone but GMT is one
#: (RFC 9111 section 4.2, which allows UTC no more).
_DATES = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"(?:{_DAY}), (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} gmt",
        rf"(?:{'|'.join(_DAYS)}), (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} gmt",
        rf"(?:{_DAY}) {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)


@lru_cache(maxsize=4096)
def http_date(text: str, year: int) -> int | None:
    """A date in Unix seconds, or None when it has none of the three forms or does not exist.

    `year` is the current one: a year of two digits is never more than 50 years after it.
    """
    plain = text.strip(_SPACE).lower()
    found = next(filter(None, (form.fullmatch(plain) for form in _DATES)), None)
    if found is None:
        return None
    written, month = int(found["year"]), _MONTHS.index(found["month"]) + 1
    if len(found["year"]) == 2:
        written = year + 50 - (year + 50 - written) % 100
    day, hour, minute, second = (int(found[name]) for name in ("day", "hour", "minute", "second"))
    # A leap second is second 60.
    exists = written and 1 <= day <= monthrange(written, month)[1] and hour <= 23 and minute <= 59 and second <= 60
    return timegm((written, month, day, hour, minute, second)) if exists else None


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _unquoted(text: str) -> str:
    """An argument without its quotes; empty when they are not closed."""
    if not text.startswith('"'):
        return text
    return _ESCAPED.sub(r"\1", found[1]) if (found := _QUOTED.fullmatch(text)) else ""


def _argument(value: object) -> str | None:
    """A value of a Dictionary as the argument of a directive."""
    if value is True:
        return None
    if isinstance(value, list):
        return " ".join(str(item[0]) for item in value) or None
    return str(value) or None


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _unit(text: str) -> str:
    """A duration such as 1d12h in seconds; as it stands when it is none."""
    parts = re.findall(r"([0-9]{1,9})([smhd])", text.lower())
    whole = "".join(number + unit for number, unit in parts) == text.lower()
    return str(sum(int(number) * _UNITS[unit] for number, unit in parts)) if parts and whole else text
