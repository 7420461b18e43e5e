"""Sweeps: pages that were listed, and what was seen of them."""

import sqlalchemy as sa
from alembic import op

from roundsman.ledger.base import Json, UtcTime

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "sweep",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("edition", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("listed", sa.BigInteger(), nullable=False),
        sa.Column("notes", Json, nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sweep"),
        sa.UniqueConstraint("site", "edition", name="uq_sweep_site_edition"),
    )
    op.create_index("ix_sweep_site_started_at", "sweep", ["site", "started_at"])
    op.create_table(
        "sweep_shard",
        sa.Column("sweep_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=False),
        sa.Column("paths", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sweep_id", "number", name="pk_sweep_shard"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweep.id"], name="fk_sweep_shard_sweep_id", ondelete="CASCADE"),
    )
    op.create_table(
        "sweep_page",
        sa.Column("sweep_id", sa.Integer(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("first_byte", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sweep_id", "shard", "position", name="pk_sweep_page"),
    )
    op.create_table(
        "sweep_group",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sweep_id", sa.Integer(), nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("told", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sweep_group"),
    )
    op.create_index("ix_sweep_group_sweep_id", "sweep_group", ["sweep_id"])


def downgrade() -> None:
    for table in ("sweep_group", "sweep_page", "sweep_shard", "sweep"):
        op.drop_table(table)
