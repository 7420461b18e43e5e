"""What the logged-in tests may have left in the store, and whether it is gone again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from roundsman.http.freshness import lifetime, storable
from roundsman.logged_in.rules.claims import CLEANED
from roundsman.logged_in.rules.deception import Disguise
from roundsman.logged_in.rules.private_key import NAME, from_store
from roundsman.logged_in.rules.unkeyed_headers import Injection
from roundsman.logged_in.rules.visit_plan import Visits
from roundsman.purge.rules.plan import PurgeRequest, unguarded_request
from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.redaction import without_random_names
from roundsman.report.rules.verdict import Finding
from roundsman.report.rules.visitor import Step, Visitor, cast, leaks, shows
from roundsman.site.rules.promises import Audience, Rule
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_edge import targeted_of

#: Whether headers let a shared cache store a member's page.
May = Callable[[Exchange], bool]


def left(site: Site, rule: Rule, path: str, visits: Visits, members: Sequence[Visitor]) -> tuple[str, ...]:
    """The URLs under which a copy of a test's own may be stored.

    Of a member's page the route itself is among them: should the edge fold two names into one key, it is that one.
    """
    seen = _kept(site, visits, members)
    route = [site.url(path)] if seen and rule.cache.by is Audience.MEMBER else []
    return tuple(dict.fromkeys([*(exchange.url for exchange in seen), *route]))


def request_for(site: Site, urls: Sequence[str], run: str) -> PurgeRequest:
    """What to purge: the copies in every encoding, as the tests send nothing else that a rule varies by."""
    rules = [site.rule_for(url.removeprefix(site.base_url)) for url in urls]
    names = {name.lower() for rule in rules if rule for name in rule.cache.vary or ()} - {"accept-encoding"}
    return replace(unguarded_request(urls, run=run), values=dict.fromkeys(names, ("",)))


def findings(site: Site, visits: Visits, members: Sequence[Visitor]) -> Iterator[Finding]:
    """One finding for each URL that was purged, or could not be; none where nothing was left."""
    if visits.cleanup is None:
        return
    seen = {exchange.url: exchange for exchange in _kept(site, visits, members)}
    for index, url in enumerate(visits.cleanup.urls):
        name = _name(site, url)
        rest = f"it may stay {_stay(site, seen.get(url) or next(iter(seen.values())))}"
        if visits.cleanup.problem:
            why = visits.cleanup.problem
            for one in visits.cleanup.urls:
                why = why.replace(one, _name(site, one))
            yield CLEANED.against(f"{name}: not purged ({why}); {rest}", "a purge; do it by hand", holds=False)
            continue
        after = visits.cleanup.after[index]
        secrets = [value for actor in cast(members).values() for value in actor.sentinels]
        if not after.answered:
            message, holds = f"{name}: purged, and no answer since: {after.detail or after.error}", None
        elif shows(after, [*secrets, *(one.name for one in visits.injections)]):
            message, holds = f"{name}: purged, and still there; {rest}", False
        else:
            message, holds = f"{name}: purged", True
        yield CLEANED.against(
            message,
            "no copy left; purge it by hand" if holds is False else "no copy left",
            holds=holds,
            evidence=[after],
        )


def _kept(site: Site, visits: Visits, members: Sequence[Visitor]) -> list[Exchange]:
    """The answers of which a copy may be stored."""
    actors = cast(members)

    def may(exchange: Exchange) -> bool:
        return storable(exchange, authorized=actors["A"].authorized, targeted=targeted_of(site)).yes

    seen = [*_by_visits(visits.steps, actors, may)]
    seen += [one.member for one in visits.disguises if _by_disguise(one, actors["A"], may)]
    return seen + [one.first for one in visits.injections if _by_header(one)]


def _by_visits(steps: Sequence[Step], actors: Mapping[str, Visitor], may: May) -> list[Exchange]:
    """The first member's answer, unless the store is known to hold a stranger's own copy or nothing."""
    start = next((index for index, (who, _) in enumerate(steps) if who != "N"), len(steps))
    after = steps[start:]
    if not after:
        return []
    first = after[0][1]
    strangers = {exchange.body_hash for _, exchange in steps[:start]}
    strangers |= {exchange.body_hash for who, exchange in after if who == "N" and not from_store(exchange)}
    others = [exchange for _, exchange in after if exchange.body_hash not in strangers]
    if leaks(steps, actors) or any(from_store(exchange) for exchange in others):
        return [first]
    unknown = any(from_store(exchange) is None for exchange in others)
    return [first] if unknown and any(map(may, others)) else []


def _by_disguise(one: Disguise, member: Visitor, may: May) -> bool:
    if one.stranger is None:
        return False
    if not one.stranger.answered or member.shows_in(one.stranger):
        return True
    return from_store(one.stranger) is None and may(one.member)


def _by_header(one: Injection) -> bool:
    return one.again is not None and (not one.again.answered or from_store(one.again) is not False)


def _name(site: Site, url: str) -> str:
    """The path of a URL, without the random name in it and without its query, which could be a secret."""
    path, _, query = url.removeprefix(site.base_url).partition("?")
    return without_random_names(path) + (f"?{NAME}=<random>" if f"{NAME}=" in query else "")


def _stay(site: Site, exchange: Exchange) -> str:
    seconds = lifetime(exchange, targeted=targeted_of(site))
    return f"for {spoken(seconds)}" if seconds else "for as long as the edge likes"
