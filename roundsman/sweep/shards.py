"""Sweeping a site: how far its shards are, one of them looked at, and what came of it all.

A shard is a batch job (`roundsman.batch`): what was seen is written with the checkpoint, so that no page is lost or
counted twice, wherever a worker is killed.
"""

import asyncio
import gc
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, String, and_, cast, func, or_, select, update

from roundsman.batch.attempt import Batch
from roundsman.batch.rules import Applied, Status
from roundsman.batch.running import Report, run
from roundsman.batch.sources import Chunk, Row
from roundsman.ledger.ledger import use_ledger_async
from roundsman.ledger.tables import JOB, PAGE, SHARD, SWEEP, read_groups, write_groups
from roundsman.ledger.transaction import NowMs, insert_many, writing
from roundsman.probe.ask import user_agent
from roundsman.probe.probe import Prober
from roundsman.report.rules.exchange import Probe
from roundsman.report.rules.grouping import merged
from roundsman.report.rules.verdict import Verdict
from roundsman.site.rules.site import Site
from roundsman.sweep.listing import unpacked
from roundsman.sweep.rules.judge import CONNECTIONS, Judge, ShardPace, Swept, SweptPage, counted, pace

#: The kind of a shard's batch job.
KIND = "sweep"
#: The environment variable, and seconds, for which a shard belongs to the worker that writes to it; it is longer where
#: one page can take as long (`roundsman.sweep.rules.judge.pace`).
LEASE_VARIABLE = "ROUNDSMAN_SWEEP_LEASE"
LEASE_SECONDS = float(os.environ.get(LEASE_VARIABLE, "120"))
#: Pages of one transaction.
CHUNK_PAGES = 2000
#: New objects between two looks for garbage in cycles.
_SELDOM = 100_000


@dataclass(frozen=True, slots=True)
class Shard:
    """How far a shard is."""

    number: int
    pages: int
    done: int
    ended: bool
    left: bool
    """Somebody worked on it and was not heard of for longer than the lease."""
    held: bool = False
    """Somebody works on it."""
    run: str = ""
    """The run that works on it, or did last."""


class JudgedPage(NamedTuple):
    """A page that was looked at: its place in the shard, what is kept, and what is wrong with it."""

    position: int
    page: SweptPage
    verdict: Verdict | None


def standing(engine: Engine, sweep: int) -> list[Shard]:
    """How far each shard is."""
    job = and_(JOB.c.kind == KIND, JOB.c.source == f"{sweep}/" + cast(SHARD.c.number, String))
    over = and_(JOB.c.status == Status.RUNNING, JOB.c.lease_until_ms <= NowMs())
    found = (
        select(
            SHARD.c.number,
            SHARD.c.pages,
            func.coalesce(JOB.c.position, 0),
            func.coalesce(JOB.c.status == Status.SUCCEEDED, False),
            func.coalesce(or_(over, JOB.c.status == Status.FAILED), False),
            func.coalesce(and_(JOB.c.status == Status.RUNNING, JOB.c.lease_until_ms > NowMs()), False),
            func.coalesce(JOB.c.run_id, ""),
        )
        .select_from(SHARD.outerjoin(JOB, job))
        .where(SHARD.c.sweep_id == sweep)
        .order_by(SHARD.c.number)
    )
    with engine.connect() as connection:
        return [
            Shard(number, pages, done, bool(ended), bool(left), bool(held), run)
            for number, pages, done, ended, left, held, run in connection.execute(found)
        ]


def shard_job(  # noqa: PLR0913 - the lease is shorter in a test
    engine: Engine, site: Site, sweep: int, number: int, *, rate: float, lease: float | None = None
) -> Batch:
    """A shard as a batch job: reading it is looking at its pages.

    Args:
        engine: The ledger's.
        site: The site as it is promised now.
        sweep: Of which it is a part.
        number: Which part.
        rate: Requests a second, at most: what this shard has of the site's rate.
        lease: Seconds after which another worker may take it over; as many as the site's timeout needs when left out.
    """
    with engine.connect() as connection:
        row = connection.execute(select(SHARD.c.paths, SHARD.c.digest).filter_by(sweep_id=sweep, number=number)).one()
    paced = pace(LEASE_SECONDS, site.manners.timeout, rate)
    source = Pages(site, f"{sweep}/{number}", unpacked(row.paths), row.digest, rate, paced)
    return Batch(
        kind=KIND,
        source=source,
        target=engine,
        apply=partial(_write, sweep, number),
        chunk=CHUNK_PAGES,
        lease=lease or paced.lease,
        # The same pages a day later are other work.
        params={"sweep": sweep, "shard": number},
    )


