"""What the caches before the origin did with one request, by every header that speaks of it.

Who comes first is the edge: the header that the site names, the site's own edge, RFC 9211, headers that only one vendor
has, those that need a second look. Whoever speaks beside it is a cache behind the edge, as is one that only Age
shows.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import http_sf

from roundsman.http import host_status as hosts
from roundsman.http import vendor_headers as vendor
from roundsman.http.cache_states import (
    BYPASS,
    EXPIRED,
    FASTLY_WORDS,
    HIT,
    MISS,
    NO_WORDS,
    REVALIDATED,
    STALE,
    STALE_WHILE_FETCHING,
    CacheReport,
    CacheState,
    OriginContacted,
    Tier,
    report_of,
    stacked,
    tier,
    tiers,
)
from roundsman.report.rules.exchange import Exchange

__all__ = ["CacheReport", "CacheState", "OriginContacted", "at_edge", "cache_state", "edges", "in_words", "read"]

_NUMBER = re.compile(r"\d+")
_COUNTS = re.compile(r"\s(?:dirn|mlen):\S*|(?<=hit|int)(?:[/(]|:\s?)\d+\)?|(?<=miss|pass)[/(]\d+\)?", re.IGNORECASE)
_TTL = re.compile(r"(?<=ttl=)\d+|(?<=ttl=-)\d+")
#: `fwd` (RFC 9211 section 2.2); whatever else it says, the request went on.
_FORWARDED = {"bypass": BYPASS, "method": BYPASS, "request": BYPASS, "stale": EXPIRED}
_QUOTED = r'"(?:[^"\\]|\\.)*"?'
_MEMBER = re.compile(rf'(?:[^,"]|{_QUOTED})+', re.DOTALL)
_PART = re.compile(rf'(?:[^;"]|{_QUOTED})+', re.DOTALL)
#: What a Boolean that is not so looks like, in a structured field and out in the world.
_FALSE = frozenset({"?0", "0", "false"})


def cache_status(headers: Mapping[str, str]) -> CacheReport | None:
    """Read Cache-Status: the first member is nearest the origin, the last nearest the user."""
    value = headers.get("cache-status", "")
    found = [(name, seen) for name, parameters in _members(value) if (seen := _tier(parameters))]
    if found:
        return report_of([seen for _, seen in found], "cache-status", found[-1][0])
    # Some write $upstream_cache_status under this name, and so do the caches before and behind them; a member of
    # RFC 9211 with nothing but a name says nothing.
    return None if ";" in value else report_of(tiers(value), "cache-status")


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


def _likely(headers: vendor.HeaderValues) -> CacheReport | None:
    """A header with a likely name and a plain word in it, where nobody else says anything; no vendor's own is one."""
    names = [name for name in headers if name not in _STATUS_HEADERS and hosts.is_likely(name)]
    reports = (vendor.worded(name)(headers) for name in names)
    return next((report for report in reports if report and report.state.from_store is not None), None)


