"""The probe hit rate: how many of our own plain visits were answered from the store. Readers' may be quite another."""

import math
from collections.abc import Iterator, Sequence

from roundsman.http.cache_status import cache_state
from roundsman.http.copies import kept
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.verdict import Claim, Finding

HIT_RATE = Claim("cache-headers/probe-hit-rate", "So many of the probe's own visits came from the store.")

#: Standard deviations of a 95 % interval.
_Z = 1.959964


def findings(seen: Sequence[Exchange]) -> Iterator[Finding]:
    """The rate over all plain visits of a rule, with its interval. It never fails: warming up is among them."""
    said = [exchange for exchange in seen if cache_state(exchange).from_store is not None]
    if said:
        hits, count = len(kept(said)), len(said)
        low, high = wilson(hits, count)
        saw = f"probe hit rate {hits / count:.0%} ({hits} of {count} visits; 95 % interval {low:.0%} to {high:.0%})"
        yield HIT_RATE.against(saw, "no promise", holds=True)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927), which also holds for few visits and for all or none."""
    share, square = hits / count, _Z * _Z / count
    middle, width = share + square / 2, _Z * math.sqrt((share * (1 - share) + square / 4) / count)
    return max(0.0, (middle - width) / (1 + square)), min(1.0, (middle + width) / (1 + square))
