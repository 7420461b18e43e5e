"""Jobs in the target database: unique by content, claimed with a lease and a fencing token, ended by their holder."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, case, func, or_, select, update

from roundsman.batch.errors import BatchError, FencedError, SourceChangedError
from roundsman.batch.points import point
from roundsman.batch.rules import HOPELESS, Status, job_key
from roundsman.ledger.tables import CHUNK, JOB, ROW_ERROR
from roundsman.ledger.transaction import NowMs, insert_new, writing

#: A row of `import_job`, with its columns as attributes.
Job = Row[Any]

_OPEN = (Status.PENDING, Status.RUNNING, Status.FAILED)
_OVERTAKEN = "overtaken by a newer edition of its source"
#: To be claimed at once; nobody died with it.
_FREE = {"status": Status.PENDING, "lease_until_ms": 0, "deaths": 0, "tries": 0}
_APPLIED = or_(JOB.c.status == Status.SUCCEEDED, JOB.c.position > 0)


@dataclass(frozen=True, slots=True)
class Edition:
    """What a job is made of."""

    kind: str
    source: str
    fingerprint: str
    params: dict[str, Any]
    snapshot: bool
    version: str


def enqueue(engine: Engine, edition: Edition) -> int:
    """The job of this edition, made if there is none: the same content twice is one job.

    Of a snapshot it is a new one once another edition, under whatever name, has applied anything; one that was
    overtaken in vain goes on.

    Raises:
        SourceChangedError: a job of the same source is not at its end, has applied rows, and began with other content.
            Only a snapshot may be overtaken by a newer one.
    """
    point("enqueue.begun")
    with writing(engine) as connection:
        point("enqueue.locked")
        params = told(edition.params)
        mine = editions(edition.kind, edition.source, edition.params)
        another = JOB.c.fingerprint != edition.fingerprint
        others = and_(mine, another)
        after = 0
        if edition.snapshot:
            _take_turns(connection, edition.kind, edition.params)
            # Editions of one feed may have names of their own, such as a date.
            after = _overtake(connection, others, and_(_series(edition.kind, edition.params), another, _APPLIED))
        else:
            _refuse_change(connection, select(JOB).where(others, JOB.c.status.in_(_OPEN), JOB.c.position > 0))
        key = job_key(edition.kind, edition.fingerprint, edition.params, after)
        if edition.snapshot:
            # Another worker may be at it, between rows of an edition of another name.
            _end(connection, and_(mine, JOB.c.job_key != key))
        values = {name: getattr(edition, name) for name in ("kind", "source", "fingerprint")}
        new = insert_new(engine, JOB, "job_key").values(
            **values,
            params=params,
            job_key=key,
            status=Status.PENDING,
            code_version=edition.version,
            created_ms=NowMs(),
        )
        point("enqueue.decided")
        connection.execute(new)
        point("enqueue.written")
        # By its key no other edition of this source has applied anything since.
        in_vain = and_(mine, JOB.c.job_key == key, JOB.c.status == Status.CANCELLED, JOB.c.last_error == _OVERTAKEN)
        connection.execute(update(JOB).where(in_vain).values(**_FREE, finished_ms=None, last_error=""))
        point("enqueue.reopened")
        found: int = connection.execute(select(JOB.c.id).where(JOB.c.job_key == key)).scalar_one()
    point("enqueue.committed")
    return found


def editions(kind: str, source: str, params: dict[str, Any]) -> ColumnElement[bool]:
    """Jobs of one source with the same parameters."""
    return and_(_series(kind, params), JOB.c.source == source)


def _series(kind: str, params: dict[str, Any]) -> ColumnElement[bool]:
    return and_(JOB.c.kind == kind, JOB.c.params == told(params))


def told(params: dict[str, Any]) -> str:
    """Parameters as a job's row has them."""
    return json.dumps(params, sort_keys=True, default=str)


def overtaken(connection: Connection, job_id: int, kind: str, params: dict[str, Any]) -> bool:
    """Whether a newer job, whatever its source is called, has applied anything; if not, none does before the commit."""
    _take_turns(connection, kind, params)
    newer = and_(_series(kind, params), JOB.c.id > job_id)
    # Whoever writes a chunk is waited for; and as a chunk has it, the job's row comes before what is applied.
    writers = or_(JOB.c.id == job_id, and_(newer, JOB.c.status.in_(_OPEN)))
    connection.execute(select(JOB.c.id).where(writers).order_by(JOB.c.id).with_for_update()).all()
    return connection.execute(select(JOB.c.id).where(newer, _APPLIED).limit(1)).first() is not None


