"""One pass over the whole ledger: roll up, delete in batches what nothing needs, and give its space back."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, MetaData, Table, and_, delete, exists, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased
from sqlmodel import col

from roundsman.alerts.rules.alert import AlertState
from roundsman.batch.rules import Status
from roundsman.ledger.base import LedgerTable
from roundsman.ledger.days import DAYS_AHEAD, OldDays, make_days
from roundsman.ledger.ledger import file_size, use_ledger
from roundsman.ledger.releases import last_look_before, read_releases, rounds_around
from roundsman.ledger.rules import retention
from roundsman.ledger.rules.releases import deployments
from roundsman.ledger.rules.retention import ROLL_UPS, SAMPLES, Retention
from roundsman.ledger.rules.samples import HOUR_SECONDS, start_of
from roundsman.ledger.tables import (
    AlertRow,
    ExchangeRow,
    HealthRow,
    HistogramRow,
    ImportChunkRow,
    ImportJobRow,
    ImportRowErrorRow,
    IncidentRow,
    JobEventRow,
    OutboxRow,
    PublishedChangeRow,
    ReleaseRow,
    RunRow,
    SampleDueRow,
    SampleKeyRow,
    SampleRow,
    SlotRow,
    SweepGroupRow,
    SweepPageRow,
    SweepRow,
    VerdictRow,
    WatchRow,
)
from roundsman.ledger.transaction import rows_changed, writing_session
from roundsman.timing.rollup import lock, roll_up
from roundsman.watch.rules.slots import SlotState
from roundsman.watch.slots import BLIND

#: Rows of one transaction, so that nobody waits long for it. A round takes all it found along.
BATCH_ROWS, BATCH_ROUNDS = 2000, 20


@dataclass(frozen=True)
class Old:
    """Which rows of a table are to go."""

    retention: Retention
    table: type[LedgerTable] | Table
    where: ColumnElement[bool]
    """Holds at the very moment of deleting, too."""
    batch: int = BATCH_ROWS

    @property
    def key(self) -> tuple[Any, ...]:
        """The table's primary key."""
        table = self.table if isinstance(self.table, Table) else self.table.__table__
        return tuple(table.primary_key)

    def count(self, session: Session) -> int:
        """How many rows would go; not counted are those that go along with them."""
        return session.scalar(select(func.count()).select_from(self.table).where(self.where)) or 0

    def delete(self, engine: Engine) -> int:
        """Delete the rows, a transaction for each batch; returns how many. Safe to stop, and beside itself."""
        gone, key = 0, tuple_(*self.key)
        last: Sequence[Any] | None = None
        while True:
            after = [key > tuple_(*last)] if last else []
            # In the order of their keys, so that two that delete at once never wait for each other in a ring.
            some = select(*self.key).where(self.where, *after).order_by(*self.key).limit(self.batch).with_for_update()
            with writing_session(engine) as session:
                found = session.execute(some).all()
                if found:
                    doomed = delete(self.table).where(key.in_([tuple(row) for row in found]), self.where)
                    gone += rows_changed(session, doomed.execution_options(synchronize_session=False))
            if len(found) < self.batch:
                return gone
            last = found[-1]


def find_old(session: Session, now: datetime) -> list[Old | OldDays]:
    """All that is to go, in the order in which it goes."""
    needed = _needed_rounds(session)
    at = {one.what: now - one.age for one in retention.RETENTION if one.days}
    named = exists().where(col(AlertRow.run_id) == col(RunRow.id), _is_open())

    def rounds(one: Retention) -> ColumnElement[bool]:
        return and_(col(RunRow.started_at) < at[one.what], col(RunRow.id).not_in(needed), ~named)

    return [
        *_exchanges(session, at[retention.EXCHANGES.what], rounds(retention.EXCHANGES)),
        Old(retention.ROUNDS, RunRow, rounds(retention.ROUNDS), BATCH_ROUNDS),
        Old(retention.ALERTS, AlertRow, _alerts(at[retention.ALERTS.what])),
        Old(retention.INCIDENTS, IncidentRow, _incidents(at[retention.INCIDENTS.what])),
        Old(retention.MESSAGES, OutboxRow, _messages(at[retention.MESSAGES.what])),
        Old(retention.SLOTS, SlotRow, _slots(session, at[retention.SLOTS.what])),
        Old(retention.WATCHES, WatchRow, _watches(session, at[retention.WATCHES.what])),
        Old(retention.EVENTS, JobEventRow, col(JobEventRow.at) < at[retention.EVENTS.what]),
        Old(retention.HEALTH, HealthRow, _health(session, at[retention.HEALTH.what])),
        Old(retention.CHUNKS, ImportChunkRow, _chunks(at[retention.CHUNKS.what])),
        Old(retention.QUARANTINE, ImportRowErrorRow, _quarantine(at[retention.QUARANTINE.what])),
        Old(retention.CHANGES, PublishedChangeRow, _changes(at[retention.CHANGES.what])),
        *_sweeps(session, at[retention.SWEEPS.what]),
    ]


