"""Rolling samples up: 5 minutes from the raw rows, an hour from its 5 minutes, a day from its hours.

What was there is replaced and never added to, so a roll-up may be stopped anywhere and made again.
"""

from collections.abc import Iterable, Mapping
from itertools import chain, groupby

import numpy as np
from sqlalchemy import Engine, Row, delete, insert, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.rules.samples import DAY_SECONDS, FIVE_MINUTES_SECONDS, HOUR_SECONDS, start_of
from roundsman.ledger.tables import HistogramRow, SampleDueRow, SampleKeyRow, SampleRow
from roundsman.ledger.transaction import writing_session
from roundsman.timing.rules.histogram import Histogram

_MICRO = 1_000_000
#: Times to the first byte and in total.
Both = tuple[Histogram, Histogram]


def roll_up(engine: Engine, *, site: str = "") -> int:
    """Roll up the hours with samples that are in no histogram yet, of one site or of all. Returns how many.

    Each day of a key is a transaction: whoever writes samples waits for one at most. Safe beside itself.
    """
    due = select(col(SampleDueRow.key_id), col(SampleDueRow.hour)).order_by(
        col(SampleDueRow.key_id), col(SampleDueRow.hour)
    )
    if site:
        due = due.join(SampleKeyRow, col(SampleKeyRow.id) == col(SampleDueRow.key_id)).where(
            col(SampleKeyRow.site) == site
        )
    with Session(engine) as session:
        hours = session.execute(due).all()
    days = [place for place, _ in groupby(hours, lambda row: (row.key_id, start_of(row.hour, DAY_SECONDS)))]
    return sum(_roll_up_a_day(engine, key, day) for key, day in days)


def lock(session: Session, key: int) -> SampleKeyRow:
    """A key's row, as it is now; until the transaction ends nobody else writes, rolls up or deletes its samples."""
    return session.scalars(
        select(SampleKeyRow).filter_by(id=key).with_for_update().execution_options(populate_existing=True)
    ).one()


def measured(session: Session, key: int | None, begin: int, end: int) -> Mapping[int, np.ndarray]:
    """The times of a key's raw samples in seconds from the due time, for each 5 minutes in [begin, end) with any.

    Arrays of shape (2, n): to the first byte, and in total.
    """
    # The connection's own rows: there may be very many.
    rows = (
        session.connection()
        .execute(
            select(
                col(SampleRow.at_us), col(SampleRow.first_byte_us), col(SampleRow.total_us), col(SampleRow.late_us)
            ).where(
                col(SampleRow.key_id) == key,
                col(SampleRow.at_us) >= begin * _MICRO,
                col(SampleRow.at_us) < end * _MICRO,
            )
        )
        .all()
    )
    if not rows:
        return {}
    # Many times faster than an array of the rows, which numpy would ask for their columns one by one.
    at, first_byte, total, late = np.fromiter(chain.from_iterable(rows), np.int64, 4 * len(rows)).reshape(-1, 4).T
    times = np.stack([first_byte + late, total + late]) / _MICRO
    starts = at // (FIVE_MINUTES_SECONDS * _MICRO) * FIVE_MINUTES_SECONDS
    return {int(start): times[:, starts == start] for start in np.unique(starts)}


def _roll_up_a_day(engine: Engine, key: int, day: int) -> int:
    with writing_session(engine) as session:
        lock(session, key)
        mine = (
            col(SampleDueRow.key_id) == key,
            col(SampleDueRow.hour) >= day,
            col(SampleDueRow.hour) < day + DAY_SECONDS,
        )
        hours = session.scalars(select(col(SampleDueRow.hour)).where(*mine)).all()
        for hour in hours:
            parts = {
                start: (Histogram.of(times[0]), Histogram.of(times[1]))
                for start, times in measured(session, key, hour, hour + HOUR_SECONDS).items()
            }
            _replace(session, key, FIVE_MINUTES_SECONDS, (hour, hour + HOUR_SECONDS), parts)
            _replace(session, key, HOUR_SECONDS, (hour, hour + HOUR_SECONDS), {hour: _merged(parts.values())})
        if hours:
            whole = select(col(HistogramRow.first_byte), col(HistogramRow.total)).where(
                col(HistogramRow.key_id) == key,
                col(HistogramRow.span) == HOUR_SECONDS,
                col(HistogramRow.start) >= day,
                col(HistogramRow.start) < day + DAY_SECONDS,
            )
            _replace(
                session, key, DAY_SECONDS, (day, day + DAY_SECONDS), {day: _merged(map(_read, session.execute(whole)))}
            )
            session.execute(delete(SampleDueRow).where(*mine))
        return len(hours)


def _merged(parts: Iterable[Both]) -> Both:
    both = list(parts)
    return Histogram.merged(one[0] for one in both), Histogram.merged(one[1] for one in both)


def _read(row: Row[tuple[bytes, bytes]]) -> Both:
    return Histogram.from_bytes(row.first_byte), Histogram.from_bytes(row.total)


def _replace(session: Session, key: int, span: int, within: tuple[int, int], made: Mapping[int, Both]) -> None:
    """Put histograms where there were perhaps others."""
    old = col(HistogramRow.key_id) == key, col(HistogramRow.span) == span
    session.execute(
        delete(HistogramRow).where(*old, col(HistogramRow.start) >= within[0], col(HistogramRow.start) < within[1])
    )
    rows = [_row(key, span, start, both) for start, both in made.items() if both[0].total]
    if rows:
        session.execute(insert(HistogramRow), rows)


def _row(key: int, span: int, start: int, both: Both) -> dict[str, int | bytes]:
    first_byte, total = both
    p50, p95, p99 = (round(first_byte.quantile(share) * _MICRO) for share in (0.5, 0.95, 0.99))
    place = {"key_id": key, "span": span, "start": start, "samples": first_byte.total}
    blobs = {"first_byte": first_byte.to_bytes(), "total": total.to_bytes()}
    return {**place, "p50_us": p50, "p95_us": p95, "p99_us": p99, **blobs}
