"""Quantiles of a sample and how well it tells them, without a word about how the times are spread.

Response times of one kind, kept together, and by what factor they differ from those of another release.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache


def quantile(times: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of ascending times."""
    return times[max(0, math.ceil(share * len(times)) - 1)]


def interval(times: Sequence[float], share: float) -> tuple[float, float]:
    """An interval of a quantile, of at least 95 %, in the unit of the ascending times.

    A sample smaller than `needed` has none: what comes back then ends at the sample's own ends and says too much.
    """
    low, high = ranks(len(times), share)
    return times[low], times[high]


def needed(share: float, confidence: float = 0.95) -> int:
    """The smallest sample in which a quantile has an interval: at 95 % 6 for p50, 72 for p95, 368 for p99."""
    return math.ceil(math.log((1 - confidence) / 2) / math.log(max(share, 1 - share)))


@lru_cache(maxsize=4096)
def ranks(count: int, share: float, confidence: float = 0.95) -> tuple[int, int]:
    """The places (from 0) of the two order statistics between which a quantile lies.

    How many of `count` samples are below the quantile is binomial, whatever the distribution; the places leave at most
    (1 - confidence) / 2 on either side (David and Nagaraja, Order Statistics, section 7.1).
    """
    tail = (1 - confidence) / 2
    low, high, total = 0, count - 1, 0.0
    for rank in range(count + 1):
        # By logarithms: the coefficient alone is beyond a float from some thousand samples on.
        total += math.exp(_log_binomial(count, rank, share))
        if total <= tail:
            low = rank
        if total >= 1 - tail:
            high = min(rank, count - 1)
            break
    return low, high


def _log_binomial(count: int, rank: int, share: float) -> float:
    choose = math.lgamma(count + 1) - math.lgamma(rank + 1) - math.lgamma(count - rank + 1)
    return choose + rank * math.log(share) + (count - rank) * math.log(1 - share)


@dataclass(frozen=True, slots=True)
class Series:
    """The first-byte times of one route in one cache state (or at its origin), in seconds, ascending.

    `first` holds those of the first request of each connection, which pay for DNS, TCP and TLS. `hits` of `asked` plain
    visits came from the store, as far as a cache said so; both are 0 where none was made.
    """

    path: str
    state: str
    times: tuple[float, ...]
    first: tuple[float, ...] = ()
    hits: int = 0
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Ratio:
    """New times over old ones, with the 95 % interval, and what a comparison makes of it in a word.

    An end of the interval is 0 or infinite where the sample can't tell it.
    """

    path: str
    state: str
    ratio: float
    low: float
    high: float
    word: str
