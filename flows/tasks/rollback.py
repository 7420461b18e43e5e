"""Rollback commands and rehearsals of releases, as Prefect tasks.

Nothing of a rehearsal is retried: inside a Prefect transaction a retry would first undo what came before. Nor is
anything cached: it measures, or it changes what runs.
"""

import asyncio
from contextvars import ContextVar

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.transactions import Transaction

from roundsman.report.rules.report import Report
from roundsman.report.rules.text import for_markdown
from roundsman.rollback import find_and_run, rehearse, store
from roundsman.rollback.picture import page_of, timeline
from roundsman.rollback.rules.judge_rehearsal import RehearsalOutcome
from roundsman.rollback.rules.plan import where
from roundsman.rollback.steps import RehearsalRun

# Not cached: which targets a makefile has can't be known from its text and that of its includes. Make expands
# `$(shell ...)`, `$(wildcard ...)`, environment variables and the time of every file, and remakes included makefiles
# before it lists a rule. A target that is gone would be reported as there, on the night when somebody needs it; asking
# make takes a few milliseconds.
find_commands = task(task_run_name="find rollback commands", cache_policy=NO_CACHE, persist_result=False)(
    find_and_run.find_commands
)
find_rehearsals = task(
    task_run_name="find rehearsals of {site.site}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)(store.find_rehearsals)
hold_against_now = task(
    task_run_name="hold {site.site}'s rehearsal against what runs", cache_policy=NO_CACHE, persist_result=False
)(store.hold_against_now)
find_rollback_faults = task(
    task_run_name="find what is wrong with rollbacks of {site.site}", cache_policy=NO_CACHE, persist_result=False
)(store.find_rollback_faults)

#: The rehearsal of this run, for the hook that a failed leg calls: Prefect hands it nothing but the transaction.
under_way: ContextVar[RehearsalRun] = ContextVar("under_way")

prepare = task(task_run_name="plan {environment}", cache_policy=NO_CACHE, persist_result=False)(rehearse.prepare)
take_up = task(task_run_name="take {plan.environment}", cache_policy=NO_CACHE, persist_result=False)(rehearse.take_up)
begin = task(task_run_name="begin", cache_policy=NO_CACHE, persist_result=False)(rehearse.begin)
run_leg = task(task_run_name="{leg}", cache_policy=NO_CACHE, persist_result=False)(rehearse.run_leg)
end_earlier = task(task_run_name="end the earlier one", cache_policy=NO_CACHE, persist_result=False)(
    rehearse.end_earlier
)
compare_settings = task(task_run_name="compare settings", cache_policy=NO_CACHE, persist_result=False)(
    rehearse.compare_settings
)
conclude_rehearsal = task(task_run_name="write down", cache_policy=NO_CACHE, persist_result=False)(rehearse.conclude)


async def _end(_: Transaction) -> None:
    """A later leg failed, so Prefect rolls the beginning back: that ends the rehearsal."""
    await under_way.get().end()


# Prefect waits for a coroutine; its annotation does not say so.
begin.on_rollback(_end)  # type: ignore[arg-type]


@task(
    task_run_name="publish {report.site}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE, persist_result=False
)
async def publish_rehearsal(report: Report, outcome: RehearsalOutcome) -> None:
    """Write the rehearsal as a page, with each leg and what its command said."""
    picture = await asyncio.to_thread(timeline, outcome.state.steps)
    summary = for_markdown(f"{report.site}: {report.summary}; {where(outcome.state)}")
    await acreate_markdown_artifact(
        page_of(report, outcome, picture), key=f"rehearsal-{report.site}", description=summary
    )
