"""Samples of response times in the ledger: written in bulk, read as quantiles of a span.

Reading takes the roll-ups, and the raw rows of those hours that have some which are not rolled up yet, so that an
answer is never older than the last sample.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from datetime import UTC, datetime
from itertools import chain

import numpy as np
from sqlalchemy import Engine, and_, or_, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.base import LedgerTable
from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.releases import read_releases
from roundsman.ledger.rules.releases import release_at
from roundsman.ledger.rules.samples import (
    DAY_SECONDS,
    EDGE,
    FIVE_MINUTES_SECONDS,
    HOUR_SECONDS,
    Sample,
    SampleKey,
    Window,
    start_of,
)
from roundsman.ledger.tables import HistogramRow, SampleDueRow, SampleKeyRow, SampleRow
from roundsman.ledger.transaction import insert_new, writing_session
from roundsman.timing.rollup import measured, roll_up
from roundsman.timing.rules.histogram import Histogram

_MICRO = 1_000_000
#: The longest time that fits into a row: 35 minutes. What took longer counts as this.
_LONGEST_US = 2**31 - 1
_KEY = ("site", "rule", "path", "series", "cache_state", "warm")


async def keep_samples(samples: Sequence[Sample]) -> int:
    """Write the samples of a round into the ledger and roll their hours up. Doing it again changes nothing.

    Each is of the release that its site ran at its time, as far as that is known. Returns how many were taken: those of
    hours that were deleted already are not.
    """
    return await asyncio.to_thread(_keep, samples)


def record_samples(where: Engine | Session, samples: Iterable[Sample]) -> int:
    """Write samples and mark their hours as not rolled up yet, whole or not at all; one that is there stays.

    With a session it is part of that session's transaction, which on SQLite has to have begun with the right to write.
    Returns how many were taken: those of hours that were deleted already are not.
    """
    if isinstance(where, Engine):
        with writing_session(where) as session:
            return record_samples(session, samples)
    given = list(samples)
    known = _keys(where, {sample.key for sample in given})
    taken = [(known[sample.key][0], sample) for sample in given if sample.at >= known[sample.key][1]]
    rows = [_row(number, sample) for number, sample in taken]
    due = sorted({(number, start_of(_microseconds(sample) / _MICRO, HOUR_SECONDS)) for number, sample in taken})
    _insert(where, SampleRow, rows)
    _insert(where, SampleDueRow, [{"key_id": key, "hour": hour} for key, hour in due])
    return len(rows)


def history(  # noqa: PLR0913 - the columns of a key
    where: Engine | Session,
    site: str,
    path: str,
    series: str = EDGE,
    *,
    cache_state: str,
    warm: bool = True,
    since: datetime,
    until: datetime | None = None,
    span: int = FIVE_MINUTES_SECONDS,
) -> list[Window]:
    """What the samples of one route came to in each span that had any, ascending; spans that began in [since, until).

    5 minutes are a round, or two where a round went on over the border; they are kept 30 days, hours 400 days and days
    5 years. What is not rolled up yet is read from the raw samples. A path that several rules time is the first one's.
    """
    with _reading(where) as session:
        named = {"site": site, "path": path, "series": series, "cache_state": cache_state, "warm": warm}
        key = session.scalars(select(SampleKeyRow).filter_by(**named).order_by(col(SampleKeyRow.id)).limit(1)).first()
        if key is None:
            return []
        begin, end = since.timestamp(), until.timestamp() if until else float("inf")
        windows = {window.start: window for window in _rolled_up(session, key.id, span, begin, end)}
        due = _due(session, [key.id], start_of(begin, span), end).get(key.id or 0, ())
        for start in {start_of(hour, max(span, HOUR_SECONDS)) for hour in due}:
            windows |= {one.start: one for one in _fresh(session, key.id, span, start) if begin <= _unix(one) < end}
    return [windows[start] for start in sorted(windows)]


def distribution(  # noqa: PLR0913 - the columns of a key
    where: Engine | Session,
    site: str,
    path: str,
    series: str = EDGE,
    *,
    cache_state: str,
    warm: bool = True,
    since: datetime,
    until: datetime,
) -> Histogram:
    """Times to the first byte of one route, of the hours that [since, until) touches; empty when there are none."""
    with _reading(where) as session:
        named = {"site": site, "path": path, "series": series, "cache_state": cache_state, "warm": warm}
        keys = session.scalars(select(col(SampleKeyRow.id)).filter_by(**named)).all()
        return Histogram.merged(_spans(session, keys, since.timestamp(), until.timestamp()).values())


def times_of(session: Session, site: str, since: datetime, until: datetime) -> dict[SampleKey, Histogram]:
    """Times to the first byte by key, at a site's edge on used connections, in all hours that a span touches."""
    rows = session.scalars(select(SampleKeyRow).filter_by(site=site, series=EDGE, warm=True)).all()
    found = _spans(session, [row.id for row in rows], since.timestamp(), until.timestamp())
    return {_key(row): found[row.id] for row in rows if row.id in found}


