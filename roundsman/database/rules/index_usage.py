"""For how long an index has been seen unused. Its counts are forgotten by resets and restores, so they are watched."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from roundsman.database.rules.index_facts import IndexUses


@dataclass(frozen=True, slots=True)
class WatchedIndex:
    """An index on a node: its last count, and since when it has been seen at that count."""

    scans: int
    reset: datetime | None
    since: datetime
    seen_at: datetime


def watched(before: WatchedIndex | None, seen: IndexUses, now: datetime) -> WatchedIndex:
    """Go on watching. Who used it between the last look and a reset is not known, so a reset begins anew."""
    goes_on = before is not None and (before.scans, before.reset) == (seen.scans, seen.reset)
    return WatchedIndex(seen.scans, seen.reset, before.since if goes_on and before else now, now)


def unused_for(nodes: Mapping[str, Mapping[str, WatchedIndex]], index: str, now: datetime) -> timedelta | None:
    """For how long no node has used an index; None when one has, by its own count, or does not have it."""
    seen = [indexes.get(index) for indexes in nodes.values()]
    shortest = [now - one.since for one in seen if one is not None and one.scans == 0]
    return min(shortest) if nodes and len(shortest) == len(seen) else None
