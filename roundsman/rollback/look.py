"""What a release looks like from outside, asked around the caches."""

import secrets
from dataclasses import dataclass
from statistics import median

from roundsman.http.target import with_query
from roundsman.probe.ask import ask, pause
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.rollback.rules.fingerprint import Fingerprint, page, pages_of
from roundsman.site.rules.health import is_up, version_of
from roundsman.site.rules.site import Site, Version

#: Seconds between two looks whether the site is as it should be.
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class RunningRelease:
    """What runs, and whether it is healthy; a site without a health path is when it says its version."""

    running: str
    healthy: bool


async def look(site: Site) -> RunningRelease:
    """Look once at health and version."""
    probes = []
    if site.health:
        probes.append(_probe(site, site.health.path, keep_body=False))
    version = site.release.version if site.release else None
    if version:
        probes.append(_probe(site, version.path))
    seen = await ask(site, probes, again=False)
    running = version_of(version, seen[-1]) if version else ""
    return RunningRelease(running, is_up(site.health, seen[0]) if site.health else bool(running))


async def schema_head(site: Site) -> str:
    """The migration that the database is at; empty when nobody says where to read it, or it is not there."""
    where = site.release.schema_head if site.release else None
    return await _read_value(site, where) if where else ""


async def fingerprint(site: Site, running: str) -> Fingerprint:
    """What is compared. Each page is asked for twice, with a query that no cache has a copy of."""
    paths = pages_of(site)
    probes = [_probe(site, path, keep_body=False) for path in paths for _ in range(2)]
    seen = await ask(site, probes) if probes else []
    headers = site.release.rehearsal.headers if site.release else ()
    pages = {path: page(_pair(seen, place), headers) for place, path in enumerate(paths)}
    times = [one.phases.first_byte for one in seen if one.answered]
    data = site.release.data_checksum if site.release else None
    return Fingerprint(
        running,
        await schema_head(site),
        pages,
        await _read_value(site, data) if data else "",
        round(1000 * median(times), 3) if times else 0.0,
    )


async def wait(seconds: float = POLL_SECONDS) -> None:
    """Until the next look."""
    await pause(seconds)


def _pair(seen: list[Exchange], place: int) -> list[Exchange]:
    return seen[2 * place : 2 * place + 2]


async def _read_value(site: Site, where: Version) -> str:
    return version_of(where, (await ask(site, [_probe(site, where.path)]))[0])


def _probe(site: Site, path: str, *, keep_body: bool = True) -> Probe:
    # A copy in a cache would tell of the release from which it was made.
    return Probe(site.url(with_query(path, f"roundsman={secrets.token_hex(8)}")), keep_body=keep_body)
