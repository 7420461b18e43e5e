from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from flows.tasks.database import look_at_queries, remember_plans
from flows.tasks.report import concluding
from roundsman.database.rules.judge_queries import judge
from roundsman.database.rules.promise import Database
from roundsman.database.rules.query_facts import Queries
from roundsman.report.rules.verdict import Verdict


@flow(name="check-query-plans", flow_run_name="{database.database}: plans", timeout_seconds=1800, persist_result=False)
@concluding
async def check_query_plans(database: Database, promised: Queries, folder: Path) -> list[Verdict]:
    """Do the named queries read no more than they should, and go the way they went before?"""
    facts, now = await look_at_queries(database, promised, folder), datetime.now(UTC)
    history = await remember_plans(database.database, facts, now)
    return judge(database, promised, facts, history, now)