@dataclass
class Pages:
    """Pages of a shard as a source of rows: to read one is to ask for it and to judge the answer."""

    site: Site
    name: str
    paths: list[str] = field(repr=False)
    digest: str
    rate: float
    pace: ShardPace
    _prober: Prober | None = None

    def __post_init__(self) -> None:
        self._judge = Judge(self.site)

    def prepare(self, *, fresh: bool) -> None:
        """Nothing to do: the pages are listed."""

    def fingerprint(self) -> str:
        """Of the paths."""
        return self.digest

    def read(self, cursor: str, most: int) -> Chunk:
        """Look at the next pages; fewer than `most` when they are slow."""
        begin = at = int(cursor or 0)
        end, late = min(begin + most, len(self.paths)), time.monotonic() + self.pace.long
        rows: list[Row] = []
        while at < end and (at == begin or time.monotonic() < late):
            paths = self.paths[at : min(at + self.pace.turn, end)]
            rows += [
                Row(path, JudgedPage(at + place, *found))
                for place, (path, found) in enumerate(zip(paths, self._look(paths), strict=True))
            ]
            at += len(paths)
        return Chunk(rows, str(at), self.digest_of(cursor, len(rows)), ended=at >= len(self.paths))

    def digest_of(self, cursor: str, rows: int) -> str:
        """Of paths, whatever was seen there: when a shard goes on, no page is asked again."""
        begin = int(cursor or 0)
        paths = "\n".join(self.paths[begin : begin + rows])
        return hashlib.sha256(paths.encode("utf-8", "surrogatepass")).hexdigest()

    def _look(self, paths: Sequence[str]) -> list[tuple[SweptPage, Verdict | None]]:
        if self._prober is None:
            manners = self.site.manners.model_copy(update={"rate": self.rate})
            self._prober = Prober(manners, user_agent(self.site), CONNECTIONS)
        kind, header = (self.site.edge or "").partition("/")[0], self.site.status_header or ""
        probes = [Probe(self.site.url(path), edge=kind, status_header=header) for path in paths]
        seen = self._prober.ask(probes)
        return [self._judge(path, exchange) for path, exchange in zip(paths, seen, strict=True)]

    def parse(self, raw: str) -> Any:
        """A page is not replayed.

        Raises:
            ValueError: always; no page goes into quarantine.
        """
        raise ValueError(f"the page {raw[:80]} is looked at by its sweep only")

    def share(self, cursor: str) -> float | None:
        """By pages."""
        return int(cursor or 0) / len(self.paths)


def _write(sweep: int, shard: int, connection: Connection, rows: Sequence[JudgedPage]) -> Applied:
    insert_many(connection, PAGE, _COLUMNS, ((sweep, shard, row.position, *row.page) for row in rows))
    write_groups(connection, sweep, shard, (row.verdict for row in rows if row.verdict))
    return Applied(changed=len(rows))


_COLUMNS = ("sweep_id", "shard", "position", *SweptPage._fields)


async def sweep_pages(  # noqa: PLR0913 - the lease is shorter in a test
    site: Site,
    sweep: int,
    number: int,
    rate: float,
    *,
    run_id: str = "",
    lease: float | None = None,
    progress: Report | None = None,
) -> int:
    """Look at the pages of one shard, and write down what was seen. Returns how many pages it has.

    `run_id` says whose the shard is meanwhile; `progress` is awaited about once a second.

    Raises:
        BatchError: the shard can't go on; what was written stays, and the next run goes on from there.
    """
    async with use_ledger_async() as engine:
        batch = await asyncio.to_thread(shard_job, engine, site, sweep, number, rate=rate, lease=lease)
        with seldom_collected():
            return (await run(batch, run_id=run_id, progress=progress)).rows


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Have Python look for garbage in cycles less often: what is seen of a page has none and lives for a chunk.

    Looking for it, through all that the imports have left as well, is a tenth of a sweep's time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_SELDOM, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def conclude(engine: Engine, sweep: int) -> Swept:
    """What the sweep has found until now. It is marked as done when all its pages were looked at."""
    with writing(engine) as connection:
        row = connection.execute(select(SWEEP).where(SWEEP.c.id == sweep)).one()
        told = select(PAGE.c.outcome, func.count()).where(PAGE.c.sweep_id == sweep).group_by(PAGE.c.outcome)
        outcomes = counted((weight, count) for weight, count in connection.execute(told))
        groups = read_groups(connection, sweep)
        pages, now = sum(outcomes.values()), datetime.now(UTC)
        if pages == row.listed and row.status == "sweeping":
            connection.execute(update(SWEEP).where(SWEEP.c.id == sweep).values(status="done", ended_at=now))
    seconds = ((row.ended_at or now) - row.started_at).total_seconds()
    return Swept(row.site, row.edition, pages, row.listed, outcomes, merged(groups), row.notes, seconds)
