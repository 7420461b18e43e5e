import logging
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from flows.tasks.database import (
    drop_old_copies,
    look_at_production,
    publish_rehearsal,
    rehearsal_key,
    rehearse_on_copy,
    remember_rehearsal,
)
from flows.tasks.report import concluding
from roundsman.database.rules.judge_migrations import judge, marked_as_reused, reused_words
from roundsman.database.rules.migration_acceptance import accept
from roundsman.database.rules.migration_plan import Migrations
from roundsman.database.rules.migration_record import recorded
from roundsman.database.rules.query_promise import Queries
from roundsman.report.rules.verdict import Verdict

log = logging.getLogger("roundsman")


@flow(name="check-migration-rehearsal", flow_run_name="{name}: migrations", timeout_seconds=21000, persist_result=False)
@concluding
async def check_migration_rehearsal(  # noqa: PLR0913, PLR0917 - a check's parameters are shown by name
    name: str,
    owner: str,
    plan: Migrations,
    live: str = "",
    folder: Path | None = None,
    queries: Queries | None = None,
) -> list[Verdict]:
    """Would the pending migrations run on production without keeping anybody waiting, and can they be taken back?"""
    await drop_old_copies(name, plan)
    started = datetime.now(UTC)
    key, unknown = await rehearsal_key(name, plan, live, folder, queries)
    if unknown:
        log.info("%s: migrations are rehearsed each time: %s", name, unknown)
    rehearsed = await rehearse_on_copy(name, plan, live, folder, queries, key)
    facts, now = await look_at_production(rehearsed.facts, plan, live), datetime.now(UTC)
    verdicts = accept(judge(name, owner, plan, facts, queries), plan, facts, now.date())
    # A rehearsal is remembered by when it was done: quoting an earlier one makes it no younger.
    await remember_rehearsal(recorded(name, plan, facts, verdicts, rehearsed.rehearsed_at))
    reused = ""
    if rehearsed.rehearsed_at < started:
        reused = reused_words(rehearsed.rehearsed_at, now)
        verdicts = marked_as_reused(verdicts, rehearsed.rehearsed_at, now)
        log.info("%s: migrations %s", name, reused)
    await publish_rehearsal(name, plan, facts, verdicts, reused)
    return verdicts
