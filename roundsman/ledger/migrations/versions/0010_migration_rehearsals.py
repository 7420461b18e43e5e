"""Migrations that were tried on a copy."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "migration_rehearsal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("database", sa.String(), nullable=False),
        sa.Column("from_revision", sa.String(), nullable=False),
        sa.Column("to_revision", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("up_s", sa.Float(), nullable=False),
        sa.Column("projected_s", sa.Float(), nullable=False),
        sa.Column("down_s", sa.Float(), nullable=True),
        sa.Column("reads_blocked_s", sa.Float(), nullable=False),
        sa.Column("writes_blocked_s", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_migration_rehearsal"),
        sa.UniqueConstraint("database", "finished_at", name="uq_migration_rehearsal_database_finished_at"),
    )


def downgrade() -> None:
    op.drop_table("migration_rehearsal")
