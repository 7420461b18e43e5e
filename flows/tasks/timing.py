"""Response times and comparisons, as Prefect tasks."""

import asyncio
from collections.abc import Sequence

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.report import Report
from roundsman.report.rules.text import for_markdown
from roundsman.timing import comparisons, history, look, samples

keep_samples = task(
    task_run_name="keep samples",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)(samples.keep_samples)
look_back = task(task_run_name="look back at {site.site}", retries=2, cache_policy=NO_CACHE, persist_result=False)(
    comparisons.look_back
)
keep_ratios = task(task_run_name="keep the ratios", retries=3, retry_delay_seconds=[0.5, 2, 5], cache_policy=NO_CACHE)(
    comparisons.keep_ratios
)
sample = task(task_run_name="time {rule.name}", cache_policy=NO_CACHE, persist_result=False)(look.sample)
glance = task(task_run_name="look at {path}", cache_policy=NO_CACHE, persist_result=False)(look.glance)
ask_in_turn = task(task_run_name="compare {rule.name}", cache_policy=NO_CACHE, persist_result=False)(look.ask_in_turn)


@task(task_run_name="publish {report.site}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
async def publish_comparison(report: Report, ratios: Sequence[Ratio], margin: float, version: str = "") -> None:
    """Write the comparison as a page in Prefect."""
    page = await asyncio.to_thread(history.comparison_page, report, ratios, margin, version)
    summary = for_markdown(f"{report.site}: {report.summary}")
    await acreate_markdown_artifact(page, key=f"comparison-{report.site}", description=summary)
