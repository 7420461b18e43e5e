"""Every table of the ledger, in one file because the catalogue is whole only once all are imported.

The outbox is in each database that a batch job writes to as well.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    FunctionElement,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    UniqueConstraint,
    false,
    insert,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlmodel import Field

from roundsman.ledger.base import Json, LedgerTable, Number, UtcTime
from roundsman.report.rules.grouping import Group, group
from roundsman.report.rules.verdict import Outcome, Severity, Verdict


class RunRow(LedgerTable, table=True):
    """One round of one job."""

    __tablename__ = "run"
    __table_args__ = (
        Index(None, "site", "started_at"),
        Index(None, "site", "job", "started_at"),
        Index(None, "outcome", "started_at"),
        Index(None, "flow_run_id"),
    )

    id: str = Field(primary_key=True)
    site: str
    job: str
    started_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime = Field(sa_type=UtcTime)
    outcome: str
    counts: dict[str, int] = Field(sa_type=Json)
    """Verdicts by outcome, and how many findings and exchanges there were."""
    flow_run_id: str | None = None
    whole: bool = Field(default=True, sa_column_kwargs={"server_default": false()})
    """Whether it made every check of its job, so that what it says nothing of is not promised any more."""


class VerdictRow(LedgerTable, table=True):
    """All findings of a run about one subject."""

    __tablename__ = "verdict"
    __table_args__ = (UniqueConstraint("run_id", "position"), Index(None, "outcome"))

    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(foreign_key="run.id", ondelete="CASCADE")
    position: int
    """Its place in the run."""
    check: str
    subject: str
    rule: str
    owner: str
    outcome: str
    expected_result: str
    rollback: str


class FindingRow(LedgerTable, table=True):
    """One claim against what was seen."""

    __tablename__ = "finding"
    __table_args__ = (UniqueConstraint("verdict_id", "position"), Index(None, "claim", "outcome"))

    id: int | None = Field(default=None, primary_key=True)
    verdict_id: int = Field(foreign_key="verdict.id", ondelete="CASCADE")
    position: int
    """Its place in the verdict."""
    claim: str
    outcome: str
    saw: str
    wanted: str
    severity: str | None = None
    """Of a breach; None when there is none, or when the claim is not about privacy."""


class ExchangeRow(LedgerTable, table=True):
    """What may be kept of one request and its response: `roundsman.report.rules.exchange.told`.

    On PostgreSQL it has one more column, the `day` on which its round began, by which it lies in partitions; so have
    the links to it. `roundsman.ledger.days` takes care of them.
    """

    __tablename__ = "exchange"
    __table_args__ = (UniqueConstraint("run_id", "position"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    run_id: str = Field(foreign_key="run.id", ondelete="CASCADE")
    position: int
    """Its place in the run, in the order in which findings lean on it."""
    url: str
    method: str
    at: datetime = Field(sa_type=UtcTime)
    status: int
    error: str
    detail: str
    first_byte_ms: float
    node: str
    body_hash: str
    size: int = Field(sa_type=BigInteger)
    """Bytes of the decoded body."""
    headers: list[list[str]] = Field(sa_type=Json)


class EvidenceLink(LedgerTable, table=True):
    """An exchange that a finding leans on. One exchange can be evidence for several findings."""

    __tablename__ = "evidence"
    __table_args__ = (Index(None, "exchange_id"),)

    finding_id: int = Field(foreign_key="finding.id", ondelete="CASCADE", primary_key=True)
    exchange_id: int = Field(foreign_key="exchange.id", ondelete="CASCADE", primary_key=True, sa_type=Number)


class RehearsalRow(LedgerTable, table=True):
    """One rollback tried before it was needed. `rule` is a rule's name, or `release` for the whole site's."""

    __tablename__ = "rehearsal"
    # In this order the constraint's index also answers "when was this command last rehearsed?".
    __table_args__ = (UniqueConstraint("site", "rule", "command_hash", "finished_at", "environment"),)

    id: int | None = Field(default=None, primary_key=True)
    site: str
    rule: str
    command_hash: str
    environment: str
    ok: bool
    seconds: float
    from_version: str
    to_version: str
    finished_at: datetime = Field(sa_type=UtcTime)
    schema_head: str | None = None
    """The migration that the database was at with the older version; None when the site does not tell."""
    newer_schema_head: str | None = None
    """And with the newer one."""
    stale: str | None = None
    """Why it says nothing about today any more, as the last round saw it."""


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


class OutboxRow(LedgerTable, table=True):
    """A message that is to be sent once at least, and its channel."""

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("dedup_key", "kind", "number", "channel"),
        Index(None, "sent_at", "due_at"),
        Index(None, "told_with"),
    )

    id: int | None = Field(default=None, primary_key=True)
    dedup_key: str
    kind: str
    """firing, reminder, resolved, or the kind of trouble that a job had; purge and webhook are for machines."""
    number: int
    """Which message of this kind."""
    channel: str
    """The block that sends it, such as slack-webhook/ops, or for a purge varnish/shop."""
    site: str
    subject: str
    body: str
    created_at: datetime = Field(sa_type=UtcTime)
    due_at: datetime = Field(sa_type=UtcTime)
    attempts: int = 0
    lease_until: datetime | None = Field(default=None, sa_type=UtcTime)
    """Until then whoever took it is sending it."""
    lease_token: str = ""
    sent_at: datetime | None = Field(default=None, sa_type=UtcTime)
    error: str = ""
    """What the last attempt met."""
    told_with: int | None = None
    """The message that tells this one as well; this one counts as sent when that one is."""
    dead_at: datetime | None = Field(default=None, sa_type=UtcTime)
    """Since then it is not tried any more; `roundsman outbox --replay` tries it again."""


class SampleKeyRow(LedgerTable, table=True):
    """What many samples have in common, a `SampleKey`. Its row is the lock on all of them."""

    __tablename__ = "sample_key"
    __table_args__ = (UniqueConstraint("site", "rule", "path", "series", "cache_state", "warm"),)

    id: int | None = Field(default=None, primary_key=True)
    site: str
    rule: str
    path: str
    series: str
    """edge or origin."""
    cache_state: str
    warm: bool
    raw_from: int = Field(default=0, sa_type=BigInteger)
    """Unix seconds, a full hour: older samples are rolled up and deleted, and none is taken any more."""


class SampleRow(LedgerTable, table=True):
    """One answered request. A sample that is the same in everything is the same sample, so it may be sent twice."""

    __tablename__ = "sample"
    # SQLite then keeps the rows in the key's order and without a second copy in an index.
    __table_args__ = ({"sqlite_with_rowid": False},)

    key_id: int = Field(foreign_key="sample_key.id", ondelete="CASCADE", primary_key=True)
    at_us: int = Field(sa_type=BigInteger, primary_key=True)
    """Unix time of its start."""
    first_byte_us: int = Field(primary_key=True)
    """From its start."""
    total_us: int = Field(primary_key=True)
    late_us: int
    """How long after its due time it was started."""
    release: str


class SampleDueRow(LedgerTable, table=True):
    """An hour of a key with samples that are not in its histograms yet."""

    __tablename__ = "sample_due"

    key_id: int = Field(foreign_key="sample_key.id", ondelete="CASCADE", primary_key=True)
    hour: int = Field(sa_type=BigInteger, primary_key=True)
    """Unix seconds of its beginning."""


class HistogramRow(LedgerTable, table=True):
    """The samples of one key in one span, as a `Histogram`, counted from their due times."""

    __tablename__ = "histogram"

    key_id: int = Field(foreign_key="sample_key.id", ondelete="CASCADE", primary_key=True)
    span: int = Field(primary_key=True)
    """Seconds: one of `roundsman.ledger.rules.samples.SPANS`."""
    start: int = Field(sa_type=BigInteger, primary_key=True)
    """Unix seconds."""
    samples: int = Field(sa_type=BigInteger)
    p50_us: int = Field(sa_type=BigInteger)
    """To the first byte, as the next two, so that a history is read without its histograms."""
    p95_us: int = Field(sa_type=BigInteger)
    p99_us: int = Field(sa_type=BigInteger)
    first_byte: bytes
    total: bytes


#: Stands for the number of a shard where a finding was made while the pages were listed.
LISTING = -1


class SweepRow(LedgerTable, table=True):
    """One edition of a site's sweep."""

    __tablename__ = "sweep"
    __table_args__ = (UniqueConstraint("site", "edition"), Index(None, "site", "started_at"))

    id: int | None = Field(default=None, primary_key=True)
    site: str
    edition: str
    """What makes two sweeps two: the time at which it was due, or a word of somebody's."""
    status: str
    """listing, sweeping or done."""
    listed: int = Field(default=0, sa_type=BigInteger)
    """Pages in all shards together."""
    notes: list[str] = Field(default_factory=list, sa_type=Json)
    """What is not looked at, and why."""
    started_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)


