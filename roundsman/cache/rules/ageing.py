"""Age and lifetimes: whether what is called kept grows older, is served past its time, or promises what it can't keep.

Costs one more plain visit, made two seconds after the first HIT, where the edge sends an Age.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import unquote

from roundsman.http.cache_status import CacheState, at_edge, cache_state
from roundsman.http.copies import AGE_GRAIN_SECONDS, kept
from roundsman.http.freshness import age, birth, directives, grace, keeps_until_deploy, lifetime
from roundsman.report.rules.durations import rounded, spoken
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.verdict import Claim, Finding, Outcome
from roundsman.site.rules.promises import Rule

RFC = "https://www.rfc-editor.org/rfc/rfc9111"
GROWS = Claim("cache-headers/age-grows", "A copy that is kept grows older.", f"{RFC}#section-5.1")
OVERDUE = Claim("cache-headers/overdue", "No copy is served past its lifetime without a word.", f"{RFC}#section-4.2.4")
WHILE_STALE = Claim(
    "cache-headers/stale-while",
    "stale-while-revalidate and stale-if-error stand where they have an effect.",
    f"{RFC}#section-5.2.2.10",
    breach=Outcome.WARN,
)
BROWSER = Claim(
    "cache-headers/browser-for-long",
    "What browsers keep for long has a name that changes with its content.",
    "RFC 8246",
    breach=Outcome.WARN,
)

LATE_VISIT = "late"
#: A browser's copy can't be purged; a day is what a mistake may cost.
LONG_SECONDS = 86_400
#: Seconds after a HIT at which its Age must have grown.
LATER_SECONDS = AGE_GRAIN_SECONDS + 0.1
_VERSION = re.compile(r"(?:^|&)(?:v|ver|version|rev)=\w")
#: A version in a path or a name, such as 1.9.1 or @v2.1. A number alone is seldom one: /v1/ stays as it is.
_NUMBERED = re.compile(r"(?:^|[/@_-])v?\d+\.\d+(?:\.\d+)?(?=[/._-]|$)")
#: What has the name of a page, which people know it by, whatever is in it.
_PAGE = re.compile(r"(?:^|/)[^./]*$|\.html?$", re.IGNORECASE)
#: Hexadecimals, as webpack, Rails and Django write a hash; the others write it in letters of both cases.
_HEX = re.compile(r"(?=[a-f]*\d)(?=\d*[a-f])[\da-f]{8,}")
#: What people call files: words with a short number, a camera's or a version's short letters, a number or date, a size.
_WORD = re.compile(
    r"(?:[a-z]+|[A-Z][a-z]{2,})(?:\d{0,4}[A-Z][a-z]{2,})*\d{0,4}"
    r"|[A-Z]{1,4}\d*"
    r"|[A-Za-z]?(?:\d{1,7}|(?:19|20)\d{6})[a-z]{0,2}"
    r"|\d+x\d+"
)


def late_at(seen: Sequence[Exchange]) -> float | None:
    """When one more visit would show that the Age grows, on the prober's clock; None when it can't show it."""
    first = next((exchange for exchange in kept(seen) if age(exchange) is not None), None)
    return None if first is None else first.ended + LATER_SECONDS


def findings(
    rule: Rule, seen: Sequence[Exchange], late: Sequence[Exchange] = (), targeted: Sequence[str] = ()
) -> Iterator[Finding]:
    """All about the age and lifetimes of one route; `late` holds the visit two seconds later, if one was made."""
    yield from _grows(seen, late, targeted)
    yield from overdue(rule, [*seen, *late], targeted)
    yield from _while_stale(seen[0])
    yield from _for_long(rule, seen[0])


def _grows(seen: Sequence[Exchange], late: Sequence[Exchange], targeted: Sequence[str]) -> Iterator[Finding]:
    hits = [exchange for exchange in seen if cache_state(exchange) is CacheState.HIT and age(exchange) is not None]
    if not hits or not late or not late[0].answered:
        return
    first, last = hits[0], late[0]
    elapsed, limit = last.started - first.started, lifetime(first, targeted=targeted)
    in_time = limit is not None and (age(first) or 0) + elapsed + AGE_GRAIN_SECONDS < limit
    if cache_state(last) is not CacheState.HIT or age(last) is None or elapsed < AGE_GRAIN_SECONDS or not in_time:
        return
    stuck = all(age(exchange) == age(last) for exchange in hits)
    births = birth(first) or 0.0, birth(last) or 0.0
    saw = f"Age {age(first)}, and {age(last)} after {elapsed:.1f}s"
    if stuck and first.body_hash != last.body_hash:
        saw = f"{saw}, another body"
    holds = not stuck or abs(births[0] - births[1]) < AGE_GRAIN_SECONDS
    yield GROWS.against(saw, "an Age that grows by the second while it is a HIT", holds=holds, evidence=[*hits, last])


def overdue(rule: Rule, seen: Sequence[Exchange], targeted: Sequence[str]) -> Iterator[Finding]:
    """A copy that the edge serves past the promised lifetime fails; past that of the headers it warns.

    An edge may have a lifetime of its own, by its settings or by a field that it does not show, so what the headers
    name is not all that rules it. An edge that keeps its copies until the next deploy is not held against headers.
    """
    hits = [exchange for exchange in seen if at_edge(exchange) is CacheState.HIT and age(exchange) is not None]
    promised = rule.cache.edge_ttl
    if not hits or (promised is None and keeps_until_deploy(hits[0])):
        return
    named = [lifetime(exchange, targeted=targeted) for exchange in hits]
    limits = [promised.high if promised else limit for limit in named]
    known = [(exchange, limit) for exchange, limit in zip(hits, limits, strict=True) if limit is not None]
    if not known:
        return
    over = [
        (exchange, limit)
        for exchange, limit in known
        if (age(exchange) or 0) > limit + grace(exchange, targeted=targeted) + AGE_GRAIN_SECONDS
    ]
    exchange, limit = (over or known)[0]
    claim = OVERDUE if promised else replace(OVERDUE, breach=Outcome.WARN)
    saw = f"HIT with Age {spoken(age(exchange) or 0)} of {'any' if limit == math.inf else spoken(limit)}"
    if over and not promised:
        saw = f"{saw}, unless the edge has a lifetime of its own"
    wanted = f"a HIT within the promised {promised}" if promised else "a HIT within its lifetime"
    yield claim.against(saw, wanted, holds=not over, evidence=[exchange])


def _while_stale(first: Exchange) -> Iterator[Finding]:
    said = directives(first.header("cache-control"))
    named = [name for name in ("stale-while-revalidate", "stale-if-error") if name in said]
    if named:
        stopped = [name for name in ("s-maxage", "must-revalidate", "proxy-revalidate") if name in said]
        saw = f"{' and '.join(named)}{f' beside {stopped[0]}, which switches it off' if stopped else ''}"
        wanted = "max-age alone, or a field for the edge"
        yield WHILE_STALE.against(saw, wanted, holds=not stopped, evidence=[first])


def _for_long(rule: Rule, first: Exchange) -> Iterator[Finding]:
    said = directives(first.header("cache-control"))
    long = lifetime(first, shared=False) or 0
    promised = rule.cache.browser_ttl is not None
    if "immutable" not in said and (promised or long <= LONG_SECONDS):
        return
    target = first.url.partition("://")[2].partition("/")[2]
    saw = f"{'immutable, ' if 'immutable' in said else ''}{rounded(long)} in browsers"
    wanted = "a hash in its name, or a shorter time, for no purge reaches a browser"
    yield BROWSER.against(saw, wanted, holds=_changes(target), evidence=[first])


def _changes(target: str) -> bool:
    """Whether a path with its query is another one when the content is: by a version, or by a hash that is no words."""
    path, _, query = target.partition("?")
    *folders, file = path.split("/")
    *pieces, ending = file.split(".")
    values = [pair.partition("=")[2] for pair in query.split("&")]
    parts = [part for part in values if not part.isdigit()]
    if pieces and ending.lower() not in {"html", "htm"}:
        parts += [part for part in folders if not part.isdigit()]
        parts += [part for piece in pieces for part in piece.split("-")[:-1] if _HEX.fullmatch(part)]
        parts += [piece.rpartition("-")[2] for piece in pieces]
        # Rollup's eight letters can have a dash among them.
        parts += [piece[-8:] for piece in pieces if piece[-9:-8] == "-"]
    # A program that scales pictures is told which one.
    nested = [unquote(value) for value in values if "%2f" in value.lower()]
    # A hash may stand behind the ending as well, as in script.js.3f2a9c1d.
    parts += [ending] if pieces and _HEX.fullmatch(ending) else []
    versioned = _NUMBERED.search(path.rpartition(".")[0]) and not _PAGE.search(path)
    return bool(_VERSION.search(query) or versioned) or any(map(_is_hash, parts)) or any(map(_changes, nested))


def _is_hash(part: str) -> bool:
    if not re.fullmatch(r"[A-Za-z\d_-]{8,}", part):
        return False
    return bool(_HEX.fullmatch(part)) or not all(map(_WORD.fullmatch, filter(None, re.split(r"[-_]", part))))
