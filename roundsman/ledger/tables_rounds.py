"""The ledger's tables: a run has verdicts, a verdict has findings, a finding has exchanges as its evidence.

A change here needs a migration beside it in `migrations/versions/`; a test holds the two against each other.
"""

from datetime import datetime

from sqlalchemy import BigInteger, Index, UniqueConstraint, false
from sqlmodel import Field

from roundsman.ledger.base import Json, LedgerTable, Number, UtcTime


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
