"""Comparing two arms side by side: in which order they are asked, and whether one is slower in the same rounds.

Requests of both arms are made in rounds, shuffled: whatever the service does meanwhile (drift, a noisy neighbour) meets
both arms of a round alike and cancels. Ranks are aligned by round (Hodges and Lehmann 1962). Simulated in
`benchmarks/statistics.py`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from roundsman.report.rules.exchange import Exchange
from roundsman.site.rules.promises import Audience, Rule
from roundsman.timing.rules.probabilities import NORMAL, Z, two_sided

#: How close to a root is close enough, on the log scale: a hundredth of a percent.
_CLOSE = 1e-4
#: Seconds; below this a clock says nothing, and no time may be zero where its logarithm is taken.
_TICK_SECONDS = 1e-6
#: What is slow: how often each arm took as long as this quantile of both is compared.
TAIL = 0.95


@dataclass(frozen=True, slots=True)
class Shift:
    """By what factor the candidate's times differ, its 95 % interval, and how likely this is by chance.

    An end of the interval is 0 or infinite when the sample can't tell it.
    """

    ratio: float
    low: float
    high: float
    p: float

    @property
    def half_width(self) -> float:
        """Half of the interval on the log scale."""
        return (math.log(self.high) - math.log(self.low)) / 2 if self.low > 0 else math.inf


@dataclass(frozen=True, slots=True)
class Tail:
    """Which shares of both arms took at least `limit` seconds, and how likely such a difference is by chance.

    `ratio` is the candidate's p95 over the baseline's.
    """

    limit: float
    baseline: float
    candidate: float
    ratio: float
    p: float


@dataclass(frozen=True, slots=True, eq=False)
class Rounds:
    """Both arms' times, sorted by round.

    `logs` are natural logarithms of seconds, `label` the round's number from 0, `candidate` whose each one is; all of
    shape (n,). `starts`, `sizes` and `weight` (k (m - k) / (m (m - 1)) in the variance) have one entry for each round.
    """

    logs: np.ndarray
    label: np.ndarray
    candidate: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, seconds: np.ndarray, rounds: np.ndarray, candidate: np.ndarray) -> "Rounds":
        """Sort samples by round; a round may hold any number of either arm, and one with a single arm says nothing.

        Raises:
            ValueError: an arm has no sample.
        """
        if not candidate.any() or candidate.all():
            raise ValueError("saw only one arm, wanted samples of both")
        order = np.argsort(rounds, kind="stable")
        _, starts, label, sizes = np.unique(rounds[order], return_index=True, return_inverse=True, return_counts=True)
        own = candidate[order]
        mine = np.add.reduceat(own.astype(float), starts)
        weight = mine * (sizes - mine) / np.maximum(sizes * (sizes - 1), 1)
        logs = np.log(np.maximum(seconds[order], _TICK_SECONDS))
        return cls(logs, label, own, starts, sizes, weight)


def shift(rounds: Rounds) -> Shift:
    """The candidate's times over the baseline's, with the interval that the aligned rank test inverts to."""
    own = rounds.logs[rounds.candidate]
    other = rounds.logs[~rounds.candidate]
    low, high = float(own.min() - other.max()) - _CLOSE, float(own.max() - other.min()) + _CLOSE
    middle = _root(rounds, 0.0, low, high)
    least = _root(rounds, Z, low, middle) if location(rounds, low) > Z else -math.inf
    most = _root(rounds, -Z, middle, high) if location(rounds, high) < -Z else math.inf
    return Shift(math.exp(middle), math.exp(least), math.exp(most), two_sided(location(rounds)))


def location(rounds: Rounds, delta: float = 0.0) -> float:
    """The standardised sum of the candidate's aligned ranks, after `delta` is taken off its logarithms.

    Ranks of X = ln t - median of its round, R; z = (T - E) / sqrt(V) with T the candidate's sum of ranks,
    E = sum over rounds of k mean(R) and V = sum of k (m - k) / (m (m - 1)) sum (R - mean(R))^2, for k of m in a round.
    """
    logs = rounds.logs - delta * rounds.candidate
    ordered = logs[np.lexsort((logs, rounds.label))]
    middles = ordered[rounds.starts + (rounds.sizes - 1) // 2] + ordered[rounds.starts + rounds.sizes // 2]
    return _standardised(_ranks(logs - middles[rounds.label] / 2), rounds)


def tail(rounds: Rounds) -> Tail:
    """Compare how often each arm took as long as the pooled p95, with the variance within rounds and for continuity.

    A test of location hardly sees that 6 % of the requests became four times as slow; this one does.
    """
    limit = float(np.quantile(rounds.logs, TAIL, method="inverted_cdf"))
    # Not only above it: times that are all cut off at the same second would be no tail at all.
    above = (rounds.logs >= limit).astype(float)
    z = _standardised(above, rounds, continuity=0.5)
    own = rounds.candidate
    p95 = [float(np.quantile(rounds.logs[arm], TAIL, method="inverted_cdf")) for arm in (~own, own)]
    shares = (float(above[~own].mean()), float(above[own].mean()))
    return Tail(math.exp(limit), *shares, math.exp(p95[1] - p95[0]), two_sided(z))


def needed(sigma: float, change: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """How many samples each arm needs so that a change is seen with this power (Noether 1987).

    Args:
        sigma: the standard deviation of the logarithms of times.
        change: such as 0.1 for 10 % slower.
        alpha: how often a change may be seen where there is none.
        power: how often it should be seen where there is one.
    """
    ahead = NORMAL.cdf(math.log1p(change) / (sigma * math.sqrt(2)))
    z = NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(power)
    return math.ceil(z**2 / (6 * (ahead - 0.5) ** 2))


def _standardised(values: np.ndarray, rounds: Rounds, continuity: float = 0.0) -> float:
    means = np.add.reduceat(values, rounds.starts) / rounds.sizes
    apart = values - means[rounds.label]
    more = float(apart[rounds.candidate].sum())
    variance = float((rounds.weight[rounds.label] * apart * apart).sum())
    if variance <= 0:
        return 0.0
    return math.copysign(max(0.0, abs(more) - continuity), more) / math.sqrt(variance)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the middle of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _root(rounds: Rounds, wanted: float, low: float, high: float) -> float:
    """Where the statistic, which falls as delta grows, comes down to what is wanted."""
    while high - low > _CLOSE:
        middle = (low + high) / 2
        low, high = (middle, high) if location(rounds, middle) > wanted else (low, middle)
    return (low + high) / 2


#: Requests of each kind to either release in one round: few, so that a round is short and drift is the same for all.
EACH = 10
#: Samples of each release, route and cache state where less would do.
USUAL_SAMPLES = 300
#: To show that nothing changed the whole interval has to lie within the margin, which takes twice the samples that show
#: a change of that size.
CLEAR_OF_MARGIN = 2.0
#: Samples that tell how widely a route's times spread.
PILOT_SAMPLES = 30
#: The round in which connections are opened and copies are made; its times are not compared.
WARM_UP = -1


class Arm(IntEnum):
    """Who was asked: the old release, the same once more (what differs between the two is noise), the new one."""

    BASELINE = 0
    AGAIN = 1
    CANDIDATE = 2


@dataclass(frozen=True, slots=True)
class ArmExchange:
    """One exchange of an arm in a round. `fresh` ones asked with a query of their own, so that no copy could answer."""

    arm: Arm
    round: int
    exchange: Exchange
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One request that is to be made: of which arm, in which round, and whether no copy may answer it."""

    path: str
    arm: Arm
    round: int
    fresh: bool


