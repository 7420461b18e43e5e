"""By what factor one route's times differ in one cache state, as a picture and the ledger take it."""

from dataclasses import dataclass


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
