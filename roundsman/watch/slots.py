"""The ledger's page of promised runs: written ahead of time, and brought up to date by each pass of the watch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, delete, func, or_, select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.alerts.alerts import JOB, job_is_well, operators, tell_of_job
from roundsman.alerts.rules.notice import Notice
from roundsman.ledger.tables import IncidentRow, JobEventRow, OutboxRow, RunRow, SlotRow, WatchRow
from roundsman.ledger.transaction import insert_row, rows_changed, writing_session
from roundsman.site.rules.site_file import SiteFileError
from roundsman.site.site_file import load
from roundsman.watch.rules.slots import (
    EXTRA_RUN,
    REFUSED,
    SELF_TEST,
    TROUBLE,
    RecordedRun,
    Run,
    Slot,
    SlotState,
    SlotTime,
    kind,
    lateness,
)

#: How far ahead slots are written, and how far back they are made up for while nobody watched.
AHEAD, BACK = timedelta(hours=2), timedelta(days=1)
#: The same trouble of slot after slot of a deployment is told again after this time.
REMIND = timedelta(hours=12)
A_SECOND = timedelta(seconds=1)
#: The watch's own deployment, and its job.
WATCH = "watch-jobs", "watch_jobs"
#: What the detail of a pass begins with that could not look.
BLIND = "could not look: "
#: Passes further apart than this leave a time in which nobody knows whether the server answered.
GAP = timedelta(minutes=10)
#: Seconds after which the slot of the self-test counts as missed.
SELF_TEST_GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RunTrouble:
    """What is wrong with one run. `key` is its id, or says what is meant where there is no run."""

    key: str
    kind: str
    deployment: str
    job: str
    site: str
    at: datetime
    message: str
    run: str = ""


@dataclass(frozen=True, slots=True)
class JudgedSlot:
    """What became of an open slot. `dropped`: its schedule promises it no more."""

    row: SlotRow
    state: SlotState
    detail: str
    run: Run | None = None
    overlapped: bool = False
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class WatchPass:
    """What a pass of the watch found: troubles that nobody knew of, and sentences on all that is wrong now."""

    at: datetime
    new: tuple[RunTrouble, ...] = ()
    wrong: tuple[str, ...] = ()
    looked: bool = True
    self_test: bool = False
    """Whether the last slot that was missed on purpose was noticed."""
    reported_runs: tuple[str, ...] = ()
    """The runs of whose trouble a message waits in the outbox."""

    @property
    def detail(self) -> str:
        """One line for the ledger and the terminal."""
        summary = "; ".join(self.wrong) or "nothing wrong"
        return f"{'' if self.looked else BLIND}{summary}{'; self-test seen' if self.self_test else ''}"

    @property
    def exit_code(self) -> int:
        """0 nothing is wrong, 1 something is, 2 nobody could look."""
        return 2 if not self.looked else 1 if self.wrong else 0


@dataclass(frozen=True, slots=True)
class WatchFindings:
    """What a pass is to write down. `jobs` go by their deployments' names; `idle` ones have no schedule."""

    now: datetime
    judged: Sequence[JudgedSlot] = ()
    closed: Sequence[RunTrouble] = ()
    jobs: Mapping[str, str] = field(default_factory=dict)
    idle: frozenset[str] = frozenset()
    more: Sequence[RunTrouble] = ()
    """Troubles that are of no slot."""


#: Makes a message of a trouble, and says which blocks are to send it.
MakeNotice = Callable[[RunTrouble], tuple[Notice, Sequence[str]]]


def channels_for(site_name: str) -> list[str]:
    """The blocks that are told of a site's jobs: its own, and those that hear of everything."""
    try:
        notify = load(site_name).notify if site_name else None
    except SiteFileError:
        notify = None
    return list(dict.fromkeys([*(notify.channels if notify else ()), *operators()]))


def looked_at(engine: Engine) -> datetime | None:
    """When the last pass that could look was; None before the first."""
    with Session(engine) as session:
        return session.scalar(select(func.max(col(WatchRow.at))).where(~_blind()))


def answered_since(engine: Engine, now: datetime) -> datetime | None:
    """Since when pass after pass found the server answering, half an hour back at most; None when that is not known."""
    rows = select(col(WatchRow.at), col(WatchRow.detail)).where(
        col(WatchRow.at) > now - timedelta(minutes=30), col(WatchRow.at) <= now
    )
    since, later = None, now
    with Session(engine) as session:
        for at, detail in session.execute(rows.order_by(col(WatchRow.at).desc())):
            if detail.startswith(BLIND) or later - at > GAP:
                break
            since = later = at
    return since


