"""On PostgreSQL, exchanges and their links to findings lie in partitions by day, so that a day is dropped whole.

SQLite has no partitions and keeps its tables. What is there already goes to the default partitions, and leaves them as
every old row did before.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"

#: Of the two tables, in the order of the columns without `day`.
_EXCHANGE = (
    "id, run_id, position, url, method, at, status, error, detail, first_byte_ms, node, body_hash, size, headers"
)
_EVIDENCE = "finding_id, exchange_id"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    _put_aside()
    _make(by_day=True)
    for table in ("exchange", "evidence"):
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    # Between two partitions, so that a day of both can go without a look at all others.
    op.create_foreign_key(
        "fk_evidence_default_exchange_id_day",
        "evidence_default",
        "exchange_default",
        ["exchange_id", "day"],
        ["id", "day"],
        ondelete="CASCADE",
    )
    day = "(run.started_at AT TIME ZONE 'UTC')::date"
    op.execute(
        f"INSERT INTO exchange ({_EXCHANGE}, day) SELECT flat_exchange.*, {day} "  # noqa: S608 - names of ours
        "FROM flat_exchange JOIN run ON run.id = flat_exchange.run_id"
    )
    op.execute(
        f"INSERT INTO evidence ({_EVIDENCE}, day) SELECT flat_evidence.*, exchange.day "  # noqa: S608 - names of ours
        "FROM flat_evidence JOIN exchange ON exchange.id = flat_evidence.exchange_id"
    )
    _take_over()


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    _put_aside()
    _make(by_day=False)
    for table, columns in (("exchange", _EXCHANGE), ("evidence", _EVIDENCE)):
        op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM flat_{table}")  # noqa: S608 - names of ours
    _take_over()


def _put_aside() -> None:
    """Give the names of the tables, and of what hangs on them, free."""
    op.execute("ALTER SEQUENCE exchange_id_seq OWNED BY NONE")
    for table in ("evidence", "exchange"):
        op.execute(f"ALTER TABLE {table} RENAME TO flat_{table}")
        op.execute(f"ALTER TABLE flat_{table} RENAME CONSTRAINT pk_{table} TO pk_flat_{table}")
    op.execute("ALTER INDEX ix_evidence_exchange_id RENAME TO ix_flat_evidence_exchange_id")


def _make(*, by_day: bool) -> None:
    """Both tables, in partitions by day or flat."""
    number, key = (sa.BigInteger(), ["day"]) if by_day else (sa.Integer(), [])
    parts = {"postgresql_partition_by": "RANGE (day)"} if by_day else {}
    position = ["run_id", "position", *key]

    def day() -> list[sa.Column]:
        return [sa.Column(name, sa.Date(), nullable=False) for name in key]

    op.create_table(
        "exchange",
        sa.Column("id", number, server_default=sa.text("nextval('exchange_id_seq')"), nullable=False),
        *_text("run_id"),
        sa.Column("position", sa.Integer(), nullable=False),
        *_text("url", "method"),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        *_text("error", "detail"),
        sa.Column("first_byte_ms", sa.Float(), nullable=False),
        *_text("node", "body_hash"),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("headers", JSONB(), nullable=False),
        *day(),
        sa.PrimaryKeyConstraint("id", *key, name="pk_exchange"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_exchange_run_id", ondelete="CASCADE"),
        sa.UniqueConstraint(*position, name=f"uq_exchange_{'_'.join(position)}"),
        **parts,
    )
    op.execute("ALTER SEQUENCE exchange_id_seq OWNED BY exchange.id")
    op.execute(f"ALTER SEQUENCE exchange_id_seq AS {'bigint' if by_day else 'integer'}")
    op.create_table(
        "evidence",
        sa.Column("finding_id", sa.Integer(), nullable=False),
        sa.Column("exchange_id", number, nullable=False),
        *day(),
        sa.PrimaryKeyConstraint("finding_id", "exchange_id", *key, name="pk_evidence"),
        sa.ForeignKeyConstraint(["finding_id"], ["finding.id"], name="fk_evidence_finding_id", ondelete="CASCADE"),
        **parts,
    )
    op.create_index("ix_evidence_exchange_id", "evidence", ["exchange_id"])
    if not by_day:
        op.create_foreign_key(
            "fk_evidence_exchange_id", "evidence", "exchange", ["exchange_id"], ["id"], ondelete="CASCADE"
        )


def _take_over() -> None:
    for table in ("evidence", "exchange"):
        op.drop_table(f"flat_{table}")


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]
