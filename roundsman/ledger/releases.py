"""Releases in the ledger: seen on the site's version page, or told on the board or by the command line."""

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.tables_service import ReleaseRow
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
