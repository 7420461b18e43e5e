"""What became of each run that a schedule promises, and which runs will never end by themselves."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class SlotState(StrEnum):
    """What became of a slot."""

    WAITING = "waiting"
    STARTED = "started"
    FINISHED = "finished"
    NOT_STARTED = "not_started"
    OVERRUN = "overrun"
    TOO_FAST = "too_fast"
    DID_NOTHING = "did_nothing"
    LATE = "late"
    FAILED = "failed"
    PAUSED = "paused"
    SKIPPED = "skipped"


#: What is worth a message. A skipped slot is, when it was for want of a slot: see `kind`.
TROUBLE = frozenset(
    {
        SlotState.NOT_STARTED,
        SlotState.OVERRUN,
        SlotState.TOO_FAST,
        SlotState.DID_NOTHING,
        SlotState.LATE,
        SlotState.FAILED,
        SlotState.PAUSED,
    }
)
#: The trouble with a run that no slot is left for.
EXTRA_RUN = "extra_run"
#: The deployment of the slot that is missed on purpose once a day. No other is of this name, and nobody is told.
SELF_TEST = "self-test"
#: Names that Prefect's end state has when a round recorded what it found; the round's own alerts tell of it.
RECORDED = frozenset({"Breach", "Unknown"})
#: Name of the state of a run that was closed from outside.
CLOSED = "Closed"
#: Jobs whose every run leaves a round in the ledger, by the name of their function.
KEEPS_ROUNDS = frozenset({"inspect_site"})

#: What the detail of a slot begins with that was skipped because another run held its deployment's place.
REFUSED = "for want of a slot: "

#: Prefect's name for the state of a run that waits for another one of its deployment.
TURN = "AwaitingConcurrencySlot"

#: Seconds that a run may be on its way to a worker's process.
PENDING_SECONDS = 600.0
#: Seconds in which a run that broke down can speak for itself.
HOOK_SECONDS = 30.0
#: So many heartbeats have to be missing.
MISSED_HEARTBEATS = 3


#: The deployment that a slot is of, and when its run is to start.
SlotTime = tuple[str, datetime]


@dataclass(frozen=True, slots=True)
class Slot:
    """A promised run: its time, and its job's bounds in seconds. `rounds`: it leaves a round in the ledger."""

    deployment: str
    at: datetime
    start_grace: float
    max_runtime: float
    min_runtime: float
    rounds: bool = False

    @property
    def key(self) -> str:
        """What it is called where a run's id is wanted and it has no run."""
        return f"slot:{self.deployment}:{self.at.isoformat()}"


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Prefect shows it. `kind` is its state's type, such as RUNNING, and `state` the state's name."""

    id: str
    deployment: str
    kind: str
    state: str
    message: str
    state_id: str
    state_at: datetime
    expected_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    scheduled: bool = True
    """Whether a schedule made it, and nobody by hand."""
    made_at: datetime | None = None
    """When Prefect made it; it starts later."""
    queued: bool = False
    """Whether it waited for the end of the run before it."""
    pid: int | None = None
    worker: str = ""
    lease: str = ""
    """What its deployment's concurrency slot is held by."""

    @property
    def under_way(self) -> bool:
        """Whether it holds, or soon will hold, a process and a concurrency slot."""
        return self.kind in {"PENDING", "RUNNING", "CANCELLING"}


