"""Looking at a site's health and version, and finding what the ledger knows of it."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from sqlalchemy.orm import Session

from flows.tasks.prefect_ui import ui
from roundsman.database.database_file import all_databases, check_database
from roundsman.database.rules.promise import told_as
from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.releases import keep_release
from roundsman.ledger.tables_service import HealthRow
from roundsman.ledger.transaction import writing_session
from roundsman.probe.ask import ask
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.text import for_markdown, plain, scrubbed
from roundsman.site.rules.health import is_up, version_of
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_file import SiteFileError
from roundsman.status import around_release
from roundsman.status.facts import read_facts, read_jobs, review_stale_at
from roundsman.status.picture import history
from roundsman.status.rules.answers import reviewed, unreviewed
from roundsman.status.rules.facts import Facts, JobFacts, Status
from roundsman.status.rules.page import headline, markdown, overview, title
from roundsman.status.rules.standing import Promises
from roundsman.status.standing import read_review

Found = TypeVar("Found")

#: How often a look is tried again, and after how many seconds.
_AGAIN = {"retries": 2, "retry_delay_seconds": [1, 5], "cache_policy": NO_CACHE, "persist_result": False}


@task(task_run_name="look at the health of {site.site}", **_AGAIN)
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


@task(task_run_name="look at the version of {site.site}", **_AGAIN)
async def record_release(site: Site) -> None:
    """Look at what a site says it runs, and write it down when it is not what it was.

    An empty version is written when it can't be read: from then on nobody knows.
    """
    version = site.release.version if site.release else None
    if version is None:
        return
    seen = await _look(site, version.path)
    said = version_of(version, seen)
    await asyncio.to_thread(_write, lambda session: keep_release(session, site.site, Release(said, _time(seen))))


@task(task_run_name="find what is known of {site.site}", **_AGAIN)
async def find_facts(site: Site) -> Facts:
    """Everything that the ledger knows of a site now."""
    now = datetime.now(UTC)
    return await asyncio.to_thread(_read, lambda session: read_facts(session, site, now, ui()))


@task(task_run_name="find what became of shared jobs", **_AGAIN)
async def find_shared_jobs() -> JobFacts:
    """What became of the runs of jobs that are no single site's."""
    now = datetime.now(UTC)
    return await asyncio.to_thread(_read, lambda session: read_jobs(session, "", now))


@task(task_run_name="find what reviews of databases found", **_AGAIN)
async def find_reviews() -> list[Status]:
    """The status of each database of deployments/databases/."""
    now = datetime.now(UTC)
    return [made for made, _ in await asyncio.to_thread(_read, lambda session: read_reviews(session, now))]


def read_reviews(session: Session, now: datetime) -> list[tuple[Status, Promises]]:
    """The status of each database of deployments/databases/, under the name that its alerts have."""
    found = []
    for path in all_databases():
        try:
            promised = check_database(path)
        except SiteFileError as error:
            says = f"its file is wrong: {scrubbed(str(error))}"
            found.append((unreviewed(f"database-{path.stem}", now, says), Promises()))
        else:
            known = read_review(session, promised, partial(review_stale_at, promised))
            found.append((reviewed(told_as(promised).site, promised.team, known, now, ui()), known))
    return found


@task(task_run_name="publish the status of {status.site}", **_AGAIN)
async def publish_answers(status: Status) -> None:
    """Write a site's answers as a page with pictures."""
    pictures = await asyncio.to_thread(
        lambda: {one.question: history(one.history, status.at, one.moments) for one in status.answers}
    )
    said = for_markdown(f"{title(status)}: {status.outcome}")
    await acreate_markdown_artifact(markdown(status, pictures), key=f"status-{status.site}", description=said)


@task(task_run_name="publish the status of all sites", **_AGAIN)
async def publish_overview(statuses: Sequence[Status]) -> None:
    """Write all sites' answers as one page."""
    await acreate_markdown_artifact(overview(statuses), key="status", description=for_markdown(headline(statuses)))


async def _look(site: Site, path: str) -> Exchange:
    return (await ask(site, [Probe(site.url(path), keep_body=True)]))[0]


def _time(seen: Exchange) -> datetime:
    return datetime.fromtimestamp(seen.started, UTC)


def _read(find: Callable[[Session], Found]) -> Found:
    with use_ledger() as engine, Session(engine) as session:
        return find(session)


def _write(change: Callable[[Session], None]) -> None:
    with use_ledger() as engine, writing_session(engine) as session:
        change(session)


find_around = task(
    around_release.find_around,
    task_run_name="find what is known of {site.site}",
    retries=2,
    cache_policy=NO_CACHE,
    persist_result=False,
)
