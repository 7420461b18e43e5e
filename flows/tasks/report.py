"""A round's result, where people look for it: Prefect's artifacts and the colour of the run."""

from typing import Any

from prefect import State, task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from flows.rules.report import Report, markdown, rows
from flows.rules.verdict import Outcome
from flows.tasks.picture import latencies

#: State names of a round that ended red and said why. Failures that need somebody else to speak for them have others.
BREACH, UNKNOWN = "Breach", "Unknown"


@task(task_run_name="publish {report.site}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
async def publish(report: Report, page_key: str = "round", table_key: str = "verdicts") -> None:
    """Write the round as a page with a picture, and as a table of verdicts. The site's name ends both keys."""
    series = [one for verdict in report.verdicts for one in verdict.series]
    page = markdown(report, latencies(series))
    summary = f"{report.site}: {report.summary}"
    await acreate_markdown_artifact(page, key=f"{page_key}-{report.site}", description=summary)
    await acreate_table_artifact(rows(report.verdicts), key=f"{table_key}-{report.site}", description=summary)


def conclude(report: Report, data: Any = None) -> State[Any]:
    """The run's colour: red when something failed or could not be looked at, with the counts as its message.

    `data` is the run's result, the report when left out.
    """
    data = data or report
    if report.outcome is Outcome.FAIL:
        return Failed(name=BREACH, message=report.summary, data=data)
    if report.outcome is Outcome.UNKNOWN:
        return Failed(name=UNKNOWN, message=report.summary, data=data)
    return Completed(message=report.summary, data=data)
