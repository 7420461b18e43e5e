"""The plan of a purge: which requests, in which order, and what is refused before any is sent.

What an edge can is handed in (`Powers`, as a block states it); nothing here knows a vendor. A plan never widens: what
could drop more than the routes and keys that were named is refused, with the neighbours that would have gone as well.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from urllib.parse import urljoin

from roundsman.purge.rules.purge_request import WIDENS, Refusal, Wish, guard, leads, targets
from roundsman.report.rules.durations import spoken
from roundsman.site.rules.promises import Audience, Rule
from roundsman.site.rules.site import Site

#: What the programs that people use send: each is a variant of its own where nobody makes them one.
BROWSERS = ("identity", "gzip", "br", "gzip, deflate", "gzip, deflate, br", "gzip, deflate, br, zstd")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Powers:
    """What an edge can, as its block states it, and the name by which the site knows it.

    `limits` are items in one request by what a purge names; `radius(url)` tells which URLs lose their copy with it,
    `batches(items, by)` divides items into requests, `too_wide(item, by)` says what should stand in place of an item,
    and `instead(by)` how to do without a kind that it can't purge by.
    """

    name: str
    kind: str
    limits: Mapping[str, int]
    radius: Callable[[str], Callable[[str], bool]]
    batches: Callable[[Sequence[str], str], list[tuple[str, ...]]]
    too_wide: Callable[[str, str], str | None]
    instead: Callable[[str], str] = lambda _: ""
    soft: frozenset[str] = frozenset()
    blind: frozenset[str] = frozenset()
    one_variant: bool = False
    refills: bool = False
    settles_within: float = 0.0
    once: bool = False
    shields: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a plan; its fields after `tier` are those of a block's order.

    Every request of a tier is done, and settled, before the next tier: the one nearer to the origin is the lower.
    """

    edge: str
    tier: int
    by: str
    items: tuple[str, ...]
    node: str = ""
    soft: bool = False
    headers: Headers = ()
    key: str = ""

    def __str__(self) -> str:
        where = f"{self.edge} at {self.node}" if self.node else self.edge
        variant = ", ".join(f"{name}: {value or 'none'}" for name, value in self.headers)
        which = f" ({variant})" if variant else ""
        return f"{where}: {'soft purge' if self.soft else 'purge'} by {self.by}{which}: {', '.join(self.items)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. With a refusal there are no requests.

    `urls` are the targets. `expected` are known URLs that lose their copy as well, and are no neighbours to watch.
    `rounds` is how often to purge and look again at most, where a purge hides variants that it leaves.
    `settles_within` are seconds after the last answer.
    """

    urls: tuple[str, ...] = ()
    requests: tuple[Request, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    rounds: int = 1
    settles_within: float = 0.0


def plan_purge(site: Site, wish: Wish, tiers: Sequence[Powers]) -> Plan:
    """Plan a purge. `tiers` are the edges in a request's way, the one nearest to the origin first."""
    urls, _ = targets(site, wish)
    known = [site.url(route) for rule in site.rules for route in rule.routes]
    expected = tuple(dict.fromkeys(other for powers in tiers for other in _gone(powers, urls, known)))
    if found := refused(site, wish, tiers):
        return Plan(tuple(urls), refusals=found, expected=expected)
    wanted = {url: headers for url, (headers, _) in _every_variant(site, wish, tiers, urls).items()}
    return Plan(
        tuple(urls),
        tuple(_requests(site, wish, tiers, urls, wanted)),
        notes=tuple(_notes(site, wish, tiers, urls, wanted)),
        expected=expected,
        rounds=max((len(headers) + 1 for headers in wanted.values() if len(headers) > 1), default=1),
        settles_within=max((powers.settles_within for powers in tiers), default=0.0),
    )


