"""How often a vendor is asked: a token bucket, as arithmetic on a level and a clock that are handed in.

The level lives in the database, so that all workers share it, and the clock is the database's. So nothing here needs
two machines to agree on the time.
"""

from dataclasses import dataclass

#: The part of a vendor's rate that is used; the rest is for people and other programs of the same account, and for
#: requests that are late on their way and then come together.
SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Bucket:
    """Holds `burst` tokens at most, and gets `per_second` new ones."""

    per_second: float
    burst: float

    @classmethod
    def below(cls, per_second: float, burst: float) -> "Bucket":
        """The bucket that stays below a vendor's rate."""
        return cls(SHARE * per_second, max(1.0, SHARE * burst))


@dataclass(frozen=True, slots=True)
class TokenLevel:
    """How many tokens there were at a time, in seconds. A time to come means that nothing is given out until then."""

    tokens: float
    at: float


def full(bucket: Bucket, now: float) -> TokenLevel:
    """The level of a bucket that nobody has taken from."""
    return TokenLevel(bucket.burst, now)


def take(bucket: Bucket, level: TokenLevel, now: float, cost: float = 1.0) -> tuple[TokenLevel, float]:
    """Take `cost` tokens: the new level and 0, or the level with nothing taken and the seconds to wait.

    What costs more than the bucket holds waits until it is full, and leaves a debt.
    """
    filled = TokenLevel(
        min(bucket.burst, level.tokens + max(0.0, now - level.at) * bucket.per_second), max(now, level.at)
    )
    missing = max(0.0, min(cost, bucket.burst) - filled.tokens)
    if missing or level.at > now:
        return filled, max(0.0, level.at - now) + missing / bucket.per_second
    return TokenLevel(filled.tokens - cost, filled.at), 0.0


def blocked(level: TokenLevel, now: float, seconds: float) -> TokenLevel:
    """The level after a vendor said how long to stay away: empty, and nothing is given out before that."""
    return TokenLevel(min(level.tokens, 0.0), max(level.at, now + seconds))
