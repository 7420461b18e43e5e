"""The tables of batch jobs. They live in the target database: the checkpoint belongs beside the effect.

In the ledger's own database they come with its migrations; in any other they are made by `roundsman.batch.target`.
Times are milliseconds since 1970 by the database's own clock, so that workers need not agree on the time.
"""

from sqlalchemy import BigInteger, Index, Table, UniqueConstraint
from sqlmodel import Field

from roundsman.ledger.base import LedgerTable
from roundsman.ledger.outbox import OutboxRow


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
