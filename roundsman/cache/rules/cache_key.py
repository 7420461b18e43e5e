"""The cache key: which differences between two requests lead to the same copy, and which to another one.

A header of the site's own that a page varies on is part of the key by RFC 9111 section 4.1, promised or not.

Every request has two random parameters, so that the copies compared are this round's and no reader's. Costs two
requests for the copy that all others are compared with, and one for each part of the key.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from roundsman.cache.rules.bypass import NOT_KEPT
from roundsman.http.cache_status import cache_state
from roundsman.http.copies import Extra, ProbeStep, difference, kept, silence, states
from roundsman.http.target import with_query
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.verdict import Claim, Finding, Outcome
from roundsman.site.rules.host_names import address, alias, parts_of
from roundsman.site.rules.promises import Key, Rule
from roundsman.site.rules.site import Site

SAME = Claim("cache-headers/key-same", "Requests that the rule calls the same get one copy.")
APART = Claim("cache-headers/key-apart", "Requests that the rule keeps apart never get each other's copy.")

VARIED = Claim(
    "cache-headers/vary-apart",
    "Copies that Vary keeps apart are kept apart.",
    "https://www.rfc-editor.org/rfc/rfc9111#section-4.1",
)

BASE = "key"
#: Headers with which many edges replace what a visitor sent by one of a few values before they look for a copy, as they
#: may; and those that are tried otherwise.
_NORMALIZED = re.compile(
    r"accept(-.*)?|authorization|cookie|dnt|origin|referer|save-data|user-agent|sec-.*|x-forwarded-.*"
)
#: Headers of one page that are tried.
_MAX_VARIED = 3
#: A header name that a probe may send (RFC 9110 section 5.6.2); `*` is none.
_SENDABLE = re.compile(r"(?!\*$)[a-z0-9!#$%&'*+.^_`|~-]+")
#: Parts that are tried with a random value, which nobody sent before.
_UNIQUE = ("query ", "header ", "cookie ")


def steps(  # noqa: C901 - one case for each kind of part
    site: Site, rule: Rule, path: str, nonce: str, last: Exchange | None = None
) -> Iterator[ProbeStep]:
    """The copy to compare with, twice; then one request for each part that can be tried on this path.

    `last`: the last plain visit, which says what the page varies on.
    """
    first, second = f"roundsman={nonce}", f"rounds={nonce[::-1]}"
    base = with_query(with_query(path, first), second)
    parts = parts_of(rule.cache.key)
    varied = _varied(rule, last)
    if varied or any(_trouble(path, part) == "" for part in parts):
        yield from [ProbeStep(path, BASE, Probe(site.url(base)))] * 2
    for part in parts:
        if _trouble(path, part):
            continue
        kind, _, name = part.partition(" ")
        if kind == "query" and part in (rule.cache.key or Key()).same:
            foremost = with_query(with_query(with_query(path, f"{name}={nonce}"), first), second)
            yield ProbeStep(path, _first(part), Probe(site.url(foremost)))
        match kind:
            case "query":
                probe = Probe(site.url(with_query(base, f"{name}={nonce}")))
            case "header":
                probe = Probe(site.url(base), headers=((name, nonce),))
            case "cookie":
                probe = Probe(site.url(base), headers=(("Cookie", f"{name}={nonce}"),))
            case "order":
                probe = Probe(site.url(with_query(with_query(path, second), first)))
            case "host":
                url = f"{urlsplit(site.base_url).scheme}://{alias(site, name)}{base}"
                probe = Probe(url, node=address(site))
            case _:
                plain, _, query = base.partition("?")
                probe = Probe(site.url(f"{_turned(plain, kind)}?{query}"))
        yield ProbeStep(path, _name(part), probe)
    for name in varied:
        yield ProbeStep(path, _vary(name), Probe(site.url(base), headers=((name, nonce),)))


def findings(rule: Rule, path: str, extra: Extra) -> Iterator[Finding]:
    """What came of each part of the key."""
    base, key = extra.get(BASE, ()), rule.cache.key or Key()
    for claim, parts in ((SAME, key.same), (APART, key.apart)):
        for part in parts:
            other, wanted = extra.get(_name(part), ()), "the same copy" if claim is SAME else "another copy"
            evidence = [*base, *other]
            if why := _trouble(path, part) or _unasked(base, other):
                yield claim.against(f"{part}: {why}", wanted, holds=None, evidence=evidence)
            else:
                unique = part.startswith(_UNIQUE)
                saw, holds = _same(base, other[0]) if claim is SAME else _apart(base, other[0], unique=unique)
                claimed = claim
                if holds is False and (foremost := extra.get(_first(part))) and _same(base, foremost[0])[1]:
                    saw = f"{saw} behind other parameters, and the same copy before them"
                    claimed, evidence = replace(claim, breach=Outcome.WARN), [*evidence, *foremost]
                yield claimed.against(f"{part}: {saw}", wanted, holds=holds, evidence=evidence)
    for step, other in extra.items():
        if step.startswith(_vary("")) and not _unasked(base, other):
            saw, holds = _apart(base, other[0], unique=False)  # an edge may make a few values of many
            name = step.removeprefix(_vary(""))
            shown = f"Vary: {name}, and with another {name}: {saw}"
            yield VARIED.against(shown, "another copy, or none", holds=holds, evidence=[*base, *other])


def _same(base: Sequence[Exchange], other: Exchange) -> tuple[str, bool | None]:
    state, changed = cache_state(other), difference(base[-1], other)
    if state.from_store is None:
        return f"{state}, {changed or 'nothing tells them apart'}", False if changed else None
    return f"{state}, {changed or ('the same copy' if state.from_store else 'fetched anew')}", (
        state.from_store and not changed
    )


def _apart(base: Sequence[Exchange], other: Exchange, *, unique: bool) -> tuple[str, bool | None]:
    """`unique`: the other request has a value that nobody sent before, so that no copy is its own."""
    state, changed = cache_state(other), difference(base[-1], other)
    if changed or state.from_store is False:
        return f"{state}, {changed or 'fetched anew'}", True
    if state.from_store is None or (kept(base[:1]) and not unique):
        # When even the random parameters did not make a new copy, an equal one can be the other's own.
        return f"{state}, and nothing tells the two apart", None
    return f"{state}, the same copy", False


def _unasked(base: Sequence[Exchange], other: Sequence[Exchange]) -> str:
    """Why the two can't be compared."""
    if not base or not other:
        return NOT_KEPT
    if why := silence([*base, *other]):
        return why
    return "" if kept(base[-1:]) else f"no copy to compare with: {states(base)}"


