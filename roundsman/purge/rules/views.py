"""Where the proof of a purge looks: at each target on each server and in each variant, at its neighbours, far away.

Neighbours are what a purge that takes too much would take along: siblings, and made-up ones (the same path with another
query, below, in other letters, with or without a slash, under another name of the site). A made-up one that the edge
does not keep, or that is the target's own copy under another name, says nothing and is left out afterwards.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product
from urllib.parse import urlsplit

from roundsman.http.target import with_query
from roundsman.purge.rules.evidence import warm_enough
from roundsman.purge.rules.plan import Headers, Plan, Powers, Request
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.site.rules.host_names import address, alias
from roundsman.site.rules.promises import Audience, Rule
from roundsman.site.rules.site import Site

#: What clients ask for; of a page that varies by it each coding is a copy of its own.
USUAL_CODINGS = ("gzip", "br", "identity")
#: Neighbours that are watched, of all targets together.
MOST = 24


class Kind(StrEnum):
    """What a view is for. `MADE_UP` kinds need not be there."""

    TARGET = "target"
    SIBLING = "sibling"
    QUERY = "other query"
    CHILD = "child"
    CASE = "other case"
    SLASH = "slash"
    ALIAS = "other host"
    CONTROL = "control"


MADE_UP = frozenset({Kind.QUERY, Kind.CHILD, Kind.CASE, Kind.SLASH, Kind.ALIAS})


@dataclass(frozen=True, slots=True)
class View:
    """One copy to look at. `headers` select a variant, `node` ("host:port") a server; `of` is the target's URL."""

    url: str
    path: str
    kind: Kind
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

    def is_of(self, request: Request) -> bool:
        """Whether a request purges it."""
        return self.url in request.items and set(self.headers) <= set(request.headers)

    @property
    def which(self) -> str:
        """Which of several copies it is, in words; empty when nothing was chosen."""
        said = [self.node, *(f"{name}: {value or 'none'}" for name, value in self.headers)]
        return ", ".join(filter(None, said))


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


