"""Who said that a release is out, and how its comparisons came out."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("release", sa.Column("source", sa.String(), nullable=False, server_default="site"))


def downgrade() -> None:
    op.drop_column("release", "source")
