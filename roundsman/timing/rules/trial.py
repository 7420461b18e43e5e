"""One request of a comparison side by side, and whose it was."""

from dataclasses import dataclass
from enum import IntEnum

from roundsman.report.rules.exchange import Exchange


class Arm(IntEnum):
    """Who was asked: the old release, the same once more (what differs between the two is noise), the new one."""

    BASELINE = 0
    AGAIN = 1
    CANDIDATE = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """One exchange of an arm in a round. `fresh` ones asked with a query of their own, so that no copy could answer."""

    arm: Arm
    round: int
    exchange: Exchange
    fresh: bool = False
