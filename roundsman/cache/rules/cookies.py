"""Set-Cookie on a page that is kept. RFC 9111 lets a cache store it (section 7.3), and hand it to everybody."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from urllib.parse import unquote

from roundsman.http.copies import kept, states
from roundsman.http.vendor_cookies import OF_EDGE, STICKY
from roundsman.report.rules.exchange import Exchange, cookie_of
from roundsman.report.rules.text import shortened
from roundsman.report.rules.verdict import Claim, Finding, Outcome

RFC = "https://www.rfc-editor.org/rfc/rfc9111#section-7.3"
SET_COOKIE = Claim("cache-headers/set-cookie", "A page for everyone sets no cookie, and no copy has one.", RFC)
#: At least 16 characters in a row, with a digit and a letter among them; where a visitor is has shorter parts.
_TOKEN = re.compile(r"(?=[^\d]*\d)(?=[^A-Za-z]*[A-Za-z])[\w+/=.~-]{16,}")
_BETWEEN = re.compile(r"[^\w+/=.~-]+")
UNKEPT = Claim(SET_COOKIE.id, SET_COOKIE.says, RFC, breach=Outcome.WARN)


#: Cookies that are named in one finding, and characters of a name; the others are counted.
MOST_NAMES, LONGEST_NAME = 10, 100


def cookie_names(names: Collection[str]) -> str:
    """The names of some cookies in a sentence. One without a name is all value, which is nobody's to read."""
    first = [shortened(name, LONGEST_NAME) or "a cookie without a name" for name in list(names)[:MOST_NAMES]]
    return ", ".join(first) + (f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else "")


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


def findings(seen: Sequence[Exchange]) -> Iterator[Finding]:
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