def promise(engine: Engine, slots: Iterable[tuple[Slot, str]], now: datetime) -> None:
    """Write down slots, each with its site, that are to come; one that is there already stays as it is."""
    with writing_session(engine) as session:
        for slot, site in slots:
            row = SlotRow(
                deployment=slot.deployment,
                site=site,
                slot_at=slot.at,
                start_grace_s=slot.start_grace,
                max_runtime_s=slot.max_runtime,
                min_runtime_s=slot.min_runtime,
                state=SlotState.WAITING.value,
                since=now,
            )
            _insert(session, row)


def open_slots(engine: Engine, now: datetime) -> list[SlotRow]:
    """Slots of which more is to come. One without a run is given up after a day."""
    unsettled = [SlotState.WAITING, SlotState.STARTED, SlotState.NOT_STARTED]
    running = col(SlotRow.started_at).is_not(None) & col(SlotRow.ended_at).is_(None)
    recent = or_(col(SlotRow.slot_at) > now - BACK, running)
    wanted = or_(col(SlotRow.state).in_(unsettled), (col(SlotRow.state) == SlotState.OVERRUN) & running)
    with Session(engine) as session:
        return list(session.scalars(select(SlotRow).where(wanted, recent).order_by(col(SlotRow.slot_at))))


def holders(engine: Engine, begun: Iterable[Run]) -> dict[SlotTime, str]:
    """The promised slots among the times of some runs, each with the run that has begun for it, if one has."""
    wanted = {(run.deployment, run.expected_at) for run in begun}
    if not wanted:
        return {}
    at = [at for _, at in wanted]
    rows = select(col(SlotRow.deployment), col(SlotRow.slot_at), col(SlotRow.flow_run_id), col(SlotRow.started_at))
    with Session(engine) as session:
        found = session.execute(rows.where(col(SlotRow.slot_at).between(min(at), max(at))))
        return {(name, at): run if run and start else "" for name, at, run, start in found if (name, at) in wanted}


def unwatched(before: datetime, now: datetime) -> list[RunTrouble]:
    """The trouble with a pass that comes so late that it can't make up for all slots since the one `before`."""
    if now - before <= BACK:
        return []
    hours = (now - before) / timedelta(hours=1)
    message = f"nobody watched for {hours:.0f} hours; what ran before {now - BACK:%Y-%m-%d %H:%M} UTC was not looked at"
    return [RunTrouble(f"watch:unwatched:{before.isoformat()}", "unwatched", *WATCH, "", now, message)]


def foresaw(engine: Engine, at: datetime) -> bool:
    """Whether a pass of the watch wrote down the slots that were promised for a time."""
    looks = select(col(WatchRow.id)).where(~_blind(), col(WatchRow.at) > at - AHEAD, col(WatchRow.at) <= at)
    with Session(engine) as session:
        return session.scalar(looks.limit(1)) is not None


def read_kept(engine: Engine, runs: Iterable[str]) -> dict[str, RecordedRun]:
    """What the ledger has of some runs, by their ids; one of which it has nothing is left out."""
    rows = select(col(RunRow.flow_run_id), col(RunRow.counts)).where(col(RunRow.flow_run_id).in_(list(runs)))
    with Session(engine) as session:
        # A run that was tried again has a round for each attempt, in this order.
        return {run: _kept(counts) for run, counts in session.execute(rows.order_by(col(RunRow.started_at))) if run}


def self_tests(since: datetime, until: datetime) -> list[Slot]:
    """The slots after `since`, one at each midnight, that nobody will ever fill."""
    days = [_midnight(since) + timedelta(days=number) for number in range((until - since).days + 2)]
    return [_self_test_slot(day) for day in days if since < day <= until]


def write(engine: Engine, found: WatchFindings, tell: MakeNotice, seconds: Callable[[], float]) -> WatchPass:
    """Write down a pass, whole or not at all: slots, troubles with their messages, and the pass itself.

    A trouble is told by the pass that wrote it first, so two passes at once tell it once.
    """
    with writing_session(engine, expire_on_commit=False) as session:
        troubles = [*found.closed, *found.more]
        for judged in found.judged:
            troubles += _settle(session, judged, found)
        new = tuple(trouble for trouble in troubles if _insert(session, _event(trouble)))
        noticed = _self_test(session, found.now)
        missed = [_blind_to_itself(found.now)] if noticed is False else []
        new = (*new, *(trouble for trouble in missed if _insert(session, _event(trouble))))
        new = tuple(trouble for trouble in new if trouble.deployment != SELF_TEST)
        reported_runs = _tell(session, new, tell, found.now)
        _close_what_is_well(session, found, noticed=noticed)
        fresh = [one for one in new if one in found.more]
        closed = [f"{one.deployment}: {one.message}" for one in (*found.closed, *fresh)]
        wrong = dict.fromkeys([*closed, *_standing(session, found), *(one.message for one in missed)])
        done = WatchPass(found.now, new, tuple(wrong), self_test=noticed is True, reported_runs=reported_runs)
        session.add(WatchRow(at=found.now, seconds=seconds(), ok=not wrong, detail=done.detail))
    return done


