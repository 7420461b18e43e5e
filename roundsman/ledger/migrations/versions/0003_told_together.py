"""Messages that another one tells as well."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("outbox", sa.Column("told_with", sa.Integer(), nullable=True))
    op.create_index("ix_outbox_told_with", "outbox", ["told_with"])


def downgrade() -> None:
    op.drop_index("ix_outbox_told_with", "outbox")
    op.drop_column("outbox", "told_with")
