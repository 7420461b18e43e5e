"""Batch jobs that are safe to run again: their words, their limits, and when a row is held for a killer."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import StrEnum
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T")

#: So many times a worker dies before the next one goes one row at a time.
DEATHS = 2
#: So many times a worker dies on one row before that row is quarantined.
TRIES = 3
#: So many times in a row workers die without getting on, before the job is failed.
HOPELESS = 12

#: So many times a chunk is tried again when the database is in trouble.
RETRIES = 6
#: Seconds before the first of them, and the longest pause.
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.1, 10.0

#: Characters of a row that are kept of one that is too long.
MAX_PAYLOAD_CHARACTERS = 65_536


class Status(StrEnum):
    """Where a job is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Change:
    """What one row did, for whoever reads a dry run."""

    key: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What the outside is to be told or asked once the chunk is committed: a row of the outbox.

    `key` tells it apart within its chunk; the idempotency key that goes out is made of it.
    """

    kind: str
    """purge, webhook, or what else the deliverer knows."""
    channel: str
    """The block that sends it, such as fastly/shop."""
    key: str
    body: str = ""
    subject: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did with the rows that it was given."""

    changed: int = 0
    unchanged: int = 0
    changes: Sequence[Change] = ()
    """The first few are enough."""
    outbox: Sequence[Outgoing] = ()


def together(parts: Sequence[Applied]) -> Applied:
    """What was done in parts, as one."""
    return Applied(
        sum(part.changed for part in parts),
        sum(part.unchanged for part in parts),
        [change for part in parts for change in part.changes],
        [one for part in parts for one in part.outbox],
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """How bad a source may be. `max_bad_share` is judged from 1000 rows on, and in the end.

    Rows that were refused do not count towards `min_rows`; and a source with rows has at least one that is not refused.
    """

    max_bad_rows: int = 50
    max_bad_share: float = 1.0
    min_rows: int = 1

    def broken(self, bad: int, rows: int, *, ended: bool = False) -> str:
        """What is wrong with so many bad rows among so many rows read; "" when it can be borne."""
        if bad > self.max_bad_rows:
            return f"saw {bad} bad rows; wanted at most {self.max_bad_rows} (max_bad_rows)"
        # Divided and not multiplied: 0.29 * 100 is less than 29.
        if (ended or rows >= 1000) and bad / max(rows, 1) > self.max_bad_share:
            return f"saw {bad} bad rows of {rows}; wanted at most {self.max_bad_share:.2%} (max_bad_share)"
        good = rows - bad
        if ended and rows and not good:
            return f"saw no row that can be applied among {rows}; wanted at least one"
        if ended and good < self.min_rows:
            refused = f", {bad} of them refused" if bad else ""
            return f"saw {rows or 'no'} rows{refused}; wanted at least {self.min_rows} (min_rows)"
        return ""


def job_key(kind: str, fingerprint: str, params: Mapping[str, Any], after: int = 0) -> str:
    """What makes two jobs the same: SHA-256 over kind, content and parameters, not over a file's name or time.

    `after` is the last job that applied anything of another edition of a snapshot: one that comes back is a new job.
    """
    told = json.dumps([kind, fingerprint, params, after], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def goes_carefully(deaths: int, position: int, careful_until: int) -> bool:
    """Whether the next row goes alone: workers died here, or did so a little earlier in the same chunk."""
    return position < careful_until or deaths >= DEATHS


def pause(retry: int, chance: float) -> float:
    """Seconds before a retry, counted from 0: doubled each time, and by a `chance` of 0..1 down to the half of it."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(retry, 20), MAX_PAUSE_SECONDS) * (1 + chance) / 2


def find_bad(rows: Sequence[T], works: Callable[[Sequence[T]], Exception | None]) -> Iterator[tuple[T, Exception]]:
    """Rows that do not work, each with its error, in their order; found by halving, so that few tries find few rows.

    `works` is called with neighbours, from the first rows to the last, and each row is in one call that worked, or
    alone in one that did not.
    """
    waiting = [rows] if rows else []
    while waiting:
        part = waiting.pop()
        error = works(part)
        if error and len(part) == 1:
            yield part[0], error
        elif error:
            half = len(part) // 2
            waiting += [part[half:], part[:half]]


def refuse_non_finite(value: Any) -> None:
    """Look through what was made of a row: dicts, lists, dataclasses and pydantic models, as deep as they go.

    Raises:
        ValueError: one of its numbers is infinite or NaN, which is what too large a number becomes.
    """
    if isinstance(value, float | Decimal):
        if not (value.is_finite() if isinstance(value, Decimal) else isfinite(value)):
            raise ValueError(f"saw the number {value}; wanted one that is finite")
    elif isinstance(value, Mapping):
        for part in value.values():
            refuse_non_finite(part)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            refuse_non_finite(part)
    elif isinstance(value, BaseModel):
        refuse_non_finite(value.__dict__)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            refuse_non_finite(getattr(value, field.name, None))


def storable(text: str) -> str:
    """As every database takes it: PostgreSQL refuses NUL and halves of a character."""
    return text.encode(errors="backslashreplace").decode().replace("\0", r"\x00")
