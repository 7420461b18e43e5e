"""What the questions are asked of, and what an answer is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.rehearsed import Rehearsal
from roundsman.report.rules.verdict import Outcome, worst
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import Site
from roundsman.status.rules.standing import Promises, StandingFault
from roundsman.timing.rules.slowness import Memory

#: Seconds from one look at a site's health and version to the next: how often `publish_status` runs.
LOOK_EVERY_SECONDS = 300.0
#: Seconds after which a pass of the switch that notices what did not run says nothing of now.
WATCH_LASTS_SECONDS = 600.0
#: How far back the pictures go, and the facts behind an answer.
DAYS = 7


class Question(StrEnum):
    """What is asked of every site, in this order."""

    PROMISES = "promises"
    UP = "up"
    SLOW = "slow"
    JOBS = "jobs"
    RELEASE = "release"

    @property
    def words(self) -> str:
        """The question as people ask it."""
        return _WORDS[self]


_WORDS = {
    Question.PROMISES: "Does the site keep its promises?",
    Question.UP: "Is it up?",
    Question.SLOW: "Is it slow?",
    Question.JOBS: "Are jobs failing?",
    Question.RELEASE: "Did the last deployment change anything?",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of a history: what came out then, and a time in milliseconds where one was taken."""

    at: datetime
    outcome: Outcome
    ms: float | None = None


@dataclass(frozen=True, slots=True)
class HealthLook:
    """One look at the path on which a site says that it is up."""

    at: datetime
    up: bool
    status: int
    first_byte_ms: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RecordedFinding:
    """One finding of a round, with what its verdict says of it."""

    check: str
    subject: str
    claim: str
    outcome: Outcome
    saw: str
    wanted: str
    rule: str
    owner: str
    expected: str
    rollback: str


@dataclass(frozen=True, slots=True)
class Latency:
    """Response times of one route and cache state in one round."""

    path: str
    state: str
    samples: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class RecentLatency:
    """Response times of one route and cache state in all rounds of the last day, and of the 7 whole days before it."""

    path: str
    state: str
    samples: int
    """Of the day."""
    p95_ms: float
    week_p95_ms: float | None = None
    """None when nothing was sampled then."""


@dataclass(frozen=True, slots=True)
class Round:
    """A round of a site. `stale_at` is when it is too old to speak for now: the second slot after it has come."""

    started: datetime
    stale_at: datetime
    flow_run: str = ""
    findings: tuple[RecordedFinding, ...] = ()
    latencies: tuple[Latency, ...] = ()


@dataclass(frozen=True, slots=True)
class PromisedRun:
    """One run that a schedule promised for a time, and what became of it."""

    deployment: str
    at: datetime
    state: str
    ended: datetime | None = None
    flow_run: str = ""
    detail: str = ""
    overlapped: bool = False

    @property
    def key(self) -> str:
        """What it is called where a run's id is wanted and it has none."""
        return f"slot:{self.deployment}:{self.at.isoformat()}"


@dataclass(frozen=True, slots=True)
class RecordedTrouble:
    """A run that could not speak for itself. `key` is its id, or says what is meant where there is no run."""

    deployment: str
    kind: str
    at: datetime
    key: str
    message: str = ""
    job: str = ""


@dataclass(frozen=True, slots=True)
class Unscheduled:
    """A run that no schedule promised, such as one by hand, and that did its work."""

    job: str
    at: datetime
    flow_run: str = ""


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What became of the runs of some jobs."""

    slots: tuple[PromisedRun, ...] = ()
    troubles: tuple[RecordedTrouble, ...] = ()
    watched_at: datetime | None = None
    """When somebody last noticed what did not run."""
    unscheduled: tuple[Unscheduled, ...] = ()
    """Runs by hand that were recorded."""
    ledger_bytes: int = 0
    """How large the ledger is, which jobs that are no single site's keep in shape; 0 where that is no matter."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a site. Everything is ascending in time and reaches back `DAYS` at most, releases excepted."""

    site: Site
    now: datetime
    promises: Promises = field(default_factory=Promises)
    ahead: tuple[int, datetime | None] = (0, None)
    """Rounds that are dated ahead of now, and how far the last one is; they are left out of all else."""
    looks: tuple[HealthLook, ...] = ()
    rounds: tuple[Mark, ...] = ()
    timed: Round | None = None
    """The last round that took response times."""
    times: tuple[Mark, ...] = ()
    """What became of the budgets in each round, with the round's highest p95."""
    lately: tuple[RecentLatency, ...] = ()
    compared: tuple[Ratio, ...] = ()
    """What a comparison made of the speed of the last release, if somebody had it compared."""
    memory: tuple[Memory, ...] = ()
    """What each route's last rounds were, as many as `slow_after` looks back at."""
    jobs: JobFacts = field(default_factory=JobFacts)
    releases: tuple[Release, ...] = ()
    """Each change of version; an empty one says that it could not be read from then on."""
    before: Round | None = None
    """The last whole round before the last deployment."""
    after: Round | None = None
    """The first whole round since."""
    rehearsals: Mapping[str, Rehearsal | None] = field(default_factory=dict)
    """The last rehearsal of each rule's rollback, and of the release's."""
    rollback_faults: Mapping[str, str] = field(default_factory=dict)
    """What the last round found to be missing of rollback commands that can't be run, by command."""
    flow_run: str = ""
    """The last round's run in Prefect."""
    ui: str = ""
    """Where Prefect's pages are; empty when nobody said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to one question, with all that whoever reads it needs next."""

    question: Question
    outcome: Outcome
    says: str
    since: datetime | None = None
    owner: str = ""
    expected: str = ""
    rollback: str = ""
    rehearsed: str = ""
    """When that was tried; empty when it is no command."""
    link: str = ""
    history: tuple[Mark, ...] = ()
    moments: tuple[datetime, ...] = ()
    """Deployments, to be drawn into the history."""
    details: tuple[str, ...] = ()
    fault: StandingFault | None = None
    """The worst fault of promises, which the answer tells."""


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """The answers for one site; `site` is empty for the jobs that are no single site's."""

    site: str
    at: datetime
    answers: tuple[Answer, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst of its answers; without one nobody could look."""
        return worst(answer.outcome for answer in self.answers) if self.answers else Outcome.UNKNOWN

    @property
    def breaks_promises(self) -> bool:
        """Whether a promise is known to be broken."""
        return any(one.question is Question.PROMISES and one.outcome is Outcome.FAIL for one in self.answers)