class SweepShardRow(LedgerTable, table=True):
    """Some pages of a sweep, in their order."""

    __tablename__ = "sweep_shard"

    sweep_id: int = Field(foreign_key="sweep.id", ondelete="CASCADE", primary_key=True)
    number: int = Field(primary_key=True)
    pages: int
    paths: bytes = Field(sa_type=LargeBinary)
    """A path on each line, packed by zlib."""
    digest: str
    """SHA-256 of the paths."""


class SweepPageRow(LedgerTable, table=True):
    """What was seen of one page; its path is the one at its position in the shard."""

    __tablename__ = "sweep_page"

    sweep_id: int = Field(primary_key=True)
    shard: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    status: int = Field(sa_type=SmallInteger)
    """0 when nobody answered."""
    outcome: int = Field(sa_type=SmallInteger)
    """The weight of an `Outcome`."""
    state: str
    first_byte: int
    """Microseconds."""
    size: int = Field(sa_type=BigInteger)
    """Bytes, unpacked."""


class SweepGroupRow(LedgerTable, table=True):
    """Findings of some pages of a shard that fell together."""

    __tablename__ = "sweep_group"
    __table_args__ = (Index(None, "sweep_id"),)

    id: int | None = Field(default=None, primary_key=True)
    sweep_id: int
    shard: int
    told: dict[str, Any] = Field(sa_type=Json)


