"""Running a batch job: to its end, from wherever the last run of it was stopped.

A dry run: the same code, and every transaction is rolled back. Nothing is written, not even that it was made.
"""

import asyncio
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar, cast
from uuid import uuid4

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from roundsman.batch import jobs
from roundsman.batch.attempt import Attempt, Batch, sort
from roundsman.batch.chunks import Bad, Writer
from roundsman.batch.errors import (
    BatchError,
    FencedError,
    LimitError,
    SourceChangedError,
    TargetError,
    spoken,
    transient,
)
from roundsman.batch.events import Teller
from roundsman.batch.jobs import Edition, Job
from roundsman.batch.rules import RETRIES, Applied, Change, Status, pause
from roundsman.batch.target import has_tables, prepare


@dataclass
class DryRun:
    """What a job would do, chunk by chunk, each rolled back: it does not see what earlier chunks would have done."""

    batch: Batch
    most: int = 20
    """Differences that are kept, of each kind."""
    position: int = 0
    cursor: str = ""
    chunks: int = 0
    changed: int = 0
    unchanged: int = 0
    changes: list[Change] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    """The first bad rows; `quarantined` counts all of them."""
    quarantined: int = 0
    outgoing: int = 0

    def step(self) -> bool:
        """Try the next chunk; False when the source is at its end.

        Raises:
            LimitError: there are more bad rows than there may be.
        """
        batch = self.batch
        chunk = batch.source.read(self.cursor, batch.chunk)
        writer = Writer(batch.target, batch.apply, batch.limits, batch.lease, batch.patience, keep=False)
        if chunk.rows:
            # Of a job it only needs to know how far it is.
            applied, bad = writer.write(cast("Job", self), sort(chunk, self.position, batch.parse))
            self._count(applied, bad)
            self.position, self.cursor, self.chunks = self.position + len(chunk.rows), chunk.cursor, self.chunks + 1
        ended = chunk.ended or not chunk.rows
        if broken := batch.limits.broken(self.quarantined, self.position, ended=ended):
            first = f"; the first, row {self.bad[0].position}: {self.bad[0].error_class}" if self.bad else ""
            raise LimitError(f"{broken}{first}")
        return not ended

    def _count(self, applied: Applied, bad: Sequence[Bad]) -> None:
        self.changed, self.unchanged = self.changed + applied.changed, self.unchanged + applied.unchanged
        self.quarantined, self.outgoing = self.quarantined + len(bad), self.outgoing + len(applied.outbox)
        self.changes += applied.changes[: self.most - len(self.changes)]
        self.bad += bad[: self.most - len(self.bad)]


Done = TypeVar("Done")

#: Seconds between two looks whether a job that somebody else holds is free, or done.
LOOK_EVERY_SECONDS = 0.5
#: Seconds between two words about progress.
PROGRESS_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What a job came to. Counts are of all its runs together."""

    job: int
    status: Status
    rows: int
    changed: int
    unchanged: int
    quarantined: int
    chunks: int
    attempts: int
    resumed_at: int = 0
    """Rows that were behind it when this run began."""
    again: bool = False
    """It had succeeded before; this run did nothing."""
    dry_run: bool = False
    outgoing: int = 0
    """What a dry run would have put into the outbox."""
    changes: tuple[Change, ...] = ()
    """The first differences that a dry run found."""
    bad: tuple[tuple[int, str, str], ...] = ()
    """The first bad rows of a dry run: position, class of the error, and the error in full."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `share`: of the source, 0..1; None when nobody knows how much there is."""

    rows: int
    quarantined: int
    share: float | None
    rows_per_second: float


Report = Callable[[Progress], Awaitable[None]]


