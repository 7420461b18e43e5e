"""The quarantine: rows that could not be applied, replayed once they are mended or the code is, or dismissed."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, func, select, update

from roundsman.batch import jobs
from roundsman.batch.attempt import Batch
from roundsman.batch.chunks import send
from roundsman.batch.effects import applied
from roundsman.batch.errors import SourceError, in_full, transient
from roundsman.batch.events import Teller
from roundsman.batch.points import point
from roundsman.batch.rules import refuse_non_finite, storable
from roundsman.ledger.tables import JOB, ROW_ERROR
from roundsman.ledger.transaction import NowMs, writing


@dataclass(frozen=True, slots=True)
class Replayed:
    """Rows that went through, and rows that stay in quarantine: those have their new reasons."""

    applied: int = 0
    left: int = 0
    overtaken: int = 0
    """Rows of a snapshot that stay as they are: a newer edition has applied rows, and says how things are now."""


class _Fate(StrEnum):
    """What became of a row, as it is told."""

    APPLIED = "row replayed"
    LEFT = "row stays in quarantine"
    OVERTAKEN = "row stays in quarantine, a newer edition is applied"


async def replay(batch: Batch, *, mend: Callable[[str], str] = str, by: str = "replay", run_id: str = "") -> Replayed:
    """Apply the rows of the batch's source that are in quarantine, each in a transaction of its own, and each once.

    Args:
        batch: As it was run, or with code that can do better; its source need not be there, except a CSV file's header.
        mend: Makes a good row's text of a bad one's; a row that was kept in part is only tried if this changes it.
        by: Who is written down to have resolved it.
        run_id: What the run is called in logs.

    Raises:
        SQLAlchemyError: the target is in trouble; what was applied until then stays so.
    """
    found = await asyncio.to_thread(_open_rows, batch)
    run_id = run_id or uuid4().hex
    fates: Counter[_Fate] = Counter()
    for row in found:
        fate = await asyncio.to_thread(_replay, batch, row, mend, by)
        Teller(batch.kind, run_id, row.job_id, row.job_key)(fate, row=row.position)
        fates[fate] += 1
    return Replayed(fates[_Fate.APPLIED], fates[_Fate.LEFT], fates[_Fate.OVERTAKEN])


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row in quarantine. `error` and `payload` may hold what is private: for whoever mends it, and for no log."""

    job: int
    position: int
    kind: str
    source: str
    error_class: str
    complete: bool
    error: str = field(repr=False)
    payload: str = field(repr=False)


def waiting(target: Engine, most: int = 100) -> tuple[int, list[BadRow]]:
    """How many rows are neither replayed nor dismissed, and the first of them."""
    told = (JOB.c.kind, JOB.c.source, ROW_ERROR.c.error_class, ROW_ERROR.c.complete)
    full = select(ROW_ERROR.c.job_id, ROW_ERROR.c.position, *told, ROW_ERROR.c.error, ROW_ERROR.c.payload)
    unresolved = ROW_ERROR.c.resolved_ms.is_(None)
    first = full.join(JOB, JOB.c.id == ROW_ERROR.c.job_id).where(unresolved)
    with target.connect() as connection:
        rows = connection.execute(first.order_by(ROW_ERROR.c.job_id, ROW_ERROR.c.position).limit(most))
        count = select(func.count()).select_from(ROW_ERROR).where(unresolved)
        return connection.execute(count).scalar_one(), [BadRow(*row) for row in rows]


def dismiss(target: Engine, job_id: int, position: int, *, by: str) -> bool:
    """Say that a row needs no replay. False when there is no such row, or it is resolved already."""
    with writing(target) as connection:
        gone = _resolve(job_id, position).values(resolved_ms=NowMs(), resolved_by=by)
        return connection.execute(gone).rowcount == 1


def _open_rows(batch: Batch) -> list[Row[Any]]:
    # Jobs of another source, or of other parameters such as those of another site, are none of the batch's.
    mine = jobs.editions(batch.kind, batch.source.name, batch.params)
    found = select(ROW_ERROR, JOB.c.job_key).join(JOB, JOB.c.id == ROW_ERROR.c.job_id)
    waiting = found.where(mine, ROW_ERROR.c.resolved_ms.is_(None))
    with batch.target.connect() as connection:
        return list(connection.execute(waiting.order_by(ROW_ERROR.c.job_id, ROW_ERROR.c.position)))


def _replay(batch: Batch, row: Row[Any], mend: Callable[[str], str], by: str) -> _Fate:
    try:
        value = batch.source.parse(_whole(row, mend(row.payload)))
        if batch.parse:
            value = batch.parse(value)
            refuse_non_finite(value)
        return _apply(batch, row, value, by)
    except Exception as error:
        if transient(error) or isinstance(error, SourceError):
            raise
        with writing(batch.target) as connection:
            point("replay.refused")
            if _overtaken(connection, batch, row):
                return _Fate.OVERTAKEN
            reason = {"error_class": type(error).__name__, "error": storable(in_full(error))}
            connection.execute(_resolve(row.job_id, row.position).values(reason))
            point("replay.noted")
        point("replay.kept")
        return _Fate.LEFT


def _whole(row: Row[Any], raw: str) -> str:
    if not row.complete and raw == row.payload:
        raise ValueError("only a part of this row was kept, so it can't be applied as it is")
    return raw


def _apply(batch: Batch, row: Row[Any], value: Any, by: str) -> _Fate:
    with writing(batch.target, patience=batch.patience) as connection:
        point("replay.begun")
        if _overtaken(connection, batch, row):
            return _Fate.OVERTAKEN
        # The fence of a replay: of two at once, the second finds the row resolved.
        mine = _resolve(row.job_id, row.position).values(resolved_ms=NowMs(), resolved_by=by)
        if connection.execute(mine).rowcount != 1:
            return _Fate.APPLIED
        point("replay.fenced")
        done = applied(batch.apply, connection, [value])
        point("replay.applied")
        send(connection, done.outbox, f"{row.job_key[:16]}/row-{row.position}")
        counts = {"changed": JOB.c.changed + done.changed, "unchanged": JOB.c.unchanged + done.unchanged}
        connection.execute(
            update(JOB).where(JOB.c.id == row.job_id).values(**counts, quarantined=JOB.c.quarantined - 1)
        )
        point("replay.counted")
    point("replay.committed")
    return _Fate.APPLIED


def _overtaken(connection: Connection, batch: Batch, row: Row[Any]) -> bool:
    return batch.snapshot and jobs.overtaken(connection, row.job_id, batch.kind, batch.params)


def _resolve(job_id: int, position: int) -> Any:
    one: ColumnElement[bool] = and_(ROW_ERROR.c.job_id == job_id, ROW_ERROR.c.position == position)
    return update(ROW_ERROR).where(one, ROW_ERROR.c.resolved_ms.is_(None))