SWEEP: Table = SweepRow.__table__
SHARD: Table = SweepShardRow.__table__
PAGE: Table = SweepPageRow.__table__
GROUP: Table = SweepGroupRow.__table__


def write_groups(connection: Connection, sweep: int, shard: int, verdicts: Iterable[Verdict]) -> None:
    """Write down what was found wrong, the same fault once."""
    if groups := group(verdicts):
        connection.execute(insert(GROUP), [{"sweep_id": sweep, "shard": shard, "told": asdict(one)} for one in groups])


def read_groups(connection: Connection, sweep: int) -> list[Group]:
    """What was found wrong in each shard."""
    found = connection.execute(select(GROUP.c.told).where(GROUP.c.sweep_id == sweep)).scalars()
    return [_group(told) for told in found]


def _group(told: dict[str, Any]) -> Group:
    severity = Severity(told["severity"]) if told["severity"] else None
    return Group(
        **{**told, "outcome": Outcome(told["outcome"]), "severity": severity, "examples": tuple(told["examples"])}
    )


class _WrittenMs(FunctionElement[int]):
    """When a row was written, as its column's default."""

    type = BigInteger()
    inherit_cache = True


@compiles(_WrittenMs, "sqlite")
def _sqlite(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiles(_WrittenMs, "postgresql")
def _postgresql(_element: Any, _compiler: Any, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)"


def _else(value: Any) -> dict[str, Any]:
    return {"server_default": value}


class PublishedChangeRow(LedgerTable, table=True):
    """One change that copies in the edge have to follow: a route, or all pages with a surrogate key."""

    __tablename__ = "published_change"
    __table_args__ = (
        UniqueConstraint("site", "request_key", "number"),
        Index(None, "site", "state", "due_ms"),
        Index(None, "site", "item", "state"),
        CheckConstraint("kind IN ('route', 'key')", name="ck_published_change_kind"),
    )

    id: int | None = Field(default=None, primary_key=True)
    site: str
    """A name in deployments/sites/."""
    kind: str = Field(default="route", sa_column_kwargs=_else("route"))
    """route or key."""
    item: str
    """A path such as /articles/tomatoes, or a URL of the site; or a surrogate key."""
    request_key: str | None = None
    """Whoever writes the same request twice gives it the same one; then it is there once."""
    number: int = Field(default=0, sa_column_kwargs=_else("0"))
    """Its place in that request."""
    created_ms: int | None = Field(
        default=None, sa_type=BigInteger, nullable=False, sa_column_kwargs=_else(_WrittenMs())
    )
    state: str = Field(default="waiting", sa_column_kwargs=_else("waiting"))
    """waiting, claimed, done, quarantined or dismissed."""
    due_ms: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_else("0"))
    """It rests until then."""
    attempts: int = Field(default=0, sa_column_kwargs=_else("0"))
    """How often it was claimed."""
    lease_token: str | None = None
    """Of the claim that holds it; only that one may say what became of it."""
    lease_until_ms: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_else("0"))
    ended_ms: int | None = Field(default=None, sa_type=BigInteger)
    error: str | None = None
    """What the last attempt met."""


