"""The plan of a purge: what somebody wants purged, which orders that takes, and what is refused before any is sent.

What an edge can is handed in (`Powers`, as a block states it); nothing here knows a vendor. A plan never widens: what
could drop more than the routes and keys that were named is refused, with the neighbours that would have gone as well.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from urllib.parse import urljoin

from roundsman.purge.rules.order import Blind, By, Headers, PlannedOrder, Powers
from roundsman.report.rules.durations import spoken
from roundsman.site.rules.promises import Audience, Rule
from roundsman.site.rules.site import Site

#: URLs of one plan, unless the caller says otherwise.
MAX_URLS = 100

#: What is no route, and would drop a whole site.
EVERYTHING = frozenset({"", "*", "/*", "/**", "everything", "all"})

#: What an edge must not be blind to without the caller's word for it.
WIDENS = (Blind.CASE, Blind.QUERY)

#: What the programs that people use send: each is a variant of its own where nobody makes them one.
BROWSERS = ("identity", "gzip", "br", "gzip, deflate", "gzip, deflate, br", "gzip, deflate, br, zstd")


@dataclass(frozen=True, slots=True)
class PurgeRequest:
    """What somebody wants purged, and what they put up with.

    `routes` are paths of the site, or its URLs; `keys` are surrogate keys. `redirects` says where a route leads, as
    it was seen. `values` are the values of a header that a route varies on. `accept` names what an edge may be blind
    to: case, query. `unruled` takes URLs of the site that no rule speaks of as well, and of a header whose values
    nobody wrote down the copy without it. `run` differs for every purge that is not a repetition of the same
    request.
    """

    routes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    redirects: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    soft: bool = False
    accept: frozenset[str] = frozenset()
    max_urls: int = MAX_URLS
    unruled: bool = False
    run: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is purged."""

    observed: str
    wanted: str
    advice: str

    def __str__(self) -> str:
        return f"saw {self.observed}, wanted {self.wanted}; {self.advice}"


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What to do. With a refusal there are no orders.

    `urls` are the targets. `expected` are known URLs that lose their copy as well, and are no neighbours to watch.
    `rounds` is how often to purge and look again at most, where a purge hides variants that it leaves.
    `settles_within` are seconds after the last answer.
    """

    urls: tuple[str, ...] = ()
    orders: tuple[PlannedOrder, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()
    rounds: int = 1
    settles_within: float = 0.0


def plan_purge(site: Site, request: PurgeRequest, tiers: Sequence[Powers]) -> PurgePlan:
    """Plan a purge. `tiers` are the edges between a reader and the origin, the one nearest to the origin first."""
    urls, _ = targets(site, request)
    known = [site.url(route) for rule in site.rules for route in rule.routes]
    expected = tuple(dict.fromkeys(other for powers in tiers for other in _gone(powers, urls, known)))
    if found := refused(site, request, tiers):
        return PurgePlan(tuple(urls), refusals=found, expected=expected)
    wanted = {url: headers for url, (headers, _) in _every_variant(site, request, tiers, urls).items()}
    return PurgePlan(
        tuple(urls),
        tuple(_orders(site, request, tiers, urls, wanted)),
        notes=tuple(_notes(site, request, tiers, urls, wanted)),
        expected=expected,
        rounds=max((len(headers) + 1 for headers in wanted.values() if len(headers) > 1), default=1),
        settles_within=max((powers.settles_within for powers in tiers), default=0.0),
    )


def refused(site: Site, request: PurgeRequest, tiers: Sequence[Powers]) -> tuple[Refusal, ...]:
    """Why a plan would purge nothing; empty when it would purge."""
    urls, refusals = targets(site, request)
    known = [site.url(route) for rule in site.rules for route in rule.routes]
    refusals += [
        *guard(request, urls),
        *(refusal for powers in tiers for refusal in _cannot(powers, request, urls, known)),
    ]
    refusals += [refusal for _, refusal in _every_variant(site, request, tiers, urls).values() if refusal]
    if not tiers:
        refusals.append(Refusal("no edge", "one that can be purged", "add `edge: TYPE/NAME` to the site"))
    return tuple(dict.fromkeys(refusals))


def _every_variant(
    site: Site, request: PurgeRequest, tiers: Sequence[Powers], urls: Sequence[str]
) -> dict[str, tuple[tuple[Headers, ...], Refusal | None]]:
    """As `_variants`, for each URL; empty where no edge purges one at a time."""
    return {url: _variants(site, request, url) for url in urls} if any(tier.one_variant for tier in tiers) else {}


def _cannot(powers: Powers, request: PurgeRequest, urls: Sequence[str], known: Sequence[str]) -> Iterator[Refusal]:
    """What this edge can't do, or would do to others as well."""
    for by, items in ((By.URL, urls), (By.KEY, request.keys)):
        if not items:
            continue
        if by not in powers.limits:
            observed = f"{', '.join(map(repr, items[:3]))} for {powers.name} ({powers.kind})"
            can = f"it can purge by {', '.join(powers.limits)}"
            advice = "; ".join(filter(None, [can, powers.instead(by)]))
            yield Refusal(observed, f"an edge that can purge by {by}", advice)
            continue
        if request.soft and by not in powers.soft:
            yield Refusal(
                f"a soft purge by {by} at {powers.name} ({powers.kind})", "a hard one, which it can", "leave `soft` out"
            )
        for item in items:
            if wanted := powers.too_wide(item, by):
                yield Refusal(f"{item!r} for {powers.name}", wanted, "nothing wider is purged here; correct it")
    blind = [part for part in WIDENS if part in powers.blind and part not in request.accept]
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


