"""The answers for people, as Prefect tasks and as pages of Prefect's."""

import asyncio
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from prefect import Task, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_UI_URL

from roundsman.report.rules.text import for_markdown
from roundsman.site.rules.site import Site
from roundsman.status import facts, health
from roundsman.status.picture import history
from roundsman.status.rules.facts import Facts, SiteStatus
from roundsman.status.rules.page import headline, markdown, overview, title

P = ParamSpec("P")
R = TypeVar("R")


def ui() -> str:
    """Where Prefect's pages are, by its own setting PREFECT_UI_URL; empty when there is none."""
    url = str(PREFECT_UI_URL.value() or "")
    return url if url.startswith(("http://", "https://")) else ""


def _retried(name: str) -> Callable[[Callable[P, R]], Task[P, R]]:
    # What is seen of a site and of its jobs is of this moment: never cached.
    return task(task_run_name=name, retries=2, retry_delay_seconds=[1, 5], cache_policy=NO_CACHE, persist_result=False)


record_health = _retried("look at the health of {site.site}")(health.record_health)
record_release = _retried("look at the version of {site.site}")(health.record_release)
find_shared_jobs = _retried("find what became of shared jobs")(facts.find_shared_jobs)
find_around = task(
    task_run_name="find what is known of {site.site}", retries=2, cache_policy=NO_CACHE, persist_result=False
)(facts.find_around)


@_retried("find what is known of {site.site}")
async def find_facts(site: Site) -> Facts:
    """Everything that the ledger knows of a site now."""
    return await facts.find_facts(site, ui())


@_retried("find what reviews of databases found")
async def find_reviews() -> list[SiteStatus]:
    """The status of each database of deployments/databases/."""
    return await facts.find_reviews(ui())


@_retried("publish the status of {status.site}")
async def publish_answers(status: SiteStatus) -> None:
    """Write a site's answers as a page with pictures."""
    pictures = await asyncio.to_thread(
        lambda: {answer.question: history(answer.history, status.at, answer.moments) for answer in status.answers}
    )
    summary = for_markdown(f"{title(status)}: {status.outcome}")
    await acreate_markdown_artifact(markdown(status, pictures), key=f"status-{status.site}", description=summary)


@_retried("publish the status of all sites")
async def publish_overview(statuses: Sequence[SiteStatus]) -> None:
    """Write all sites' answers as one page."""
    await acreate_markdown_artifact(overview(statuses), key="status", description=for_markdown(headline(statuses)))
