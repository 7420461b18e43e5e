"""The ledger's table of migrations that were tried on a copy.

A change here needs a migration beside it in `migrations/versions/`; a test holds the two against each other.
"""

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from roundsman.ledger.base import LedgerTable, UtcTime


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