def begun(engine: Engine, kind: str, source: str) -> bool:
    """Whether a job of this source has applied rows and is not at its end."""
    open_one = select(JOB.c.id).where(
        JOB.c.kind == kind, JOB.c.source == source, JOB.c.status.in_(_OPEN), JOB.c.position > 0
    )
    with engine.connect() as connection:
        return connection.execute(open_one.limit(1)).first() is not None


def read(engine: Engine, job_id: int) -> Job:
    """A job as it is now."""
    with engine.connect() as connection:
        return connection.execute(select(JOB).where(JOB.c.id == job_id)).one()


def first_refusal(engine: Engine, job_id: int) -> str:
    """The first row of a job that is in quarantine, and the class of its error; "" without one."""
    first = select(ROW_ERROR.c.position, ROW_ERROR.c.error_class).where(
        ROW_ERROR.c.job_id == job_id, ROW_ERROR.c.resolved_ms.is_(None)
    )
    with engine.connect() as connection:
        found = connection.execute(first.order_by(ROW_ERROR.c.position).limit(1)).first()
    return f"; the first, row {found.position}: {found.error_class}; see the quarantine for the reason" if found else ""


def holders(engine: Engine, most: int = 3) -> str:
    """Who has running jobs in a database, for whoever waits for it: worker, run, and when it last wrote; "" for nobody.

    By what was committed, so that a worker that holds a lock in the midst of a transaction is found as well.
    """
    last = select(func.max(CHUNK.c.committed_ms)).where(CHUNK.c.job_id == JOB.c.id).scalar_subquery()
    age = (NowMs() - func.coalesce(last, JOB.c.started_ms)).label("age_ms")
    running = select(JOB.c.id, JOB.c.kind, JOB.c.lease_owner, JOB.c.run_id, age).where(JOB.c.status == Status.RUNNING)
    with engine.connect() as connection:
        found = connection.execute(running.order_by(age.desc()).limit(most)).all()
    return "; ".join(
        f"job {one.id} ({one.kind}) is held by {one.lease_owner or 'an unknown worker'}, run {one.run_id or '-'}, "
        f"which last wrote {max(one.age_ms, 0) / 1000:.0f} s ago"
        for one in found
    )


def claim(engine: Engine, job_id: int, *, owner: str, lease: float, run_id: str) -> Job | None:
    """Take a job: None when somebody else holds it, or it is at its end. Whoever held it before is fenced off.

    Raises:
        BatchError: too many workers died with it and none got on; it is failed now, and can be claimed again.
    """
    held = case(
        (JOB.c.status == Status.RUNNING, JOB.c.deaths + 1), (JOB.c.status == Status.FAILED, 0), else_=JOB.c.deaths
    )
    due = or_(
        JOB.c.status.in_([Status.PENDING, Status.FAILED]),
        and_(JOB.c.status == Status.RUNNING, JOB.c.lease_until_ms <= NowMs()),
    )
    # The row of a worker within its transaction is passed over, not waited for.
    mine: Select[Any] = select(JOB.c.id).where(JOB.c.id == job_id, due).with_for_update(skip_locked=True)
    point("claim.begun")
    with writing(engine) as connection:
        point("claim.locked")
        taken = connection.execute(
            update(JOB)
            .where(JOB.c.id == mine.scalar_subquery(), due)
            .values(
                status=Status.RUNNING,
                token=JOB.c.token + 1,
                deaths=held,
                tries=case((JOB.c.status == Status.FAILED, 0), else_=JOB.c.tries),
                lease_owner=owner,
                lease_until_ms=NowMs() + int(lease * 1000),
                run_id=run_id,
                started_ms=func.coalesce(JOB.c.started_ms, NowMs()),
                last_error="",
            )
        )
        point("claim.written")
        job = connection.execute(select(JOB).where(JOB.c.id == job_id)).one() if taken.rowcount else None
    point("claim.committed")
    if job and job.deaths >= HOPELESS:
        words = f"{job.deaths} workers died one after another and none got beyond row {job.position}"
        end(engine, job, Status.FAILED, words)
        raise BatchError(f"{words}; look at the machine's log, then run the job again")
    return job


