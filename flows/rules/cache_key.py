"""The cache key: which differences between two requests lead to the same copy, and which to another one.

Every request has two random parameters, so that the copies compared are this round's and no reader's. Costs two
requests for the copy that all others are compared with, and one for each part of the key.
"""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from flows.rules.cache_bypass import NOT_KEPT
from flows.rules.cache_copy import Extra, Step, asked, difference, kept, silence, states
from flows.rules.cache_status import cache_state
from flows.rules.exchange import Exchange, Probe
from flows.rules.promises import Key, Rule
from flows.rules.site import Site
from flows.rules.verdict import Claim, Finding

SAME = Claim("cache-headers/key-same", "Requests that the rule calls the same get one copy.")
APART = Claim("cache-headers/key-apart", "Requests that the rule keeps apart never get each other's copy.")

BASE = "key"
_PORTS = {"http": 80, "https": 443}


def steps(site: Site, rule: Rule, path: str, nonce: str) -> Iterator[Step]:
    """The copy to compare with, twice; then one request for each part that can be tried on this path."""
    first, second = f"roundsman={nonce}", f"rounds={nonce[::-1]}"
    base = asked(asked(path, first), second)
    parts = _parts(rule.cache.key)
    if any(_trouble(path, part) == "" for part in parts):
        yield from [Step(path, BASE, Probe(site.url(base)))] * 2
    for part in parts:
        if _trouble(path, part):
            continue
        kind, _, name = part.partition(" ")
        match kind:
            case "query":
                probe = Probe(site.url(asked(base, f"{name}={nonce}")))
            case "order":
                probe = Probe(site.url(asked(asked(path, second), first)))
            case "host":
                url = f"{urlsplit(site.base_url).scheme}://{alias(site, name)}{base}"
                probe = Probe(url, node=address(site))
            case _:
                plain, _, query = base.partition("?")
                probe = Probe(site.url(f"{_turned(plain, kind)}?{query}"))
        yield Step(path, _name(part), probe)


def findings(rule: Rule, path: str, extra: Extra) -> Iterator[Finding]:
    """What came of each part of the key."""
    base, key = extra.get(BASE, ()), rule.cache.key or Key()
    for claim, parts, judged in ((SAME, key.same, _same), (APART, key.apart, _apart)):
        for part in parts:
            other, wanted = extra.get(_name(part), ()), "the same copy" if claim is SAME else "another copy"
            evidence = [*base, *other]
            if why := _trouble(path, part) or _unasked(base, other):
                yield claim.against(f"{part}: {why}", wanted, holds=None, evidence=evidence)
            else:
                saw, holds = judged(base, other[0])
                yield claim.against(f"{part}: {saw}", wanted, holds=holds, evidence=evidence)


def aliases(site: Site) -> Mapping[str, str]:
    """Host and port of each other name that a key speaks of, with the one address at which it may be asked: ours."""
    parts = [part for rule in site.rules for part in _parts(rule.cache.key)]
    names = [name for kind, _, name in (part.partition(" ") for part in parts) if kind == "host"]
    return {alias(site, name): address(site) for name in names}


def alias(site: Site, name: str) -> str:
    """Another name with the site's own port, unless it comes with one."""
    port = urlsplit(site.base_url).port
    return name if port is None or ":" in name else f"{name}:{port}"


def address(site: Site) -> str:
    """Host and port of the site itself."""
    parts = urlsplit(site.base_url)
    return site.host if parts.port else f"{site.host}:{_PORTS[parts.scheme]}"


def _same(base: Sequence[Exchange], other: Exchange) -> tuple[str, bool | None]:
    state, changed = cache_state(other), difference(base[-1], other)
    if state.from_store is None:
        return f"{state}, {changed or 'nothing tells them apart'}", False if changed else None
    return f"{state}, {changed or ('the same copy' if state.from_store else 'fetched anew')}", (
        state.from_store and not changed
    )


def _apart(base: Sequence[Exchange], other: Exchange) -> tuple[str, bool | None]:
    state, changed = cache_state(other), difference(base[-1], other)
    if changed or state.from_store is False:
        return f"{state}, {changed or 'fetched anew'}", True
    if state.from_store is None or kept(base[:1]):
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


def _parts(key: Key | None) -> tuple[str, ...]:
    return (*key.same, *key.apart) if key else ()


def _name(part: str) -> str:
    return f"key {part}"
