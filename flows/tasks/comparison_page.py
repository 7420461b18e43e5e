"""A comparison as a page with pictures, in Prefect."""

import asyncio
from collections.abc import Iterator, Sequence

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from roundsman.report.rules.report import Report, markdown
from roundsman.report.rules.series import Ratio
from roundsman.report.rules.text import for_markdown
from roundsman.timing.history import read_route
from roundsman.timing.pictures import forest

#: Routes whose history is drawn, those with the greatest change.
ROUTES = 3


@task(task_run_name="publish {report.site}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
async def publish_comparison(report: Report, ratios: Sequence[Ratio], margin: float, version: str = "") -> None:
    """Write the comparison as a page with a picture; one of before and after also with the history of some routes."""
    picture = await asyncio.to_thread(forest, ratios, margin)
    page = markdown(report, picture, "How much longer the new release takes, by route and cache state")
    if version:
        page = "\n\n".join([page, *await asyncio.to_thread(lambda: list(_histories(report.site, ratios)))])
    said = f"{report.site}: {report.summary}"
    await acreate_markdown_artifact(page, key=f"comparison-{report.site}", description=for_markdown(said))


def _histories(site: str, ratios: Sequence[Ratio]) -> Iterator[str]:
    paths = dict.fromkeys(one.path for one in sorted(ratios, key=lambda one: one.ratio, reverse=True))
    for path in list(paths)[:ROUTES]:
        if route := read_route(site, path):
            yield f"## {for_markdown(path)}"
            yield f"![Median and p95 of each round, with releases]({route.course})"
            if route.spread:
                yield f"![Share of requests answered within a time, before and since]({route.spread})"