def fence(connection: Connection, job: Job, lease: float) -> None:
    """The first statement of whatever is written for a job: it is still ours, or nothing is written.

    On PostgreSQL it takes the row's lock as well, so that nobody takes the job over before the commit.

    Raises:
        FencedError: it is somebody else's, or further than we know.
    """
    held = update(JOB).where(_held(job), JOB.c.chunk_no == job.chunk_no)
    if connection.execute(held.values(lease_until_ms=NowMs() + int(lease * 1000))).rowcount != 1:
        raise FencedError(f"job {job.id} is no longer held by token {job.token}: the lease ended and it was taken over")


def advance(connection: Connection, job: Job, **values: Any) -> None:
    """Write how far a job is, in the transaction that the fence began."""
    connection.execute(update(JOB).where(JOB.c.id == job.id).values(**values))


def held(engine: Engine, job: Job) -> Job:
    """A job as it is now, for whoever does not know whether the last commit went through.

    Raises:
        FencedError: somebody else has it.
    """
    now = read(engine, job.id)
    if now.token != job.token or now.status != Status.RUNNING:
        raise FencedError(f"job {job.id} is no longer held by token {job.token}: it was taken over")
    return now


def release(engine: Engine, job: Job, error: str) -> None:
    """Give a job back, to be claimed at once; nothing when it is no longer ours. This is no death."""
    with writing(engine) as connection:
        point("release.begun")
        connection.execute(update(JOB).where(_held(job)).values(**_FREE, last_error=error))
        point("release.written")
    point("release.committed")


def end(engine: Engine, job: Job, status: Status, error: str = "") -> None:
    """Say that a job is at its end.

    Raises:
        FencedError: somebody else has it.
    """
    with writing(engine) as connection:
        point("end.begun")
        ended = {"status": status, "lease_until_ms": 0, "last_error": error, "finished_ms": NowMs()}
        if connection.execute(update(JOB).where(_held(job)).values(**ended)).rowcount != 1:
            raise FencedError(f"job {job.id} is no longer held by token {job.token}: it was taken over")
        point("end.written")
    point("end.committed")


def give_up(engine: Engine, job_id: int, by: str) -> bool:
    """End a job that nobody will finish, such as one whose file is gone. What it applied stays. False: it had ended."""
    with writing(engine) as connection:
        ended = {"status": Status.CANCELLED, "token": JOB.c.token + 1, "finished_ms": NowMs()}
        open_one = update(JOB).where(JOB.c.id == job_id, JOB.c.status.in_(_OPEN))
        return connection.execute(open_one.values(**ended, last_error=f"given up by {by}")).rowcount == 1


def _held(job: Job) -> Any:
    return and_(JOB.c.id == job.id, JOB.c.token == job.token, JOB.c.status == Status.RUNNING)


def _take_turns(connection: Connection, kind: str, params: dict[str, Any]) -> None:
    """Until the commit nobody else decides between such editions. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        who = func.hashtextextended(json.dumps([kind, told(params)]), 0)
        connection.execute(select(func.pg_advisory_xact_lock(who)))


def _overtake(connection: Connection, others: ColumnElement[bool], named: ColumnElement[bool]) -> int:
    """End the jobs of other editions of a source. Says which of all those named applied anything last; 0 for none."""
    # First: one that is within its chunk is waited for, and only then is known whether it has applied anything.
    _end(connection, others)
    point("enqueue.overtaken")
    last: int = connection.execute(select(func.coalesce(func.max(JOB.c.id), 0)).where(named)).scalar_one()
    return last


def _end(connection: Connection, jobs: ColumnElement[bool]) -> None:
    overtaken = {"status": Status.CANCELLED, "token": JOB.c.token + 1, "finished_ms": NowMs()}
    connection.execute(update(JOB).where(jobs, JOB.c.status.in_(_OPEN)).values(**overtaken, last_error=_OVERTAKEN))


def _refuse_change(connection: Connection, begun: Select[Any]) -> None:
    if other := connection.execute(begun.order_by(JOB.c.id).limit(1)).first():
        raise SourceChangedError(
            f"{other.source} has changed: job {other.id} has {other.position} rows behind it of another edition "
            f"({other.fingerprint[:12]}); run it with that one, or give it up with give_up(target, {other.id}, ...), "
            "and all rows of the new one are applied"
        )
