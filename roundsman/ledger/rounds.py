"""Rounds in the ledger: those around a release, and the last one before a time."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.ledger import has_happened
from roundsman.ledger.rules.releases import deployments
from roundsman.ledger.tables_rounds import RunRow
from roundsman.ledger.tables_service import HealthRow
from roundsman.site.rules.release import Release

#: What rounds and reviews of databases are called in the ledger.
ROUND, REVIEW = "inspect-site", "review-database"


#: Rounds among which a whole one is looked for, on each side of a deployment.
MAX_ROUNDS_PER_SIDE = 10


def last_look_before(session: Session, site: str, at: datetime) -> datetime | None:
    """When a site's health was last looked at before a time."""
    return session.scalar(
        select(func.max(col(HealthRow.at))).where(col(HealthRow.site) == site, col(HealthRow.at) < at)
    )


def rounds_around(
    session: Session, site: str, releases: Sequence[Release]
) -> tuple[Sequence[RunRow], Sequence[RunRow]]:
    """The rounds next to the last deployment: those that met the old version only, and those that met only the new one.

    A deployment is seen at the first look after it, so the old version is sure up to the look before.
    """
    made = deployments(releases)
    if not made:
        return (), ()
    seen = made[-1].seen_at
    old_until = last_look_before(session, site, seen) or seen
    rounds = (
        select(RunRow)
        .where(col(RunRow.site) == site, col(RunRow.job) == ROUND, has_happened(col(RunRow.started_at)))
        .limit(MAX_ROUNDS_PER_SIDE)
    )
    before = rounds.where(col(RunRow.ended_at) <= old_until).order_by(col(RunRow.started_at).desc())
    after = rounds.where(col(RunRow.started_at) >= seen).order_by(col(RunRow.started_at))
    return session.scalars(before).all(), session.scalars(after).all()