_ANYBODY: tuple[vendor.Reader, ...] = (
    cache_status,
    vendor.cloudflare,
    *hosts.CDNS.values(),
    vendor.vercel,
    vendor.bunny,
    vendor.google,
    vendor.known_cdn,
    hosts.tencent,
    vendor.nginx,
    vendor.x_cache,
    vendor.akamai,
    vendor.traffic_server,
    *hosts.HOSTS.values(),
    _likely,
    hosts.counted,
    vendor.server_timing,
    vendor.age,
)
#: Who is asked only when nobody else has said anything.
_LAST_RESORT = frozenset({_likely, hosts.counted, vendor.age})
#: The headers that speak of the same cache as a reader's own: whoever reads them next would hear it twice.
_SPOKEN: Mapping[vendor.Reader, frozenset[str]] = {
    vendor.cloudflare: frozenset(["cf-cache-status", "server-timing"]),
    hosts.CDNS["x-77-cache"]: frozenset(["x-cache"]),
    hosts.CDNS["x-ec-cache"]: frozenset(["x-cache"]),
    hosts.HOSTS["x-drupal-cache"]: frozenset(["x-drupal-dynamic-cache"]),
    vendor.varnish: frozenset(["x-cache", "x-varnish", "x-varnish-cache", "x-cache-detail"]),
    vendor.squid: frozenset(["x-cache", "x-cache-lookup", "age"]),
    vendor.x_cache: frozenset(["x-cache", "x-varnish", "x-varnish-cache", "x-cache-lookup", "x-cache-detail"]),
    vendor.known_cdn: frozenset(
        ["x-cache", "x-cache-remote", "fastly-debug-ttl", "akamai-cache-status", "x-fastly-cache-status"]
    ),
    vendor.fastly: frozenset(["x-cache", "fastly-debug-ttl", "x-fastly-cache-status"]),
    vendor.akamai: frozenset(["x-cache", "x-cache-remote", "akamai-cache-status", "x-check-cacheable"]),
    vendor.cloudfront: frozenset(["x-cache", "server-timing"]),
    vendor.traffic_server: frozenset(["via", "x-cache"]),
    vendor.bunny: frozenset(["cdn-cache", "perma-cache"]),
    vendor.nginx: frozenset(vendor.NGINX_NAMES),
}
#: Seconds by which an Age has to exceed the time that the answer took: a cache may count that time (RFC 9111 4.2.3).
_AGE_MARGIN_SECONDS = 1.0
_BY_AGE = CacheReport(CacheState.HIT, OriginContacted.NO, layers=(HIT,), header="age", held_by="age")
#: A site may name one of these as its own header; any other is read word by word.
_BY_NAME: Mapping[str, vendor.Reader] = {
    **hosts.CDNS,
    **hosts.HOSTS,
    "cache-status": cache_status,
    "cf-cache-status": vendor.cloudflare,
    "server-timing": vendor.server_timing,
    "via": vendor.traffic_server,
    "x-cache": vendor.x_cache,
    "x-varnish": vendor.varnish,
    "x-vercel-cache": vendor.vercel,
}


def cache_state(exchange: Exchange) -> CacheState:
    """What became of one request, in one word."""
    report = exchange.read.get(CacheReport)
    return (report or read(exchange)).state


def at_edge(exchange: Exchange) -> CacheState:
    """What the outermost cache did, whatever the caches behind it had."""
    report = read(exchange)
    return report.layers[0].state if report.layers else report.state


def in_words(exchange: Exchange) -> str:
    """What became of one request, and where: `HIT`, or `HIT behind DYNAMIC (x-vercel-cache)`.

    An edge that does not say what it did, as `Error from cloudfront`, may itself have had the copy that an Age shows.
    """
    report = read(exchange)
    if not report.held_by or report.held_by == report.header:
        return report.state
    before = f" behind {edge}" if (edge := report.layers[0].state) is not CacheState.UNKNOWN else ""
    return f"{report.state}{before} ({report.held_by})"


def edges(exchange: Exchange) -> tuple[str, ...]:
    """The kinds of edge before the origin, such as cloudflare: the site's own, or those that its headers give away."""
    if exchange.probe.edge:
        return (exchange.probe.edge,)
    return vendor.kinds({name.lower(): value for name, value in reversed(exchange.headers)})


def read(exchange: Exchange) -> CacheReport:
    """Read the status headers of a response; UNKNOWN when none of them says anything.

    The header that the site names (`exchange.probe.status_header`) and its edge (`exchange.probe.edge`) are heard
    first. Reading the same words again costs a look-up, as what differs from answer to answer is left out before.
    """
    if (report := exchange.read.get(CacheReport)) is None:
        report = exchange.read[CacheReport] = _read(exchange)
    return report


def _read(exchange: Exchange) -> CacheReport:
    probe, headers = exchange.probe, exchange.headers
    layout = _status_layout(exchange.names, probe.status_header)
    values = tuple([shorten(headers[place][1]) if shorten else headers[place][1] for place, shorten in layout.places])
    report = _summary(probe.edge, layout, values)
    return _with_age(report) if report.header and _by_age(exchange, report) else report


def _by_age(exchange: Exchange, report: CacheReport) -> bool:
    """Whether an answer for which the edge asked others is too old to come from the origin."""
    if report.state.from_store or report.origin_contacted is OriginContacted.NO:
        return False
    digits = exchange.header("age").partition(",")[0].strip()
    if not (digits.isascii() and digits.isdigit()):
        return False
    return len(digits) > 9 or int(digits) > exchange.phases.total + _AGE_MARGIN_SECONDS


@lru_cache(maxsize=1024)
def _with_age(report: CacheReport) -> CacheReport:
    return stacked([report, _BY_AGE])


