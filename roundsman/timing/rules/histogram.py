"""A histogram of times that is merged without loss: an hour's is exactly that of its minutes.

The buckets are DDSketch's (Masson, Rim, Lee: VLDB 2019): bucket i holds what lies in (g^(i-1), g^i], with
g = (1 + e) / (1 - e), and answers 2 g^i / (g + 1), which is within e of all of it.
"""

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

#: How far a quantile may be from the sample's own, as a share of it.
ERROR = 0.01
#: Seconds. What is shorter or longer counts as this.
SHORTEST_SECONDS, LONGEST_SECONDS = 1e-6, 3600.0

_BASE = (1 + ERROR) / (1 - ERROR)
_FIRST = math.ceil(math.log(SHORTEST_SECONDS) / math.log(_BASE))
_BUCKETS = math.ceil(math.log(LONGEST_SECONDS) / math.log(_BASE)) - _FIRST + 1
_VERSION = b"\x01"


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """How many times fell into each bucket, from a microsecond to an hour."""

    counts: np.ndarray

    @classmethod
    def of(cls, times: Iterable[float]) -> Self:
        """The histogram of some times in seconds; ValueError when one is no number."""
        seconds = np.fromiter(times, dtype=float)
        if np.isnan(seconds).any():
            raise ValueError("saw a time that is no number, wanted seconds")
        places = (
            np.ceil(np.log(np.clip(seconds, SHORTEST_SECONDS, LONGEST_SECONDS)) / math.log(_BASE)).astype(int) - _FIRST
        )
        return cls(np.bincount(places, minlength=_BUCKETS))

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """All of them as one."""
        return cls(np.sum([np.zeros(_BUCKETS, dtype=np.int64), *(part.counts for part in parts)], axis=0))

    @classmethod
    def from_bytes(cls, blob: bytes) -> Self:
        """Read what `to_bytes` wrote; ValueError for anything else, however it came to be there."""
        reader = zlib.decompressobj()
        try:
            # One byte more than there may be, so that a longer one is noticed and never unpacked.
            plain = reader.decompress(blob[1:], 2 + _BUCKETS * 8 + 1)
        except zlib.error:
            plain = b""
        first, held = int.from_bytes(plain[:2], "little"), plain[2:]
        fits = len(plain) >= 2 and len(held) % 8 == 0 and first + len(held) // 8 <= _BUCKETS
        if blob[:1] != _VERSION or not fits or not reader.eof:
            raise ValueError(f"saw {len(blob)} bytes that are no histogram of version {_VERSION[0]}")
        counts = np.zeros(_BUCKETS, dtype=np.int64)
        counts[first : first + len(held) // 8] = np.frombuffer(held, dtype="<u8")
        return cls(counts)

    def to_bytes(self) -> bytes:
        """A few hundred bytes for some thousand times."""
        # Only from the first bucket that holds anything to the last: a status reads a thousand of these.
        used = np.flatnonzero(self.counts)
        first, end = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 0)
        held = self.counts[first:end].astype("<u8").tobytes()
        return _VERSION + zlib.compress(first.to_bytes(2, "little") + held)

    @property
    def total(self) -> int:
        """How many times are in it."""
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """The nearest-rank quantile in seconds, within 1 %; ValueError when it is empty."""
        if not (total := self.total):
            raise ValueError("an empty histogram has no quantile")
        rank = max(1, math.ceil(share * total))
        place = int(np.searchsorted(np.cumsum(self.counts), rank)) + _FIRST
        return 2 * _BASE**place / (_BASE + 1)

    def cumulative(self) -> tuple[np.ndarray, np.ndarray]:
        """Seconds, ascending, and which share took no longer; only where that changes. ValueError when it is empty."""
        if not (total := self.total):
            raise ValueError("an empty histogram has no shares")
        used = np.flatnonzero(self.counts)
        seconds = 2 * _BASE ** (used + _FIRST).astype(float) / (_BASE + 1)
        return seconds, np.cumsum(self.counts[used]) / total

    def share_above(self, seconds: float) -> float:
        """Which share took longer than this, to the width of a bucket; ValueError when it is empty."""
        if not (total := self.total):
            raise ValueError("an empty histogram has no shares")
        place = math.ceil(math.log(min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)) / math.log(_BASE)) - _FIRST
        return int(self.counts[place + 1 :].sum()) / total