def _keep(samples: Sequence[Sample]) -> int:
    with use_ledger() as engine:
        taken = record_samples(engine, _released(engine, samples))
        for site in {sample.key.site for sample in samples}:
            roll_up(engine, site=site)
        return taken


def _released(engine: Engine, samples: Sequence[Sample]) -> list[Sample]:
    """The samples with the release that was the last one at their time."""
    with Session(engine) as session:
        known = {site: read_releases(session, site) for site in {one.key.site for one in samples}}
    return [replace(one, release=one.release or release_at(known[one.key.site], _at(one.at))) for one in samples]


def _keys(session: Session, keys: set[SampleKey]) -> dict[SampleKey, tuple[int, int]]:
    """Each key's number, and since when its samples are taken, with new ones made. Nobody deletes from it meanwhile."""
    ordered = sorted(keys, key=astuple)
    _insert(session, SampleKeyRow, [{name: getattr(key, name) for name in _KEY} | {"raw_from": 0} for key in ordered])
    rows = session.scalars(
        select(SampleKeyRow)
        .where(col(SampleKeyRow.site).in_({key.site for key in keys}))
        .order_by(col(SampleKeyRow.id))
        .with_for_update(read=True)
        .execution_options(populate_existing=True)
    )
    return {_key(row): (row.id or 0, row.raw_from) for row in rows}


def _key(row: SampleKeyRow) -> SampleKey:
    return SampleKey(*(getattr(row, name) for name in _KEY))


def _microseconds(sample: Sample) -> int:
    return round(sample.at * _MICRO)


def _row(number: int, sample: Sample) -> dict[str, int | str]:
    first_byte, total, late = (
        min(round(seconds * _MICRO), _LONGEST_US) for seconds in (sample.first_byte, sample.total, sample.late)
    )
    times = {"first_byte_us": first_byte, "total_us": total, "late_us": late}
    return {"key_id": number, "at_us": _microseconds(sample), **times, "release": sample.release}


def _insert(session: Session, table: type[LedgerTable], rows: Sequence[Mapping[str, int | str | bool]]) -> None:
    if rows:
        session.connection().execute(insert_new(session, table), rows)


@contextmanager
def _reading(where: Engine | Session) -> Iterator[Session]:
    if isinstance(where, Session):
        yield where
        return
    with Session(where) as session:
        yield session


def _due(session: Session, keys: Sequence[int | None], begin: float, end: float) -> dict[int, set[int]]:
    """The hours that are not rolled up yet, by key."""
    found: dict[int, set[int]] = {}
    hours = (
        col(SampleDueRow.hour) >= start_of(begin, HOUR_SECONDS),
        *([col(SampleDueRow.hour) < end] if end < float("inf") else []),
    )
    rows = select(col(SampleDueRow.key_id), col(SampleDueRow.hour)).where(col(SampleDueRow.key_id).in_(keys), *hours)
    for key, hour in session.execute(rows):
        found.setdefault(key, set()).add(hour)
    return found


