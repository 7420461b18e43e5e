"""Whether an edge asks before it uses a copy that the headers want confirmed first: RFC 9111 section 4, as observed."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from roundsman.http import cache_status
from roundsman.http.cache_status import CacheState, OriginContacted
from roundsman.http.copies import GRAIN, difference, states
from roundsman.http.freshness import age, dated, wants_a_question
from roundsman.http.rfc9111_reuse import Answered, Asked, Decision, Reuse, judge
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.verdict import Claim

CONFIRMED = Claim(
    "cache-headers/confirmed",
    "A copy that must be confirmed first is not served without asking the origin.",
    "https://www.rfc-editor.org/rfc/rfc9111#section-4",
)


def unasked(seen: Sequence[Exchange], targeted: Sequence[str]) -> Iterator[tuple[str, Exchange]]:
    """Each visit that was answered from the store without a question, against the headers; and what these say."""
    # How long a copy with a lifetime is used is another claim's business.
    if not wants_a_question(seen[0], targeted=targeted):
        return
    for before, later in pairwise(seen):
        told = cache_status.read(later)
        asked = told.origin_contacted is not OriginContacted.NO
        if told.state is not CacheState.HIT or asked or difference(before, later):
            continue
        decision = _next(before, later, targeted)
        if decision.storable and decision.reuse in {Reuse.VALIDATE, Reuse.MISS}:
            yield f"by the RFC {decision.why_reuse}; observed {states(seen)}: the edge does not ask", later


def _next(before: Exchange, later: Exchange, targeted: Sequence[str]) -> Decision:
    """What a cache with the answer to one visit may do at the next. Told by Age alone: no two clocks are compared."""
    made = dated(before)
    received = before.ended if made is None else float(made + (age(before) or 0))
    asked, again = (Asked(one.url, one.probe.method, one.probe.headers) for one in (before, later))
    after = max(0.0, later.started - before.ended - GRAIN)
    answered = Answered(before.status, before.headers, received)
    return judge(asked, answered, again, after=after, targeted=tuple(targeted))