async def run(
    batch: Batch, *, dry_run: bool = False, wait: bool = True, run_id: str = "", progress: Report | None = None
) -> BatchOutcome:
    """Run a job to its end. Safe to run again, at once, later and beside itself: each row is applied once.

    While the target is in trouble, such as locked by a worker that was stopped within its transaction, each step is
    tried again up to six times, after 0.1 to 10 s. On PostgreSQL the server ends such a transaction after
    `batch.patience` seconds; SQLite can't, and each try takes as long as the engine's own timeout.

    Args:
        batch: What is applied to what.
        dry_run: Change nothing, and say what would be changed.
        wait: While somebody else runs the job, wait for the end of it or of their lease; else say how far it is.
        run_id: What the run is called in logs and in the job's row.
        progress: Awaited about once a second.

    Raises:
        BatchError: the job can't go on, or has broken its limits; what was committed stays, and the next run goes on
            from there.
        SourceError: the source can't be read now.
        TargetError: the target can't be used now. It names the jobs that are running there: their worker, their run,
            and when they last wrote.
    """
    tell = Teller(batch.kind, run_id or uuid4().hex)
    try:
        edition = await _persist(lambda: _edition(batch), tell)
        pace = _Pace(batch, progress)
        if dry_run:
            return await _try(DryRun(batch), pace, tell)
        await _persist(lambda: prepare(batch.target), tell)
        job_id = await _persist(lambda: jobs.enqueue(batch.target, edition), tell)
        return await _run(batch, job_id, tell, pace, wait=wait)
    except SQLAlchemyError as error:
        # Its own text holds the statement's parameters, and those are rows.
        if transient(error):
            holding = await asyncio.to_thread(_holders, batch.target)
            raise TargetError(f"{batch.kind}: the target is in trouble: {spoken(error)}{holding}") from None
        raise BatchError(f"{batch.kind}: the target refused: {spoken(error)}") from None


class _Pace:
    """Tells about progress, not too often."""

    def __init__(self, batch: Batch, report: Report | None) -> None:
        self._batch, self._report = batch, report
        self._begun = self._told = time.monotonic()
        self._from: int | None = None

    async def at(self, where: Job | DryRun, *, last: bool = False) -> None:
        now = time.monotonic()
        if self._from is None:
            self._from = where.position
        if self._report and (last or now - self._told >= PROGRESS_EVERY_SECONDS):
            self._told = now
            rate = (where.position - self._from) / max(now - self._begun, 1e-9)
            share = 1.0 if last else self._batch.source.share(where.cursor)
            await self._report(Progress(where.position, where.quarantined, share, rate))


def _edition(batch: Batch) -> Edition:
    # What tells what happened is first applied to its end; of how things are, only the newest counts.
    unfinished = has_tables(batch.target) and jobs.begun(batch.target, batch.kind, batch.source.name)
    batch.source.prepare(fresh=batch.snapshot or not unfinished)
    found = batch.source.fingerprint()
    return Edition(batch.kind, batch.source.name, found, batch.params, batch.snapshot, batch.version)


