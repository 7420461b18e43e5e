"""One chunk, one transaction: the fence, the effects, what is in quarantine, the outbox, and the checkpoint."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, insert, text

from roundsman.batch.effects import Apply, applied
from roundsman.batch.errors import BatchError, LimitError, in_full, spoken, transient
from roundsman.batch.jobs import Job, advance, fence
from roundsman.batch.points import point
from roundsman.batch.rules import MAX_PAYLOAD_CHARACTERS, Applied, Limits, Outgoing, find_bad, storable, together
from roundsman.batch.sources import Chunk
from roundsman.ledger.tables import CHUNK, JOB, OUTBOX, ROW_ERROR
from roundsman.ledger.transaction import NowMs, clock, insert_new, writing


class Good(NamedTuple):
    """A row that can be applied: its place in the chunk, and what `apply` is given."""

    place: int
    value: Any


@dataclass(frozen=True, slots=True)
class Bad:
    """A row for the quarantine."""

    position: int
    payload: str
    error_class: str
    error: str
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Work:
    """A chunk that was read, sorted into what can be applied and what can not."""

    chunk: Chunk
    places: Sequence[int]
    values: list[Any]
    """What can be applied, with its places in the chunk."""
    bad: list[Bad]


@dataclass(frozen=True, slots=True)
class Writer:
    """How chunks are written."""

    target: Engine
    apply: Apply
    limits: Limits
    lease: float
    patience: float
    keep: bool = True
    """False: a dry run, in which every transaction is rolled back and nothing of the kit's own is written."""

    def write(self, job: Job, work: Work) -> tuple[Applied, list[Bad]]:
        """Write a chunk and its checkpoint. Says what it did and which rows went into quarantine.

        All rows at once; when that fails, and it is not the database that is in trouble, by halves in savepoints.

        Raises:
            FencedError: somebody else has the job.
            LimitError: with this chunk there are more bad rows than there may be; it is not written.
            DBAPIError: the database is in trouble. Whether the chunk is written can't be known.
        """
        try:
            with writing(self.target, patience=self.patience, keep=self.keep) as connection:
                self._begin(connection, job)
                done = applied(self.apply, connection, work.values) if work.values else Applied()
                point("chunk.applied")
                self._finish(connection, job, work, done, work.bad)
            point("chunk.committed")
        except Exception as error:
            if isinstance(error, BatchError) or transient(error) or not work.values:
                raise
            return self._write_by_halves(job, work)
        return done, work.bad

    def _write_by_halves(self, job: Job, work: Work) -> tuple[Applied, list[Bad]]:
        parts: list[Applied] = []
        with writing(self.target, patience=self.patience, keep=self.keep) as connection:
            self._begin(connection, job)
            if self.target.dialect.name == "postgresql":
                connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # not first at the commit, for all at once

            def works(rows: Sequence[Good]) -> Exception | None:
                try:
                    with connection.begin_nested():
                        point("rows.begun")
                        part = applied(self.apply, connection, [row.value for row in rows])
                        point("rows.applied")
                except Exception as error:
                    if isinstance(error, BatchError) or transient(error):
                        raise
                    return error
                parts.append(part)
                return None

            bad = list(work.bad)
            good = [Good(*row) for row in zip(work.places, work.values, strict=True)]
            for row, error in find_bad(good, works):
                position, raw = job.position + row.place, work.chunk.rows[row.place].raw
                bad.append(Bad(position, raw, type(error).__name__, in_full(error)))
                rows = job.position + len(work.chunk.rows)
                if broken := self.limits.broken(job.quarantined + len(bad), rows):
                    raise LimitError(f"{broken}; the last at row {position}: {spoken(error)}")
            done = together(parts)
            self._finish(connection, job, work, done, bad)
        point("chunk.committed")
        return done, bad

    def _begin(self, connection: Connection, job: Job) -> None:
        point("chunk.begun")
        if self.keep:
            fence(connection, job, self.lease)
        point("chunk.fenced")

    def _finish(self, connection: Connection, job: Job, work: Work, done: Applied, bad: list[Bad]) -> None:
        if not self.keep:
            if self.target.dialect.name == "postgresql":
                connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # no commit will find out
            return
        chunk, number = work.chunk, job.chunk_no + 1
        send(connection, done.outbox, f"{job.job_key[:16]}/{number}")
        if bad:
            quarantine(connection, job, bad)
        connection.execute(
            insert(CHUNK).values(
                job_id=job.id,
                chunk_no=number,
                position=job.position,
                rows=len(chunk.rows),
                cursor=job.cursor,
                digest=chunk.digest,
                quarantined=len(bad),
                token=job.token,
                committed_ms=NowMs(),
            )
        )
        point("chunk.recorded")
        advance(
            connection,
            job,
            position=job.position + len(chunk.rows),
            cursor=chunk.cursor,
            chunk_no=number,
            deaths=0,
            tries=0,
            # Not what we last saw: a replay of earlier rows counts here as well.
            changed=JOB.c.changed + done.changed,
            unchanged=JOB.c.unchanged + done.unchanged,
            quarantined=JOB.c.quarantined + len(bad),
        )
        point("chunk.counted")


def send(connection: Connection, outgoing: Sequence[Outgoing], origin: str) -> None:
    """Put what goes out into the outbox of the target. Its idempotency key is the row's `dedup_key`."""
    if outgoing:
        now = clock(connection)
        connection.execute(
            insert_new(connection, OUTBOX),
            [
                {
                    "dedup_key": f"{origin}/{one.key}",
                    "kind": one.kind,
                    "number": 1,
                    "channel": one.channel,
                    "site": one.site,
                    "subject": one.subject,
                    "body": one.body,
                    "created_at": now,
                    "due_at": now,
                }
                for one in outgoing
            ],
        )
    point("chunk.sent")


def quarantine(connection: Connection, job: Job, bad: Iterable[Bad]) -> None:
    """Keep rows that could not be applied, each with its reason."""
    connection.execute(
        insert(ROW_ERROR).values(failed_ms=NowMs()),
        [
            {
                "job_id": job.id,
                "position": one.position,
                "payload": storable(one.payload[:MAX_PAYLOAD_CHARACTERS]),
                "complete": one.complete and len(one.payload) <= MAX_PAYLOAD_CHARACTERS,
                "error_class": one.error_class,
                "error": storable(one.error[:MAX_PAYLOAD_CHARACTERS]),
            }
            for one in bad
        ],
    )
    point("chunk.quarantined")
