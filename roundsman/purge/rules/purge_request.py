"""What somebody wants purged: the URLs that it stands for, and what of it no edge would be asked, whatever it can."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urljoin

from roundsman.site.rules.site import Site

#: URLs of one plan, unless the caller says otherwise.
MOST_URLS = 100

#: What is no route, and would drop a whole site.
EVERYTHING = frozenset({"", "*", "/*", "/**", "everything", "all"})

#: What an edge must not be blind to without the caller's word for it.
WIDENS = ("case", "query")


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants purged, and what they put up with.

    `routes` are paths of the site, or its URLs; `keys` are surrogate keys. `redirects` says where a route leads, as
    it was seen. `values` are the values of a header that a route varies on. `accept` names what an edge may be blind
    to: case, query. `unruled` takes URLs of the site that no rule speaks of as well, and of a header whose values
    nobody wrote down the copy without it. `run` is another one for every purge that is not a repetition of the same
    request.
    """

    routes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    redirects: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    soft: bool = False
    accept: frozenset[str] = frozenset()
    most: int = MOST_URLS
    unruled: bool = False
    run: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is purged."""

    saw: str
    wanted: str
    mend: str

    def __str__(self) -> str:
        return f"saw {self.saw}, wanted {self.wanted}; {self.mend}"


def all_of(routes: Sequence[str], keys: Sequence[str] = (), run: str = "") -> Wish:
    """The wish of a program that knows what it names: the guards of a purge by hand do not hold it up."""
    most = max(len(routes), len(set(keys)))
    return Wish(tuple(routes), tuple(keys), accept=frozenset(WIDENS), most=most, unruled=True, run=run)


def misnamed(site: Site, wish: Wish) -> list[Refusal]:
    """What of a wish no edge would be asked, whatever it can."""
    return [*targets(site, wish)[1], *guard(wish, ())]


def targets(site: Site, wish: Wish) -> tuple[list[str], list[Refusal]]:
    """The URLs that the routes stand for, each followed by where it leads."""
    urls: list[str] = []
    refusals: list[Refusal] = []
    for route in wish.routes:
        url, refusal = _url(site, route, unruled=wish.unruled)
        while not refusal and url not in urls:
            urls.append(url)
            there = leads(site, wish, url)
            if not there:
                break
            url, refusal = _url(site, there, f", where {url} leads", unruled=wish.unruled)
        if refusal:
            refusals.append(refusal)
    return urls, refusals


def leads(site: Site, wish: Wish, url: str) -> str:
    """Where a URL redirects to, if that is on the site."""
    told = wish.redirects.get(url) or wish.redirects.get(url.removeprefix(site.base_url), "")
    there = urljoin(url, told).partition("#")[0] if told else ""
    return there if _on(site, there) else ""


def _on(site: Site, url: str) -> bool:
    return re.match(re.escape(site.base_url) + r"([/?]|$)", url, re.IGNORECASE) is not None


def _url(site: Site, route: str, why: str = "", *, unruled: bool = False) -> tuple[str, Refusal | None]:
    """The URL of a route, or why there is none."""
    saw = f"{route!r}{why}"
    # A fragment is never asked for (RFC 9110 section 7.1): `/a#comments` is in the copy of `/a`.
    route = route.partition("#")[0]
    if route in EVERYTHING:
        return "", Refusal(saw, "the routes to purge, one by one", "a whole site is not purged here; name its routes")
    if "*" in route:
        return "", Refusal(saw, "a route without `*`", "wildcards take more than they say; name each route")
    if not route.startswith("/") and not _on(site, route):
        example = f"a path such as /articles/tomatoes, or a URL below {site.base_url}"
        return "", Refusal(saw, example, "a prefix, a host or another site is not purged here; correct the route")
    url = site.url(route) if route.startswith("/") else site.base_url + route[len(site.base_url) :]
    path = url.removeprefix(site.base_url) or "/"
    if site.rule_for(path) is None and not unruled:
        return "", Refusal(saw, "a route that a rule of the site speaks of", "correct the route, or add a rule for it")
    return url if url != site.base_url else f"{url}/", None


def guard(wish: Wish, urls: Sequence[str]) -> Iterator[Refusal]:
    """What is too much or too little, whichever URLs it stands for."""
    if not wish.routes and not wish.keys:
        yield Refusal("no routes and no keys", "something to purge", "name a route")
    for key in wish.keys:
        if key in EVERYTHING:
            yield Refusal(
                f"the key {key!r}", "a surrogate key", "a whole site is not purged here; name its pages' keys"
            )
    for kind, many in (("URLs", len(urls)), ("keys", len(set(wish.keys)))):
        if many > wish.most:
            yield Refusal(f"{many} {kind}", f"at most {wish.most}", "purge in parts, or raise the guard on purpose")
    if unknown := wish.accept - set(WIDENS):
        yield Refusal(f"accept: {', '.join(sorted(unknown))}", f"one of {', '.join(WIDENS)}", "correct it")
