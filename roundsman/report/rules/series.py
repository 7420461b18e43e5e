"""Response times of one kind, kept together, and by what factor they differ from those of another release."""

from dataclasses import dataclass


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