class PurgeBucketRow(LedgerTable, table=True):
    """The tokens left of one vendor's rate, shared by all workers."""

    __tablename__ = "purge_bucket"

    name: str = Field(primary_key=True)
    """The edge's block and what is counted, such as `cloudflare/shop requests`."""
    tokens: float
    at_ms: int = Field(sa_type=BigInteger)
    """When there were so many; in the future while a vendor wants to be left alone."""


CHANGE: Table = PublishedChangeRow.__table__
BUCKET: Table = PurgeBucketRow.__table__


class ImportJobRow(LedgerTable, table=True):
    """One edition of one source, and how far it is applied. A job is the same when its `job_key` is."""

    __tablename__ = "import_job"
    __table_args__ = (UniqueConstraint("job_key"), Index(None, "kind", "source"), Index(None, "status"))

    id: int | None = Field(default=None, primary_key=True)
    kind: str
    job_key: str
    """`roundsman.batch.rules.job_key`."""
    source: str
    fingerprint: str
    params: str
    """As JSON."""
    status: str
    """pending, running, succeeded, failed or cancelled."""
    token: int = Field(default=0, sa_type=BigInteger)
    """The fencing token: each claim has the next number, and only the newest may write."""
    lease_owner: str = ""
    lease_until_ms: int = Field(default=0, sa_type=BigInteger)
    position: int = Field(default=0, sa_type=BigInteger)
    """Rows that are behind us: applied or quarantined."""
    cursor: str = ""
    """Where the source goes on, in its own words."""
    chunk_no: int = 0
    """Chunks committed."""
    deaths: int = 0
    """Workers that died since the last commit of a chunk."""
    careful_until: int = Field(default=0, sa_type=BigInteger)
    """Up to this position rows go one at a time."""
    tries: int = 0
    """Workers that began the row at `position` alone and were not heard of again."""
    changed: int = Field(default=0, sa_type=BigInteger)
    unchanged: int = Field(default=0, sa_type=BigInteger)
    quarantined: int = Field(default=0, sa_type=BigInteger)
    code_version: str = ""
    run_id: str = ""
    """The run that holds it, or held it last."""
    last_error: str = ""
    created_ms: int = Field(sa_type=BigInteger)
    started_ms: int | None = Field(default=None, sa_type=BigInteger)
    finished_ms: int | None = Field(default=None, sa_type=BigInteger)


class ImportChunkRow(LedgerTable, table=True):
    """One committed chunk. Its key is the second guard after the fence: no chunk is committed twice."""

    __tablename__ = "import_chunk"

    job_id: int = Field(foreign_key="import_job.id", ondelete="CASCADE", primary_key=True)
    chunk_no: int = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)
    """Of its first row."""
    rows: int
    cursor: str
    """Where it began; with `rows` and `digest` the source is proven to be the same when the job goes on."""
    digest: str
    """SHA-256 of the raw bytes."""
    quarantined: int
    token: int = Field(sa_type=BigInteger)
    committed_ms: int = Field(sa_type=BigInteger)


class ImportRowErrorRow(LedgerTable, table=True):
    """A row in quarantine: what it is and why. Open until it was replayed or dismissed."""

    __tablename__ = "import_row_error"
    __table_args__ = (Index(None, "resolved_ms"),)

    job_id: int = Field(foreign_key="import_job.id", ondelete="CASCADE", primary_key=True)
    position: int = Field(sa_type=BigInteger, primary_key=True)
    payload: str
    complete: bool
    """Whether the payload is the whole row, so that it can be replayed."""
    error_class: str
    error: str
    failed_ms: int = Field(sa_type=BigInteger)
    resolved_ms: int | None = Field(default=None, sa_type=BigInteger)
    resolved_by: str = ""


JOB: Table = ImportJobRow.__table__
CHUNK: Table = ImportChunkRow.__table__
ROW_ERROR: Table = ImportRowErrorRow.__table__
#: The house's one outbox: a target has its own, and the deliverer is told which database to serve.
OUTBOX: Table = OutboxRow.__table__
TABLES = (JOB, CHUNK, ROW_ERROR, OUTBOX)


