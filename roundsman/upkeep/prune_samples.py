"""Deleting samples one by one that are rolled up, and roll-ups that are too old."""

from datetime import datetime

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.rules.retention import ROLL_UPS, SAMPLES
from roundsman.ledger.rules.samples import HOUR_SECONDS, start_of
from roundsman.ledger.tables_samples import HistogramRow, SampleDueRow, SampleKeyRow, SampleRow
from roundsman.ledger.transaction import rows_changed, writing_session
from roundsman.timing.rollup import lock

_MICRO = 1_000_000
#: Rows of one transaction, so that nobody waits long for it.
BATCH_ROWS = 20_000


def prune_samples(engine: Engine, now: datetime) -> int:
    """Delete the samples that are old and rolled up; returns how many. Safe to stop, to repeat, and beside itself."""
    cut = _cut(now)
    return sum(_prune_key(engine, key, cut) for key in _keys(engine))


def prune_roll_ups(engine: Engine, now: datetime) -> int:
    """Delete the histograms that are too old; returns how many."""
    gone = 0
    for key in _keys(engine):
        for span, retention in ROLL_UPS.items():
            old = (now - retention.age).timestamp()
            doomed = delete(HistogramRow).where(
                col(HistogramRow.key_id) == key, col(HistogramRow.span) == span, col(HistogramRow.start) < old
            )
            with writing_session(engine) as session:
                gone += rows_changed(session, doomed)
    return gone


def count_old_samples(session: Session, now: datetime) -> tuple[int, int]:
    """How many samples and how many histograms are to go."""
    raw = spans = 0
    for key in session.scalars(select(col(SampleKeyRow.id))).all():
        old = col(SampleRow.key_id) == key, col(SampleRow.at_us) < _cut(now) * _MICRO
        raw += session.scalar(select(func.count()).select_from(SampleRow).where(*old)) or 0
        for span, retention in ROLL_UPS.items():
            begun = col(HistogramRow.span) == span, col(HistogramRow.start) < (now - retention.age).timestamp()
            mine = select(func.count()).select_from(HistogramRow).where(col(HistogramRow.key_id) == key, *begun)
            spans += session.scalar(mine) or 0
    return raw, spans


def _cut(now: datetime) -> int:
    return start_of((now - SAMPLES.age).timestamp(), HOUR_SECONDS)


def _keys(engine: Engine) -> list[int]:
    with Session(engine) as session:
        return [
            key
            for key in session.scalars(select(col(SampleKeyRow.id)).order_by(col(SampleKeyRow.id)))
            if key is not None
        ]


def _prune_key(engine: Engine, key: int, cut: int) -> int:
    gone = 0
    while True:
        with writing_session(engine) as session:
            row = lock(session, key)
            row.raw_from = _raw_from(session, row, cut)
            done = _delete_some(session, key, row.raw_from)
        gone += done
        if done < BATCH_ROWS:
            return gone


def _raw_from(session: Session, row: SampleKeyRow, cut: int) -> int:
    """Up to when samples may go: never an hour that is not rolled up, and no hour that new ones may still be put into.

    It moves in the same transaction as the first delete, so that no roll-up ever sees half of an hour.
    """
    oldest = session.scalar(select(func.min(col(SampleRow.at_us))).where(col(SampleRow.key_id) == row.id))
    if oldest is None or oldest >= cut * _MICRO:
        return row.raw_from
    due = session.scalar(select(func.min(col(SampleDueRow.hour))).where(col(SampleDueRow.key_id) == row.id))
    return max(row.raw_from, cut if due is None else min(cut, due))


def _delete_some(session: Session, key: int, raw_from: int) -> int:
    old = col(SampleRow.key_id) == key, col(SampleRow.at_us) < raw_from * _MICRO
    last = select(col(SampleRow.at_us)).where(*old).order_by(col(SampleRow.at_us)).offset(BATCH_ROWS - 1).limit(1)
    until = session.scalar(last)
    some = delete(SampleRow).where(*old)
    return rows_changed(session, some if until is None else some.where(col(SampleRow.at_us) <= until))
