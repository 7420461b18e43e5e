"""Before and after a release in production, where nothing can be interleaved: a change against the route's own ones.

Two windows of a route differ by far more than the noise within them says: a service that drifts by 5 % between windows
makes a plain test cry wolf one time in five. So the change is measured in the route's own earlier changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from roundsman.timing.rules.probabilities import binomial_tail, student, student_quantile

#: Earlier windows that a route needs; with fewer its own movement is not known.
HISTORY = 20
#: Routes that must move together before a common shift is believed and taken off.
TOGETHER = 5
#: Earlier windows that may be as far off by themselves; with more of them, so much is what the route does anyway.
SELDOM = 0.05
#: How many times the half of its own interval a window must be off to count so: of normal ones one in a hundred is, so
#: that they hardly ever hide a change.
_BEYOND = 1.15
#: Makes the median absolute deviation of normal values their standard deviation.
_MAD = 1.4826
#: How much of a sample's knowledge of its spread is in that, for normal values.
_WORTH = 0.37


@dataclass(frozen=True, slots=True)
class Moved:
    """One route after a release: by what factor it differs from its history, and what could have been seen at all.

    `low` and `high` are the ends of the 95 % interval of `ratio`. `movement` is the route's own from window to window,
    and `smallest` the least slowing down that is found four times in five, both as shares (0.25 is 25 %). `as_far` of
    `windows` earlier windows were as far off in the same direction. `chance` is that of such a change by the route's
    own movement.
    """

    ratio: float
    low: float
    high: float
    chance: float
    movement: float
    smallest: float
    as_far: int
    windows: int
    earlier: tuple[float, ...] = ()
    """How far each earlier window was off by itself, as logarithms of a factor."""
    since: tuple[float, ...] = ()
    """The same of each window since."""

    def spikes(self, bound: float) -> float:
        """How probable it is that one window alone is off by `bound` (a logarithm) or more, by the earlier ones."""
        return (sum(one >= bound for one in self.earlier) + 1) / (len(self.earlier) + 1)

    def lasts(self, bound: float, level: float) -> bool:
        """Whether so many windows since are off by `bound` that spikes hardly did it: with chance `level` at most."""
        many = sum(one >= bound for one in self.since)
        return binomial_tail(many, len(self.since), self.spikes(bound)) <= level

    def windows_needed(self, bound: float, level: float) -> int:
        """How many windows more would tell a change from spikes, if all of them are as far off; at least 1."""
        many, count = sum(one >= bound for one in self.since), len(self.since)
        chances = (binomial_tail(many + more, count + more, self.spikes(bound)) for more in range(1, 100))
        return next((more for more, chance in enumerate(chances, 1) if chance <= level), 100)

    @property
    def usual(self) -> bool:
        """Whether the route was as far off often enough before."""
        return self.as_far > SELDOM * self.windows

    @property
    def p(self) -> float:
        """The chance; 1 for what is usual."""
        return 1.0 if self.usual else self.chance

    @property
    def sentence(self) -> str:
        """What this comparison can't see, in words."""
        if self.usual:
            return f"{self.as_far} of {self.windows} earlier windows were as far off: it may be the time of day"
        seen = f"a change under {self.smallest:.0%} can't be seen"
        return f"this route moves by {self.movement:.0%} by itself from window to window; {seen}"


def moved(
    history: np.ndarray, since: np.ndarray, controls: Sequence[int] = (), independent: float = 1.0
) -> list[Moved]:
    """Compare the windows since a release with the earlier ones, for each route.

    d = median(since) - median(history); s = 1.4826 MAD(history);
    p = 2 P(t(.37 (H-1)) > |d| / (s sqrt(1 + pi / 2H))): a MAD is worth 37 % of the values that a standard deviation
    would be, and a median's variance is pi / 2 of a mean's (with H-1 and 1/H instead, 7 % of all nothings are called a
    change at p < .05, and 2 % at p < .01). What all routes, or the control routes if there are any, did alike in a
    window is taken off first: a network or a host, no release.

    A MAD does not see a level that less than half of the windows are on, such as the busy hours of a day. So a change
    is none when more than a twentieth of the earlier windows were beyond the route's own movement as well, and as far
    off as the near end of the change's interval.

    Args:
        history: medians of the logarithms of times in H earlier windows, shape (routes, H), ascending in time.
        since: the same of the windows since the release, shape (routes, N); their median is the change, and so many
            at a time the earlier ones are held against it.
        controls: rows of routes that the release did not touch.
        independent: the share of the earlier windows that tell something new; less than 1 where one is like the next.

    Raises:
        ValueError: there are fewer than 20 earlier windows.
    """
    windows = history.shape[1]
    if windows < HISTORY:
        raise ValueError(f"saw {windows} earlier windows, wanted {HISTORY}: the route's own movement is not known")
    middle = np.median(history, axis=1)
    before, change = history - middle[:, None], np.median(since, axis=1) - middle
    each = since - middle[:, None]
    if controls or len(history) >= TOGETHER:
        rows = list(controls) or slice(None)
        before = before - np.median(before[rows], axis=0)
        change = change - np.median(change[rows])
        each = each - np.median(each[rows], axis=0)
        again = np.median(before, axis=1)
        before, change, each = before - again[:, None], change - again, each - again[:, None]
    spread = _MAD * np.median(np.abs(before), axis=1) * math.sqrt(1 + math.pi / 2 / windows)
    together = np.lib.stride_tricks.sliding_window_view(before, min(since.shape[1], windows // 2), axis=1)
    alike = np.median(together, axis=2)
    return [
        replace(_moved(float(one), float(wide), windows * independent, those), earlier=tuple(own), since=tuple(later))
        for one, wide, those, own, later in zip(change, spread, alike, before.tolist(), each.tolist(), strict=True)
    ]


def _moved(change: float, spread: float, windows: float, earlier: np.ndarray) -> Moved:
    df = max(1, round(_WORTH * (windows - 1)))
    half = student_quantile(0.975, df) * spread
    smallest = half + student_quantile(0.8, df) * spread
    as_far = int(np.sum(earlier * math.copysign(1, change) >= max(abs(change) - half, _BEYOND * half)))
    # Windows that never differ: any change at all is one, and none is none.
    chance = student(change / spread, df) if spread else float(change == 0)
    return Moved(
        ratio=math.exp(change),
        low=math.exp(change - half),
        high=math.exp(change + half),
        chance=chance,
        movement=math.expm1(spread),
        smallest=math.expm1(smallest),
        as_far=as_far,
        windows=len(earlier),
    )
