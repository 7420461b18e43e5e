"""The rows of the purge queue: written, claimed with a lease, and settled by whoever still holds them.

The clock is the database's. A row is done only by a purge that was sent after it was claimed, so after it was there:
one that is written while its like is being purged is purged again.

A vendor's rate, kept by all workers together: its tokens are a row of the database.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, or_, select, update

from roundsman.batch.points import point
from roundsman.ledger.rules.delivery import MOST_ATTEMPTS
from roundsman.ledger.tables import BUCKET, CHANGE
from roundsman.ledger.transaction import NowMs, insert_new, writing
from roundsman.purge.prove import Purgeable, gate
from roundsman.purge.rules.order import By, PurgeError, Rate
from roundsman.purge.rules.queue import (
    LEASE_SECONDS,
    MAX_CHANGES,
    MAX_ITEMS,
    Bucket,
    ChangeState,
    ItemKind,
    QueuedChange,
    QueueLease,
    TokenLevel,
    blocked,
    full,
    take,
)

#: What stands with a change whose workers died, one after another.
DIED = "each worker that took it died"

_FREE = {"lease_token": None, "lease_until_ms": 0}


class KeyReusedError(ValueError):
    """A request has the key of an earlier one, and says something else."""


@dataclass(frozen=True, slots=True)
class FailedChange:
    """What becomes of a change that was not purged: its state, the milliseconds that it rests, and what went wrong."""

    id: int
    state: ChangeState
    rests_ms: int
    error: str


@dataclass(frozen=True, slots=True)
class QuarantinedChange:
    """A change in quarantine."""

    id: int
    site: str
    kind: str
    item: str
    attempts: int
    error: str
    ended_ms: int

    @property
    def ended_at(self) -> datetime:
        """When it was given up."""
        return datetime.fromtimestamp(self.ended_ms / 1000, UTC)


def add(engine: Engine, site: str, items: Sequence[tuple[ItemKind, str]], request_key: str | None = None) -> list[int]:
    """Write changes, and say their numbers.

    With a key a request is there once, however often it is made. Without one, an item that waits already and that
    nobody has claimed is the same: the purge that it waits for comes after this change as well.

    Raises:
        KeyReusedError: the key was used for other items; nothing was written.
    """
    rows = [
        {"site": site, "kind": str(kind), "item": item, "number": number, "request_key": request_key}
        for number, (kind, item) in enumerate(dict.fromkeys(items))
    ]
    with writing(engine) as connection:
        if request_key is None:
            return [_waiting(connection, row) or _inserted(connection, row) for row in rows]
        written = len(connection.execute(insert_new(engine, CHANGE).returning(CHANGE.c.id), rows).all())
        mine = select(CHANGE.c.id, CHANGE.c.kind, CHANGE.c.item).filter_by(site=site, request_key=request_key)
        found = connection.execute(mine.order_by(CHANGE.c.number)).all()
        same = [(row.kind, row.item) for row in found] == [(row["kind"], row["item"]) for row in rows]
        # A part of them was written now where the earlier request began alike.
        if not same or written not in {0, len(rows)}:
            raise KeyReusedError("this idempotency key was used for other routes or keys; use a new one")
        return [row.id for row in found]


def _waiting(connection: Connection, row: Mapping[str, Any]) -> int | None:
    same = {name: row[name] for name in ("site", "kind", "item")}
    # One that has failed may rest for long; a new one is due at once, and takes the other along.
    found = select(CHANGE.c.id).filter_by(**same, state=ChangeState.WAITING, attempts=0)
    return connection.execute(found.order_by(CHANGE.c.id).limit(1)).scalar()


def _inserted(connection: Connection, row: Mapping[str, Any]) -> int:
    number: int = connection.execute(CHANGE.insert().returning(CHANGE.c.id), row).scalar_one()
    return number


def claim(engine: Engine, site: str, max_items: int = MAX_ITEMS) -> QueueLease | None:
    """Take the next changes of a site: up to `max_items` items of one kind. None when none is due.

    All changes that name the same item go along.

    A change whose worker died is due when its lease is over; after too many deaths it goes into quarantine instead.
    """
    dead = and_(CHANGE.c.state == ChangeState.CLAIMED, CHANGE.c.lease_until_ms <= NowMs())
    due = or_(and_(CHANGE.c.state == ChangeState.WAITING, CHANGE.c.due_ms <= NowMs()), dead)
    ours = CHANGE.c.site == site
    point("claim.begun")
    with writing(engine) as connection:
        hopeless = update(CHANGE).where(ours, dead, CHANGE.c.attempts >= MOST_ATTEMPTS)
        connection.execute(hopeless.values(state=ChangeState.QUARANTINED, error=DIED, ended_ms=NowMs(), **_FREE))
        columns = (CHANGE.c.id, CHANGE.c.kind, CHANGE.c.item)
        # Rows of a worker within its transaction are passed over, not waited for.
        found = select(*columns).where(ours, due).order_by(CHANGE.c.id).limit(MAX_CHANGES)
        rows = connection.execute(found.with_for_update(skip_locked=True)).all()
        if not rows:
            return None
        kind = rows[0].kind
        items = list(dict.fromkeys(row.item for row in rows if row.kind == kind))[:max_items]
        mine = {row.id for row in rows if row.kind == kind and row.item in set(items)}
        # Whatever rests after a failure is done by the same purge.
        resting = select(CHANGE.c.id).where(ours, CHANGE.c.kind == kind, CHANGE.c.state == ChangeState.WAITING)
        resting = resting.where(CHANGE.c.item.in_(items), CHANGE.c.due_ms > NowMs()).limit(MAX_CHANGES)
        mine |= set(connection.execute(resting.with_for_update(skip_locked=True)).scalars())
        token = uuid4().hex
        until = NowMs() + int(LEASE_SECONDS * 1000)
        taken = update(CHANGE).where(CHANGE.c.id.in_(mine)).returning(CHANGE.c.id, CHANGE.c.item, CHANGE.c.attempts)
        held = {"state": ChangeState.CLAIMED, "lease_token": token, "lease_until_ms": until}
        changes = connection.execute(taken.values(**held, attempts=CHANGE.c.attempts + 1)).all()
        point("claim.written")
    point("claim.committed")
    return QueueLease(
        token, ItemKind(kind), tuple(sorted((QueuedChange(*row) for row in changes), key=lambda change: change.id))
    )


def renew(engine: Engine, lease: QueueLease) -> bool:
    """Say that the worker of a claim lives; False when somebody else has taken a part of it over."""
    with writing(engine) as connection:
        until = NowMs() + int(LEASE_SECONDS * 1000)
        mine = update(CHANGE).where(_held_by(lease)).values(lease_until_ms=until)
        return connection.execute(mine).rowcount == len(lease.changes)


def settle(engine: Engine, lease: QueueLease, failed: Sequence[FailedChange], untried: Sequence[int]) -> int:
    """Write down what became of a claim; all that neither failed nor was left untried is done. Says how many are done.

    What somebody else has taken over in the meantime is theirs, and stays as it is.
    """
    point("settle.begun")
    with writing(engine) as connection:
        for change in failed:
            ended = NowMs() if change.state is ChangeState.QUARANTINED else None
            values = {
                "state": change.state,
                "due_ms": NowMs() + change.rests_ms,
                "error": change.error,
                "ended_ms": ended,
            }
            connection.execute(
                update(CHANGE).where(_held_by(lease), CHANGE.c.id == change.id).values(**values, **_FREE)
            )
        _give_back(connection, lease, untried)
        done = {"state": ChangeState.DONE, "ended_ms": NowMs(), "error": None, **_FREE}
        count = connection.execute(update(CHANGE).where(_held_by(lease)).values(**done)).rowcount
        point("settle.written")
    point("settle.committed")
    return count


def release(engine: Engine, lease: QueueLease) -> None:
    """Give a claim back as if it had never been made."""
    with writing(engine) as connection:
        _give_back(connection, lease, [change.id for change in lease.changes])


def _give_back(connection: Connection, lease: QueueLease, ids: Iterable[int]) -> None:
    back = update(CHANGE).where(_held_by(lease), CHANGE.c.id.in_(list(ids)))
    connection.execute(back.values(state=ChangeState.WAITING, attempts=CHANGE.c.attempts - 1, **_FREE))


def _held_by(lease: QueueLease) -> ColumnElement[bool]:
    return and_(CHANGE.c.lease_token == lease.token, CHANGE.c.state == ChangeState.CLAIMED)


def counts(engine: Engine, site: str | None = None) -> dict[str, int]:
    """How many changes are in each state, of one site or of all."""
    asked = select(CHANGE.c.state, func.count()).group_by(CHANGE.c.state)
    with engine.connect() as connection:
        found = dict(connection.execute(asked if site is None else asked.filter_by(site=site)).tuples().all())
    return {str(state): found.get(state, 0) for state in ChangeState}


def oldest(engine: Engine, site: str | None = None) -> float:
    """Seconds for which the oldest change has waited that is not at its end; 0 when there is none."""
    asked = select(func.max(NowMs() - CHANGE.c.created_ms)).where(
        CHANGE.c.state.in_([ChangeState.WAITING, ChangeState.CLAIMED])
    )
    with engine.connect() as connection:
        return (connection.execute(asked if site is None else asked.filter_by(site=site)).scalar() or 0) / 1000


def clock(engine: Engine) -> int:
    """The database's time in milliseconds."""
    with engine.connect() as connection:
        now_ms: int = connection.execute(select(NowMs())).scalar_one()
    return now_ms


