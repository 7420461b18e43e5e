"""Samples of response times: what is kept of each, and what a span of them comes to."""

from dataclasses import dataclass
from datetime import datetime

#: Whose answer was timed: the edge's, as users meet it, or the origin's behind it.
EDGE, ORIGIN = "edge", "origin"
#: Seconds of a roll-up, from the finest to the coarsest; each is a multiple of the one before.
FIVE_MINUTES_SECONDS, HOUR_SECONDS, DAY_SECONDS = 300, 3600, 86400
SPANS = (FIVE_MINUTES_SECONDS, HOUR_SECONDS, DAY_SECONDS)


@dataclass(frozen=True, slots=True)
class SampleKey:
    """What many samples have in common. Only samples with the same key are ever put into one histogram."""

    site: str
    rule: str
    path: str
    series: str = EDGE
    """edge or origin."""
    cache_state: str = ""
    """hit or miss; empty where nothing says what a cache did."""
    warm: bool = True
    """Whether it was to go over a connection that is open already."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request that was answered, or waited for until its time was up. Times are seconds, `at` is Unix time.

    `first_byte` and `total` count from the start of the request, connecting included; `late` is how long after its due
    time it was started. What a user waits is `late` more, and that is what histograms hold.
    """

    key: SampleKey
    at: float
    first_byte: float
    total: float
    late: float = 0.0
    release: str = ""
    """The site's version as far as it is known."""


@dataclass(frozen=True, slots=True)
class Window:
    """What the samples of one key in one span came to: time to the first byte from the due time, in seconds.

    Quantiles are nearest-rank and within 1 % of the sample's own (`roundsman.timing.rules.histogram`).
    """

    start: datetime
    span: int
    """Seconds."""
    samples: int
    p50: float
    p95: float
    p99: float


def start_of(at: float, span: int) -> int:
    """When the span that a time lies in began; both in Unix seconds. Days are those of UTC."""
    return int(at // span) * span
