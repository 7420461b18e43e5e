"""`POST /releases`: whoever deploys says what is out, and everything that is timed from then on is of that release."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from deployments.board.writes import Asked, RefusedError, Write, site_named
from roundsman.ledger.releases import keep_release
from roundsman.ledger.rules.releases import told
from roundsman.ledger.transaction import writing_session
from roundsman.site.rules.release import Source


class Released(Asked):
    """A release that is out."""

    site: str
    """A name in deployments/sites/."""
    version: str
    """As the site's own version page says it, if there is one."""
    at: str = ""
    """Since when, such as 2026-03-01T14:30:00+01:00; now when left out."""


def _release(engine: Engine, asked: Released, _key: str | None) -> Mapping[str, Any]:
    site = site_named(asked.site)
    try:
        release = told(asked.version, asked.at, datetime.now(UTC), Source.BOARD)
    except ValueError as error:
        raise RefusedError(422, str(error)) from None
    # Told again it is the same release, whatever its key: nothing has to be remembered of a request.
    with writing_session(engine) as session:
        new = keep_release(session, site.site, release)
    return {"site": site.site, "version": release.version, "since": release.seen_at.isoformat(), "new": new}


RELEASES = Write(Released, _release)
