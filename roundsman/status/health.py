"""Looking at a site's health and version, and writing down what came back."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.releases import keep_release
from roundsman.ledger.tables import HealthRow
from roundsman.ledger.transaction import writing_session
from roundsman.probe.ask import ask
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.text import plain
from roundsman.site.rules.health import is_up, version_of
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import Site


async def record_health(site: Site) -> None:
    """Look once at the path on which a site says that it is up, and write down what came back."""
    if site.health is None:
        return
    seen = await _look(site, site.health.path)
    row = HealthRow(
        site=site.site,
        at=_time(seen),
        up=is_up(site.health, seen),
        status=seen.status if seen.answered else 0,
        first_byte_ms=round(seen.phases.first_byte * 1000, 3),
        detail=plain(seen.detail or seen.error),
    )
    await asyncio.to_thread(_write, lambda session: session.add(row))


async def record_release(site: Site) -> None:
    """Look at what a site says it runs, and write it down when it is not what it was.

    An empty version is written when it can't be read: from then on nobody knows.
    """
    version = site.release.version if site.release else None
    if version is None:
        return
    seen = await _look(site, version.path)
    release = Release(version_of(version, seen), _time(seen))
    await asyncio.to_thread(_write, lambda session: keep_release(session, site.site, release))


async def _look(site: Site, path: str) -> Exchange:
    return (await ask(site, [Probe(site.url(path), keep_body=True)]))[0]


def _time(seen: Exchange) -> datetime:
    return datetime.fromtimestamp(seen.started, UTC)


def _write(change: Callable[[Session], object]) -> None:
    with use_ledger() as engine, writing_session(engine) as session:
        change(session)
