"""How patient alerts are, as a site file says it."""

import re
from dataclasses import dataclass
from typing import Self

#: The last outcomes that are remembered of a subject; k of n looks no further back.
KEPT_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """How patient to be: `bad` of the last `rounds` rounds fire, `recover` good ones in a row resolve.

    `remind` are the seconds between two messages about the same trouble.
    """

    bad: int = 1
    rounds: int = 1
    recover: int = 1
    remind: float = 12 * 3600.0

    def __post_init__(self) -> None:
        if not 1 <= self.bad <= self.rounds <= KEPT_ROUNDS:
            raise ValueError(f"wanted K of N with K up to N and N up to {KEPT_ROUNDS}, such as 2 of 3")
        if not 1 <= self.recover <= KEPT_ROUNDS:
            raise ValueError(f"wanted 1 to {KEPT_ROUNDS} good rounds for a recovery")
        if self.remind <= 0:
            raise ValueError("wanted a time above zero between two reminders")

    @classmethod
    def of(cls, after: str, recover: int, remind: float) -> Self:
        """The policy of a `K of N`, such as `2 of 3`; ValueError when it can't come true."""
        if not (match := re.fullmatch(r"([1-9]\d{0,3}) of ([1-9]\d{0,3})", after)):
            raise ValueError("wanted `K of N`, such as 2 of 3: so many bad ones of so many rounds")
        return cls(int(match[1]), int(match[2]), recover, remind)


def quorum(after: str) -> str:
    """A `K of N` as it was written; ValueError when it is none."""
    AlertPolicy.of(after, 1, 1.0)
    return after