class IndexUseRow(LedgerTable, table=True):
    """An index on a node: its last count of uses, and since when it has stood still."""

    __tablename__ = "index_use"

    database: str = Field(primary_key=True)
    node: str = Field(primary_key=True)
    """The variable that holds the node's address."""
    name: str = Field(primary_key=True)
    scans: int = Field(sa_type=BigInteger)
    reset: datetime | None = Field(default=None, sa_type=UtcTime)
    """When the node last forgot its counts."""
    since: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)


class QueryPlanRow(LedgerTable, table=True):
    """A plan of a named query, from when it was first seen until it was last seen."""

    __tablename__ = "query_plan"
    # In this order the constraint's index also answers "which plan had this query last?".
    __table_args__ = (UniqueConstraint("database", "query", "since"),)

    id: int | None = Field(default=None, primary_key=True)
    database: str
    query: str
    since: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)
    statement_hash: str
    """Of the query's text: a query that was written anew has no earlier plan."""
    fingerprint: str
    """Of the kinds of steps, relations, indexes and their order; costs are left out."""
    cost: float | None = None
    """By the planner, in its own unit; None where it names none."""
    blocks: int | None = None
    """Pages that it read when it was run; None when it was not."""
    lines: list[Any] = Field(sa_type=Json)
    """The plan as it is shown, a line for each step."""


class MigrationRehearsalRow(LedgerTable, table=True):
    """One rehearsal; `roundsman.database.rules.judge_migrations.MigrationRehearsal` says what is what."""

    __tablename__ = "migration_rehearsal"
    # In this order the constraint's index also answers "when was this database last rehearsed?".
    __table_args__ = (UniqueConstraint("database", "finished_at"),)

    id: int | None = Field(default=None, primary_key=True)
    database: str
    from_revision: str
    to_revision: str
    outcome: str
    up_s: float
    projected_s: float
    down_s: float | None = None
    reads_blocked_s: float
    writes_blocked_s: float
    finished_at: datetime = Field(sa_type=UtcTime)


class RehearsalLeaseRow(LedgerTable, table=True):
    """The right to run a site's commands in one environment."""

    __tablename__ = "rehearsal_lease"

    site: str = Field(primary_key=True)
    environment: str = Field(primary_key=True)
    token: int = Field(default=0, sa_type=BigInteger)
    """The fencing token: each claim has the next number, and only the newest may write."""
    owner: str = ""
    """Machine and process that hold it, or held it last."""
    until_ms: int = Field(default=0, sa_type=BigInteger)


class RehearsalAttemptRow(LedgerTable, table=True):
    """One rehearsal that was begun."""

    __tablename__ = "rehearsal_attempt"
    __table_args__ = (Index(None, "site", "environment", "state"),)

    id: int | None = Field(default=None, primary_key=True)
    site: str
    environment: str
    state: str
    """running, by-hand (somebody has to end it), succeeded or failed."""
    command_hash: str
    """Of the rollback."""
    before_version: str = ""
    """What ran before it."""
    after_version: str = ""
    """What the deploy brought, once that was verified."""
    before: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    """The fingerprint before it: hashes only."""
    after: dict[str, Any] = Field(default_factory=dict, sa_type=Json)
    """The fingerprint of what the deploy brought."""
    stands: str = ""
    """Where it was left."""
    run_id: str
    begun_ms: int = Field(sa_type=BigInteger)
    ended_ms: int | None = Field(default=None, sa_type=BigInteger)


class RehearsalLegRow(LedgerTable, table=True):
    """One leg, written down before it runs and again when it has ended. One that never ended was cut off."""

    __tablename__ = "rehearsal_leg"
    __table_args__ = (UniqueConstraint("attempt_id", "position"),)

    id: int | None = Field(default=None, primary_key=True)
    attempt_id: int = Field(foreign_key="rehearsal_attempt.id", ondelete="CASCADE")
    position: int
    leg: str
    state: str
    """begun, passed or failed."""
    token: int = Field(sa_type=BigInteger)
    begun_ms: int = Field(sa_type=BigInteger)
    ended_ms: int | None = Field(default=None, sa_type=BigInteger)
    seconds: float = 0.0
    exit_code: int | None = None
    detail: str = ""
    output: str = ""
    """The beginning and the end of what its command said, without secrets."""


LEASE: Table = RehearsalLeaseRow.__table__
ATTEMPT: Table = RehearsalAttemptRow.__table__
LEG: Table = RehearsalLegRow.__table__


CATALOGUE = LedgerTable.metadata