def _exchanges(session: Session, before: datetime, doomed: ColumnElement[bool]) -> Iterator[Old | OldDays]:
    """By the day where there are days, and row by row where there are none."""
    one = ExchangeRow.__table__
    if session.get_bind().dialect.name == "postgresql":
        yield OldDays(retention.EXCHANGES, doomed, before)
        one = one.to_metadata(MetaData(), name="exchange_default")
    yield Old(retention.EXCHANGES, one, one.c.run_id.in_(select(col(RunRow.id)).where(doomed)))


def _is_open() -> ColumnElement[bool]:
    return col(AlertRow.state).not_in([AlertState.OK, AlertState.RESOLVED])


def _needed_rounds(session: Session) -> list[str]:
    return sorted({*session.scalars(_last_rounds()), *_around_deployments(session)})


def _last_rounds() -> Any:
    """The last round of each rule and check, and of each job of a site."""
    newest = (col(RunRow.started_at).desc(), col(RunRow.id).desc())
    by_rule = (col(RunRow.site), col(RunRow.job), col(VerdictRow.rule), col(VerdictRow.check))
    with_rule = select(col(RunRow.id), func.row_number().over(partition_by=by_rule, order_by=newest).label("place"))
    ruled = with_rule.join(VerdictRow, col(VerdictRow.run_id) == col(RunRow.id)).subquery()
    any_one = select(
        col(RunRow.id),
        func.row_number().over(partition_by=(col(RunRow.site), col(RunRow.job)), order_by=newest).label("place"),
    ).subquery()
    return select(ruled.c.id).where(ruled.c.place == 1).union(select(any_one.c.id).where(any_one.c.place == 1))


def _around_deployments(session: Session) -> Iterator[str]:
    """The rounds among which a status looks for the ones before and after the last deployment."""
    for site in session.scalars(select(col(ReleaseRow.site)).distinct()).all():
        for rounds in rounds_around(session, site, read_releases(session, site)):
            yield from (run.id for run in rounds)


def _alerts(before: datetime) -> ColumnElement[bool]:
    spoken = exists().where(col(RunRow.id) == col(AlertRow.run_id), col(RunRow.started_at) >= before)
    keys = or_(col(OutboxRow.dedup_key) == col(AlertRow.incident), col(OutboxRow.dedup_key) == col(AlertRow.dedup_key))
    unsent = exists().where(keys, col(OutboxRow.sent_at).is_(None))
    return and_(~_is_open(), col(AlertRow.since) < before, ~spoken, ~unsent)


def _messages(before: datetime) -> ColumnElement[bool]:
    other = aliased(OutboxRow)
    waits = exists().where(col(other.told_with) == col(OutboxRow.id), col(other.sent_at).is_(None))
    wanted = exists().where(col(AlertRow.dedup_key) == col(OutboxRow.dedup_key), _is_open())
    incident = exists().where(col(IncidentRow.key) == col(OutboxRow.dedup_key), col(IncidentRow.resolved_at).is_(None))
    return and_(col(OutboxRow.sent_at) < before, ~waits, ~wanted, ~incident)


def _incidents(before: datetime) -> ColumnElement[bool]:
    unsent = exists().where(col(OutboxRow.dedup_key) == col(IncidentRow.key), col(OutboxRow.sent_at).is_(None))
    return and_(col(IncidentRow.resolved_at) < before, ~unsent)


