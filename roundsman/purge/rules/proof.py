"""The proof of a purge: where it looks, what happened as facts, and how long it waits for what.

It looks at each target on each server and in each variant, at its neighbours, and far away. Neighbours are what a purge
that takes too much would take along: siblings, and made-up ones (the same path with another query, below, in other
letters, with or without a slash, under another name of the site). A made-up one that the edge does not keep, or that is
the target's own copy under another name, says nothing and is left out afterwards.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import product
from urllib.parse import urlsplit

from roundsman.http.cache_status import cache_state
from roundsman.http.freshness import directives, seconds
from roundsman.http.target import with_query
from roundsman.purge.rules.evidence import ProofTerms, age_stands_still, warm_enough
from roundsman.purge.rules.order import Headers, Order, Powers
from roundsman.purge.rules.plan import PurgePlan
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.site.rules.host_names import address, alias
from roundsman.site.rules.promises import Audience, Rule
from roundsman.site.rules.site import Site

#: What clients ask for; of a page that varies by it each coding is a copy of its own.
USUAL_CODINGS = ("gzip", "br", "identity")
#: Neighbours that are watched, of all targets together.
MAX_NEIGHBOURS = 24
#: Requests made to see two HITs in a row before the purge, and one HIT after it.
MAX_TRIES = 5
#: Seconds in which an old copy is looked at again, to tell a late purge from none.
PATIENCE_SECONDS = 5.0
#: Seconds: the shortest and the longest wait for a fetch that was under way during the purge.
FLIGHT_SECONDS = (1.0, 5.0)


class ViewKind(StrEnum):
    """What a view is for. `MADE_UP` kinds need not be there."""

    TARGET = "target"
    SIBLING = "sibling"
    QUERY = "other query"
    CHILD = "child"
    CASE = "other case"
    SLASH = "slash"
    ALIAS = "other host"
    CONTROL = "control"


MADE_UP = frozenset({ViewKind.QUERY, ViewKind.CHILD, ViewKind.CASE, ViewKind.SLASH, ViewKind.ALIAS})


@dataclass(frozen=True, slots=True)
class View:
    """One copy to look at. `headers` select a variant, `node` ("host:port") a server; `of` is the target's URL."""

    url: str
    path: str
    kind: ViewKind
    of: str = ""
    headers: Headers = ()
    node: str = ""

    @property
    def probe(self) -> Probe:
        """The question that shows it."""
        headers = {name.lower(): value for name, value in self.headers}
        coding = headers.pop("accept-encoding", "gzip")
        # An empty value is a request without the header.
        sent = tuple((name, value) for name, value in headers.items() if value)
        return Probe(self.url, sent, accept_encoding=coding, node=self.node, keep_body=True)

    def is_of(self, order: Order) -> bool:
        """Whether an order purges it."""
        return self.url in order.items and set(self.headers) <= set(order.headers)

    @property
    def which(self) -> str:
        """Which of several copies it is, in words; empty when nothing was chosen."""
        parts = [self.node, *(f"{name}: {value or 'none'}" for name, value in self.headers)]
        return ", ".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is looked at. `unlooked` are headers by which a target varies, and of which no values are known."""

    targets: tuple[View, ...] = ()
    others: tuple[View, ...] = ()
    unlooked: Mapping[str, tuple[str, ...]] | None = None
    unasked: tuple[str, ...] = ()
    """Servers that speak another scheme than the site."""

    @property
    def views(self) -> tuple[View, ...]:
        """Every view, the targets first."""
        return self.targets + self.others


@dataclass(frozen=True, slots=True)
class Purged:
    """One time that all requests of a plan were sent: when, and what was answered.

    `unsettled` is empty, or what the edge had not done when the patience for it was over. `partly`: only the variants
    that were still old.
    """

    started: float
    ended: float
    answers: str
    unsettled: str = ""
    partly: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What happened, in order; times are on the prober's clock. `warm` is every request before the purge.

    `seen` are first answers of the targets and of where they lead. `before` is one more look right before the purge, at
    what sends an Age: it shows whether an Age grows, and that the copy was still there. `after` are the looks at the
    targets after the last purge, `others` those at the rest, `late` once more those at the targets. `changed` and
    `soft` are as requested, `labels_tell` and `one_variant` as the edge is.
    """

    plan: PurgePlan
    scene: Scene = field(default_factory=Scene)
    seen: Mapping[str, Sequence[Exchange]] = field(default_factory=dict)
    warm: Mapping[View, Sequence[Exchange]] = field(default_factory=dict)
    before: Mapping[View, Exchange] = field(default_factory=dict)
    touch_problem: str = ""
    purges: Sequence[Purged] = ()
    problem: str = ""
    permanent: bool = False
    after: Mapping[View, Sequence[Exchange]] = field(default_factory=dict)
    others: Mapping[View, Exchange] = field(default_factory=dict)
    late: Mapping[View, Exchange] = field(default_factory=dict)
    changed: bool = False
    soft: bool = False
    labels_tell: bool = True
    one_variant: bool = False

    def terms(self, rule: Rule, view: View, *, first: bool = False, certain: bool = True) -> ProofTerms:
        """What an answer to a view is held against: the last purge of all variants, or the first one."""
        marker = rule.purge.marker if rule.purge else None
        purged_at = [purge for purge in self.purges if not purge.partly][0 if first else -1].started
        again = self.before.get(view)
        age_tells = again is None or not age_stands_still(self.warm[view][-1], again)
        return ProofTerms(marker, purged_at, self.changed, certain, self.labels_tell and not self.soft, age_tells)