def _trouble(path: str, part: str) -> str:
    """Why a part can't be tried on a path."""
    plain = path.partition("?")[0]
    if part == "case" and plain.swapcase() == plain:
        return f"{plain} has no letter to turn"
    if part == "slash" and plain == "/":
        return "/ is nothing without its slash"
    return ""


def _turned(plain: str, kind: str) -> str:
    if kind == "case":
        return plain.swapcase()
    return plain.removesuffix("/") if plain.endswith("/") else f"{plain}/"


def _varied(rule: Rule, last: Exchange | None) -> list[str]:
    """The headers of the site's own that a page varies on, but for those that the rule speaks of itself."""
    named = {part.partition(" ")[2].lower() for part in parts_of(rule.cache.key)}
    named |= {bypass.when.partition(" ")[2].lower() for bypass in rule.bypass}
    listed = last.header("vary").lower().split(",") if last else []
    names = [name for name in dict.fromkeys(map(str.strip, listed)) if _SENDABLE.fullmatch(name)]
    return [name for name in names if name not in named and not _NORMALIZED.fullmatch(name)][:_MAX_VARIED]


def _vary(name: str) -> str:
    return f"vary {name}"


def _first(part: str) -> str:
    """The step that tries a parameter before all others, where some edges alone leave it out."""
    return f"{_name(part)} first"


def _name(part: str) -> str:
    return f"key {part}"
