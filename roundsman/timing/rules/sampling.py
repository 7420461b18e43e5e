"""Which samples of response times are taken: of which route, asked how, how many, and when each is due."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist
from urllib.parse import urlsplit

from roundsman.http.cache_status import cache_state
from roundsman.http.target import with_query
from roundsman.ledger.rules.samples import EDGE, ORIGIN, Sample, SampleKey
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.quantiles import needed
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.promises import Audience, Quantiles, Rule
from roundsman.site.rules.site import Site

#: Of how many samples on a used connection one more is taken on a new one, which pays for DNS, TCP and TLS.
COLD = 10
#: How far the logarithms of a page's times spread, as long as nothing else is known of them.
SPREAD = 0.5
#: In the query of a request that no copy can answer.
FRESH = "roundsman="
#: Errors of probes that took at least so long; the others broke down, and tell no time.
CENSORED = frozenset(["timeout", "dropped"])

_NORMAL = NormalDist()
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Want:
    """Samples of one kind: `state` is hit or miss, and empty at the origin, which has no cache before it."""

    path: str
    series: str
    state: str
    bounds: Quantiles


def wants(rule: Rule, path: str, *, origin: bool = False) -> tuple[Want, ...]:
    """The kinds of samples that a rule's budgets ask for; only a page that is cached for everyone can be a hit.

    Where the site says how to reach its `origin`, a budget for misses is reason enough to time that too: else nobody
    could tell whose fault a slow miss is.
    """
    budget = rule.response_time
    if budget is None:
        return ()
    own = path in rule.routes
    kinds = (
        (EDGE, "hit", budget.hit, shared(rule, path)),
        (EDGE, "miss", budget.miss, own),
        # A member's page is not among them: the way to the origin may be plain, and the cookie is a secret.
        (ORIGIN, "", budget.origin or budget.miss, own and origin and rule.cache.by is not Audience.MEMBER),
    )
    return tuple(
        Want(path, series, state, bounds) for series, state, bounds, yes in kinds if yes and bounds and bounds.bounds
    )


@dataclass(frozen=True, slots=True)
class Planned:
    """A probe that is to be sent for a route. One that warms up makes a copy, and counts for nothing."""

    path: str
    probe: Probe
    warms_up: bool


def shared(rule: Rule, path: str) -> bool:
    """Whether a page is promised to be answered from the store."""
    return rule.cache.by is Audience.EVERYONE and path in rule.examples.cached


def many(site: Site, bounds: Quantiles) -> int:
    """How many samples a budget takes: as the site says, or as many as its deepest quantile takes to be told closely.

    The standard error of ln(quantile) is s sqrt(p (1 - p) / n) / f(z), with f the density of the logarithms; and from
    `needed(p)` on a quantile has an interval at all.
    """
    return site.manners.samples or max(_precise(share, site.manners.precision) for share in bounds.bounds)


def plan(site: Site, rule: Rule, visitor: Visitor, token: Callable[[], str]) -> list[Planned]:
    """Every probe of a rule's routes, due at even intervals whatever becomes of those before it.

    Each kind begins with one for warming up; then come those on used connections, and after every tenth of them one on
    a new one. A miss of a cached page is made by a query that nobody else asks (`token` is called for each), so that no
    reader's copy is touched.
    """
    turns = [
        (want, place, cold)
        for path in rule.routes
        for want in wants(rule, path, origin=bool(site.origin))
        for place, cold in enumerate(_turns(many(site, want.bounds)))
    ]
    return [
        Planned(want.path, _probe(site, rule, want, visitor, token, number / site.manners.rate, cold=cold), place == 0)
        for number, (want, place, cold) in enumerate(turns)
    ]


def kind(rule: Rule, path: str, probe: Probe) -> tuple[str, str]:
    """The series and cache state that a probe is made for, whatever the cache then does."""
    if probe.node:
        return ORIGIN, ""
    return EDGE, "hit" if shared(rule, path) and FRESH not in probe.url else "miss"


def state_of(rule: Rule, path: str, exchange: Exchange) -> str | None:
    """The series that a sample belongs to: hit, miss or origin; empty where nothing says what a cache did.

    Where nothing does and the page is not for everyone, it is a miss. A probe that got no answer in its time, or was
    too late to be sent, took at least so long: it belongs where it was meant to. None for one that tells no time.
    """
    if not exchange.answered and exchange.error not in CENSORED:
        return None
    if exchange.probe.node:
        return ORIGIN
    if not exchange.answered:
        return kind(rule, path, exchange.probe)[1]
    stored = cache_state(exchange).from_store
    if stored is None:
        return "" if rule.cache.by is Audience.EVERYONE else "miss"
    return "hit" if stored else "miss"


def is_warm(exchange: Exchange) -> bool:
    """Whether it was to go over a connection that is open already.

    Not whether it did: while answers are waited for there may be none, and just what meets a stall would be left out.
    """
    return not exchange.probe.new_connection


def took(exchange: Exchange) -> float:
    """Seconds to the first byte from the due time: who waits behind a slow answer is as late as its user would be.

    Of a connection that had to be opened although an open one was wanted, only the time from the request on.
    """
    return exchange.phases.late + _first_byte(exchange)


def _first_byte(exchange: Exchange) -> float:
    phases = exchange.phases
    if not exchange.answered:
        return phases.total
    return phases.first_byte if exchange.reused or not is_warm(exchange) else phases.waiting


def samples_of(site: str, rule: Rule, path: str, seen: Iterable[Exchange], *, release: str = "") -> list[Sample]:
    """What is kept of one route's samples, those at the origin as a series of their own."""
    found = []
    for exchange in seen:
        state = state_of(rule, path, exchange)
        if state is None:
            continue
        series, state = (ORIGIN, "") if state == ORIGIN else (EDGE, state)
        phases, first_byte = exchange.phases, _first_byte(exchange)
        total = first_byte + phases.body if exchange.answered else phases.total
        key = SampleKey(site, rule.name, path, series, state, is_warm(exchange))
        found.append(Sample(key, exchange.started, first_byte, max(total, first_byte), phases.late, release))
    return found


def _precise(share: float, precision: float) -> int:
    density = _NORMAL.pdf(_NORMAL.inv_cdf(share))
    error = SPREAD * math.sqrt(share * (1 - share)) / density
    return max(needed(share), math.ceil((_NORMAL.inv_cdf(0.975) * error / precision) ** 2))


def _turns(count: int) -> Iterator[bool]:
    """Whether each sample of a kind has a new connection; one more than asked for on used ones, to warm up."""
    yield False
    for place in range(1, count + 1):
        yield False
        if place % COLD == 0:
            yield True


def _probe(  # noqa: PLR0913, PLR0917 - what a probe is made of
    site: Site, rule: Rule, want: Want, visitor: Visitor, token: Callable[[], str], at: float, *, cold: bool
) -> Probe:
    path = want.path
    if want.state == "miss" and shared(rule, path):
        path = with_query(path, f"{FRESH}{token()}")
    if want.series == EDGE or site.origin is None:
        return Probe(site.url(path), headers=visitor.headers, at=at, new_connection=cold)
    # Host and, with TLS, the server's name stay those of the site, as when the edge asks.
    there = urlsplit(site.origin)
    node = f"{there.netloc}" if there.port else f"{there.netloc}:{_PORTS[there.scheme]}"
    return Probe(f"{there.scheme}://{site.host}{path}", visitor.headers, node=node, at=at, new_connection=cold)