def scene(site: Site, plan: Plan, tiers: Sequence[Powers], seen: Mapping[str, Sequence[Exchange]], nonce: str) -> Scene:
    """Choose what to look at. `seen` are first answers of the targets, which tell by what they vary."""
    nodes = servers(site, tiers)
    targets, unlooked = [], {}
    for url in plan.urls:
        rule, path = _rule(site, url), _path(site, url)
        varies = _varies(rule, seen.get(url, ()))
        variants = _variants(rule, plan, url, varies)
        targets += [View(url, path, Kind.TARGET, url, headers, node) for headers in variants for node in nodes]
        known = {name for headers in variants for name, _ in headers} | {"accept-encoding"}
        unlooked[url] = tuple(sorted(varies - known))
    others = [*_neighbours(site, plan, tiers, nonce), *_controls(site, plan, tiers)]
    return Scene(
        tuple(targets),
        tuple(
            View(url, path, kind, of, node=node)
            for kind, of, url, path in others
            # Another name of the site may be asked at the site's own address only.
            for node in ((address(site),) if kind is Kind.ALIAS else nodes)
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
    return tuple(one for one in _known(site, tiers) if urlsplit(one).scheme != scheme)


def _known(site: Site, tiers: Sequence[Powers]) -> Sequence[str]:
    return site.servers or (tiers[-1].nodes if tiers else ())


def servers(site: Site, tiers: Sequence[Powers]) -> tuple[str, ...]:
    """Where to ask, as host and port; "" is whichever server the site's name leads to, which is always asked.

    A server that speaks another scheme than the site would answer another question, and is left out.
    """
    scheme = urlsplit(site.base_url).scheme
    parts = [urlsplit(one) for one in _known(site, tiers) if urlsplit(one).scheme == scheme]
    found = dict.fromkeys(f"{one.netloc}" if one.port else f"{one.netloc}:{_PORTS[scheme]}" for one in parts)
    return tuple(found) if address(site) in found else ("", *found)


_PORTS = {"http": 80, "https": 443}


def _varies(rule: Rule, seen: Sequence[Exchange]) -> set[str]:
    """The request headers by which answers differ, as they say themselves and as the rule says."""
    said = {name.strip().lower() for exchange in seen for value in exchange.all("vary") for name in value.split(",")}
    return (said | {name.lower() for name in rule.cache.vary or ()}) - {"", "*"}


def _variants(rule: Rule, plan: Plan, url: str, varies: set[str]) -> tuple[Headers, ...]:
    """What is purged one at a time is looked at one at a time, where answers differ at all; else what is declared."""
    purged = [request.headers for request in plan.requests if url in request.items and request.headers]
    if not purged:
        values = {name.lower(): texts for name, texts in (rule.purge.variants if rule.purge else {}).items()}
        if "accept-encoding" not in values and (rule.cache.encodings or "accept-encoding" in varies):
            values["accept-encoding"] = tuple(map(str, rule.cache.encodings)) or USUAL_CODINGS
        purged = [tuple(zip(values, each, strict=True)) for each in product(*values.values())]
        varies = varies | set(values)
    told = [tuple((name, value) for name, value in headers if name in varies) for headers in purged]
    return tuple(dict.fromkeys(told))


def _neighbours(site: Site, plan: Plan, tiers: Sequence[Powers], nonce: str) -> Iterator[tuple[Kind, str, str, str]]:
    """Of each target in turn one more, until there are enough."""
    near = {url: list(_near(site, plan, tiers, url, nonce)) for url in plan.urls}
    taken: set[str] = set()
    for place in range(max(map(len, near.values()), default=0)):
        for url, kinds in near.items():
            if place < len(kinds) and len(taken) < MOST:
                kind, other = kinds[place]
                if other not in taken:
                    taken.add(other)
                    yield kind, url, other, _path(site, other)


def _near(site: Site, plan: Plan, tiers: Sequence[Powers], url: str, nonce: str) -> Iterator[tuple[Kind, str]]:
    rule, path = _rule(site, url), _path(site, url)
    goes = [powers.radius(target) for powers in tiers for target in plan.urls]
    found = [
        *((Kind.SIBLING, site.url(one)) for one in rule.examples.cached),
        *((kind, site.url(one)) for kind, one in _made_up(rule, path, nonce)),
        *((Kind.ALIAS, one) for one in _aliases(site, rule, path)),
    ]
    stay = [(kind, other) for kind, other in found if not any(gone(other) for gone in goes)]
    siblings = [one for one in stay if one[0] is Kind.SIBLING]
    yield from siblings[:2]
    yield from (one for one in stay if one not in siblings)


def _made_up(rule: Rule, path: str, nonce: str) -> Iterator[tuple[Kind, str]]:
    same = rule.cache.key.same if rule.cache.key else ()
    plain, mark, query = path.partition("?")
    yield Kind.QUERY, with_query(path, f"roundsman={nonce}")
    yield Kind.CHILD, f"{plain.rstrip('/')}/roundsman-{nonce}"
    folder, _, last = plain.rpartition("/")
    if "case" not in same and last.swapcase() != last:
        yield Kind.CASE, f"{folder}/{last.swapcase()}{mark}{query}"
    if "slash" not in same and plain != "/":
        yield Kind.SLASH, f"{plain.removesuffix('/') if plain.endswith('/') else f'{plain}/'}{mark}{query}"


def _aliases(site: Site, rule: Rule, path: str) -> Iterator[str]:
    for part in rule.cache.key.apart if rule.cache.key else ():
        kind, _, name = part.partition(" ")
        if kind == "host":
            yield f"{urlsplit(site.base_url).scheme}://{alias(site, name)}{path}"


def _controls(site: Site, plan: Plan, tiers: Sequence[Powers]) -> Iterator[tuple[Kind, str, str, str]]:
    """One route of another rule: if that changes meanwhile as well, nobody can say what the purge did."""
    goes = [powers.radius(target) for powers in tiers for target in plan.urls]
    near = {_rule(site, url).name for url in plan.urls}
    for rule in site.rules:
        if rule.name not in near and rule.cache.by is Audience.EVERYONE:
            for path in rule.examples.cached:
                if not any(gone(site.url(path)) for gone in goes):
                    yield Kind.CONTROL, "", site.url(path), path
                    return


def _path(site: Site, url: str) -> str:
    return url.removeprefix(site.base_url) if url.startswith(site.base_url) else url


def _rule(site: Site, url: str) -> Rule:
    rule = site.rule_for(_path(site, url))
    assert rule is not None, "a target has a rule"  # noqa: S101 - the plan refuses others
    return rule