@dataclass(frozen=True, slots=True)
class LifeSigns:
    """Signs of a run's life: whether its process is there (None when that can't be seen from here), its last beat."""

    process: bool | None = None
    heartbeat: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What the ledger has of a run."""

    verdicts: int
    exchanges: int


def judge(slot: Slot, run: Run | None, kept: RecordedRun | None, now: datetime) -> tuple[SlotState, str]:
    """What became of a slot, and why. `kept` is None when the ledger has no round of the run."""
    if run is None or run.started_at is None:
        return _unbegun(slot, run, now)
    state, detail = _begun(slot, run, now) if run.ended_at is None else _ended(slot, run, kept, now)
    if not (late := lateness(slot, run)):
        return state, detail
    return SlotState.LATE if state is SlotState.FINISHED else state, "; ".join(filter(None, (detail, late)))


def lateness(slot: Slot, run: Run | None) -> str:
    """By how much a run began too late; empty when it has not begun, or was in time.

    One that waited for the run before it may begin as much later as a run may take.
    """
    if run is None or run.started_at is None or run.kind == "CANCELLED":
        return ""
    late = (run.started_at - slot.at).total_seconds()
    allowed = slot.start_grace + (slot.max_runtime if run.queued else 0.0)
    return f"began {late:.0f} s late; {allowed:.0f} s are its grace" if late > allowed else ""


def extra_runs(
    runs: Iterable[Run], holders: Mapping[SlotTime, str], unforeseen: Container[SlotTime]
) -> list[tuple[Run, str]]:
    """The runs that were one too many, each with what is wrong with it.

    Args:
        runs: Runs that have begun. One that somebody started by hand is never too many, and one that was tried again
            is still one run.
        holders: The runs that have begun for a slot as far as the ledger knows, by deployment and time.
        unforeseen: Deployments and times for which no schedule promised a run.
    """
    begun: dict[SlotTime, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.started_at or run.state_at, run.id)):
        if run.scheduled and run.started_at and not _refused(run):
            begun.setdefault((run.deployment, run.expected_at), []).append(run)
    found = []
    for (deployment, at), same in begun.items():
        when = f"{at:%Y-%m-%d %H:%M:%S} UTC"
        if (deployment, at) in unforeseen:
            for run in same:
                what = f"Prefect started the run {run.id} of {deployment} for {when}"
                found.append((run, f"{what}, a time that none of its schedules has"))
            continue
        holder = holders.get((deployment, at)) or same[0].id
        extra = [run for run in same if run.id != holder]
        names = " and ".join([holder, *(run.id for run in extra)])
        message = f"Prefect started {len(extra) + 1} runs of {deployment} for its one slot of {when}: {names}"
        found += [(run, message) for run in extra]
    return found


def kind(state: SlotState, run: Run | None) -> str:
    """What a slot's trouble is called in the ledger and in a message; empty when it is none.

    A run that failed goes by the name that it would have given itself, so that it is told once.
    """
    if state is SlotState.FAILED and run:
        named = {CLOSED: "closed", "TimedOut": "timed_out"}
        return named.get(run.state, "crashed" if run.kind == "CRASHED" else "failed")
    if state is SlotState.SKIPPED:
        return "cancelled" if run and _refused(run) else ""
    return state.value if state in TROUBLE else ""


def overlaps(run: Run, others: Iterable[Run]) -> bool:
    """Whether another run of the deployment was under way when this one started.

    One that was refused for want of a slot never began, though Prefect gives it a start.
    """
    return not _refused(run) and any(
        other.id != run.id
        and other.deployment == run.deployment
        and other.started_at is not None
        and run.started_at is not None
        and (other.started_at, other.id) < (run.started_at, run.id)
        and (other.ended_at is None or other.ended_at > run.started_at)
        for other in others
    )


def dead(run: Run, signs: LifeSigns, now: datetime, frequency: float, since: datetime | None) -> str:
    """Why a run that is under way will never end by itself; empty when it may.

    Args:
        run: A run.
        signs: What was seen of its life after the run itself was read.
        now: The time.
        frequency: Seconds between two of its heartbeats.
        since: Since when Prefect has answered without a break; while it was down, nobody's heartbeat was heard.
    """
    if signs.process or run.kind not in {"PENDING", "RUNNING", "CANCELLING"}:
        return ""
    if signs.process is False:
        return f"its process {run.pid} is gone, and nobody reported its end"
    if run.kind == "PENDING":
        waited = (now - run.state_at).total_seconds()
        return f"was taken by a worker {waited / 60:.0f} min ago and has not begun" if waited > PENDING_SECONDS else ""
    silent = timedelta(seconds=MISSED_HEARTBEATS * frequency)
    if signs.heartbeat and since and now - signs.heartbeat > silent and now - since > silent:
        age = (now - signs.heartbeat).total_seconds()
        return f"its last heartbeat is {age:.0f} s old, and one is due every {frequency:.0f} s"
    return ""


def _unbegun(slot: Slot, run: Run | None, now: datetime) -> tuple[SlotState, str]:
    if run and run.kind == "CANCELLED":
        return SlotState.SKIPPED, _skipped(run)
    if run and run.ended_at:
        return _ended(slot, run, None, now)
    waited = (now - slot.at).total_seconds()
    # Its turn comes when the run before it ends, which may take as long as a run may.
    before = slot.max_runtime if run and run.state == TURN else 0.0
    if waited <= slot.start_grace + before:
        return SlotState.WAITING, ""
    why = "Prefect made no run of it" if run is None else f"its run is {run.state}"
    return SlotState.NOT_STARTED, f"{why}, {waited:.0f} s after its time; {slot.start_grace:.0f} s are its grace"


def _begun(slot: Slot, run: Run, now: datetime) -> tuple[SlotState, str]:
    ran = (now - (run.started_at or now)).total_seconds()
    if ran > slot.max_runtime:
        return SlotState.OVERRUN, f"has run for {ran:.0f} s, and {slot.max_runtime:.0f} s are its most"
    return SlotState.STARTED, ""


def _ended(slot: Slot, run: Run, kept: RecordedRun | None, now: datetime) -> tuple[SlotState, str]:
    ended = run.ended_at or now
    if run.kind == "CANCELLED":
        return SlotState.SKIPPED, _skipped(run)
    # What broke down after its round was recorded may have told nobody; what was closed from outside had ended well.
    closed = run.state == CLOSED and kept is not None
    if run.kind in {"FAILED", "CRASHED"} and run.state not in RECORDED and not closed:
        if run.state != CLOSED and (now - ended).total_seconds() <= HOOK_SECONDS:
            return SlotState.STARTED, f"{run.state}; it may still speak for itself"
        return SlotState.FAILED, f"{run.state}: {run.message}"
    if run.state == CLOSED:
        return SlotState.FINISHED, "closed after its round was recorded"
    ran = (ended - (run.started_at or ended)).total_seconds()
    if slot.rounds and kept is None:
        return SlotState.DID_NOTHING, f"{run.state} after {ran:.1f} s, and the ledger has no round of it"
    if slot.rounds and kept and run.kind == "COMPLETED" and not (kept.verdicts and kept.exchanges):
        counts = f"{kept.verdicts} verdicts and {kept.exchanges} exchanges"
        return SlotState.DID_NOTHING, f"{run.state} after {ran:.1f} s with {counts}"
    if ran < slot.min_runtime:
        return SlotState.TOO_FAST, f"took {ran:.1f} s, and can't do its work in less than {slot.min_runtime:.0f} s"
    if ran > slot.max_runtime:
        return SlotState.OVERRUN, f"took {ran:.0f} s, and {slot.max_runtime:.0f} s are its most"
    return SlotState.FINISHED, ""


def _skipped(run: Run) -> str:
    if _refused(run):
        return f"{REFUSED}{run.message}"
    return f"cancelled by somebody: {run.message or 'no message'}"


def _refused(run: Run) -> bool:
    """Whether it was cancelled for want of a slot."""
    return run.kind == "CANCELLED" and "concurrency" in run.message.lower()
