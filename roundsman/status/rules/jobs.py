"""Are jobs failing? By what became of each promised run, and by the runs that could not speak for themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from roundsman.alerts.rules.runbook import RUNBOOKS, NothingToUndo
from roundsman.report.rules.rehearsed import ago
from roundsman.report.rules.text import scrubbed
from roundsman.report.rules.verdict import Outcome
from roundsman.status.rules.facts import WATCH_LASTS_SECONDS, JobFacts, Mark, PromisedRun, RecordedTrouble
from roundsman.watch.rules.slots import EXTRA_RUN, SELF_TEST, SlotState

#: The watch's own trouble, which is over with its next pass.
UNREACHABLE = "unreachable"
#: A schedule that somebody paused: nothing broke, and nothing runs.
_PAUSED = "did not run, for its schedule is paused"
#: What is said of a slot's state, and of the kind of trouble that a run had.
_STATES: dict[str, str] = {
    SlotState.NOT_STARTED: "did not start",
    SlotState.OVERRUN: "ran too long",
    SlotState.TOO_FAST: "ended too fast to have done its work",
    SlotState.DID_NOTHING: "did nothing",
    SlotState.LATE: "was late",
    SlotState.FAILED: "failed",
    SlotState.PAUSED: _PAUSED,
}
_KINDS: dict[str, str] = {
    **_STATES,
    "closed": "had to be closed from outside",
    EXTRA_RUN: "had a run too many",
    "overlapping": "overlapped with another run",
    "self_test": "missed its self-test",
    "timed_out": "timed out",
    "unwatched": "did not look for more than a day",
    UNREACHABLE: "could not reach Prefect",
}
_ELSEWHERE = "stands in the job's description in Prefect"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A run that ended well, or what was wrong with it. `over` says that nothing of it is wrong now."""

    deployment: str
    at: datetime
    wrong: str = ""
    over: bool = False
    flow_run: str = ""
    detail: str = ""
    job: str = ""

    @property
    def outcome(self) -> Outcome:
        """How it counts in a history."""
        return Outcome.PASS if not self.wrong else Outcome.WARN if self.over else Outcome.FAIL


@dataclass(frozen=True, slots=True)
class JobsAnswer:
    """What can be said of some jobs."""

    outcome: Outcome
    says: str
    since: datetime | None = None
    flow_run: str = ""
    rollback: str = ""
    rehearsed: str = ""
    history: tuple[Mark, ...] = ()
    details: tuple[str, ...] = ()


def judge_jobs(jobs: JobFacts, now: datetime) -> JobsAnswer:
    """Whether jobs fail: by the last day, and each job by its last run."""
    events = _events(jobs)
    history = tuple(Mark(one.at, one.outcome) for one in events)
    day = [one for one in events if one.at > now - timedelta(days=1)]
    wrong = [one for one in reversed(day) if one.wrong]
    details = tuple(_line(one) for one in wrong)
    last = {one.deployment: one for one in day}
    if failing := [one for one in last.values() if one.wrong and not one.over]:
        run = max(failing, key=lambda one: one.at)
        more = len(failing) - 1
        rest = f"; {more} other job{'s' * (more > 1)} went wrong too" if more else ""
        says = f"Yes: {ago(run.at, now)} {_what(run)}{rest}."
        since = _since([one for one in events if one.deployment == run.deployment])
        return JobsAnswer(Outcome.FAIL, says, since, run.flow_run, *_rollback(run), history, details)
    if jobs.watched_at is None or (now - jobs.watched_at).total_seconds() > WATCH_LASTS_SECONDS:
        when = f"since {jobs.watched_at:%Y-%m-%d %H:%M} UTC" if jobs.watched_at else "yet"
        says = f"Unknown: nobody has watched for runs that did not come {when}."
        return JobsAnswer(Outcome.UNKNOWN, says, jobs.watched_at, history=history, details=details)
    if not day:
        return _by_hand(jobs, now, history)
    if paused := [one for one in last.values() if one.wrong == _PAUSED]:
        run = max(paused, key=lambda one: one.at)
        others = f" and {len(paused) - 1} more" if len(paused) > 1 else ""
        says = f"Paused: {run.deployment}{others} did not run, and will not until resumed in Prefect."
        since = _since([one for one in events if one.deployment == run.deployment])
        return JobsAnswer(Outcome.WARN, says, since, history=history, details=details)
    if wrong:
        run = wrong[0]
        count = f"{len(wrong)} of {_runs(len(day))}"
        says = f"Not now: {count} of the last day went wrong, the last {ago(run.at, now)}: {_what(run)}."
        return JobsAnswer(Outcome.WARN, says, run.at, run.flow_run, *_rollback(run), history, details)
    says = f"No: {_runs(len(day))} of the last day went well."
    return JobsAnswer(Outcome.PASS, says, _since(events), events[-1].flow_run, _ELSEWHERE, history=history)