def write_blind(engine: Engine, now: datetime, why: str, tell: MakeNotice, seconds: Callable[[], float]) -> WatchPass:
    """Write down a pass that could not look. The first one after one that could is told."""
    with writing_session(engine) as session:
        looked = session.scalar(select(func.max(col(WatchRow.at))).where(~_blind()))
        first = select(func.min(col(WatchRow.at))).where(_blind())
        since = session.scalar(first.where(col(WatchRow.at) > looked) if looked else first) or now
        trouble = RunTrouble(f"watch:{since.isoformat()}", "unreachable", *WATCH, "", now, why)
        new = (trouble,) if _insert(session, _event(trouble)) else ()
        _tell(session, new, tell, now)
        done = WatchPass(now, new, (why,), looked=False)
        session.add(WatchRow(at=now, seconds=seconds(), ok=False, detail=done.detail))
    return done


def slot_of(row: SlotRow, *, rounds: bool) -> Slot:
    """A row as the rules read it."""
    return Slot(row.deployment, row.slot_at, row.start_grace_s, row.max_runtime_s, row.min_runtime_s, rounds)


def _blind() -> Any:
    return col(WatchRow.detail).startswith(BLIND)


def _kept(counts: Mapping[str, int]) -> RecordedRun:
    others = {"findings", "exchanges"}
    verdicts = sum(number for name, number in counts.items() if name not in others)
    return RecordedRun(verdicts, counts.get("exchanges", 0))


def _settle(session: Session, judged: JudgedSlot, found: WatchFindings) -> list[RunTrouble]:
    """Bring a slot up to date; the troubles that it came into. Another pass may have been faster."""
    row, run = judged.row, judged.run
    mine = (col(SlotRow.id) == row.id, col(SlotRow.state) == row.state)
    if judged.dropped and row.slot_at > found.now:
        session.execute(delete(SlotRow).where(*mine))
        return []
    changed = judged.state != row.state
    values: dict[str, Any] = {"detail": judged.detail, "overlapped": judged.overlapped or row.overlapped}
    if changed:
        values |= {"state": judged.state.value, "since": found.now}
    if run:
        values |= {"flow_run_id": run.id, "started_at": run.started_at, "ended_at": run.ended_at}
    if not rows_changed(session, update(SlotRow).where(*mine).values(**values)):
        return []
    kinds = [kind(judged.state, run)] if changed else []
    # Its own message, unless another one has it: that the slot had no run, or what else was wrong with the run.
    if judged.state in {SlotState.STARTED, SlotState.LATE, SlotState.FAILED} and lateness(
        slot_of(row, rounds=False), run
    ):
        kinds = [*(name for name in kinds if name != SlotState.LATE), *_late(session, row)]
    if judged.overlapped and not row.overlapped:
        kinds.append("overlapping")
    return [_trouble(judged, name, found) for name in kinds if name]


def _late(session: Session, row: SlotRow) -> list[str]:
    missed = select(col(JobEventRow.id)).filter_by(
        flow_run_id=slot_of(row, rounds=False).key, kind=SlotState.NOT_STARTED.value
    )
    return [] if session.scalar(missed.limit(1)) else [SlotState.LATE.value]


def _trouble(judged: JudgedSlot, name: str, found: WatchFindings) -> RunTrouble:
    row, run = judged.row, judged.run
    # Its run may only be known later, and then it is no other trouble.
    key = run.id if run and judged.state is not SlotState.NOT_STARTED else slot_of(row, rounds=False).key
    late = lateness(slot_of(row, rounds=False), run) if name == SlotState.LATE else ""
    what = "another run was under way when it started" if name == "overlapping" else late or judged.detail
    message = f"{what} (promised for {row.slot_at:%H:%M:%S} UTC)"
    job = found.jobs.get(row.deployment, "")
    return RunTrouble(key, name, row.deployment, job, row.site, found.now, message, run.id if run else "")


def _event(trouble: RunTrouble) -> JobEventRow:
    return JobEventRow(
        flow_run_id=trouble.key,
        kind=trouble.kind,
        deployment=trouble.deployment,
        job=trouble.job,
        site=trouble.site,
        at=trouble.at,
        message=trouble.message,
    )


def _insert(session: Session, row: SlotRow | JobEventRow) -> bool:
    """Insert a row unless it is there; says whether it is new."""
    unique = ("deployment", "slot_at") if isinstance(row, SlotRow) else ("flow_run_id", "kind")
    return insert_row(session, row, *unique) is not None


