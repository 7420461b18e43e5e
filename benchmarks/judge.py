"""What a verdict costs: by the RFC on one response, and on the exchanges of a whole round. Processor time, one core."""

import gc
import time
from collections.abc import Callable
from email.utils import formatdate

from roundsman.cache.rules import judge as cache_headers
from roundsman.http.rfc9111_reuse import HttpRequest, HttpResponse, judge
from roundsman.report.rules.exchange import Exchange, Phases, Probe
from roundsman.report.rules.grouping import group
from roundsman.report.rules.visitor import STRANGER
from roundsman.site.rules.site import Site

Row = tuple[str, str, str, bool]

NEW, KNOWN, WHOLE = 150e-6, 5e-6, 3.0
EXCHANGES, VISITS = 100_000, 3
# Whatever else the machine does only adds, so of some turns the best counts.
TURNS = 3
NOW = 1_767_225_600
TARGETED = ("cloudflare-cdn-cache-control", "cdn-cache-control")
REQUEST = HttpRequest("https://www.example.com/a", headers=(("User-Agent", "roundsman"), ("Accept-Encoding", "gzip")))


def rows() -> list[Row]:
    new = _each(lambda number: f"public, max-age={number}, stale-while-revalidate=60")
    known = _each(lambda _: "public, max-age=600, stale-while-revalidate=60")
    judging, grouping, groups = min((_round() for _ in range(TURNS)), key=lambda turn: turn[0] + turn[1])
    whole = judging + grouping
    parts = f"{whole:.2f} s: judged {judging:.2f}, grouped {grouping:.2f} into {groups}"
    return [
        ("a response judged, the shape of its headers new", f"{new * 1e6:.0f} us", "at most 150 us", new <= NEW),
        ("a response judged, the shape of its headers known", f"{known * 1e6:.1f} us", "at most 5 us", known <= KNOWN),
        (f"{EXCHANGES:,} exchanges judged and grouped", parts, f"at most {WHOLE:g} s", whole <= WHOLE),
    ]


def _headers(number: int, control: str) -> tuple[tuple[str, str], ...]:
    """A response as a cache sends it; Date and Age are always others."""
    return (
        ("Date", formatdate(NOW - number % 600, usegmt=True)),
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", "20480"),
        ("Connection", "keep-alive"),
        ("Server", "nginx"),
        ("Cache-Control", control),
        ("CDN-Cache-Control", control),
        ("ETag", f'"{number}"'),
        ("Vary", "Accept-Encoding"),
        ("Age", str(number % 600)),
        ("X-Cache", "MISS" if number % VISITS == 0 else "HIT"),
        ("Via", "1.1 varnish"),
    )


def _each(control: Callable[[int], str]) -> float:
    """Seconds for one judgement."""
    best = float("inf")
    for turn in range(10):
        numbers = range(1 + turn * 3000, 1 + (turn + 1) * 3000)
        responses = [HttpResponse(200, _headers(number, control(number)), NOW) for number in numbers]
        begun = time.process_time()
        for response in responses:
            judge(REQUEST, response, REQUEST, after=10, targeted=TARGETED)
        best = min(best, (time.process_time() - begun) / len(responses))
    return best


def _round() -> tuple[float, float, int]:
    """Seconds to judge and to group the exchanges of a round in which one page in ten breaks its promise."""
    site = _site()
    rule = site.rules[0]
    routes = [(f"/a/{number}", _visits(number)) for number in range(EXCHANGES // VISITS + 1)]
    # Three million objects that were there before; the collector would look at them again and again.
    gc.freeze()
    begun = time.process_time()
    verdicts = [cache_headers.judge(site, rule, path, visits, STRANGER) for path, visits in routes]
    judged = time.process_time()
    groups = group(verdicts)
    ended = time.process_time()
    gc.unfreeze()
    return judged - begun, ended - judged, len(groups)


def _visits(number: int) -> list[Exchange]:
    control = "private" if number % 10 == 0 else f"public, max-age={600 + number % 7}"
    return [
        Exchange(
            Probe(f"https://www.example.com/a/{number}", edge="varnish"),
            due=NOW,
            started=NOW + visit,
            phases=Phases(first_byte=0.01, total=0.01),
            status=200,
            headers=_headers(number * VISITS + visit, control),
            body_hash="0",
        )
        for visit in range(VISITS)
    ]


def _site() -> Site:
    rule = {
        "name": "articles",
        "paths": ["/a/**"],
        "cache": {"by": "everyone", "edge_ttl": "5m..1h", "browser_ttl": "<=20m", "vary": ["accept-encoding"]},
        "examples": {"cached": ["/a/first", "/a/canary"]},
        "expected_result": "A reader gets a copy at most an hour old.",
        "rollback": {"note": "kept for 30 days", "command": ["make", "back"]},
    }
    site = {"site": "shop", "base_url": "https://www.example.com", "owner": "web <w@example.com>", "rules": [rule]}
    return Site.model_validate(site)
