"""Releases in the ledger, and the rounds around one."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.ledger import has_happened
from roundsman.ledger.rules.releases import deployments
from roundsman.ledger.tables import HealthRow, ReleaseRow, RunRow
from roundsman.site.rules.release import Release, ReleaseSource

#: Releases that are looked back at.
MAX_RELEASES = 100


def read_releases(session: Session, site: str) -> tuple[Release, ...]:
    """The last changes of a site's version, ascending."""
    found = session.execute(
        select(col(ReleaseRow.version), col(ReleaseRow.seen_at), col(ReleaseRow.source))
        .where(col(ReleaseRow.site) == site)
        .order_by(col(ReleaseRow.seen_at).desc())
        .limit(MAX_RELEASES)
    ).all()
    return tuple(Release(version, at, ReleaseSource(source)) for version, at, source in reversed(found))


def keep_release(session: Session, site: str, release: Release) -> bool:
    """Write a release down, unless the same version ran before it anyway; whether it was new.

    Told again it changes nothing. The session's transaction has to have begun with the right to write.
    """
    before = (
        select(col(ReleaseRow.version))
        .where(col(ReleaseRow.site) == site, col(ReleaseRow.seen_at) <= release.seen_at)
        .order_by(col(ReleaseRow.seen_at).desc())
        .limit(1)
    )
    if session.scalar(before) == release.version:
        return False
    same = session.scalars(select(ReleaseRow).filter_by(site=site, seen_at=release.seen_at)).first()
    row = same or ReleaseRow(site=site, seen_at=release.seen_at, version="")
    row.version, row.source = release.version, release.source.value
    session.add(row)
    return True


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
