"""What begins to fire in one round is one incident, which channels hear of as a whole.

Alerts that are open go on as incidents under the keys of the messages that told them, so that their recovery is told to
whoever heard of them, and nobody hears of them twice.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

_LEAD = """
    SELECT lead.dedup_key FROM outbox AS own JOIN outbox AS lead ON lead.id = own.told_with
    WHERE own.dedup_key = alert.dedup_key AND own.kind = 'firing' ORDER BY own.id LIMIT 1
"""
_NEWEST = """
    SELECT max(id) FROM outbox
    WHERE outbox.dedup_key = alert.incident AND outbox.kind IN ('firing', 'reminder') AND outbox.told_with IS NULL
"""


def upgrade() -> None:
    op.add_column("alert", sa.Column("incident", sa.String(), server_default=sa.text("''"), nullable=False))
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer(), nullable=False),
        *_text("key", "site", "check", "subject", "level"),
        sa.Column("reminders", sa.Integer(), nullable=False),
        *_text("headline", "body"),
        *_time("as_of", "opened_at"),
        *_time("resolved_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
        sa.UniqueConstraint("key", name="uq_incident_key"),
    )
    op.create_index("ix_incident_site_resolved_at", "incident", ["site", "resolved_at"])
    is_open = "state IN ('firing', 'recovering') AND dedup_key <> ''"
    op.execute(f"UPDATE alert SET incident = COALESCE(({_LEAD}), dedup_key) WHERE {is_open}")  # noqa: S608 - words of ours
    # Before incidents were known, an alert counted as told even if there was no channel to tell.
    op.execute(
        f"UPDATE alert SET told_at = NULL WHERE {is_open} AND NOT EXISTS"  # noqa: S608 - words of ours
        " (SELECT 1 FROM outbox WHERE outbox.dedup_key = alert.dedup_key)"
    )
    firsts = f"SELECT min(id) FROM alert WHERE {is_open} GROUP BY incident"  # noqa: S608 - words of ours
    reminders = """
        SELECT count(DISTINCT number) FROM outbox WHERE outbox.dedup_key = alert.incident AND outbox.kind = 'reminder'
    """
    op.execute(f"""
        INSERT INTO incident (key, site, "check", subject, level, reminders, headline, body, as_of, opened_at)
        SELECT alert.incident, alert.site, alert."check", alert.subject,
            CASE WHEN message.subject LIKE '%CRITICAL%' THEN 'critical' ELSE 'error' END,
            ({reminders}),
            COALESCE(
                message.subject,
                'STILL FIRING: site ' || alert.site || ', ' || alert."check" || ', ' || alert.subject
            ),
            COALESCE(message.body, 'Its evidence is in the last round; owner: ' || alert.owner),
            COALESCE(message.created_at, alert.since),
            COALESCE(alert.opened_at, alert.since)
        FROM alert LEFT JOIN outbox AS message ON message.id = ({_NEWEST})
        WHERE alert.id IN ({firsts})
    """)  # noqa: S608 - words of ours


def downgrade() -> None:
    op.drop_table("incident")
    op.drop_column("alert", "incident")


def _text(*names: str) -> list[sa.Column]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _time(*names: str, nullable: bool = False) -> list[sa.Column]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]
