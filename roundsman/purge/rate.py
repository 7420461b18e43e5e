"""A vendor's rate, kept by all workers together: its tokens are a row of the database."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil

from sqlalchemy import Connection, Engine, select, update

from roundsman.ledger.insert import insert_new
from roundsman.ledger.tables_purges import BUCKET
from roundsman.ledger.transaction import NowMs, writing
from roundsman.purge.rules.order import By, PurgeError, Rate
from roundsman.purge.rules.token_bucket import Bucket, TokenLevel, blocked, full, take
from roundsman.purge.send import Purgeable, gate

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
