"""Bypass conditions, tried one by one: who meets one gets no copy, and leaves the stored copy as it was.

Costs two plain visits, and for each condition two with it; for a cookie, header or query one plain visit more.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from roundsman.http.copies import Extra, ProbeStep, difference, kept, silence, states, tells
from roundsman.http.freshness import left
from roundsman.http.target import with_query
from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.verdict import Claim, Finding
from roundsman.site.rules.promises import Bypass, Rule, glob
from roundsman.site.rules.site import Site
from roundsman.site.rules.url_spelling import spelled

BYPASS = Claim("cache-headers/bypass", "Who meets a bypass condition is not answered from the store.")
COPY_KEPT = Claim("cache-headers/copy-kept", "A visit under a bypass condition does not replace the stored copy.")

PLAIN = "plain"
NOT_KEPT = "not tried: the page is not kept"
#: Seconds that the stored copy must still have, or it may go by itself while it is watched.
SPARE_SECONDS = 10


def steps(site: Site, rule: Rule, path: str, nonce: str) -> Iterator[ProbeStep]:
    """Two plain visits, so that a copy is warm on this connection; then each condition with a made-up value."""
    plain = Probe(site.url(path))
    tried = [bypass for bypass in rule.bypass if not _is_method(bypass)]
    if any(_example(site, bypass) is None for bypass in tried):
        yield from [ProbeStep(path, PLAIN, plain)] * 2
    for bypass in tried:
        if _example(site, bypass) is not None:
            continue
        kind, _, name = bypass.when.partition(" ")
        if kind != "path":
            name = name.replace("*", nonce)
        match kind:
            case "cookie":
                probe = Probe(plain.url, headers=(("Cookie", f"{name}={nonce}"),))
            case "header":
                probe = Probe(plain.url, headers=((name, nonce),))
            case "query":
                probe = Probe(site.url(with_query(path, f"{name}={nonce}")))
            case _:
                probe = Probe(site.url(re.sub(r"\*+", f"roundsman-{nonce}", name)))
        yield from [ProbeStep(path, bypass.when, probe)] * 2
        if kind != "path":
            yield ProbeStep(path, _after(bypass), plain)


def findings(
    site: Site, rule: Rule, visits: Mapping[str, Sequence[Exchange]], extra: Extra, targeted: Sequence[str] = ()
) -> Iterator[Finding]:
    """What came of each condition. `visits`: those of every route of the rule, for a path that is an example."""
    plain = extra.get(PLAIN, ())
    for bypass in rule.bypass:
        if _is_method(bypass):
            continue
        example = _example(site, bypass)
        if example is not None:
            if example in visits:
                yield _bypassed(bypass, visits[example])
            continue
        under = extra.get(bypass.when, ())
        yield _bypassed(bypass, under, plain if bypass.when.startswith(("cookie", "header")) else None)
        if after := extra.get(_after(bypass)):
            yield _copy_kept(bypass, plain, under, after, targeted)


def _bypassed(bypass: Bypass, under: Sequence[Exchange], plain: Sequence[Exchange] | None = None) -> Finding:
    """Two visits in a row: a copy of its own for the condition shows on the second. `plain`: they need a warm copy."""
    wanted = f"no HIT with {bypass.when}, because {bypass.because}"
    stored = kept(under)
    if why := (silence(under) if under else NOT_KEPT) or ("" if plain is None else _cold(plain)):
        return BYPASS.against(why, wanted, holds=None, evidence=under)
    if not stored and bypass.when.startswith("path") and all(one.status in {404, 410} for one in under):
        saw = f"{under[0].status} at a made-up path; name one that it speaks of under examples: not_cached"
        return BYPASS.against(saw, wanted, holds=None, evidence=under)
    holds = not stored if tells(under) else None
    return BYPASS.against(f"{states(under)} with {bypass.when}", wanted, holds=holds, evidence=stored or under)


def _copy_kept(
    bypass: Bypass,
    plain: Sequence[Exchange],
    under: Sequence[Exchange],
    after: Sequence[Exchange],
    targeted: Sequence[str],
) -> Finding:
    wanted, evidence = "a HIT of the same copy", [*plain[-1:], *under, *after]
    if why := silence([*plain, *after]) or _cold(plain):
        return COPY_KEPT.against(why, wanted, holds=None, evidence=evidence)
    warm, later = plain[-1], after[-1]
    changed, remaining = difference(warm, later), left(warm, targeted=targeted)
    holds: bool | None = not changed and bool(kept(after))
    saw = (
        f"{states(after)}, {changed or ('the same copy' if holds else 'fetched anew')} after a visit with {bypass.when}"
    )
    if not holds and remaining is not None and remaining <= SPARE_SECONDS:
        saw, holds = f"{saw}, but its time was up within {spoken(max(0, remaining))}", None
    elif len(kept(plain)) > 1 and (restless := difference(plain[0], plain[1])):
        saw, holds = f"{restless} from one plain HIT to the next", None
    return COPY_KEPT.against(saw, wanted, holds=holds, evidence=evidence)


def _cold(plain: Sequence[Exchange]) -> str:
    """Why there is no copy that a condition could be tried against."""
    if plain and kept(plain[-1:]):
        return ""
    return f"{states(plain)} without it: no warm copy to try it against" if plain else NOT_KEPT


def _example(site: Site, bypass: Bypass) -> str | None:
    """The example that a `path` condition speaks of; its own visits show what becomes of it."""
    kind, _, pattern = bypass.when.partition(" ")
    if kind != "path":
        return None
    listed = (path for rule in site.rules for path in rule.examples.not_cached)
    return next((path for path in listed if glob(pattern).fullmatch(spelled(path).partition("?")[0])), None)


def passed_by(rule: Rule, path: str) -> bool:
    """Whether the edge is not to answer a path from its store, by the path or its query alone."""
    plain, _, query = spelled(path).partition("?")
    names = {part.partition("=")[0] for part in query.split("&")}
    for bypass in rule.bypass:
        kind, _, what = bypass.when.partition(" ")
        if kind == "path" and glob(what).fullmatch(plain):
            return True
        if kind == "query" and query and any(glob(what.replace("*", "**")).fullmatch(name) for name in names):
            return True
    return False


def _is_method(bypass: Bypass) -> bool:
    """Whether the condition is a method, which is not tried: it may change something at the origin."""
    return bypass.when.startswith("method ")


def _after(bypass: Bypass) -> str:
    return f"after {bypass.when}"