def _tell(session: Session, new: Sequence[RunTrouble], tell: MakeNotice, now: datetime) -> tuple[str, ...]:
    """Put the messages of new troubles into the outbox, one for all slots of a deployment with the same one.

    Returns the runs of whose trouble somebody is told.
    """
    groups: dict[tuple[str, str], list[RunTrouble]] = {}
    for trouble in new:
        # Prefect's own automation tells a refusal at once.
        if trouble.kind != "cancelled":
            groups.setdefault((trouble.deployment, trouble.kind), []).append(trouble)
    reported_runs: list[str] = []
    for group in groups.values():
        last = group[-1]
        notice, channels = tell(last)
        if len(group) > 1:
            notice = Notice(f"{notice.subject} ({len(group)} times)", notice.body)
        tell_of_job(
            session,
            notice,
            key=f"{JOB}{last.deployment}/{last.key}",
            kind=last.kind,
            deployment=last.deployment,
            site=last.site,
            channels=channels,
            now=now,
            again=not _is_known(session, last, now),
        )
        if channels:
            reported_runs += [one.run for one in group if one.run]
    return tuple(reported_runs)


def _close_what_is_well(session: Session, found: WatchFindings, *, noticed: bool | None) -> None:
    """Close the troubles of jobs that have run well since; that of a job without a schedule is forgotten in the end."""
    still_open = select(IncidentRow).where(col(IncidentRow.key).startswith(JOB), col(IncidentRow.resolved_at).is_(None))
    for incident in session.scalars(still_open.order_by(col(IncidentRow.id)).with_for_update()).all():
        scheduled = incident.subject in found.jobs.keys() - found.idle
        if incident.check == "self_test":
            well = noticed is True
        elif incident.check == "unreachable":
            well = True
        else:
            last = _last_settled(session, incident.subject) if scheduled else None
            well = last is not None and last.since > incident.as_of and not _is_wrong(last)
            if not scheduled and found.now - incident.as_of > REMIND:
                session.delete(incident)
        if well:
            job_is_well(session, incident, channels_for(incident.site), found.now)


def _is_known(session: Session, trouble: RunTrouble, now: datetime) -> bool:
    """Whether the slots before it were in the same trouble, and that was told not long ago."""
    if trouble.kind not in {*TROUBLE, EXTRA_RUN}:
        return False
    recent = select(col(OutboxRow.id)).where(
        col(OutboxRow.dedup_key).startswith(f"job/{trouble.deployment}/", autoescape=True),
        col(OutboxRow.kind) == trouble.kind,
        col(OutboxRow.created_at) > now - REMIND,
    )
    if session.scalar(recent.limit(1)) is None:
        return False
    if trouble.kind == EXTRA_RUN:
        return True
    before = select(col(SlotRow.state)).filter_by(deployment=trouble.deployment)
    settled = before.where(col(SlotRow.state).not_in([SlotState.WAITING, SlotState.STARTED]))
    states = session.scalars(settled.order_by(col(SlotRow.slot_at).desc()).limit(2)).all()
    return len(states) == 2 and set(states) == {trouble.kind}


def _standing(session: Session, found: WatchFindings) -> list[str]:
    """What is wrong with the last settled slot of each scheduled deployment."""
    sentences = []
    for name in sorted(found.jobs.keys() - found.idle):
        row = _last_settled(session, name)
        if row and _is_wrong(row):
            sentences.append(f"{name} {row.state.replace('_', ' ')}: {row.detail or 'overlapping'}")
    return sentences


def _last_settled(session: Session, deployment: str) -> SlotRow | None:
    settled = select(SlotRow).filter_by(deployment=deployment)
    settled = settled.where(col(SlotRow.state).not_in([SlotState.WAITING, SlotState.STARTED]))
    return session.scalars(settled.order_by(col(SlotRow.slot_at).desc()).limit(1)).first()


def _is_wrong(row: SlotRow) -> bool:
    wanted = row.state == SlotState.SKIPPED and row.detail.startswith(REFUSED)
    return row.state in TROUBLE or wanted or row.overlapped


def _self_test(session: Session, now: datetime) -> bool | None:
    """Whether the last self-test was noticed; None when none was due since the first pass."""
    first = session.scalar(select(func.min(col(WatchRow.at))).where(~_blind()))
    slot = _self_test_slot(_midnight(now - timedelta(seconds=SELF_TEST_GRACE_SECONDS + 1)))
    if first is None or first >= slot.at:
        return None
    noticed = select(col(JobEventRow.id)).filter_by(flow_run_id=slot.key, kind=SlotState.NOT_STARTED.value)
    return session.scalar(noticed) is not None


def _blind_to_itself(now: datetime) -> RunTrouble:
    message = "the watch itself is broken: it did not notice the slot that is missed on purpose"
    return RunTrouble(f"watch:{_self_test_slot(_midnight(now)).key}", "self_test", *WATCH, "", now, message)


def _self_test_slot(day: datetime) -> Slot:
    return Slot(SELF_TEST, day, SELF_TEST_GRACE_SECONDS, 0, 0)


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