def purged_since(engine: Engine, site: str, since_ms: int) -> bool:
    """Whether any change of a site was purged, or is being purged, since a time of the database's clock."""
    busy = or_(CHANGE.c.state == ChangeState.CLAIMED, CHANGE.c.ended_ms >= since_ms)
    with engine.connect() as connection:
        return connection.execute(select(CHANGE.c.id).filter_by(site=site).where(busy).limit(1)).first() is not None


def quarantined(engine: Engine, limit: int = 100) -> list[QuarantinedChange]:
    """What could not be purged, the newest first."""
    columns = [CHANGE.c[name] for name in QuarantinedChange.__slots__]
    found = select(*columns).filter_by(state=ChangeState.QUARANTINED).order_by(CHANGE.c.id.desc()).limit(limit)
    with engine.connect() as connection:
        return [QuarantinedChange(*row) for row in connection.execute(found)]


def replay(engine: Engine, number: int | None = None) -> int:
    """Let what is in quarantine be purged again, with all its attempts before it; every one without a number."""
    return _leave(engine, number, {"state": ChangeState.WAITING, "attempts": 0, "due_ms": 0, "ended_ms": None})


def dismiss(engine: Engine, number: int) -> int:
    """Give up a change that is in quarantine; it is kept, and shown no more. Says whether there was one."""
    return _leave(engine, number, {"state": ChangeState.DISMISSED})


