"""Writing the ledger, as Prefect tasks."""

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from roundsman.ledger import ledger
from roundsman.report.rules.report import Report


@task(
    task_run_name="record {report.site}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def record(report: Report, job: str = "inspect-site", *, whole: bool = True) -> None:
    """As `ledger.record`, with the run that is under way in Prefect."""
    await ledger.record(report, job, whole=whole, flow_run_id=flow_run.get_id())