@dataclass(frozen=True, slots=True, eq=False)
class _StatusLayout:
    """Which headers of a response are heard, by their places, and what shortens each."""

    own: str
    names: tuple[str, ...]
    places: tuple[tuple[int, Callable[[str], str] | None], ...]


@lru_cache(maxsize=1024)
def _status_layout(names: tuple[str, ...], own: str) -> _StatusLayout:
    own = own.lower()
    wanted = _STATUS_HEADERS.keys() | {own} - {""}
    known = [
        (place, name) for place, name in enumerate(map(str.lower, names)) if name in wanted or hosts.is_likely(name)
    ]
    shortened = tuple(
        (place, _STATUS_HEADERS.get(name, None if name == own else hosts.first_words)) for place, name in known
    )
    return _StatusLayout(own, tuple(name for _, name in known), shortened)


@lru_cache(maxsize=1024)
def _summary(edge: str, layout: _StatusLayout, values: tuple[str, ...]) -> CacheReport:
    own = layout.own
    headers: dict[str, str] = {}
    for name, value in zip(layout.names, values, strict=True):
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    readers = [_BY_NAME.get(own) or vendor.worded(own, FASTLY_WORDS if edge == "fastly" else NO_WORDS)] if own else []
    if (known := vendor.EDGES.get(edge)) and known.reader:
        readers.append(known.reader)
    found: list[CacheReport] = []
    for reader in [*readers, *_ANYBODY]:
        # That of an edge which asked nobody is history.
        if found and found[-1].origin_contacted is OriginContacted.NO:
            break
        if found and reader in _LAST_RESORT:
            continue
        if one := reader(headers):
            found.append(one)
            for name in {one.header} | _SPOKEN.get(reader, frozenset()):
                headers.pop(name, None)
    return stacked(found) if found else CacheReport(CacheState.UNKNOWN, OriginContacted.UNKNOWN)


@lru_cache(maxsize=4096)
def _aged(value: str) -> str:
    """1 when it is above zero, 0 when it is zero; the first of a list counts (RFC 9111 section 5.1)."""
    digits = value.partition(",")[0].strip()
    return str(int(digits.strip("0") != "")) if digits.isascii() and digits.isdigit() else ""


def _pop(ray: str) -> str:
    """The data centre in `8a1f00c0ffee-AMS`."""
    _, is_named, pop = ray.rpartition("-")
    return pop.strip() if is_named else ""


def _region(request: str) -> str:
    """The region nearest the user in `fra1::iad1::b7xkq-1700000000000-5f2c`."""
    region, is_named, _ = request.partition("::")
    return region.strip() if is_named else ""


def _counts(ids: str) -> str:
    """X-Varnish without its numbers."""
    return _NUMBER.sub("1", ids)


def _metrics(timing: str) -> str:
    """Only what speaks of a cache, without the times."""
    return ", ".join(part.strip() for part in timing.split(",") if "cache" in part.partition(";")[0].lower())


def _without_ttl(value: str) -> str:
    return _TTL.sub("1", value)


@lru_cache(maxsize=4096)
def _without_counts(value: str) -> str:
    """X-Cache without what Alibaba says of its disks, and how often Wikimedia and WP Engine used a copy."""
    return _COUNTS.sub("", value)


@lru_cache(maxsize=4096)
def _letters(via: str) -> str:
    """Via where Traffic Server's letters stand in it; others write times there."""
    return via if vendor.has_letters(via) else ""


#: Every header that a reader looks at, with what takes out of it that which differs from answer to answer.
_STATUS_HEADERS: Mapping[str, Callable[[str], str] | None] = {
    **hosts.STATUS_HEADERS,
    **dict.fromkeys(vendor.NGINX_NAMES),
    "age": _aged,
    "akamai-cache-status": None,
    "cache-status": _without_ttl,
    "cdn-cache": None,
    "cdn-cache-status": None,
    "cf-cache-status": None,
    "cf-ray": _pop,
    "fastly-debug-ttl": None,
    "perma-cache": None,
    "server": None,
    "server-timing": _metrics,
    "via": _letters,
    "x-amz-cf-pop": None,
    "x-azure-ref": lambda _: "",
    "x-cache": _without_counts,
    "x-cache-lookup": None,
    "x-cache-remote": None,
    "x-check-cacheable": None,
    "x-edge-location": None,
    "x-served-by": None,
    "x-varnish": _counts,
    "x-vercel-cache": None,
    "x-vercel-id": _region,
}
