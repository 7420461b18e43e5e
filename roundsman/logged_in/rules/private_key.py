"""A cache key of the run's own: a query with a random value that nobody else asks for.

What a test leaves in the store lies under it, where no reader comes by, but only if the edge keeps queries apart.
So that is proven first, by a stranger, with two such values: one asked twice, the other once.
"""

from collections.abc import Generator, Iterator, Sequence
from enum import StrEnum

from roundsman.http.cache_status import cache_state
from roundsman.http.copies import AGE_GRAIN_SECONDS
from roundsman.http.freshness import birth
from roundsman.http.target import with_query
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.visitor import STRANGER, Visitor
from roundsman.site.rules.site import Site

NAME = "__roundsman"


class Query(StrEnum):
    """What the edge does with a query that nobody asked for before."""

    APART = "the edge keeps queries apart"
    COLD = "the edge kept no copy under a query of its own"
    SHARED = "the edge leaves the query out of its key"
    UNKNOWN = "the edge does not say what it did with the query"


def own(path: str, name: str) -> str:
    """The path under a key of the run's own."""
    return with_query(path, f"{NAME}={name}")


def probe(site: Site, path: str, visitor: Visitor = STRANGER, *more: tuple[str, str]) -> Probe:
    """A request by a visitor; the body is kept, to be searched."""
    return Probe(site.url(path), headers=visitor.headers + more, keep_body=True)


def prove(site: Site, path: str, names: Iterator[str]) -> Generator[Probe, Exchange, tuple[str, tuple[Exchange, ...]]]:
    """Ask three times at most; the first of the two names, and the answers: first name, first name, second name."""
    first, second = next(names), next(names)
    seen: list[Exchange] = []
    for name in (first, first, second):
        exchange = yield probe(site, own(path, name))
        seen.append(exchange)
        if not exchange.answered:
            break
    return first, tuple(seen)


def from_store(exchange: Exchange) -> bool | None:
    """Whether a stored copy answered; None when nobody says. One born earlier did, whatever its label."""
    born = birth(exchange)
    if born is not None and born < exchange.started - AGE_GRAIN_SECONDS:
        return True
    return cache_state(exchange).from_store


def read(proof: Sequence[Exchange]) -> Query:
    """What the three answers prove."""
    new, again, other = map(from_store, proof)
    if new or other:
        return Query.SHARED
    if new is None or other is None:
        return Query.UNKNOWN
    return Query.APART if again else Query.COLD
