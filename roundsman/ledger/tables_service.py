"""The ledger's tables beside the rounds: what was told of them, which runs were expected, and whether the site was up.

A change here needs a migration beside it in `migrations/versions/`; a test holds the two against each other.
"""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from roundsman.ledger.base import Json, LedgerTable, UtcTime


class AlertRow(LedgerTable, table=True):
    """What is known, and was told, about one subject of one check."""

    __tablename__ = "alert"
    __table_args__ = (UniqueConstraint("site", "check", "subject"), Index(None, "state"))

    id: int | None = Field(default=None, primary_key=True)
    site: str
    check: str
    subject: str
    rule: str
    owner: str
    state: str
    """ok, pending, firing, recovering or resolved."""
    since: datetime = Field(sa_type=UtcTime)
    """When it came into this state."""
    recent: list[str] = Field(sa_type=Json)
    """The last outcomes, the newest at the end."""
    opened_at: datetime | None = Field(default=None, sa_type=UtcTime)
    """When the trouble began that is told under `dedup_key`."""
    dedup_key: str = ""
    """The same from open to resolved; empty while nothing is open."""
    incident: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    """Key of the last incident that it was a part of."""
    told_at: datetime | None = Field(default=None, sa_type=UtcTime)
    """When a message about it was last put into the outbox; None while nobody was sent one."""
    folded: int = 0
    """Rounds that said the same since it was last told."""
    run_id: str
    """The round that brought it here; applied again it changes nothing."""


class IncidentRow(LedgerTable, table=True):
    """What began to fire in one round: one message per channel when it opens, and one when all of it is well again."""

    __tablename__ = "incident"
    __table_args__ = (UniqueConstraint("key"), Index(None, "site", "resolved_at"))

    id: int | None = Field(default=None, primary_key=True)
    key: str
    """Under which its messages go, from the first to the last."""
    site: str
    check: str
    """With `subject`, what it is known by: its worst fault."""
    subject: str
    level: str
    """critical, error or warning."""
    reminders: int = 0
    """So many times it was told of again."""
    headline: str
    """Subject and body of what a channel is sent that has not heard of it yet, as of a time."""
    body: str
    as_of: datetime = Field(sa_type=UtcTime)
    opened_at: datetime = Field(sa_type=UtcTime)
    resolved_at: datetime | None = Field(default=None, sa_type=UtcTime)
    """When the last of it was well again; None while it is open."""


class SlotRow(LedgerTable, table=True):
    """One run that a schedule promises, and what became of it."""

    __tablename__ = "slot"
    __table_args__ = (UniqueConstraint("deployment", "slot_at"), Index(None, "state", "slot_at"))

    id: int | None = Field(default=None, primary_key=True)
    deployment: str
    """The name that Prefect shows, such as inspect-demo."""
    site: str
    slot_at: datetime = Field(sa_type=UtcTime)
    start_grace_s: float
    max_runtime_s: float
    min_runtime_s: float
    state: str
    """waiting, started, finished, not_started, overrun, too_fast, did_nothing, late, failed, paused or skipped."""
    since: datetime = Field(sa_type=UtcTime)
    flow_run_id: str | None = None
    started_at: datetime | None = Field(default=None, sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)
    overlapped: bool = False
    """Another run of the deployment was under way when it started."""
    detail: str = ""


class WatchRow(LedgerTable, table=True):
    """One pass of the switch that notices what did not run."""

    __tablename__ = "watch"
    __table_args__ = (Index(None, "at"),)

    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_type=UtcTime)
    seconds: float
    ok: bool
    detail: str = ""


class JobEventRow(LedgerTable, table=True):
    """A run that could not speak for itself: it broke down, or somebody else had to close it."""

    __tablename__ = "job_event"
    __table_args__ = (UniqueConstraint("flow_run_id", "kind"), Index(None, "at"))

    id: int | None = Field(default=None, primary_key=True)
    flow_run_id: str
    kind: str
    """failed, crashed, closed, cancelled, overlapping, extra_run, or the state of a slot that is trouble."""
    deployment: str
    job: str
    site: str
    at: datetime = Field(sa_type=UtcTime)
    message: str


class HealthRow(LedgerTable, table=True):
    """One look at a site's health path."""

    __tablename__ = "health"
    __table_args__ = (Index(None, "site", "at"),)

    id: int | None = Field(default=None, primary_key=True)
    site: str
    at: datetime = Field(sa_type=UtcTime)
    up: bool
    status: int
    first_byte_ms: float
    detail: str = ""


class LatencyRow(LedgerTable, table=True):
    """Response times of one route and cache state in one round."""

    __tablename__ = "latency"
    __table_args__ = (UniqueConstraint("run_id", "path", "cache_state"),)

    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(foreign_key="run.id", ondelete="CASCADE")
    path: str
    cache_state: str
    """hit or miss, or origin."""
    samples: int
    p50_ms: float
    p95_ms: float
    hits: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """So many of the plain visits came from the store."""
    asked: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    """Plain visits of which a cache said what it did."""


class ComparisonRow(LedgerTable, table=True):
    """What a comparison of two releases made of one route in one cache state."""

    __tablename__ = "comparison"
    __table_args__ = (UniqueConstraint("run_id", "path", "cache_state"),)

    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(foreign_key="run.id", ondelete="CASCADE")
    version: str
    """The release that was compared with the one before it; empty for two that ran side by side."""
    path: str
    cache_state: str
    ratio: float
    """New times over old ones."""
    low: float | None = None
    """An end of its 95 % interval; None where the sample can't tell it."""
    high: float | None = None
    word: str
    margin: float


class ReleaseRow(LedgerTable, table=True):
    """A version of a site, from when it was first seen, or since when it is told to run."""

    __tablename__ = "release"
    __table_args__ = (UniqueConstraint("site", "seen_at"),)

    id: int | None = Field(default=None, primary_key=True)
    site: str
    version: str
    seen_at: datetime = Field(sa_type=UtcTime)
    source: str = Field(default="site", sa_column_kwargs={"server_default": "site"})
    """Who said so: site, board or command."""