def _leave(engine: Engine, number: int | None, values: Mapping[str, Any]) -> int:
    kept = update(CHANGE).filter_by(state=ChangeState.QUARANTINED)
    with writing(engine) as connection:
        mine = kept if number is None else kept.where(CHANGE.c.id == number)
        return connection.execute(mine.values(**values)).rowcount


def forget(engine: Engine, days: float) -> int:
    """Delete what was done or dismissed so many days ago. Says how many."""
    over = CHANGE.c.state.in_([ChangeState.DONE, ChangeState.DISMISSED])
    with writing(engine) as connection:
        old = delete(CHANGE).where(over, CHANGE.c.ended_ms < NowMs() - int(days * 86_400_000))
        return connection.execute(old).rowcount


#: After these a waiting worker looks again, as a vendor may have asked for more meanwhile.
LOOK_AGAIN_SECONDS = 5.0
#: How long a request waits for its turn at most; after that its changes rest instead, and no worker waits.
MAX_WAIT_SECONDS = 60.0
#: How long an edge is left alone at most, whatever it asked for: nobody could take it back.
MAX_REST_SECONDS = 3600.0


class VendorPace:
    """Lets every request wait for its tokens. Edges are told apart by name: one account has one name everywhere."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def wait(self, name: str, edge: Purgeable, items: int, by: By = By.URL) -> None:
        """Return when a request with so many items of a kind may be sent.

        Raises:
            PurgeError: that takes too long; it says how long.
        """
        seconds = await self._missing(name, edge, items, by)
        while seconds:
            if seconds > MAX_WAIT_SECONDS:
                raise PurgeError(f"{name} wants to be left alone for {seconds:.0f} s", retry_after=seconds)
            await asyncio.sleep(min(max(seconds, 0.01), LOOK_AGAIN_SECONDS))
            seconds = await self._missing(name, edge, items, by)

    async def _missing(self, name: str, edge: Purgeable, items: int, by: By = By.URL) -> float:
        """Seconds until there are tokens; 0 when they are taken."""
        rates = _of_kind(edge, by)
        return await asyncio.to_thread(_take, self._engine, name, rates, items) if rates else 0.0

    async def refused(self, name: str, edge: Purgeable, error: PurgeError, by: By = By.URL) -> None:
        """Leave an edge alone for as long as it asked for: none of the workers asks it for the same kind before."""
        if (rates := _of_kind(edge, by)) and error.retry_after:
            rest = min(error.retry_after, MAX_REST_SECONDS)
            await asyncio.to_thread(_block, self._engine, name, rates, rest)


@contextmanager
def paced(engine: Engine) -> Iterator[None]:
    """Every purge within this block keeps to the vendors' rates."""
    before = gate.set(VendorPace(engine))
    try:
        yield
    finally:
        gate.reset(before)