def _variants(site: Site, request: PurgeRequest, url: str) -> tuple[tuple[Headers, ...], Refusal | None]:
    """The request headers of every variant of a page, for an edge that purges one at a time."""
    rule = _rule(site, url)
    vary = {name.lower() for name in rule.cache.vary} if rule and rule.cache.vary is not None else {"accept-encoding"}
    encodings = rule.cache.encodings if rule else ()
    if encodings:
        vary.add("accept-encoding")
    written = rule.purge.variants if rule and rule.purge else {}
    values = {name.lower(): texts for name, texts in (*written.items(), *request.values.items())}
    vary |= set(values)
    if "accept-encoding" in vary:
        wanted = dict.fromkeys([*values.get("accept-encoding", ()), *map(str, encodings), *BROWSERS])
        # Whichever was stored first hides the others once it is gone, and a plain client is the likely one.
        values["accept-encoding"] = [*(coding for coding in wanted if coding != "identity"), "identity"]
    missing = sorted(name for name in vary if not values.get(name))
    if request.unruled:
        values |= dict.fromkeys(missing, ("",))
    elif missing:
        observed = f"{url}, of which there is a copy for each {', '.join(missing)}"
        return (), Refusal(
            observed, "the values to purge", f"say the values of {missing[0]}: this edge purges one at a time"
        )
    names = sorted(vary)
    # The last one is who does not send the header.
    each = product(*([*values[name], ""] for name in names))
    return tuple(dict.fromkeys(tuple(zip(names, variant, strict=True)) for variant in each)), None


def _rule(site: Site, url: str) -> Rule | None:
    """None only where a request takes what is unruled."""
    return site.rule_for(url.removeprefix(site.base_url))


def _orders(
    site: Site,
    request: PurgeRequest,
    tiers: Sequence[Powers],
    urls: Sequence[str],
    variants: Mapping[str, tuple[Headers, ...]],
) -> Iterator[PlannedOrder]:
    """Tier by tier, the origin's side first; in a tier node by node."""
    stations = [(powers, nodes) for powers in tiers for nodes in (powers.shields, powers.nodes or ("",)) if nodes]
    for tier, (powers, nodes) in enumerate(stations):
        for node in nodes:
            for by, items, headers in _named(powers, request, urls, variants):
                key = _key(site, request, powers, node, by, items, headers)
                yield PlannedOrder(by, items, node, request.soft, headers, key, powers.name, tier)


def _named(
    powers: Powers, request: PurgeRequest, urls: Sequence[str], variants: Mapping[str, tuple[Headers, ...]]
) -> Iterator[tuple[By, tuple[str, ...], Headers]]:
    if powers.one_variant:
        yield from ((By.URL, (url,), headers) for url in urls for headers in variants[url])
    elif urls:
        yield from ((By.URL, batch, ()) for batch in powers.batches(urls, By.URL))
    if request.keys:
        yield from ((By.KEY, batch, ()) for batch in powers.batches(request.keys, By.KEY))


def _key(site: Site, request: PurgeRequest, powers: Powers, *what: object) -> str:
    named = json.dumps([site.site, request.run, powers.name, request.soft, *what])
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def _notes(
    site: Site,
    request: PurgeRequest,
    tiers: Sequence[Powers],
    urls: Sequence[str],
    variants: Mapping[str, tuple[Headers, ...]],
) -> Iterator[str]:
    """What the operator should know, and nobody can change here."""
    for url in urls:
        yield from _page_notes(site, request, url)
    for powers in tiers:
        others = _others(powers.blind - set(WIDENS))
        if urls and others:
            yield f"{powers.name}: {others}"
    if request.keys:
        yield "every page that carries one of these keys goes, wherever it is"
    if any(len(headers) > 1 for headers in variants.values()):
        yield "this edge drops one variant at a time; look after each round, and purge again what is still old"