def scene(
    site: Site, plan: PurgePlan, tiers: Sequence[Powers], seen: Mapping[str, Sequence[Exchange]], nonce: str
) -> Scene:
    """Choose what to look at. `seen` are first answers of the targets, which tell by what they vary."""
    nodes = servers(site, tiers)
    targets, unlooked = [], {}
    for url in plan.urls:
        rule, path = _rule(site, url), _path(site, url)
        varies = _varies(rule, seen.get(url, ()))
        variants = _variants(rule, plan, url, varies)
        targets += [View(url, path, ViewKind.TARGET, url, headers, node) for headers in variants for node in nodes]
        known = {name for headers in variants for name, _ in headers} | {"accept-encoding"}
        unlooked[url] = tuple(sorted(varies - known))
    others = [*_neighbours(site, plan, tiers, nonce), *_controls(site, plan, tiers)]
    return Scene(
        tuple(targets),
        tuple(
            View(url, path, kind, of, node=node)
            for kind, of, url, path in others
            # Another name of the site may be asked at the site's own address only.
            for node in ((address(site),) if kind is ViewKind.ALIAS else nodes)
        ),
        unlooked,
        unasked(site, tiers),
    )


def without_unkept(site: Site, looked: Scene, warm: Mapping[View, Sequence[Exchange]]) -> Scene:
    """Without the codings that nobody promised and that the edge does not keep: of these no old copy can be left."""

    def counts(view: View) -> bool:
        rule = _rule(site, view.of)
        declared = {name.lower() for name in (rule.purge.variants if rule.purge else ())}
        coding = {name.lower(): value for name, value in view.headers}.get("accept-encoding", USUAL_CODINGS[0])
        promised = bool(rule.cache.encodings) or "accept-encoding" in declared or coding == USUAL_CODINGS[0]
        return promised or warm_enough(warm.get(view, ()))

    return replace(looked, targets=tuple(view for view in looked.targets if counts(view)))


def unasked(site: Site, tiers: Sequence[Powers]) -> tuple[str, ...]:
    """The servers that are not looked at, as they speak another scheme than the site."""
    scheme = urlsplit(site.base_url).scheme
    return tuple(server for server in _known(site, tiers) if urlsplit(server).scheme != scheme)


def _known(site: Site, tiers: Sequence[Powers]) -> Sequence[str]:
    return site.servers or (tiers[-1].nodes if tiers else ())


def servers(site: Site, tiers: Sequence[Powers]) -> tuple[str, ...]:
    """Where to ask, as host and port; "" is whichever server the site's name leads to, which is always asked.

    A server that speaks another scheme than the site would answer another question, and is left out.
    """
    scheme = urlsplit(site.base_url).scheme
    parts = [urlsplit(server) for server in _known(site, tiers) if urlsplit(server).scheme == scheme]
    found = dict.fromkeys(part.netloc if part.port else f"{part.netloc}:{_PORTS[scheme]}" for part in parts)
    return tuple(found) if address(site) in found else ("", *found)


_PORTS = {"http": 80, "https": 443}


def _varies(rule: Rule, seen: Sequence[Exchange]) -> set[str]:
    """The request headers by which answers differ, as they say themselves and as the rule says."""
    varies = {name.strip().lower() for exchange in seen for value in exchange.all("vary") for name in value.split(",")}
    return (varies | {name.lower() for name in rule.cache.vary or ()}) - {"", "*"}


def _variants(rule: Rule, plan: PurgePlan, url: str, varies: set[str]) -> tuple[Headers, ...]:
    """What is purged one at a time is looked at one at a time, where answers differ at all; else what is declared."""
    purged = [order.headers for order in plan.orders if url in order.items and order.headers]
    if not purged:
        values = {name.lower(): texts for name, texts in (rule.purge.variants if rule.purge else {}).items()}
        if "accept-encoding" not in values and (rule.cache.encodings or "accept-encoding" in varies):
            values["accept-encoding"] = tuple(map(str, rule.cache.encodings)) or USUAL_CODINGS
        purged = [tuple(zip(values, each, strict=True)) for each in product(*values.values())]
        varies = varies | set(values)
    variants = [tuple((name, value) for name, value in headers if name in varies) for headers in purged]
    return tuple(dict.fromkeys(variants))


