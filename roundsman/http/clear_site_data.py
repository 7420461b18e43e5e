"""Policies that caches read in more than one way: broken directives, and lifetimes that are said twice."""

from collections.abc import Iterator, Sequence

from roundsman.http.freshness import troubles
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.verdict import Claim, Finding, Outcome

CLEAR = Claim(
    "cache-headers/clear",
    "What the headers say of caching reads in one way only.",
    "https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1",
    breach=Outcome.WARN,
)


def findings(first: Exchange, targeted: Sequence[str] = ()) -> Iterator[Finding]:
    """One finding when something can't be read, or is read one way here and another way there; else none."""
    if found := troubles(first, targeted=targeted):
        wanted = "each directive once, with its seconds as a number"
        yield CLEAR.against("; ".join(found), wanted, holds=False, evidence=[first])
