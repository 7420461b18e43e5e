"""How many plain visits of a round came from the store."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for name in ("hits", "asked"):
        op.add_column("latency", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in ("asked", "hits"):
        op.drop_column("latency", name)