def refused(site: Site, wish: Wish, tiers: Sequence[Powers]) -> tuple[Refusal, ...]:
    """Why a plan would purge nothing; empty when it would purge."""
    urls, refusals = targets(site, wish)
    known = [site.url(route) for rule in site.rules for route in rule.routes]
    refusals += [*guard(wish, urls), *(refusal for powers in tiers for refusal in _cannot(powers, wish, urls, known))]
    refusals += [refusal for _, refusal in _every_variant(site, wish, tiers, urls).values() if refusal]
    if not tiers:
        refusals.append(Refusal("no edge", "one that can be purged", "add `edge: TYPE/NAME` to the site"))
    return tuple(dict.fromkeys(refusals))


def _every_variant(
    site: Site, wish: Wish, tiers: Sequence[Powers], urls: Sequence[str]
) -> dict[str, tuple[tuple[Headers, ...], Refusal | None]]:
    """As `_variants`, for each URL; empty where no edge purges one at a time."""
    return {url: _variants(site, wish, url) for url in urls} if any(tier.one_variant for tier in tiers) else {}


def _cannot(powers: Powers, wish: Wish, urls: Sequence[str], known: Sequence[str]) -> Iterator[Refusal]:
    """What this edge can't do, or would do to others as well."""
    for by, items in (("url", urls), ("surrogate key", wish.keys)):
        if not items:
            continue
        if by not in powers.limits:
            saw = f"{', '.join(map(repr, items[:3]))} for {powers.name} ({powers.kind})"
            can = f"it can purge by {', '.join(powers.limits)}"
            advice = "; ".join(filter(None, [can, powers.instead(by)]))
            yield Refusal(saw, f"an edge that can purge by {by}", advice)
            continue
        if wish.soft and by not in powers.soft:
            yield Refusal(
                f"a soft purge by {by} at {powers.name} ({powers.kind})", "a hard one, which it can", "leave `soft` out"
            )
        for item in items:
            if wanted := powers.too_wide(item, by):
                yield Refusal(f"{item!r} for {powers.name}", wanted, "nothing wider is purged here; correct it")
    blind = [part for part in WIDENS if part in powers.blind and part not in wish.accept]
    if blind and urls:
        yield Refusal(
            f"{powers.name} ({powers.kind}), which does not tell {' or '.join(blind)} apart",
            "a purge of these routes only",
            f"{_as_well(powers, urls, known)}; accept {', '.join(blind)} if they may go",
        )


def _as_well(powers: Powers, urls: Sequence[str], known: Sequence[str]) -> str:
    """Which neighbours would go, in words: those that the site file names, and those that nobody can list."""
    open_ended = {"query": "every query of these paths", "case": "every spelling of them in upper and lower case"}
    gone = [*_gone(powers, urls, known)[:5], *(open_ended[part] for part in WIDENS if part in powers.blind)]
    return f"these go as well: {', '.join(gone)}"


def _gone(powers: Powers, urls: Sequence[str], known: Sequence[str]) -> list[str]:
    """Known URLs that lose their copy as well."""
    others = dict.fromkeys(url for url in known if url not in urls)
    return [other for other in others if any(powers.radius(url)(other) for url in urls)]


def _variants(site: Site, wish: Wish, url: str) -> tuple[tuple[Headers, ...], Refusal | None]:
    """The request headers of every variant of a page, for an edge that purges one at a time."""
    rule = _rule(site, url)
    vary = {name.lower() for name in rule.cache.vary} if rule and rule.cache.vary is not None else {"accept-encoding"}
    encodings = rule.cache.encodings if rule else ()
    if encodings:
        vary.add("accept-encoding")
    written = rule.purge.variants if rule and rule.purge else {}
    told = {name.lower(): values for name, values in (*written.items(), *wish.values.items())}
    vary |= set(told)
    if "accept-encoding" in vary:
        wanted = dict.fromkeys([*told.get("accept-encoding", ()), *map(str, encodings), *BROWSERS])
        # Whichever was stored first hides the others once it is gone, and a plain client is the likely one.
        told["accept-encoding"] = [*(one for one in wanted if one != "identity"), "identity"]
    missing = sorted(name for name in vary if not told.get(name))
    if wish.unruled:
        told |= dict.fromkeys(missing, ("",))
    elif missing:
        saw = f"{url}, of which there is a copy for each {', '.join(missing)}"
        return (), Refusal(
            saw, "the values to purge", f"say the values of {missing[0]}: this edge purges one at a time"
        )
    names = sorted(vary)
    # The last one is who does not send the header.
    each = product(*([*told[name], ""] for name in names))
    return tuple(dict.fromkeys(tuple(zip(names, values, strict=True)) for values in each)), None


