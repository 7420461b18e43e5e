"""Response times of one kind, kept together."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """The first-byte times of one route in one cache state, in seconds, ascending; connecting is not in them.

    `first` holds those of the first request of each connection, which pay for DNS, TCP and TLS.
    """

    path: str
    state: str
    times: tuple[float, ...]
    first: tuple[float, ...] = ()
