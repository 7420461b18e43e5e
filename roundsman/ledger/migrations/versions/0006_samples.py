"""Samples of response times, and what they are rolled up into."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "sample_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("series", sa.String(), nullable=False),
        sa.Column("cache_state", sa.String(), nullable=False),
        sa.Column("warm", sa.Boolean(), nullable=False),
        sa.Column("raw_from", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sample_key"),
        sa.UniqueConstraint(
            "site",
            "rule",
            "path",
            "series",
            "cache_state",
            "warm",
            name="uq_sample_key_site_rule_path_series_cache_state_warm",
        ),
    )
    op.create_table(
        "sample",
        _key(),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("first_byte_us", sa.Integer(), nullable=False),
        sa.Column("total_us", sa.Integer(), nullable=False),
        sa.Column("late_us", sa.Integer(), nullable=False),
        sa.Column("release", sa.String(), nullable=False),
        _of_key("sample"),
        sa.PrimaryKeyConstraint("key_id", "at_us", "first_byte_us", "total_us", name="pk_sample"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sample_due",
        _key(),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        _of_key("sample_due"),
        sa.PrimaryKeyConstraint("key_id", "hour", name="pk_sample_due"),
    )
    op.create_table(
        "histogram",
        _key(),
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("p50_us", sa.BigInteger(), nullable=False),
        sa.Column("p95_us", sa.BigInteger(), nullable=False),
        sa.Column("p99_us", sa.BigInteger(), nullable=False),
        sa.Column("first_byte", sa.LargeBinary(), nullable=False),
        sa.Column("total", sa.LargeBinary(), nullable=False),
        _of_key("histogram"),
        sa.PrimaryKeyConstraint("key_id", "span", "start", name="pk_histogram"),
    )


def downgrade() -> None:
    for table in ("histogram", "sample_due", "sample", "sample_key"):
        op.drop_table(table)


def _key() -> sa.Column[int]:
    return sa.Column("key_id", sa.Integer(), nullable=False)


def _of_key(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["key_id"], ["sample_key.id"], name=f"fk_{table}_key_id", ondelete="CASCADE")
