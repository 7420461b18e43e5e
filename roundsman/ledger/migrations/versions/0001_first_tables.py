"""First tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def upgrade() -> None:
    op.create_table(
        "run",
        *_text("id", "site", "job"),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=False),
        *_text("outcome"),
        sa.Column("counts", _JSON, nullable=False),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
    )
    op.create_index("ix_run_site_started_at", "run", ["site", "started_at"])
    op.create_index("ix_run_outcome_started_at", "run", ["outcome", "started_at"])
    op.create_index("ix_run_flow_run_id", "run", ["flow_run_id"])

    op.create_table(
        "verdict",
        sa.Column("id", sa.Integer(), nullable=False),
        *_text("run_id"),
        sa.Column("position", sa.Integer(), nullable=False),
        *_text("check", "subject", "rule", "owner", "outcome", "expected_result", "rollback"),
        sa.PrimaryKeyConstraint("id", name="pk_verdict"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_verdict_run_id", ondelete="CASCADE"),
        sa.UniqueConstraint("run_id", "position", name="uq_verdict_run_id_position"),
    )
    op.create_index("ix_verdict_outcome", "verdict", ["outcome"])

    op.create_table(
        "finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("verdict_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        *_text("claim", "outcome", "saw", "wanted"),
        sa.PrimaryKeyConstraint("id", name="pk_finding"),
        sa.ForeignKeyConstraint(["verdict_id"], ["verdict.id"], name="fk_finding_verdict_id", ondelete="CASCADE"),
        sa.UniqueConstraint("verdict_id", "position", name="uq_finding_verdict_id_position"),
    )
    op.create_index("ix_finding_claim_outcome", "finding", ["claim", "outcome"])

    op.create_table(
        "exchange",
        sa.Column("id", sa.Integer(), nullable=False),
        *_text("run_id"),
        sa.Column("position", sa.Integer(), nullable=False),
        *_text("url", "method"),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        *_text("error", "detail"),
        sa.Column("first_byte_ms", sa.Float(), nullable=False),
        *_text("node", "body_hash"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("headers", _JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_exchange"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_exchange_run_id", ondelete="CASCADE"),
        sa.UniqueConstraint("run_id", "position", name="uq_exchange_run_id_position"),
    )

    op.create_table(
        "evidence",
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("exchange_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("finding_id", "exchange_id", name="pk_evidence"),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name="fk_evidence_finding_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["exchange_id"], ["exchange.id"], name="fk_evidence_exchange_id", ondelete="CASCADE"),
    )
    op.create_index("ix_evidence_exchange_id", "evidence", ["exchange_id"])

    op.create_table(
        "rehearsal",
        sa.Column("id", sa.Integer(), nullable=False),
        *_text("site", "rule", "command_hash", "environment"),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        *_text("from_version", "to_version"),
        sa.Column("finished_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rehearsal"),
        sa.UniqueConstraint(
            "site",
            "rule",
            "command_hash",
            "finished_at",
            "environment",
            name="uq_rehearsal_site_rule_command_hash_finished_at_environment",
        ),
    )


def downgrade() -> None:
    for table in ("rehearsal", "evidence", "exchange", "finding", "verdict", "run"):
        op.drop_table(table)
