from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from flows.tasks.database import (
    look_at_production,
    publish_rehearsal,
    rehearse_what_changed,
    remember_rehearsal,
)
from flows.tasks.report import concluding
from roundsman.database.rules.judge_migrations import judge, marked_as_reused, recorded, reused_words
from roundsman.database.rules.migration_acceptance import accept
from roundsman.database.rules.migration_facts import Migrations
from roundsman.database.rules.query_facts import Queries
from roundsman.report.rules.verdict import Verdict


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
    started = datetime.now(UTC)
    rehearsed = await rehearse_what_changed(name, plan, live, folder, queries)
    facts, now = await look_at_production(rehearsed.facts, plan, live), datetime.now(UTC)
    verdicts = accept(judge(name, owner, plan, facts, queries), plan, facts, now.date())
    # A rehearsal is remembered by when it was done: quoting an earlier one makes it no younger.
    await remember_rehearsal(recorded(name, plan, facts, verdicts, rehearsed.rehearsed_at))
    reused = reused_words(rehearsed.rehearsed_at, now) if rehearsed.rehearsed_at < started else ""
    verdicts = marked_as_reused(verdicts, reused)
    await publish_rehearsal(name, plan, facts, verdicts, reused)
    return verdicts
