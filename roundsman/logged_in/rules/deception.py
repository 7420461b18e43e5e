"""Web cache deception: a member's page under a name that looks like a file, which an edge may keep for everybody.

The names are random, so a copy lies where nobody else asks. One member's visit and one stranger's for each name at
most, and none after the first that leaked.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from roundsman.http.cache_status import cache_state
from roundsman.logged_in.rules.claims import DECEPTION
from roundsman.logged_in.rules.private_key import probe
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.redaction import without_random_names
from roundsman.report.rules.verdict import Finding
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.site import Site

#: Endings that a rule by extension keeps, delimiters at which cache and origin may end the path differently, and
#: folders of static files with a way out of them.
NAMES = (
    "{path}/{name}.css",
    "{path}/{name}.js",
    "{path}/{name}.png",
    "{path};{name}.css",
    "{path}%3b{name}.css",
    "{path}%2f{name}.css",
    "{path}%23{name}.css",
    "{path}%3f{name}.css",
    "{path}%00{name}.css",
    "{path}/..%2f{name}.css",
    "/static/{name}/..%2f..%2f{inner}",
    "/assets/{name}/..%2f..%2f{inner}",
)
#: An end of the connection is how some servers refuse a name.
REFUSED = frozenset({"reset", "protocol"})


@dataclass(frozen=True, slots=True)
class Disguise:
    """What a member got under one name, and a stranger after; what is not personal no stranger asks for."""

    member: Exchange
    stranger: Exchange | None = None


def names(path: str, fresh: Iterator[str]) -> Iterator[str]:
    """The route's disguises, each with a name of its own."""
    plain = path.partition("?")[0].rstrip("/")
    for form in NAMES:
        name = form.format(path=plain, inner=plain.lstrip("/"), name=next(fresh))
        # Of the front page nothing is left before a delimiter, and what is no path would be glued to the host.
        yield name if name.startswith("/") else f"/{name}"


def attempt(
    site: Site, path: str, member: Visitor, fresh: Iterator[str]
) -> Generator[Probe, Exchange, tuple[Disguise, ...]]:
    """Ask for the route in each disguise, until one leaks: at most two requests for each of `NAMES`."""
    seen: list[Disguise] = []
    for name in names(path, fresh):
        theirs = yield probe(site, name, member)
        if not member.shows_in(theirs):
            seen.append(Disguise(theirs))
            continue
        stranger = yield probe(site, name)
        seen.append(Disguise(theirs, stranger))
        if member.shows_in(stranger):
            break
    return tuple(seen)


def leaked(seen: Sequence[Disguise], member: Visitor) -> list[Exchange]:
    """What strangers got of the member's."""
    return [one.stranger for one in seen if one.stranger is not None and member.shows_in(one.stranger)]


def findings(site: Site, seen: Sequence[Disguise], member: Visitor) -> Iterator[Finding]:
    """One finding for all names that were tried; none where nothing was."""
    if not seen:
        return
    wanted = "no name under which a stranger gets a member's page"
    if found := leaked(seen, member):
        name = without_random_names(found[0].url.removeprefix(site.base_url))
        message = f"{name}: stranger got a page of {member.name}, {cache_state(found[0])}"
        yield DECEPTION.against(message, wanted, holds=False, evidence=found)
        return
    served = [one for one in seen if one.stranger is not None]
    silent = [
        exchange
        for one in seen
        for exchange in (one.member, one.stranger)
        if exchange is not None and not exchange.answered and exchange.error not in REFUSED
    ]
    message = f"{len(seen)} names tried, {len(served)} lead to the member's page, none leaked"
    if silent:
        message += f"; {len(silent)} without an answer: {silent[0].detail or silent[0].error}"
    yield DECEPTION.against(message, wanted, holds=None if silent else True, evidence=silent)
