"""Batch jobs: how far each is, what was committed, and what is in quarantine."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _number(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _big(*names: str, nullable: bool = False) -> list[sa.Column]:
    return [sa.Column(name, sa.BigInteger(), nullable=nullable) for name in names]


def _of_job(table: str, second: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.PrimaryKeyConstraint("job_id", second, name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["job_id"], ["import_job.id"], name=f"fk_{table}_job_id", ondelete="CASCADE"),
    ]


def upgrade() -> None:
    # A ledger in which a batch job ran before this migration has these tables already.
    op.create_table(
        "import_job",
        *_number("id"),
        *_text("kind", "job_key", "source", "fingerprint", "params", "status"),
        *_big("token"),
        *_text("lease_owner"),
        *_big("lease_until_ms", "position"),
        *_text("cursor"),
        *_number("chunk_no", "deaths"),
        *_big("careful_until"),
        *_number("tries"),
        *_big("changed", "unchanged", "quarantined"),
        *_text("code_version", "run_id", "last_error"),
        *_big("created_ms"),
        *_big("started_ms", "finished_ms", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_import_job"),
        sa.UniqueConstraint("job_key", name="uq_import_job_job_key"),
        if_not_exists=True,
    )
    op.create_index("ix_import_job_kind_source", "import_job", ["kind", "source"], if_not_exists=True)
    op.create_index("ix_import_job_status", "import_job", ["status"], if_not_exists=True)
    op.create_table(
        "import_chunk",
        *_number("job_id", "chunk_no"),
        *_big("position"),
        *_number("rows"),
        *_text("cursor", "digest"),
        *_number("quarantined"),
        *_big("token", "committed_ms"),
        *_of_job("import_chunk", "chunk_no"),
        if_not_exists=True,
    )
    op.create_table(
        "import_row_error",
        *_number("job_id"),
        *_big("position"),
        *_text("payload"),
        sa.Column("complete", sa.Boolean(), nullable=False),
        *_text("error_class", "error"),
        *_big("failed_ms"),
        *_big("resolved_ms", nullable=True),
        *_text("resolved_by"),
        *_of_job("import_row_error", "position"),
        if_not_exists=True,
    )
    op.create_index("ix_import_row_error_resolved_ms", "import_row_error", ["resolved_ms"], if_not_exists=True)


def downgrade() -> None:
    for table in ("import_row_error", "import_chunk", "import_job"):
        op.drop_table(table)