def _of_kind(edge: Purgeable, by: By) -> tuple[Rate, ...]:
    """The rates that a purge of a kind counts for."""
    return tuple(rate for rate in edge.rates() if not rate.by or by in rate.by)


def _take(engine: Engine, name: str, rates: Sequence[Rate], items: int) -> float:
    """Take a request's tokens of every rate, or none of any; the seconds to wait in that case."""
    with writing(engine) as connection:
        now, levels = _levels(connection, name, rates)
        taken = [
            take(bucket, level, now, items if rate.of == "items" else 1) for rate, (bucket, level) in levels.items()
        ]
        if wait := max(seconds for _, seconds in taken):
            return wait
        for rate, (level, _) in zip(levels, taken, strict=True):
            _write(connection, name, rate, level)
    return 0.0


def _block(engine: Engine, name: str, rates: Sequence[Rate], seconds: float) -> None:
    with writing(engine) as connection:
        now, levels = _levels(connection, name, rates)
        for rate, (_, level) in levels.items():
            _write(connection, name, rate, blocked(level, now, seconds))


def _levels(
    connection: Connection, name: str, rates: Sequence[Rate]
) -> tuple[float, dict[Rate, tuple[Bucket, TokenLevel]]]:
    """The database's time, and the levels as they are, locked until the end of the transaction."""
    buckets = {rate: Bucket.below(rate.per_second, rate.burst) for rate in rates}
    new = [{"name": f"{name} {rate.counts}", "tokens": bucket.burst, "at_ms": 0} for rate, bucket in buckets.items()]
    connection.execute(insert_new(connection, BUCKET), new)
    found = {}
    for rate, bucket in sorted(buckets.items(), key=lambda pair: pair[0].counts):
        row = connection.execute(select(BUCKET).filter_by(name=f"{name} {rate.counts}").with_for_update()).one()
        found[rate] = bucket, TokenLevel(row.tokens, row.at_ms / 1000)
    # The clock is read once all rows are ours: before, it could be older than what they say.
    now = connection.execute(select(NowMs())).scalar_one() / 1000
    return now, {rate: (bucket, level if level.at else full(bucket, now)) for rate, (bucket, level) in found.items()}


def _write(connection: Connection, name: str, rate: Rate, level: TokenLevel) -> None:
    # Rounded up: rounded down, the same moment would fill it twice.
    values = {"tokens": level.tokens, "at_ms": ceil(round(level.at * 1000, 3))}
    connection.execute(update(BUCKET).filter_by(name=f"{name} {rate.counts}").values(**values))
