"""What an application says has changed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

WRITTEN = {
    "sqlite": "(CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER))",
    "postgresql": "CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)",
}


def _column(name: str, kind: type[sa.types.TypeEngine], default: str | sa.TextClause | None = None) -> sa.Column:
    return sa.Column(name, kind(), server_default=default, nullable=False)


def upgrade() -> None:
    op.create_table(
        "published_change",
        _column("id", sa.Integer),
        _column("site", sa.String),
        _column("kind", sa.String, "route"),
        _column("item", sa.String),
        sa.Column("request_key", sa.String(), nullable=True),
        _column("number", sa.Integer, "0"),
        _column("created_ms", sa.BigInteger, sa.text(WRITTEN[op.get_bind().dialect.name])),
        _column("state", sa.String, "waiting"),
        _column("due_ms", sa.BigInteger, "0"),
        _column("attempts", sa.Integer, "0"),
        sa.Column("lease_token", sa.String(), nullable=True),
        _column("lease_until_ms", sa.BigInteger, "0"),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_published_change"),
        sa.UniqueConstraint("site", "request_key", "number", name="uq_published_change_site_request_key_number"),
        sa.CheckConstraint("kind IN ('route', 'key')", name="ck_published_change_kind"),
    )
    for columns in (["site", "state", "due_ms"], ["site", "item", "state"]):
        op.create_index(f"ix_published_change_{'_'.join(columns)}", "published_change", columns)
    op.create_table(
        "purge_bucket",
        _column("name", sa.String),
        _column("tokens", sa.Float),
        _column("at_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("name", name="pk_purge_bucket"),
    )


def downgrade() -> None:
    for table in ("purge_bucket", "published_change"):
        op.drop_table(table)
