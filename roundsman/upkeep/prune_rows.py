"""Deleting what nothing needs any more, in batches by primary key."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, MetaData, Table, and_, delete, exists, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased
from sqlmodel import col

from roundsman.alerts.rules.alert import AlertState
from roundsman.batch.rules import Status
from roundsman.ledger.base import LedgerTable
from roundsman.ledger.days import OldDays
from roundsman.ledger.outbox import OutboxRow
from roundsman.ledger.releases import read_releases
from roundsman.ledger.rounds import last_look_before, rounds_around
from roundsman.ledger.rules import retention
from roundsman.ledger.rules.releases import deployments
from roundsman.ledger.rules.retention import Retention
from roundsman.ledger.tables_imports import ImportChunkRow, ImportJobRow, ImportRowErrorRow
from roundsman.ledger.tables_purges import PublishedChangeRow
from roundsman.ledger.tables_rounds import ExchangeRow, RunRow, VerdictRow
from roundsman.ledger.tables_service import (
    AlertRow,
    HealthRow,
    IncidentRow,
    JobEventRow,
    ReleaseRow,
    SlotRow,
    WatchRow,
)
from roundsman.ledger.tables_sweeps import SweepGroupRow, SweepPageRow, SweepRow
from roundsman.ledger.transaction import rows_changed, writing_session
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
