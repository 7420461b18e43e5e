"""A review's result in Prefect: a page with what is wrong and how to mend it, and a table."""

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from roundsman.database.rules.report import page, rows
from roundsman.report.rules.report import Report
from roundsman.report.rules.text import for_markdown


@task(task_run_name="publish {report.site}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
async def publish_review(report: Report) -> None:
    """Write the review as a page, and as a table of findings. The database's name ends both keys."""
    summary = for_markdown(f"{report.site}: {report.summary}")
    await acreate_markdown_artifact(page(report), key=f"review-{report.site}", description=summary)
    await acreate_table_artifact(rows(report), key=f"review-findings-{report.site}", description=summary)