def _slots(session: Session, before: datetime) -> ColumnElement[bool]:
    settled = col(SlotRow.state).not_in([SlotState.WAITING, SlotState.STARTED])
    place = (
        func.row_number()
        .over(partition_by=col(SlotRow.deployment), order_by=col(SlotRow.slot_at).desc())
        .label("place")
    )
    last = select(col(SlotRow.id), place).where(settled).subquery()
    kept = session.scalars(select(last.c.id).where(last.c.place <= 2)).all()
    runs = and_(col(SlotRow.started_at).is_not(None), col(SlotRow.ended_at).is_(None))
    return and_(settled, ~runs, col(SlotRow.slot_at) < before, col(SlotRow.id).not_in(kept))


def _watches(session: Session, before: datetime) -> ColumnElement[bool]:
    looked = session.scalar(select(func.max(col(WatchRow.at))).where(~col(WatchRow.detail).startswith(BLIND)))
    # Since when nobody could look is what its message is recognised by.
    return col(WatchRow.at) < (min(before, looked) if looked else datetime.min.replace(tzinfo=before.tzinfo))


def _health(session: Session, before: datetime) -> ColumnElement[bool]:
    sites = session.scalars(select(col(ReleaseRow.site)).distinct()).all()
    made = {site: deployments(read_releases(session, site)) for site in sites}
    seen = {site: last_look_before(session, site, some[-1].seen_at) for site, some in made.items() if some}
    kept = [and_(col(HealthRow.site) == site, col(HealthRow.at) == at) for site, at in seen.items() if at]
    return and_(col(HealthRow.at) < before, *(~one for one in kept))


def _chunks(before: datetime) -> ColumnElement[bool]:
    # Not what was cancelled or failed: it may go on, from its last chunk and by the others' guard.
    return exists().where(
        col(ImportJobRow.id) == col(ImportChunkRow.job_id),
        col(ImportJobRow.status) == Status.SUCCEEDED,
        col(ImportJobRow.finished_ms) < _ms(before),
        col(ImportJobRow.chunk_no) > col(ImportChunkRow.chunk_no),
    )


def _quarantine(before: datetime) -> ColumnElement[bool]:
    return col(ImportRowErrorRow.resolved_ms) < _ms(before)


def _changes(before: datetime) -> ColumnElement[bool]:
    ended = col(PublishedChangeRow.state).in_(["done", "dismissed"])
    return and_(ended, col(PublishedChangeRow.ended_ms) < _ms(before))


def _sweeps(session: Session, before: datetime) -> Iterator[Old]:
    """Their pages and groups first, which would else be nobody's when the pass is stopped in between."""
    place = (
        func.row_number().over(partition_by=col(SweepRow.site), order_by=col(SweepRow.started_at).desc()).label("place")
    )
    ended = (
        select(col(SweepRow.id), col(SweepRow.ended_at), place).where(col(SweepRow.ended_at).is_not(None)).subquery()
    )
    doomed = session.scalars(select(ended.c.id).where(ended.c.place > 2, ended.c.ended_at < before)).all()
    for table, column in ((SweepPageRow, col(SweepPageRow.sweep_id)), (SweepGroupRow, col(SweepGroupRow.sweep_id))):
        yield Old(retention.SWEEPS, table, column.in_(doomed))
    yield Old(retention.SWEEPS, SweepRow, col(SweepRow.id).in_(doomed), BATCH_ROUNDS)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


_MICRO = 1_000_000
#: Rows of one transaction, so that nobody waits long for it.
SAMPLE_BATCH_ROWS = 20_000


def prune_samples(engine: Engine, now: datetime) -> int:
    """Delete the samples that are old and rolled up; returns how many. Safe to stop, to repeat, and beside itself."""
    cut = _cut(now)
    return sum(_prune_key(engine, key, cut) for key in _keys(engine))


def prune_roll_ups(engine: Engine, now: datetime) -> int:
    """Delete the histograms that are too old; returns how many."""
    gone = 0
    for key in _keys(engine):
        for span, kept in ROLL_UPS.items():
            old = (now - kept.age).timestamp()
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
        for span, kept in ROLL_UPS.items():
            begun = col(HistogramRow.span) == span, col(HistogramRow.start) < (now - kept.age).timestamp()
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
        if done < SAMPLE_BATCH_ROWS:
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
    last = (
        select(col(SampleRow.at_us)).where(*old).order_by(col(SampleRow.at_us)).offset(SAMPLE_BATCH_ROWS - 1).limit(1)
    )
    until = session.scalar(last)
    some = delete(SampleRow).where(*old)
    return rows_changed(session, some if until is None else some.where(col(SampleRow.at_us) <= until))


