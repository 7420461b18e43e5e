"""The ledger's tables of rehearsals under way: who may run one, each one that was begun, and each of its legs.

Times are milliseconds since 1970 by the database's own clock, so that machines need not agree on the time.
"""

from typing import Any

from sqlalchemy import BigInteger, Index, Table, UniqueConstraint
from sqlmodel import Field

from roundsman.ledger.base import Json, LedgerTable


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