def _page_notes(site: Site, request: PurgeRequest, url: str) -> Iterator[str]:
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
    location = request.redirects.get(url) or request.redirects.get(url.removeprefix(site.base_url), "")
    if location and not leads(site, request, url):
        yield f"{url}: leads to {urljoin(url, location)}, which is another site and is not purged"


def _others(blind: Iterable[str]) -> str:
    words = {
        "host": "the same path goes from every host of it",
        "empty query": "a path with an empty `?` goes as well",
        "shared query": "one copy answers every query of a path, and goes (set `queries_apart` if there are several)",
    }
    return ", ".join(words[part] for part in sorted(blind) if part in words)


def unguarded_request(routes: Sequence[str], keys: Sequence[str] = (), run: str = "") -> PurgeRequest:
    """A request of a program that knows what it names: the guards of a purge by hand do not hold it up."""
    max_urls = max(len(routes), len(set(keys)))
    return PurgeRequest(tuple(routes), tuple(keys), accept=frozenset(WIDENS), max_urls=max_urls, unruled=True, run=run)


def misnamed(site: Site, request: PurgeRequest) -> list[Refusal]:
    """What of a request no edge would be asked, whatever it can."""
    return [*targets(site, request)[1], *guard(request, ())]


def targets(site: Site, request: PurgeRequest) -> tuple[list[str], list[Refusal]]:
    """The URLs that the routes stand for, each followed by where it leads."""
    urls: list[str] = []
    refusals: list[Refusal] = []
    for route in request.routes:
        url, refusal = _url(site, route, unruled=request.unruled)
        while not refusal and url not in urls:
            urls.append(url)
            there = leads(site, request, url)
            if not there:
                break
            url, refusal = _url(site, there, f", where {url} leads", unruled=request.unruled)
        if refusal:
            refusals.append(refusal)
    return urls, refusals


def leads(site: Site, request: PurgeRequest, url: str) -> str:
    """Where a URL redirects to, if that is on the site."""
    location = request.redirects.get(url) or request.redirects.get(url.removeprefix(site.base_url), "")
    there = urljoin(url, location).partition("#")[0] if location else ""
    return there if _on(site, there) else ""


def _on(site: Site, url: str) -> bool:
    return re.match(re.escape(site.base_url) + r"([/?]|$)", url, re.IGNORECASE) is not None


def _url(site: Site, route: str, why: str = "", *, unruled: bool = False) -> tuple[str, Refusal | None]:
    """The URL of a route, or why there is none."""
    observed = f"{route!r}{why}"
    # A fragment is never asked for (RFC 9110 section 7.1): `/a#comments` is in the copy of `/a`.
    route = route.partition("#")[0]
    if route in EVERYTHING:
        return "", Refusal(
            observed, "the routes to purge, one by one", "a whole site is not purged here; name its routes"
        )
    if "*" in route:
        return "", Refusal(observed, "a route without `*`", "wildcards take more than they say; name each route")
    if not route.startswith("/") and not _on(site, route):
        example = f"a path such as /articles/tomatoes, or a URL below {site.base_url}"
        return "", Refusal(observed, example, "a prefix, a host or another site is not purged here; correct the route")
    url = site.url(route) if route.startswith("/") else site.base_url + route[len(site.base_url) :]
    path = url.removeprefix(site.base_url) or "/"
    if site.rule_for(path) is None and not unruled:
        return "", Refusal(
            observed, "a route that a rule of the site speaks of", "correct the route, or add a rule for it"
        )
    return url if url != site.base_url else f"{url}/", None


def guard(request: PurgeRequest, urls: Sequence[str]) -> Iterator[Refusal]:
    """What is too much or too little, whichever URLs it stands for."""
    if not request.routes and not request.keys:
        yield Refusal("no routes and no keys", "something to purge", "name a route")
    for key in request.keys:
        if key in EVERYTHING:
            yield Refusal(
                f"the key {key!r}", "a surrogate key", "a whole site is not purged here; name its pages' keys"
            )
    for kind, count in (("URLs", len(urls)), ("keys", len(set(request.keys)))):
        if count > request.max_urls:
            yield Refusal(
                f"{count} {kind}", f"at most {request.max_urls}", "purge in parts, or raise the guard on purpose"
            )
    if unknown := request.accept - set(WIDENS):
        yield Refusal(f"accept: {', '.join(sorted(unknown))}", f"one of {', '.join(WIDENS)}", "correct it")