log = logging.getLogger("roundsman")

ROLLED_UP = "roll-ups of samples"
#: Which share of an SQLite file may stay free: tomorrow's rows go there, and need no new space.
SPARE_SHARE = 0.1
#: Pages that are given back in one transaction.
BATCH_PAGES = 2000


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pass did, or would do."""

    hours: int
    """Hours of samples that were rolled up."""
    gone: dict[str, int] = field(default_factory=dict)
    """How many by what they were; rows that went along with others are not counted."""
    freed: int = 0
    """Bytes that an SQLite file is shorter now."""
    spare: int = 0
    """Bytes inside an SQLite file that are used again."""
    size: int = 0
    """Bytes of an SQLite file."""


async def prune(now: datetime, *, dry_run: bool) -> Pruned:
    """Roll samples up and delete what is old; with `dry_run` count it only. Goes on wherever an earlier one stopped.

    Raises:
        LedgerError: the ledger can't be opened.
    """
    return await asyncio.to_thread(_prune, now, dry_run=dry_run)


def prune_all(engine: Engine, now: datetime) -> Pruned:
    """As `prune` without a dry run, in an open ledger. Each batch is a transaction, so it may be stopped anywhere."""
    make_days(engine, now.astimezone(UTC).date(), DAYS_AHEAD + 1)
    hours = roll_up(engine)
    log.info("rolled up: %d hours of samples", hours)
    gone = {SAMPLES.what: prune_samples(engine, now), ROLLED_UP: prune_roll_ups(engine, now)}
    with Session(engine) as session:
        doomed = find_old(session, now)
    for old in doomed:
        gone[old.retention.what] = gone.get(old.retention.what, 0) + old.delete(engine)
        log.info("deleted: %d %s", gone[old.retention.what], old.retention.what)
    freed, spare = give_back(engine)
    with engine.connect() as connection:
        return Pruned(hours, gone, freed, spare, file_size(connection))


def would_prune(engine: Engine, now: datetime) -> Pruned:
    """What `prune_all` would do now. Rounds are counted, and what goes along with them is not."""
    with Session(engine) as session:
        hours = session.scalar(select(func.count()).select_from(SampleDueRow)) or 0
        raw, spans = count_old_samples(session, now)
        gone = {SAMPLES.what: raw, ROLLED_UP: spans}
        for old in find_old(session, now):
            gone[old.retention.what] = gone.get(old.retention.what, 0) + old.count(session)
        return Pruned(hours, gone, size=file_size(session.connection()))


def give_back(engine: Engine) -> tuple[int, int]:
    """Shorten an SQLite file by what it has free beyond its share; says by how many bytes, and how many stay free.

    Never by VACUUM, which keeps all others out while it writes the whole file anew. A ledger that was made before files
    could be shortened stays as long as it is, and its free pages are used again. PostgreSQL does this by itself.
    """
    if engine.dialect.name != "sqlite":
        return 0, 0
    # Not in a transaction of the engine's: each step ends before the next one begins, so that others can write.
    with closing(engine.raw_connection()) as opened, closing(opened.cursor()) as cursor:

        def asked(pragma: str) -> int:
            return int(cursor.execute(f"PRAGMA {pragma}").fetchone()[0])

        size, pages, free = asked("page_size"), asked("page_count"), asked("freelist_count")
        kept = int(SPARE_SHARE * (pages - free) / (1 - SPARE_SHARE))
        before = free
        while asked("auto_vacuum") == 2 and free > kept:
            cursor.execute(f"PRAGMA incremental_vacuum({min(BATCH_PAGES, free - kept)})").fetchall()
            free = asked("freelist_count")
        # The log of changes would else stay as long as the longest time between two checkpoints made it.
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return (before - free) * size, free * size


def _prune(now: datetime, *, dry_run: bool) -> Pruned:
    with use_ledger() as engine:
        return would_prune(engine, now) if dry_run else prune_all(engine, now)
