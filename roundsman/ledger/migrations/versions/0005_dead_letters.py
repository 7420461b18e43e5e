"""Messages that are not tried any more."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # A ledger in which a batch job ran before this migration has the column already.
    if "dead_at" in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("outbox")}:
        return
    op.add_column("outbox", sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "dead_at")
