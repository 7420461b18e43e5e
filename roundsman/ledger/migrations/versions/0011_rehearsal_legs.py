"""Each leg of a rehearsal."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _number(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _big(*names: str, nullable: bool = False) -> list[sa.Column]:
    return [sa.Column(name, sa.BigInteger(), nullable=nullable) for name in names]


def upgrade() -> None:
    op.create_table(
        "rehearsal_lease",
        *_text("site", "environment"),
        *_big("token"),
        *_text("owner"),
        *_big("until_ms"),
        sa.PrimaryKeyConstraint("site", "environment", name="pk_rehearsal_lease"),
    )
    op.create_table(
        "rehearsal_attempt",
        *_number("id"),
        *_text("site", "environment", "state", "command_hash", "before_version", "after_version"),
        sa.Column("before", _JSON, nullable=False),
        sa.Column("after", _JSON, nullable=False),
        *_text("stands", "run_id"),
        *_big("begun_ms"),
        *_big("ended_ms", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_rehearsal_attempt"),
    )
    op.create_index(
        "ix_rehearsal_attempt_site_environment_state", "rehearsal_attempt", ["site", "environment", "state"]
    )
    op.create_table(
        "rehearsal_leg",
        *_number("id", "attempt_id", "position"),
        *_text("leg", "state"),
        *_big("token", "begun_ms"),
        *_big("ended_ms", nullable=True),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        *_text("detail", "output"),
        sa.PrimaryKeyConstraint("id", name="pk_rehearsal_leg"),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["rehearsal_attempt.id"], name="fk_rehearsal_leg_attempt_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("attempt_id", "position", name="uq_rehearsal_leg_attempt_id_position"),
    )
    for name in ("schema_head", "newer_schema_head", "stale"):
        op.add_column("rehearsal", sa.Column(name, sa.String(), nullable=True))


def downgrade() -> None:
    for name in ("stale", "newer_schema_head", "schema_head"):
        op.drop_column("rehearsal", name)
    for table in ("rehearsal_leg", "rehearsal_attempt", "rehearsal_lease"):
        op.drop_table(table)