def _neighbours(
    site: Site, plan: PurgePlan, tiers: Sequence[Powers], nonce: str
) -> Iterator[tuple[ViewKind, str, str, str]]:
    """Of each target in turn one more, until there are enough."""
    near = {url: list(_near(site, plan, tiers, url, nonce)) for url in plan.urls}
    taken: set[str] = set()
    for index in range(max(map(len, near.values()), default=0)):
        for url, kinds in near.items():
            if index < len(kinds) and len(taken) < MAX_NEIGHBOURS:
                kind, other = kinds[index]
                if other not in taken:
                    taken.add(other)
                    yield kind, url, other, _path(site, other)


def _near(site: Site, plan: PurgePlan, tiers: Sequence[Powers], url: str, nonce: str) -> Iterator[tuple[ViewKind, str]]:
    rule, path = _rule(site, url), _path(site, url)
    goes = [powers.radius(target) for powers in tiers for target in plan.urls]
    found = [
        *((ViewKind.SIBLING, site.url(route)) for route in rule.examples.cached),
        *((kind, site.url(route)) for kind, route in _made_up(rule, path, nonce)),
        *((ViewKind.ALIAS, other) for other in _aliases(site, rule, path)),
    ]
    stay = [(kind, other) for kind, other in found if not any(gone(other) for gone in goes)]
    siblings = [near for near in stay if near[0] is ViewKind.SIBLING]
    yield from siblings[:2]
    yield from (near for near in stay if near not in siblings)


def _made_up(rule: Rule, path: str, nonce: str) -> Iterator[tuple[ViewKind, str]]:
    same = rule.cache.key.same if rule.cache.key else ()
    plain, mark, query = path.partition("?")
    yield ViewKind.QUERY, with_query(path, f"roundsman={nonce}")
    yield ViewKind.CHILD, f"{plain.rstrip('/')}/roundsman-{nonce}"
    folder, _, last = plain.rpartition("/")
    if "case" not in same and last.swapcase() != last:
        yield ViewKind.CASE, f"{folder}/{last.swapcase()}{mark}{query}"
    if "slash" not in same and plain != "/":
        yield ViewKind.SLASH, f"{plain.removesuffix('/') if plain.endswith('/') else f'{plain}/'}{mark}{query}"


def _aliases(site: Site, rule: Rule, path: str) -> Iterator[str]:
    for part in rule.cache.key.apart if rule.cache.key else ():
        kind, _, name = part.partition(" ")
        if kind == "host":
            yield f"{urlsplit(site.base_url).scheme}://{alias(site, name)}{path}"


def _controls(site: Site, plan: PurgePlan, tiers: Sequence[Powers]) -> Iterator[tuple[ViewKind, str, str, str]]:
    """One route of another rule: if that changes meanwhile as well, nobody can say what the purge did."""
    goes = [powers.radius(target) for powers in tiers for target in plan.urls]
    near = {_rule(site, url).name for url in plan.urls}
    for rule in site.rules:
        if rule.name not in near and rule.cache.by is Audience.EVERYONE:
            for path in rule.examples.cached:
                if not any(gone(site.url(path)) for gone in goes):
                    yield ViewKind.CONTROL, "", site.url(path), path
                    return


def _path(site: Site, url: str) -> str:
    return url.removeprefix(site.base_url) if url.startswith(site.base_url) else url


def _rule(site: Site, url: str) -> Rule:
    rule = site.rule_for(_path(site, url))
    assert rule is not None, "a target has a rule"  # noqa: S101 - the plan refuses others
    return rule


def flight(rule: Rule | None, seen: Sequence[Exchange]) -> float:
    """Seconds after which a fetch that was under way has ended: the longest that the origin took, and took before."""
    took = [exchange.phases.first_byte for exchange in seen if cache_state(exchange).from_store is False]
    budget = rule.response_time.miss.p95 if rule and rule.response_time and rule.response_time.miss else None
    return min(FLIGHT_SECONDS[1], max(FLIGHT_SECONDS[0], budget or 0.0, *took))


def stale_window(seen: Sequence[Exchange]) -> float:
    """Seconds in which a copy may be served stale while a new one is fetched (RFC 5861), as far as we wait for it."""
    windows = [seconds(directives(one.header("cache-control")).get("stale-while-revalidate")) or 0 for one in seen]
    return float(min(FLIGHT_SECONDS[1], max(windows, default=0)))
