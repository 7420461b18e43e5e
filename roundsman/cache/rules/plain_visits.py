"""What the plain visits of a page show beside its headers: cookies on copies, copies used unasked, and the hit rate."""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from urllib.parse import unquote

from roundsman.http import cache_status
from roundsman.http.cache_status import CacheState, OriginContacted, cache_state
from roundsman.http.copies import AGE_GRAIN_SECONDS, difference, kept, states
from roundsman.http.freshness import age, dated, wants_a_question
from roundsman.http.rfc9111_reuse import Decision, HttpRequest, HttpResponse, Reuse, judge
from roundsman.http.vendor_headers import OF_EDGE, STICKY
from roundsman.report.rules.exchange import Exchange, cookie_of
from roundsman.report.rules.text import shortened
from roundsman.report.rules.verdict import Claim, Finding, Outcome

RFC = "https://www.rfc-editor.org/rfc/rfc9111"
#: It lets a cache store a cookie, and hand it to everybody.
COOKIES = f"{RFC}#section-7.3"
SET_COOKIE = Claim("cache-headers/set-cookie", "A page for everyone sets no cookie, and no copy has one.", COOKIES)
#: At least 16 characters in a row, with a digit and a letter among them; where a visitor is has shorter parts.
_TOKEN = re.compile(r"(?=[^\d]*\d)(?=[^A-Za-z]*[A-Za-z])[\w+/=.~-]{16,}")
_BETWEEN = re.compile(r"[^\w+/=.~-]+")
UNKEPT = Claim(SET_COOKIE.id, SET_COOKIE.says, COOKIES, breach=Outcome.WARN)
#: Cookies that are named in one finding, and characters of a name; the others are counted.
MAX_NAMES, MAX_NAME_CHARACTERS = 10, 100
CONFIRMED = Claim(
    "cache-headers/confirmed",
    "A copy that must be confirmed first is not served without asking the origin.",
    f"{RFC}#section-4",
)
HIT_RATE = Claim("cache-headers/probe-hit-rate", "So many of the probe's own visits came from the store.")

#: Standard deviations of a 95 % interval.
_Z = 1.959964


def cookie_names(names: Collection[str]) -> str:
    """The names of some cookies in a sentence. One without a name is all value, which is nobody's to read."""
    first = [shortened(name, MAX_NAME_CHARACTERS) or "a cookie without a name" for name in list(names)[:MAX_NAMES]]
    return ", ".join(first) + (f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else "")


def replays_token(seen: Sequence[Exchange]) -> bool:
    """Whether a cookie with a value like that of a session comes with several answers, a copy among them."""
    owners: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in seen:
        for cookie in exchange.all("set-cookie"):
            name, value = cookie_of(cookie)
            if not (OF_EDGE.fullmatch(name) or STICKY.fullmatch(f"{name}={value}")):
                owners[value].append(exchange)
    return any(_like_session(value) and len(carriers) > 1 and kept(carriers) for value, carriers in owners.items())


def _like_session(value: str) -> bool:
    return any(map(_TOKEN.fullmatch, _BETWEEN.split(unquote(value))))


def cookie_findings(seen: Sequence[Exchange]) -> Iterator[Finding]:
    """A finding when an answer set a cookie. An edge that sets its own gives each answer a value of its own."""
    values: dict[str, list[str]] = defaultdict(list)
    carriers: dict[str, list[Exchange]] = defaultdict(list)
    for exchange in seen:
        for cookie in exchange.all("set-cookie"):
            name, value = cookie_of(cookie)
            values[name].append(value)
            if not carriers[name] or carriers[name][-1] is not exchange:
                carriers[name].append(exchange)
    if not values:
        return
    copies, wanted = kept(seen), "no Set-Cookie on a page for everyone"
    replayed = [name for name, said in values.items() if len(set(said)) < len(said) and kept(carriers[name])]
    from_origin = [name for name in values if not kept(carriers[name])]
    if replayed:
        saw = f"{cookie_names(replayed)} with the same value again, from the store: {states(seen)}"
        yield SET_COOKIE.against(saw, wanted, holds=False, evidence=carriers[replayed[0]])
    elif copies and from_origin:
        saw = f"{cookie_names(from_origin)} on a page that is kept: {states(seen)}"
        yield SET_COOKIE.against(saw, wanted, holds=False, evidence=[*carriers[from_origin[0]], *copies])
    elif from_origin:
        saw = f"{cookie_names(from_origin)}; by the RFC a cache may keep it, observed {states(seen)}"
        yield UNKEPT.against(saw, wanted, holds=False, evidence=carriers[from_origin[0]])
    else:
        saw = f"{cookie_names(values)} with a new value on each answer, so the edge's own"
        yield SET_COOKIE.against(saw, wanted, holds=True, evidence=seen)


def unasked(seen: Sequence[Exchange], targeted: Sequence[str]) -> Iterator[tuple[str, Exchange]]:
    """Each visit that was answered from the store without a question, against the headers; and what these say."""
    # How long a copy with a lifetime is used is another claim's business.
    if not wants_a_question(seen[0], targeted=targeted):
        return
    for before, later in pairwise(seen):
        report = cache_status.read(later)
        asked = report.origin_contacted is not OriginContacted.NO
        if report.state is not CacheState.HIT or asked or difference(before, later):
            continue
        decision = _next(before, later, targeted)
        if decision.storable and decision.reuse in {Reuse.VALIDATE, Reuse.MISS}:
            yield f"by the RFC {decision.why_reuse}; observed {states(seen)}: the edge does not ask", later


def _next(before: Exchange, later: Exchange, targeted: Sequence[str]) -> Decision:
    """What a cache with the answer to one visit may do at the next. Told by Age alone: no two clocks are compared."""
    made = dated(before)
    received = before.ended if made is None else float(made + (age(before) or 0))
    asked, again = (HttpRequest(one.url, one.probe.method, one.probe.headers) for one in (before, later))
    after = max(0.0, later.started - before.ended - AGE_GRAIN_SECONDS)
    answered = HttpResponse(before.status, before.headers, received)
    return judge(asked, answered, again, after=after, targeted=tuple(targeted))


def hit_rate_findings(seen: Sequence[Exchange]) -> Iterator[Finding]:
    """The rate over all plain visits of a rule, with its interval. It never fails: warming up is among them."""
    said = [exchange for exchange in seen if cache_state(exchange).from_store is not None]
    if said:
        hits, count = len(kept(said)), len(said)
        low, high = wilson(hits, count)
        saw = f"probe hit rate {hits / count:.0%} ({hits} of {count} visits; 95 % interval {low:.0%} to {high:.0%})"
        yield HIT_RATE.against(saw, "no promise", holds=True)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927), which also holds for few visits and for all or none."""
    share, square = hits / count, _Z * _Z / count
    middle, width = share + square / 2, _Z * math.sqrt((share * (1 - share) + square / 4) / count)
    return max(0.0, (middle - width) / (1 + square)), min(1.0, (middle + width) / (1 + square))
