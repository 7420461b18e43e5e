"""How long the ledger keeps what, and how large it may become: the one place where that is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from roundsman.ledger.rules.samples import DAY_SECONDS, FIVE_MINUTES_SECONDS, HOUR_SECONDS
from roundsman.report.rules.text import markdown_table


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the rows of some tables are kept, and which of them stay longer."""

    what: str
    tables: tuple[str, ...]
    days: int | None
    """None: for ever."""
    stays: str = ""
    """What is kept however old it is, since something still needs it."""

    @property
    def age(self) -> timedelta:
        """The days as a span of time.

        Raises:
            ValueError: it is kept for ever.
        """
        if self.days is None:
            raise ValueError(f"{self.what}: saw something that is kept for ever, wanted a number of days")
        return timedelta(days=self.days)


SAMPLES = Retention("samples, one by one", ("sample", "sample_due"), 14, "hours that are not rolled up yet")
ROLL_UPS: Mapping[int, Retention] = MappingProxyType(
    {
        FIVE_MINUTES_SECONDS: Retention("samples of 5 minutes", ("histogram",), 30),
        HOUR_SECONDS: Retention("samples of an hour", ("histogram",), 400),
        DAY_SECONDS: Retention("samples of a day", ("histogram",), 1830),
    }
)
_NEEDED = (
    "the last round of each rule and check, those an open alert names, and those around the last deployment of a site"
)
EXCHANGES = Retention("exchanges, the evidence of findings", ("exchange", "evidence"), 30, _NEEDED)
ROUNDS = Retention(
    "rounds, verdicts, findings, times per round", ("run", "verdict", "finding", "latency", "comparison"), 90, _NEEDED
)
ALERTS = Retention("alerts", ("alert",), 90, "open ones, those with a message unsent, and those a round spoke of since")
INCIDENTS = Retention("incidents", ("incident",), 90, "open ones, and those with a message unsent")
MESSAGES = Retention("messages", ("outbox",), 90, "those that are not sent, dead ones too, and all of an open incident")
SLOTS = Retention("promised runs", ("slot",), 90, "those that are not settled, and the last two of each deployment")
WATCHES = Retention("passes of the watch", ("watch",), 30, "the last one that could look, and all since")
EVENTS = Retention("runs that broke down", ("job_event",), 90)
HEALTH = Retention("looks at a health path", ("health",), 90, "the last one before a site's last deployment")
CHUNKS = Retention(
    "chunks of batch jobs", ("import_chunk",), 90, "those of jobs that did not succeed, and each job's last"
)
QUARANTINE = Retention("rows in quarantine", ("import_row_error",), 90, "those that are not replayed or dismissed")
CHANGES = Retention("changes that asked for a purge", ("published_change",), 90, "those that are not done or dismissed")
SWEEPS = Retention(
    "sweeps, with each page",
    ("sweep", "sweep_shard", "sweep_page", "sweep_group"),
    90,
    "those that have not ended, and the last two of each site that have",
)
#: Small, and proof: what was tried, when, and what a batch job has done already and must never do again.
FOR_EVER = Retention(
    "releases, rehearsals, query plans, uses of indexes, batch jobs, and what samples or purges have in common",
    (
        "release",
        "rehearsal",
        "rehearsal_attempt",
        "rehearsal_leg",
        "rehearsal_lease",
        "migration_rehearsal",
        "query_plan",
        "index_use",
        "import_job",
        "sample_key",
        "purge_bucket",
    ),
    None,
)
#: In the order in which rows are deleted.
RETENTION = (
    SAMPLES,
    *ROLL_UPS.values(),
    EXCHANGES,
    ROUNDS,
    ALERTS,
    INCIDENTS,
    MESSAGES,
    SLOTS,
    WATCHES,
    EVENTS,
    HEALTH,
    CHUNKS,
    QUARANTINE,
    CHANGES,
    SWEEPS,
    FOR_EVER,
)


def table() -> str:
    """All of it as a Markdown table."""
    rows = ([kept.what, f"{kept.days} days" if kept.days else "for ever", kept.stays or "-"] for kept in RETENTION)
    return markdown_table(("what", "kept", "stays longer"), rows)


#: Bytes up to which an SQLite file is a comfortable ledger. Measured by `python -m benchmarks ledger`, in the memory of
#: a machine of 23 GB: from 0.1 to 7.7 GB a status takes 0.02 to 0.04 s and a round 25 to 52 ms, and the nightly pass
#: grows by 8 s for each GB, in which others wait a third of a second at a time, at most. The number is two thirds of
#: the largest file measured, so that it is told while there is time to move.
COMFORT_BYTES = 5_000_000_000
#: Part of README.md that says how to move.
_HOW = 'move to PostgreSQL: see "From SQLite to PostgreSQL" in README.md'


def crowded(size: int) -> str:
    """What an operator should know of an SQLite ledger of so many bytes; empty while it is comfortable."""
    if size <= COMFORT_BYTES:
        return ""
    return f"the ledger has {size / 1e9:.1f} GB; SQLite is comfortable up to {COMFORT_BYTES / 1e9:g} GB; {_HOW}"
