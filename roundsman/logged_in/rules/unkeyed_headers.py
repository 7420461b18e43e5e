"""Unkeyed headers: what one visitor makes up must not get into the copy that the next one is given.

Each header is tried under a key of the run's own, which must have been proven to be apart, and names a host that does
not exist (RFC 2606 `.invalid`). Two requests for each header at most, and none after the first that stayed.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from roundsman.http.cache_status import cache_state
from roundsman.logged_in.rules.claims import ECHOED, INJECTED
from roundsman.logged_in.rules.deception import REFUSED
from roundsman.logged_in.rules.private_key import Query, own, probe
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.verdict import Finding, Outcome
from roundsman.report.rules.visitor import STRANGER, shows
from roundsman.site.rules.site import Site

#: What an origin may build addresses or pages from, and a key seldom holds.
HEADERS = {
    "X-Forwarded-Host": "{name}.invalid",
    "X-Host": "{name}.invalid",
    "X-Forwarded-Server": "{name}.invalid",
    "Forwarded": "host={name}.invalid",
    "X-Forwarded-Scheme": "{name}",
    "X-Forwarded-Proto": "{name}",
    "X-Forwarded-Port": "{name}",
    "X-Forwarded-Prefix": "/{name}",
    # A method that nobody has changes nothing.
    "X-HTTP-Method-Override": "{name}",
    "X-Original-URL": "/{name}",
    "X-Rewrite-URL": "/{name}",
}


@dataclass(frozen=True, slots=True)
class Injection:
    """What came back with a header in the request and, if it did something, under the same key without it."""

    header: str
    name: str
    first: Exchange
    again: Exchange | None = None


def attempt(
    site: Site, path: str, usual: Exchange, fresh: Iterator[str]
) -> Generator[Probe, Exchange, tuple[Injection, ...]]:
    """Try each header until one stays in a copy. `usual` is the route's answer to a request without any of them."""
    seen: list[Injection] = []
    for header, form in HEADERS.items():
        asked, name = own(path, next(fresh)), next(fresh)
        first = yield probe(site, asked, STRANGER, (header, form.format(name=name)))
        one = Injection(header, name, first)
        if first.answered and (shows(first, [name]) or first.status != usual.status):
            again = yield probe(site, asked)
            one = Injection(header, name, first, again)
        seen.append(one)
        if stayed(one, usual):
            break
    return tuple(seen)


def stayed(one: Injection, usual: Exchange) -> bool:
    """Whether a request without the header got what the header had done."""
    again = one.again
    if again is None or not again.answered:
        return False
    broke = one.first.status == again.status != usual.status and cache_state(again).from_store
    return shows(again, [one.name]) or bool(broke)


def findings(query: Query, seen: Sequence[Injection], usual: Exchange) -> Iterator[Finding]:
    """One finding for all headers that were tried, and one for those that were repeated and not kept."""
    wanted = "no trace of the header in the next visitor's answer"
    if not seen and query is Query.APART:
        yield INJECTED.against("not tried after the leak", wanted, holds=None, evidence=[usual])
        return
    if not seen:
        # How an edge makes its keys stays as it is; that it does not say may change.
        known = query is not Query.UNKNOWN
        claim = replace(INJECTED, breach=Outcome.WARN) if known else INJECTED
        apart = "a key of the run's own, so that no reader meets the test; try it where the edge keeps queries apart"
        yield claim.against(f"not tried: {query}", apart, holds=False if known else None, evidence=[usual])
        return
    for one in seen:
        if one.again is not None and stayed(one, usual):
            what = "what it said" if shows(one.again, [one.name]) else f"status {one.again.status}"
            message = f"{one.header}: the next visitor got {what}, {cache_state(one.again)}"
            yield INJECTED.against(message, wanted, holds=False, evidence=[one.first, one.again])
            return
    silent = [one.first for one in seen if not one.first.answered and one.first.error not in REFUSED]
    silent += [one.again for one in seen if one.again is not None and not one.again.answered]
    message = f"{len(seen)} headers tried, none stayed"
    if silent:
        message += f"; {len(silent)} without an answer: {silent[0].detail or silent[0].error}"
    yield INJECTED.against(message, wanted, holds=None if silent else True, evidence=silent)
    if repeated := [one for one in seen if shows(one.first, [one.name])]:
        message = ", ".join(one.header for one in repeated)
        yield ECHOED.against(message, "no header in the page", holds=False, evidence=[one.first for one in repeated])
