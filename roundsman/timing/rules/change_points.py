"""Where a route's history changed level, or crept: what nobody announced (a CDN, a growing table, a neighbour).

Winsorised least squares with a penalty that knows of autocorrelation, then pruned by the shift between neighbours;
simulated against six other detectors it finds the most and cries wolf the least (`benchmarks/statistics.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

import numpy as np

#: Multiplies the penalty of a change point: 3 finds more, 4 cries wolf less.
BETA = 4.0
#: Runs that a level must have lasted.
SHORTEST = 5
#: A smaller change between two levels is none.
LEAST = 0.05
#: How many spreads a run may be away from the running median; what is further counts as so far.
_CLIP = 2.5
_MAD = 1.4826

Release = TypeVar("Release")


class ChangeKind(StrEnum):
    """A step from one run to the next, or a drift over many."""

    STEP = "step"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class TimingChange:
    """One change in a history: the runs from `first` on are on the new level; a drift ends before `last`.

    `ratio` is the new level over the old one, of a drift its end over its beginning.
    """

    kind: ChangeKind
    first: int
    last: int
    ratio: float


def changes(times: Sequence[float], *, beta: float = BETA, shortest: int = SHORTEST) -> list[TimingChange]:
    """The changes in a history of one time for each run (its median, in seconds above zero), in order.

    y = ln t; m = running median of 11; s = 1.1 * 1.4826 * MAD(y - m); z = m + clip(y - m, 2.5 s); rho = lag-1
    correlation of z without its running median of 21, + .06, within [0, .8]. A change point costs
    beta ln(n) s^2 (1 + rho) / (1 - rho); the partition with the least sum of squares and costs is the best. Of its
    change points those between levels that differ by less than 5 % (Hodges and Lehmann's shift) go, the weakest first.
    When a straight line costs no more than the steps, the history crept: one drift and no steps.
    """
    logs = np.log(np.asarray(times, dtype=float))
    if len(logs) < 2 * shortest:
        return []
    calm, price = _winsorised(logs, beta)
    points = _partition(calm, price, shortest)
    points = _pruned(logs, points)
    if not points:
        return []
    if drift := _drift(calm, points, price):
        return [drift]
    edges = [0, *points, len(logs)]
    return [
        TimingChange(ChangeKind.STEP, at, end, math.exp(_between(logs[start:at], logs[at:end])))
        for start, at, end in zip(edges, edges[1:], edges[2:], strict=False)
    ]


def released(
    change: TimingChange, runs: Sequence[datetime], releases: Sequence[tuple[datetime, Release]]
) -> list[Release]:
    """The releases that came between the last run before a change and the first one with it; a drift has none."""
    if change.kind is ChangeKind.DRIFT:
        return []
    before, since = runs[change.first - 1], runs[change.first]
    return [release for at, release in releases if before <= at <= since]


def _winsorised(logs: np.ndarray, beta: float) -> tuple[np.ndarray, float]:
    """The history without its spikes, and what a change point in it costs."""
    middle = _running_median(logs, 11)
    apart = logs - middle
    spread = max(1.1 * _MAD * float(np.median(np.abs(apart - np.median(apart)))), 1e-9)
    calm = middle + np.clip(apart, -_CLIP * spread, _CLIP * spread)
    rest = calm - _running_median(calm, 21)
    rest = rest - rest.mean()
    power = float((rest * rest).sum())
    rho = float((rest[1:] * rest[:-1]).sum()) / power if power > 0 else 0.0
    rho = min(max(rho + 0.06, 0.0), 0.8)
    return calm, beta * math.log(len(logs)) * spread**2 * (1 + rho) / (1 - rho)


def _running_median(values: np.ndarray, width: int) -> np.ndarray:
    """The median of each value's neighbourhood, which is narrower at the ends."""
    half = width // 2
    padded = np.pad(values, half, constant_values=np.nan)
    medians: np.ndarray = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    return medians


def _partition(values: np.ndarray, price: float, shortest: int) -> list[int]:
    """The change points of the cheapest partition into levels, by dynamic programming (Jackson et al. 2005)."""
    count = len(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    squares = np.concatenate([[0.0], np.cumsum(values * values)])
    best = np.full(count + 1, np.inf)
    best[0] = -price
    before = np.zeros(count + 1, dtype=int)
    for end in range(shortest, count + 1):
        starts = np.arange(end - shortest + 1)
        total = sums[end] - sums[starts]
        costs = best[starts] + squares[end] - squares[starts] - total * total / (end - starts) + price
        before[end] = int(np.argmin(costs))
        best[end] = costs[before[end]]
    points: list[int] = []
    at = count
    while before[at] > 0:
        at = int(before[at])
        points.append(at)
    return points[::-1]


def _pruned(logs: np.ndarray, points: list[int]) -> list[int]:
    """Without the change points between levels that hardly differ, the weakest first."""
    points = list(points)
    while points:
        edges = [0, *points, len(logs)]
        shifts = [
            abs(_between(logs[start:at], logs[at:end]))
            for start, at, end in zip(edges, edges[1:], edges[2:], strict=False)
        ]
        weakest = int(np.argmin(shifts))
        if shifts[weakest] >= math.log1p(LEAST):
            break
        del points[weakest]
    return points


def _between(before: np.ndarray, after: np.ndarray) -> float:
    """Hodges and Lehmann's shift: the median of all differences."""
    return float(np.median(after[:, None] - before[None, :]))


def _drift(calm: np.ndarray, points: list[int], price: float) -> TimingChange | None:
    """The whole history as one straight line, when that costs no more than its steps."""
    edges = [0, *points, len(calm)]
    steps = sum(float(np.var(calm[start:end]) * (end - start)) for start, end in pairwise(edges))
    runs = np.arange(len(calm))
    slope, level = np.polyfit(runs, calm, 1)
    line = float(((calm - level - slope * runs) ** 2).sum())
    if line + price > steps + price * len(points):
        return None
    return TimingChange(ChangeKind.DRIFT, 0, len(calm), math.exp(slope * (len(calm) - 1)))