def _rule(site: Site, url: str) -> Rule | None:
    """None only where a wish takes what is unruled."""
    return site.rule_for(url.removeprefix(site.base_url))


def _requests(
    site: Site, wish: Wish, tiers: Sequence[Powers], urls: Sequence[str], variants: Mapping[str, tuple[Headers, ...]]
) -> Iterator[Request]:
    """Tier by tier, the origin's side first; in a tier node by node."""
    stations = [(powers, nodes) for powers in tiers for nodes in (powers.shields, powers.nodes or ("",)) if nodes]
    for tier, (powers, nodes) in enumerate(stations):
        for node in nodes:
            for by, items, headers in _named(powers, wish, urls, variants):
                key = _key(site, wish, powers, node, by, items, headers)
                yield Request(powers.name, tier, by, items, node, wish.soft, headers, key)


def _named(
    powers: Powers, wish: Wish, urls: Sequence[str], variants: Mapping[str, tuple[Headers, ...]]
) -> Iterator[tuple[str, tuple[str, ...], Headers]]:
    if powers.one_variant:
        yield from (("url", (url,), headers) for url in urls for headers in variants[url])
    elif urls:
        yield from (("url", batch, ()) for batch in powers.batches(urls, "url"))
    if wish.keys:
        yield from (("surrogate key", batch, ()) for batch in powers.batches(wish.keys, "surrogate key"))


def _key(site: Site, wish: Wish, powers: Powers, *what: object) -> str:
    said = json.dumps([site.site, wish.run, powers.name, wish.soft, *what])
    return hashlib.sha256(said.encode()).hexdigest()[:32]


def _notes(
    site: Site, wish: Wish, tiers: Sequence[Powers], urls: Sequence[str], variants: Mapping[str, tuple[Headers, ...]]
) -> Iterator[str]:
    """What the operator should know, and nobody can change here."""
    for url in urls:
        yield from _page_notes(site, wish, url)
    for powers in tiers:
        others = _others(powers.blind - set(WIDENS))
        if urls and others:
            yield f"{powers.name}: {others}"
    if wish.keys:
        yield "every page that carries one of these keys goes, wherever it is"
    if any(len(headers) > 1 for headers in variants.values()):
        yield "this edge drops one variant at a time; look after each round, and purge again what is still old"


def _page_notes(site: Site, wish: Wish, url: str) -> Iterator[str]:
    rule = _rule(site, url)
    if rule is None:
        return
    cache = rule.cache
    if cache.by in {Audience.NOBODY, Audience.MEMBER}:
        yield f"{url}: its rule says that no shared cache keeps it"
    if cache.browser_ttl and cache.browser_ttl.high > 0:
        longest = cache.browser_ttl.high
        until = f"up to {spoken(longest)}" if longest < float("inf") else "for as long as its header says"
        yield f"{url}: browsers that have it keep it {until}; no purge reaches them"
    for part in cache.key.apart if cache.key else ():
        if part.startswith("host "):
            yield f"{url}: the copy under {part.removeprefix('host ')} is another one, and stays"
    told = wish.redirects.get(url) or wish.redirects.get(url.removeprefix(site.base_url), "")
    if told and not leads(site, wish, url):
        yield f"{url}: leads to {urljoin(url, told)}, which is another site and is not purged"


def _others(blind: Iterable[str]) -> str:
    words = {
        "host": "the same path goes from every host of it",
        "empty query": "a path with an empty `?` goes as well",
        "shared query": "one copy answers every query of a path, and goes (set `queries_apart` if there are several)",
    }
    return ", ".join(words[part] for part in sorted(blind) if part in words)