def _rolled_up(session: Session, key: int | None, span: int, begin: float, end: float) -> Iterator[Window]:
    columns = [
        col(HistogramRow.start),
        col(HistogramRow.samples),
        col(HistogramRow.p50_us),
        col(HistogramRow.p95_us),
        col(HistogramRow.p99_us),
    ]
    until = [col(HistogramRow.start) < end] if end < float("inf") else []
    rows = select(*columns).where(
        col(HistogramRow.key_id) == key, col(HistogramRow.span) == span, col(HistogramRow.start) >= begin
    )
    for start, samples, *quantiles in session.execute(rows.where(*until)):
        yield Window(_at(start), span, samples, *(value / _MICRO for value in quantiles))


def _fresh(session: Session, key: int | None, span: int, start: int) -> Iterator[Window]:
    """The windows of what a due hour lies in, from what is there now."""
    if span >= HOUR_SECONDS:
        histogram = _spans(session, [key], start, start + span).get(key or 0)
        if histogram and histogram.total:
            yield _window(start, span, histogram)
        return
    for begin, times in measured(session, key, start, start + HOUR_SECONDS).items():
        yield _window(begin, FIVE_MINUTES_SECONDS, Histogram.of(times[0]))


def _window(start: int, span: int, histogram: Histogram) -> Window:
    return Window(_at(start), span, histogram.total, *(histogram.quantile(share) for share in (0.5, 0.95, 0.99)))


def _spans(session: Session, keys: Sequence[int | None], begin: float, end: float) -> dict[int, Histogram]:
    """The times to the first byte of some keys in the hours that a span touches.

    Whole days come from their days, the rest from hours, and hours with samples that are not rolled up from those.
    """
    first, last = start_of(begin, HOUR_SECONDS), -start_of(-end, HOUR_SECONDS)
    due = _due(session, keys, first, last)
    day_from, day_to = -start_of(-first, DAY_SECONDS), start_of(last, DAY_SECONDS)
    broken = {start_of(hour, DAY_SECONDS) for hours in due.values() for hour in hours}
    days = [day for day in range(day_from, day_to, DAY_SECONDS) if day not in broken]
    loose = [day for day in range(start_of(first, DAY_SECONDS), last, DAY_SECONDS) if day not in set(days)]
    pieces = [and_(col(HistogramRow.span) == DAY_SECONDS, col(HistogramRow.start).in_(days))] if days else []
    pieces += [
        and_(
            col(HistogramRow.span) == HOUR_SECONDS,
            col(HistogramRow.start) >= max(day, first),
            col(HistogramRow.start) < min(day + DAY_SECONDS, last),
        )
        for day in loose
    ]
    parts: dict[int, list[Histogram]] = {}
    rows = select(
        col(HistogramRow.key_id), col(HistogramRow.span), col(HistogramRow.start), col(HistogramRow.first_byte)
    )
    for key, span, start, blob in session.connection().execute(
        rows.where(col(HistogramRow.key_id).in_(keys), or_(*pieces))
    ):
        if span == DAY_SECONDS or start not in due.get(key, ()):
            parts.setdefault(key, []).append(Histogram.from_bytes(blob))
    for key, times in _not_rolled_up(session, due):
        parts.setdefault(key, []).append(Histogram.of(times))
    return {key: Histogram.merged(found) for key, found in parts.items()}


def _not_rolled_up(session: Session, due: dict[int, set[int]]) -> Iterator[tuple[int, np.ndarray]]:
    """Seconds from the due time to the first byte in these hours: for each hour one query, whatever the keys."""
    for hour in sorted(set().union(*due.values())):
        keys = [key for key, hours in due.items() if hour in hours]
        # The connection's own rows: there may be very many.
        rows = (
            session.connection()
            .execute(
                select(col(SampleRow.key_id), col(SampleRow.first_byte_us) + col(SampleRow.late_us)).where(
                    col(SampleRow.key_id).in_(keys),
                    col(SampleRow.at_us) >= hour * _MICRO,
                    col(SampleRow.at_us) < (hour + HOUR_SECONDS) * _MICRO,
                )
            )
            .all()
        )
        of, took = np.fromiter(chain.from_iterable(rows), np.int64, 2 * len(rows)).reshape(-1, 2).T
        for key in np.unique(of):
            yield int(key), took[of == key] / _MICRO


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _unix(window: Window) -> float:
    return window.start.timestamp()