def compared(rule: Rule) -> tuple[str, ...]:
    """The routes of a rule that are compared; a member's pages are not, since nobody is logged in at both arms."""
    return () if rule.cache.by is Audience.MEMBER else rule.routes


def samples_needed(spread: float, margin: float) -> int:
    """How many samples of each release show that nothing changed, or that something did, four times in five.

    `spread` is the standard deviation of the logarithms of one release's times in one cache state.
    """
    return max(USUAL_SAMPLES, round(needed(max(spread, 0.01), margin) * CLEAR_OF_MARGIN))


def spread_of(seconds: Sequence[float]) -> float:
    """The standard deviation of the logarithms of some times, by their quartiles: a spike does not count."""
    logs = sorted(math.log(max(one, 1e-6)) for one in seconds)
    return (logs[3 * len(logs) // 4] - logs[len(logs) // 4]) / 1.349


def requests(rule: Rule, samples: int) -> int:
    """How many requests a rule takes for so many samples of each release, route and cache state."""
    return len(turns(rule, samples, lambda _: None))


def turns(rule: Rule, samples: int, shuffle: Callable[[list[Any]], None]) -> list[Turn]:
    """All requests of a rule's routes, in order: at least so many samples of each release, route and cache state.

    Half of those of the baseline are of its second arm.

    A page that is cached is asked for as it is, and with a query of its own, which makes a miss. `shuffle` shuffles a
    list in its place; within a round of one route every order is as likely, and between rounds nothing is shuffled.
    """
    rounds = -(-samples // EACH)
    routes = compared(rule)
    order = [Turn(path, arm, WARM_UP, fresh=False) for path in routes for arm in Arm]
    for number in range(rounds):
        for path in routes:
            here = list(_round(rule, path, number))
            shuffle(here)
            order += here
    return order


def _round(rule: Rule, path: str, number: int) -> Iterator[Turn]:
    shared = rule.cache.by is Audience.EVERYONE and path in rule.examples.cached
    # Either release is asked as often: one that is asked half as often as the other is colder, and its hits took 8 %
    # longer from two Varnishes that were the same.
    for arm, count in ((Arm.BASELINE, EACH // 2), (Arm.AGAIN, EACH // 2), (Arm.CANDIDATE, EACH)):
        for fresh in (False, True) if shared else (False,):
            yield from [Turn(path, arm, number, fresh)] * count