async def _run(batch: Batch, job_id: int, tell: Teller, pace: _Pace, *, wait: bool) -> BatchOutcome:
    owner = f"{socket.gethostname()}/{os.getpid()}"
    waiting_for = None

    def claim() -> Job | None:
        return jobs.claim(batch.target, job_id, owner=owner, lease=batch.lease, run_id=tell.run_id)

    while True:
        job = await _persist(claim, tell)
        if job:
            tell = Teller(batch.kind, tell.run_id, job.id, job.job_key)
            tell("claimed", token=job.token, position=job.position, deaths=job.deaths)
            return await _work(Attempt(batch, job, tell), tell, pace)
        job = await asyncio.to_thread(jobs.read, batch.target, job_id)
        if job.status == Status.CANCELLED:
            raise SourceChangedError(f"job {job.id} is {job.status}: {job.last_error}")
        if job.status == Status.SUCCEEDED and (
            broken := batch.limits.broken(job.quarantined, job.position, ended=True)
        ):
            raise LimitError(f"job {job.id} has ended before: {broken}{jobs.first_refusal(batch.target, job.id)}")
        if job.status == Status.SUCCEEDED or not wait:
            return _outcome(job, resumed_at=job.position, again=True)
        if waiting_for != job.token:
            waiting_for = job.token
            tell("waits for another worker", of_job=job.id, owner=job.lease_owner, of_run=job.run_id, lease=batch.lease)
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _work(attempt: Attempt, tell: Teller, pace: _Pace) -> BatchOutcome:
    resumed_at = attempt.job.position
    try:
        await asyncio.to_thread(attempt.verify)
        await pace.at(attempt.job)
        while await _persist(attempt.step, tell, attempt.catch_up):
            await pace.at(attempt.job)
        job = await _persist(attempt.finish, tell, attempt.catch_up)
    except FencedError:
        tell("fenced", token=attempt.job.token, position=attempt.job.position)
        raise
    except (BatchError, SQLAlchemyError) as error:
        if transient(error):
            await _let_go(attempt, error, tell)
            raise
        reason = str(error) if isinstance(error, BatchError) else spoken(error)
        await asyncio.to_thread(attempt.fail, reason)
        tell("failed", reason=reason, position=attempt.job.position)
        raise
    except BaseException as error:
        await _let_go(attempt, error, tell)
        raise
    await pace.at(job, last=True)
    outcome = _outcome(job, resumed_at=resumed_at)
    tell("succeeded", rows=outcome.rows, changed=job.changed, unchanged=job.unchanged, quarantined=job.quarantined)
    return outcome


async def _let_go(attempt: Attempt, error: BaseException, tell: Teller) -> None:
    """Cancelled, or the source or the database is in trouble. If this fails as well, the lease ends by itself."""
    with suppress(Exception):
        await asyncio.shield(asyncio.to_thread(attempt.release, spoken(error)))
    tell("released", reason=spoken(error), position=attempt.job.position)


async def _persist(step: Callable[[], Done], tell: Teller, catch_up: Callable[[], None] | None = None) -> Done:
    """Do a step, and again while the database is in trouble, at growing distances, each time once we have caught up."""
    for retry in range(RETRIES + 1):
        try:
            if retry and catch_up:
                await asyncio.to_thread(catch_up)
            return await asyncio.to_thread(step)
        except SQLAlchemyError as error:
            if retry == RETRIES or not transient(error):
                raise
            seconds = pause(retry, random.random())  # noqa: S311 - so that workers do not come back together
            tell("trouble", error=spoken(error), again_in=round(seconds, 2))
            await asyncio.sleep(seconds)
    raise AssertionError  # the last try returns or raises


def _holders(target: Engine) -> str:
    """What an operator needs to know of a database that others keep busy."""
    with suppress(SQLAlchemyError):  # its tables may not be there yet, or it can't be reached
        if found := jobs.holders(target):
            return f"; {found}; if that process is stopped, resume it (kill -CONT) or end it, and run this again"
    return "; run this again later"


async def _try(dry: DryRun, pace: _Pace, tell: Teller) -> BatchOutcome:
    while await _persist(dry.step, tell):
        await pace.at(dry)
    await pace.at(dry, last=True)
    tell("dry run ended", rows=dry.position, changed=dry.changed, unchanged=dry.unchanged, quarantined=dry.quarantined)
    return BatchOutcome(
        job=0,
        status=Status.SUCCEEDED,
        rows=dry.position,
        changed=dry.changed,
        unchanged=dry.unchanged,
        quarantined=dry.quarantined,
        chunks=dry.chunks,
        attempts=1,
        dry_run=True,
        outgoing=dry.outgoing,
        changes=tuple(dry.changes),
        bad=tuple((one.position, one.error_class, one.error) for one in dry.bad),
    )


def _outcome(job: Job, *, resumed_at: int, again: bool = False) -> BatchOutcome:
    return BatchOutcome(
        job=job.id,
        status=Status(job.status),
        rows=job.position,
        changed=job.changed,
        unchanged=job.unchanged,
        quarantined=job.quarantined,
        chunks=job.chunk_no,
        attempts=job.token,
        resumed_at=resumed_at,
        again=again,
    )
