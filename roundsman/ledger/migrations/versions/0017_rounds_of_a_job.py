"""The last rounds of one job of a site are found without reading those of its other jobs."""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_index("ix_run_site_job_started_at", "run", ["site", "job", "started_at"])


def downgrade() -> None:
    op.drop_index("ix_run_site_job_started_at", "run")
