"""The one outbox: the ledger has it, and so does each database that a batch job writes to."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from roundsman.ledger.base import LedgerTable, UtcTime


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
