"""Releases of a site: which there were, what ran at a time, and what a report of one may say."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from roundsman.site.rules.release import Release, ReleaseSource

#: Characters of a version, at most.
MAX_VERSION_CHARACTERS = 200
#: How far ahead a clock that tells of a release may be.
CLOCK_TOLERANCE = timedelta(minutes=5)
#: No site is older.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)


def deployments(releases: Sequence[Release]) -> tuple[Release, ...]:
    """Each change from one version to another, ascending.

    The first version that the site itself showed does not count: nobody knows since when it ran. One that was reported
    counts.
    """
    known = [release for release in releases if release.version]
    first = [one for one in known[:1] if one.source is not ReleaseSource.SITE]
    return (*first, *(new for old, new in pairwise(known) if new.version != old.version))


def release_at(releases: Sequence[Release], at: datetime) -> str:
    """The version that ran at a time, as far as ascending releases tell; empty where they do not."""
    place = bisect_right(releases, at, key=lambda one: one.seen_at)
    return releases[place - 1].version if place else ""


def reported_release(version: object, at: object, now: datetime, source: ReleaseSource) -> Release:
    """A release that somebody reports, by its version and the time when it went live (empty: now).

    Raises:
        ValueError: what is wrong with it, and what was wanted.
    """
    if (
        not isinstance(version, str)
        or not 0 < len(version.strip()) <= MAX_VERSION_CHARACTERS
        or not version.strip().isprintable()
    ):
        raise ValueError(
            f"version: saw {version!r:.80}, wanted the version's name, up to {MAX_VERSION_CHARACTERS} characters"
        )
    given = _time(at) if at else now
    since = _in_utc(given) if given else None
    if since is None or since < EARLIEST:
        raise ValueError(f"at: saw {at!r:.80}, wanted a time with its zone, such as 2026-03-01T14:30:00+01:00")
    if since > now + CLOCK_TOLERANCE:
        raise ValueError(f"at: saw {since.isoformat()}, which is yet to come; tell of a release when it is out")
    return Release(version.strip(), min(since, now.astimezone(UTC)), source)


def _time(said: object) -> datetime | None:
    if isinstance(said, datetime):
        return said if said.tzinfo else None
    try:
        return read if (read := datetime.fromisoformat(str(said))).tzinfo else None
    except ValueError:
        return None


def _in_utc(at: datetime) -> datetime | None:
    """The time in UTC; None at the ends of the calendar, where there is none."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return None
