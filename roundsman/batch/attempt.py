"""One worker's hold on one job, and its steps. Everything in here may be killed at any line."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, select

from roundsman.batch import jobs
from roundsman.batch.chunks import Bad, Work, Writer
from roundsman.batch.effects import Apply
from roundsman.batch.errors import LimitError, SourceChangedError, in_full
from roundsman.batch.events import Teller
from roundsman.batch.jobs import Job
from roundsman.batch.points import point
from roundsman.batch.rules import TRIES, Limits, Status, goes_carefully, refuse_non_finite
from roundsman.batch.sources import Chunk, Source, digest
from roundsman.ledger.tables import CHUNK
from roundsman.ledger.transaction import writing


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch job: rows from a source, applied chunk by chunk to a target, each once however often it is run.

    Two jobs are the same when kind, content and `params` are. To apply the same content once more on purpose, such as
    an equal delivery a day later, give it a parameter that differs: `params={"day": "2026-05-04"}`. `chunk` rows are
    applied in one transaction; reading and applying them must take less than `lease` seconds, or another worker may
    take over.
    """

    kind: str
    source: Source
    target: Engine = field(repr=False)
    apply: Apply
    """Called as `apply(connection, rows) -> Applied`, with a chunk or a part of one; it neither commits nor talks to
    anything but the connection. What it raises is held against its rows, and so is a row that it does not count."""
    parse: Callable[[Any], Any] | None = None
    """Makes what is applied of what was read, such as a pydantic model's `model_validate`; what it raises is held
    against the row, and so is a number without a value: inf or NaN."""
    chunk: int = 1000
    max_bad_rows: int = 50
    max_bad_share: float = 1.0
    min_rows: int = 1
    snapshot: bool = False
    """The source tells how things are, not what happened: a newer edition overtakes a job that is not at its end, and
    an old one that comes back is applied again."""
    params: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    """Of the code that applies; it is kept with the job."""
    lease: float = 60.0
    patience: float = 30.0
    """Seconds that one statement may take, on PostgreSQL."""

    @property
    def limits(self) -> Limits:
        """How bad the source may be."""
        return Limits(self.max_bad_rows, self.max_bad_share, self.min_rows)


class Attempt:
    """A claimed job. `step` until it says False, then `finish`; `release` when it can't go on."""

    def __init__(self, batch: Batch, job: Job, tell: Teller) -> None:
        self.batch, self.job, self._tell = batch, job, tell
        self.writer = Writer(batch.target, batch.apply, batch.limits, batch.lease, batch.patience)
        self._begun_alone = -1

    def verify(self) -> None:
        """Read the last committed chunk again: what goes on from here is what was begun.

        Raises:
            SourceChangedError: it is not.
        """
        if not self.job.chunk_no:
            return
        with self.batch.target.connect() as connection:
            last = connection.execute(
                select(CHUNK).where(CHUNK.c.job_id == self.job.id, CHUNK.c.chunk_no == self.job.chunk_no)
            ).one()
        if digest(self.batch.source, last.cursor, last.rows) != last.digest:
            raise SourceChangedError(
                f"{self.batch.source.name} has changed: rows {last.position} to {last.position + last.rows - 1}, which "
                f"were applied, are no longer the same; wanted the edition that job {self.job.id} has begun"
            )

    def step(self) -> bool:
        """Apply the next chunk; False when the source is at its end.

        Raises:
            FencedError, LimitError, SourceChangedError: the job can't go on.
            DBAPIError: the database is in trouble; `catch_up` before the next step.
        """
        careful = goes_carefully(self.job.deaths, self.job.position, self.job.careful_until)
        chunk = self.batch.source.read(self.job.cursor, 1 if careful else self.batch.chunk)
        point("chunk.read")
        if not chunk.rows:
            return False
        work = sort(chunk, self.job.position, self.batch.parse)
        rows = self.job.position + len(chunk.rows)
        if careful and work.values:
            work = self._alone(work)
        if broken := self.batch.limits.broken(self.job.quarantined + len(work.bad), rows):
            raise LimitError(f"{broken}; the last at row {work.bad[-1].position}: {work.bad[-1].error_class}")
        applied, bad = self.writer.write(self.job, work)
        self.job = jobs.held(self.batch.target, self.job)
        for one in bad:
            self._tell("row in quarantine", row=one.position, error=one.error_class)
        self._tell(
            "chunk",
            chunk=self.job.chunk_no,
            rows=len(chunk.rows),
            changed=applied.changed,
            unchanged=applied.unchanged,
            quarantined=len(bad),
            position=rows,
        )
        return not chunk.ended

    def catch_up(self) -> None:
        """After trouble: how far the job really is, as a commit may have gone through whose answer was lost."""
        self.job = jobs.held(self.batch.target, self.job)

    def finish(self) -> Job:
        """Say that the source is at its end.

        Raises:
            LimitError: it was too short, or too bad.
        """
        if broken := self.batch.limits.broken(self.job.quarantined, self.job.position, ended=True):
            raise LimitError(f"{broken}{jobs.first_refusal(self.batch.target, self.job.id)}")
        jobs.end(self.batch.target, self.job, Status.SUCCEEDED)
        return jobs.read(self.batch.target, self.job.id)

    def fail(self, reason: str) -> None:
        """Say that the job can't go on as it is."""
        jobs.end(self.batch.target, self.job, Status.FAILED, reason)

    def release(self, reason: str) -> None:
        """Let go, so that the next worker need not wait for the lease to end."""
        jobs.release(self.batch.target, self.job, reason)

    def _alone(self, work: Work) -> Work:
        """Write down that this row is begun, before it can kill us; one that killed too often is not begun again."""
        if self._begun_alone == self.job.position:
            return work
        if self.job.tries >= TRIES:
            self._tell("row killed its workers", row=self.job.position, times=TRIES)
            words = f"the process died {TRIES} times on this row"
            bad = Bad(self.job.position, work.chunk.rows[0].raw, "ProcessDied", words)
            return Work(work.chunk, [], [], [bad])
        values = {"tries": self.job.tries + 1}
        if self.job.position >= self.job.careful_until:
            values["careful_until"] = self.job.position + self.batch.chunk
            self._tell("going one row at a time", position=self.job.position, deaths=self.job.deaths)
        with writing(self.batch.target, patience=self.batch.patience) as connection:
            point("alone.begun")
            jobs.fence(connection, self.job, self.batch.lease)
            point("alone.fenced")
            jobs.advance(connection, self.job, **values)
            point("alone.written")
        point("alone.committed")
        self._begun_alone = self.job.position
        return work


def sort(chunk: Chunk, position: int, parse: Callable[[Any], Any] | None) -> Work:
    """Tell rows that can be applied from those that can not."""
    if parse is None and not any(row.problem for row in chunk.rows):
        return Work(chunk, range(len(chunk.rows)), [row.value for row in chunk.rows], [])
    places, values, bad = [], [], []
    for place, row in enumerate(chunk.rows):
        if row.problem:
            bad.append(Bad(position + place, row.raw, "Unreadable", row.problem, row.complete))
            continue
        try:
            value = parse(row.value) if parse else row.value
            if parse:
                refuse_non_finite(value)
            values.append(value)
            places.append(place)
        except Exception as error:  # noqa: BLE001 - whatever a row makes it raise; it is kept with the row
            bad.append(Bad(position + place, row.raw, type(error).__name__, in_full(error), row.complete))
    return Work(chunk, places, values, bad)