def _by_hand(jobs: JobFacts, now: datetime, history: tuple[Mark, ...]) -> JobsAnswer:
    """What runs that no schedule promised say, when none that one promised has ended."""
    day = [one for one in jobs.unscheduled if one.at > now - timedelta(days=1)]
    if not day:
        return JobsAnswer(Outcome.UNKNOWN, "Unknown: no run of the last day has ended.", history=history)
    says = f"No: {_runs(len(day))} by hand went well in the last day, the last {ago(day[-1].at, now)}."
    marks = tuple(Mark(one.at, Outcome.PASS) for one in jobs.unscheduled)
    return JobsAnswer(Outcome.PASS, says, day[0].at, day[-1].flow_run, _ELSEWHERE, history=marks)


def _events(jobs: JobFacts) -> list[JobEvent]:
    """What is known to have ended, ascending. A run of which both sources tell is told of once."""
    by_key = {one.key: one for one in jobs.troubles}
    events, known = [], set()
    for slot in jobs.slots:
        names = {slot.flow_run, slot.key}
        event = _slot(slot, next((by_key[name] for name in names if name in by_key), None))
        if event and slot.deployment != SELF_TEST:
            events.append(event)
        if event and event.wrong:
            known |= names
    events += [_trouble(one, jobs) for one in jobs.troubles if one.key not in known and one.deployment != SELF_TEST]
    return sorted(events, key=lambda one: one.at)


def _slot(slot: PromisedRun, trouble: RecordedTrouble | None) -> JobEvent | None:
    # What hangs has no end yet, and began long ago; it went wrong when that was noticed.
    noticed = trouble.at if trouble and slot.state == SlotState.OVERRUN else slot.at
    ended = slot.ended or noticed
    if wrong := _STATES.get(slot.state):
        detail, job = (slot.detail or trouble.message, trouble.job) if trouble else (slot.detail, "")
        return JobEvent(slot.deployment, ended, wrong, wrong == _PAUSED, slot.flow_run, detail, job)
    if slot.state != SlotState.FINISHED:
        return None
    wrong = _KINDS["overlapping"] if slot.overlapped else ""
    return JobEvent(slot.deployment, ended, wrong, over=slot.overlapped, flow_run=slot.flow_run)


def _trouble(one: RecordedTrouble, jobs: JobFacts) -> JobEvent:
    wrong = _KINDS.get(one.kind, one.kind.replace("_", " "))
    over = one.kind == UNREACHABLE and jobs.watched_at is not None and jobs.watched_at > one.at
    run = "" if ":" in one.key else one.key
    return JobEvent(one.deployment, one.at, wrong, over, run, one.message, one.job)


def _since(events: Sequence[JobEvent]) -> datetime:
    """When the last unbroken run of events began that are all well, or all wrong."""
    since = events[-1].at
    for one in reversed(events):
        if bool(one.wrong) is not bool(events[-1].wrong):
            break
        since = one.at
    return since


def _what(event: JobEvent) -> str:
    return f"{event.deployment} {event.wrong}"


def _line(event: JobEvent) -> str:
    rest = f": {scrubbed(event.detail)}" if event.detail else ""
    return f"{event.at:%m-%d %H:%M} {_what(event)}{rest}"


def _rollback(event: JobEvent) -> tuple[str, str]:
    """How to go back from what a job did, and who tries that; the latter is empty when it is no command."""
    name = f".{event.job.replace('-', '_')}"
    runbook = next((one for path, one in RUNBOOKS.items() if event.job and path.endswith(name)), None)
    if runbook is None or isinstance(runbook.rollback, NothingToUndo):
        return (str(runbook.rollback) if runbook else _ELSEWHERE), ""
    by = runbook.rollback.rehearsed_by
    return str(runbook.rollback), f"rehearsed by {by}" if by else "never rehearsed"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
