"""Negative caching: how long the answer to a path that is not there is kept, and that no server error is.

Costs two requests for a made-up name, where the rule says how long such an answer may be kept.
"""

import re
from collections.abc import Iterator, Sequence

from roundsman.http.copies import Extra, ProbeStep, kept, observed, silence, tells
from roundsman.http.freshness import lifetime, storable
from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.verdict import Claim, Finding
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site

RFC = "https://www.rfc-editor.org/rfc/rfc9111"
ABSENT = Claim("cache-headers/missing-status", "A path that is not there is answered with 404 or 410.", "RFC 9110 15.5")
MISSING = Claim(
    "cache-headers/missing", "The answer to a path that is not there is kept as promised.", f"{RFC}#section-4.2"
)
ERROR = Claim("cache-headers/error-kept", "No server error comes from the store.", "RFC 9110 section 15.6")

MADE_UP = "missing"


def steps(site: Site, rule: Rule, path: str, nonce: str) -> Iterator[ProbeStep]:
    """A made-up name that one of the rule's globs matches, twice."""
    if rule.cache.missing and (name := _name(site, rule, nonce)):
        yield from [ProbeStep(path, MADE_UP, Probe(site.url(name)))] * 2


def findings(rule: Rule, extra: Extra, targeted: Sequence[str] = ()) -> Iterator[Finding]:
    """What came of the made-up name."""
    promise, seen = rule.cache.missing, extra.get(MADE_UP, ())
    if promise is None:
        return
    if why := silence(seen) if seen else f"no name can be made up for {' or '.join(rule.paths)}":
        yield MISSING.against(why, promise, holds=None, evidence=seen)
        return
    first = seen[0]
    absent = all(exchange.status in {404, 410} for exchange in seen)
    yield ABSENT.against(first.status, "404 or 410", holds=absent, evidence=seen)
    if not absent:
        return
    answer, seconds = storable(first, targeted=targeted), lifetime(first, targeted=targeted)
    said = "no lifetime" if seconds is None else spoken(seconds)
    if not answer.yes:
        said, seconds = f"not storable ({answer.why})", 0
    saw = f"{said}; observed {observed(seen)}"
    holds: bool | None
    if kept(seen):
        # A cache that keeps what says nothing, or says no, keeps it as long as it likes.
        holds = bool(seconds and seconds in promise)
    elif tells(seen):
        holds = (seconds or 0) in promise
    else:
        holds = seconds in promise if seconds is not None else None
    yield MISSING.against(saw, promise, holds=holds, evidence=seen)


def errors(rule: Rule, seen: Sequence[Exchange]) -> Iterator[Finding]:
    """A finding when a server error was seen that the rule does not promise: whether it came from the store."""
    broken = [exchange for exchange in seen if exchange.answered and 500 <= exchange.status != rule.status]
    if broken:
        holds = not kept(broken) if tells(broken) else None
        saw = f"{broken[0].status}: {observed(broken)}"
        yield ERROR.against(saw, "no copy of an error", holds=holds, evidence=kept(broken) or broken)


def _name(site: Site, rule: Rule, nonce: str) -> str:
    """A path that this rule decides and that nobody has; empty when none of its globs leaves room for one."""
    names = (re.sub(r"\*+", f"roundsman-{nonce}", pattern) for pattern in rule.paths if "*" in pattern)
    deciding = ((name, site.rule_for(name)) for name in names)
    return next((name for name, first in deciding if first and first.name == rule.name), "")
