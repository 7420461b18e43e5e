"""Reviews of databases as Prefect tasks: indexes, plans of named queries, and a rehearsal of pending migrations.

Only the rehearsal is cached. A review of indexes or plans is not, though the catalogue may be unchanged: what it judges
moves while nobody alters a table. Indexes are judged by their use on each node, by sizes, waste, changed rows and the
numbers that a sequence has left; plans by statistics, sizes and settings, by pg_stat_statements, and by running the
queries. To know that none of these has moved is to read what the review reads, which takes less than a second.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.transactions import get_transaction

from flows.tasks.results import KEY_PREFIX
from roundsman.database import look_at_indexes as indexes
from roundsman.database import look_at_queries as queries_
from roundsman.database import (
    rehearsal_key as keys,
)
from roundsman.database import rehearse_migrations, store
from roundsman.database.migration_picture import page_of, timeline
from roundsman.database.rules.judge_migrations import factors_of
from roundsman.database.rules.migration_facts import MigrationFacts, Migrations, RehearsedCopy
from roundsman.database.rules.migration_locks import holds
from roundsman.database.rules.query_facts import Queries
from roundsman.database.rules.report import page, rows
from roundsman.report.rules.report import Report
from roundsman.report.rules.text import for_markdown
from roundsman.report.rules.verdict import Verdict

log = logging.getLogger("roundsman")

#: How long an unchanged rehearsal is used again. What its key can't see, such as the machine, changes more slowly.
REHEARSAL_EXPIRES = timedelta(days=7)

watch_indexes = task(
    task_run_name="watch the indexes of {database}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)(store.watch_indexes)
look_at_indexes = task(
    task_run_name="look at the indexes of {database.database}",
    retries=2,
    retry_delay_seconds=[1, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)(indexes.look_at_indexes)
remember_plans = task(
    task_run_name="remember the plans of {database}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)(store.remember_plans)
look_at_queries = task(
    task_run_name="look at the plans of {database.database}",
    retries=2,
    retry_delay_seconds=[1, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)(queries_.look_at_queries)
remember_rehearsal = task(
    task_run_name="remember the rehearsal",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)(store.remember_rehearsal)
drop_old_copies = task(task_run_name="drop old copies of {name}", cache_policy=NO_CACHE, persist_result=False)(
    rehearse_migrations.drop_old_copies
)
rehearsal_key = task(
    task_run_name="look for what changed since {name} was rehearsed", cache_policy=NO_CACHE, persist_result=False
)(keys.rehearsal_key)
look_at_production = task(
    task_run_name="look at the revision and rows of production", cache_policy=NO_CACHE, persist_result=False
)(rehearse_migrations.look_at_production)


def _key(_: TaskRunContext, parameters: dict[str, Any]) -> str | None:
    return f"{KEY_PREFIX}{parameters['key']}" if parameters["key"] else None


@task(
    task_run_name="rehearse the migrations of {name}",
    cache_key_fn=_key,
    cache_expiration=REHEARSAL_EXPIRES,
    persist_result=True,
    result_serializer="compressed/pickle",
)
async def rehearse_on_copy(  # noqa: PLR0913, PLR0917 - a task's parameters are shown by name
    name: str, plan: Migrations, live: str, folder: Path | None, queries: Queries | None, key: str
) -> RehearsedCopy:
    """Rehearse on a copy, unless the rehearsal with this key was done already. `key` is empty where there is none.

    A rehearsal that went wrong is not kept: tomorrow there may be room on the disk. With PREFECT_TASKS_REFRESH_CACHE
    every rehearsal is done anew.
    """
    facts = await rehearse_migrations.rehearse_on_copy(name, plan, live, folder, queries)
    transaction = get_transaction()
    if transaction and not (key and rehearse_migrations.is_settled(facts)):
        transaction.write_on_commit = False
    return RehearsedCopy(facts, datetime.now(UTC))


async def rehearse_what_changed(
    name: str, plan: Migrations, live: str, folder: Path | None, queries: Queries | None
) -> RehearsedCopy:
    """Rehearse, or take the rehearsal that was done since anything changed. Old copies are dropped in any case."""
    await drop_old_copies(name, plan)
    key, unknown = await rehearsal_key(name, plan, live, folder, queries)
    if unknown:
        log.info("%s: migrations are rehearsed each time: %s", name, unknown)
    return await rehearse_on_copy(name, plan, live, folder, queries, key)


@task(
    task_run_name="publish {report.site}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE, persist_result=False
)
async def publish_review(report: Report) -> None:
    """Write the review as a page, and as a table of findings. The database's name ends both keys."""
    summary = for_markdown(f"{report.site}: {report.summary}")
    await acreate_markdown_artifact(page(report), key=f"review-{report.site}", description=summary)
    await acreate_table_artifact(rows(report), key=f"review-findings-{report.site}", description=summary)


@task(
    task_run_name="publish the rehearsal of {name}",
    retries=2,
    retry_delay_seconds=1,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def publish_rehearsal(
    name: str, plan: Migrations, facts: MigrationFacts, verdicts: list[Verdict], reused: str = ""
) -> None:
    """Write the rehearsal as a page: who was kept waiting, as a picture and as a table, and what needs somebody.

    `reused` says of which age it is, where it is an earlier one.
    """
    taken = holds(facts.up, factors_of(plan, facts)) if facts.up else []
    picture = await asyncio.to_thread(timeline, taken)
    description = for_markdown("; ".join(filter(None, (f"{name}: migrations", reused))))
    await acreate_markdown_artifact(
        page_of(name, taken, verdicts, picture, reused),
        key=f"migrations-{name}".lower().replace("_", "-"),
        description=description,
    )
