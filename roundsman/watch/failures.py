"""A run that broke down: what the ledger knows of it, and writing it down with the messages about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.alerts.alerts import JOB, last_release, tell_of_job
from roundsman.alerts.rules.notice import Notice
from roundsman.alerts.rules.runbook import Command, Runbook
from roundsman.ledger.ledger import command_hash, known
from roundsman.ledger.tables import IncidentRow, JobEventRow, OutboxRow, RehearsalRow, RunRow
from roundsman.ledger.transaction import clock, insert_row, writing_session
from roundsman.report.rules.rehearsed import Rehearsal
from roundsman.site.rules.release import Release

#: What a run's bad end is called, by whoever reports it.
ENDS = ("failed", "crashed", "timed_out", "closed")


@dataclass(frozen=True, slots=True)
class FailedRun:
    """What the ledger knows of a run that broke down, and of its site."""

    is_reported: bool = False
    """Whether its end is known already: by its own round, or by `watch_jobs`, which waits for it and no longer."""
    release: Release | None = None
    rehearsal: Rehearsal | None = None


def look_up(engine: Engine, flow_run_id: str, site: str, runbook: Runbook, *, recorded: bool) -> FailedRun:
    """What is known of a run; `recorded` says whether its state is one that a round ends in, which then has told."""
    with Session(engine) as session:
        event = select(col(JobEventRow.id)).filter_by(flow_run_id=flow_run_id).where(col(JobEventRow.kind).in_(ENDS))
        is_reported = session.scalar(event.limit(1)) is not None
        # A run that broke down after it was recorded may have told nobody.
        if recorded and not is_reported:
            round_of_it = select(col(RunRow.id)).filter_by(flow_run_id=flow_run_id)
            is_reported = session.scalar(round_of_it.limit(1)) is not None
        if is_reported:
            return FailedRun(is_reported=True)
        rehearsal = None
        if isinstance(runbook.rollback, Command):
            own = select(RehearsalRow).filter_by(site=site, command_hash=command_hash(runbook.rollback.argv))
            rehearsal = session.scalars(own.order_by(col(RehearsalRow.finished_at).desc()).limit(1)).first()
        return FailedRun(release=last_release(session, site), rehearsal=known(rehearsal))


def write_failure(
    engine: Engine, row: JobEventRow, notice: Notice, channels: Sequence[str], automated: Sequence[str]
) -> None:
    """Write down that a run broke down, and put its message into the outbox for each channel but the automated ones.

    Those are notified by an automation of Prefect's.
    """
    with writing_session(engine) as session:
        if insert_row(session, row, "flow_run_id", "kind") is None:
            return
        now = clock(session)
        tell_of_job(
            session,
            notice,
            key=f"{JOB}{row.deployment}/{row.flow_run_id}",
            kind=row.kind,
            deployment=row.deployment,
            site=row.site,
            channels=channels,
            now=now,
        )
        incidents = select(col(IncidentRow.key)).filter_by(check=row.kind, subject=row.deployment, resolved_at=None)
        session.execute(
            update(OutboxRow)
            .where(
                col(OutboxRow.channel).in_(automated),
                col(OutboxRow.sent_at).is_(None),
                col(OutboxRow.dedup_key).in_(incidents),
            )
            .values(sent_at=now)
        )
