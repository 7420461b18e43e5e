"""Which round made every check, and how much harm a breach does: what is known of each claim now.

Of the rounds that are there nobody knows whether they were whole, so until the next whole one nothing is green.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("run", sa.Column("whole", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("finding", sa.Column("severity", sa.String()))


def downgrade() -> None:
    op.drop_column("finding", "severity")
    op.drop_column("run", "whole")
