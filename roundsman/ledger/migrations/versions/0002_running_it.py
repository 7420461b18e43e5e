"""What a service needs: alerts and their outbox, expected runs, and what the board shows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)


def _id(table: str) -> list[sa.schema.SchemaItem]:
    return [sa.Column("id", sa.Integer(), nullable=False), sa.PrimaryKeyConstraint("id", name=f"pk_{table}")]


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _time(*names: str, nullable: bool = False) -> list[sa.Column]:
    return [sa.Column(name, _TIME, nullable=nullable) for name in names]


def _number(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _real(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.Float(), nullable=False) for name in names]


def _flag(name: str) -> sa.Column:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _unique(table: str, *names: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*names, name=f"uq_{table}_{'_'.join(names)}")


def upgrade() -> None:
    op.create_table(
        "alert",
        *_id("alert"),
        *_text("site", "check", "subject", "rule", "owner", "state", "dedup_key", "run_id"),
        *_time("since"),
        *_time("opened_at", "told_at", nullable=True),
        sa.Column("recent", _JSON, nullable=False),
        *_number("folded"),
        _unique("alert", "site", "check", "subject"),
    )
    op.create_index("ix_alert_state", "alert", ["state"])
    op.create_table(
        "outbox",
        *_id("outbox"),
        *_text("dedup_key", "kind", "channel", "site", "subject", "body", "lease_token", "error"),
        *_number("number", "attempts"),
        *_time("created_at", "due_at"),
        *_time("lease_until", "sent_at", nullable=True),
        _unique("outbox", "dedup_key", "kind", "number", "channel"),
    )
    op.create_index("ix_outbox_sent_at_due_at", "outbox", ["sent_at", "due_at"])
    op.create_table(
        "slot",
        *_id("slot"),
        *_text("deployment", "site", "state", "detail"),
        *_time("slot_at", "since"),
        *_time("started_at", "ended_at", nullable=True),
        *_real("start_grace_s", "max_runtime_s", "min_runtime_s"),
        sa.Column("flow_run_id", sa.String(), nullable=True),
        _flag("overlapped"),
        _unique("slot", "deployment", "slot_at"),
    )
    op.create_index("ix_slot_state_slot_at", "slot", ["state", "slot_at"])
    op.create_table("watch", *_id("watch"), *_time("at"), *_real("seconds"), _flag("ok"), *_text("detail"))
    op.create_index("ix_watch_at", "watch", ["at"])
    op.create_table(
        "job_event",
        *_id("job_event"),
        *_text("flow_run_id", "kind", "deployment", "job", "site", "message"),
        *_time("at"),
        _unique("job_event", "flow_run_id", "kind"),
    )
    op.create_index("ix_job_event_at", "job_event", ["at"])
    op.create_table(
        "health",
        *_id("health"),
        *_text("site", "detail"),
        *_time("at"),
        _flag("up"),
        *_number("status"),
        *_real("first_byte_ms"),
    )
    op.create_index("ix_health_site_at", "health", ["site", "at"])
    op.create_table(
        "latency",
        *_id("latency"),
        *_text("run_id", "path", "cache_state"),
        *_number("samples"),
        *_real("p50_ms", "p95_ms"),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_latency_run_id", ondelete="CASCADE"),
        _unique("latency", "run_id", "path", "cache_state"),
    )
    op.create_table(
        "release",
        *_id("release"),
        *_text("site", "version"),
        *_time("seen_at"),
        _unique("release", "site", "seen_at"),
    )


def downgrade() -> None:
    for table in ("release", "latency", "health", "job_event", "watch", "slot", "outbox", "alert"):
        op.drop_table(table)
