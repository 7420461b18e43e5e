"""How likely something is by chance alone: the few probabilities that the comparisons need.

SciPy has them too, for 35 MB and more than two seconds of import at every start; a test holds these against its values.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

NORMAL = NormalDist()
#: Standard deviations of a two-sided 95 % interval.
Z = NORMAL.inv_cdf(0.975)


def two_sided(z: float) -> float:
    """The probability that a standard normal value lies at least so far from zero, on either side."""
    return math.erfc(abs(z) / math.sqrt(2))


def student(t: float, df: int) -> float:
    """The same for Student's t with `df` degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4; df >= 1)."""
    angle = math.atan(abs(t) / math.sqrt(df))
    cos, sin = math.cos(angle), math.sin(angle)
    odd = df % 2
    term, total = (cos, 0.0) if odd else (1.0, 0.0)
    for step in range(2 if odd else 1, df, 2):
        total += term
        term *= cos * cos * step / (step + 1)
    inside = (angle + sin * total) * 2 / math.pi if odd else sin * total
    return max(0.0, 1 - inside)


@lru_cache(maxsize=256)
def student_quantile(share: float, df: int) -> float:
    """The t below which lies this share of Student's distribution; `share` from 0.5 up to below 1."""
    low, high = 0.0, 1.0
    while 1 - student(high, df) / 2 < share:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - student(middle, df) / 2 < share else (low, middle)
    return high


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Fisher's exact test of two rows of counts, two-sided: the probability that two shares differ so much by chance.

    All tables with the same margins that are as unlikely as this one or more so (R. A. Fisher 1935).
    """
    chances, here = _hypergeometric(first, second)
    own = chances[here] * (1 + 1e-7)
    return min(1.0, float(chances[chances <= own].sum()))


def fisher_more(first: tuple[int, int], second: tuple[int, int]) -> float:
    """The same, one-sided: the probability of so many or more in the first column of the first row."""
    chances, here = _hypergeometric(first, second)
    return min(1.0, float(chances[here:].sum()))


def _hypergeometric(first: tuple[int, int], second: tuple[int, int]) -> tuple[np.ndarray, int]:
    """The probability of each table with these margins, by its upper left count, and the place of this one."""
    row, other, column = sum(first), sum(second), first[0] + second[0]
    low = max(0, column - other)
    counts = range(low, min(row, column) + 1)
    whole = _log_choose(row + other, column)
    logs = [_log_choose(row, one) + _log_choose(other, column - one) - whole for one in counts]
    return np.exp(logs), first[0] - low


def _log_choose(whole: int, part: int) -> float:
    return math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)


def binomial_tail(many: int, count: int, share: float) -> float:
    """The probability of `many` successes or more in `count` tries, each with the probability `share`."""
    return math.fsum(
        math.comb(count, one) * share**one * (1 - share) ** (count - one) for one in range(many, count + 1)
    )


def false_discovery(ps: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values (1995), in the order given.

    Of all that are called at q <= .05, one in twenty at most is called wrongly, on average, however many are tested.
    """
    if not ps:
        return []
    given = np.asarray(ps, dtype=float)
    order = np.argsort(given)[::-1]
    stepped = np.minimum.accumulate(given[order] * len(given) / np.arange(len(given), 0, -1))
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(q) for q in adjusted]
