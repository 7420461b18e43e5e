from datetime import UTC, datetime
from pathlib import Path

from prefect import flow

from flows.rules.database import Database
from flows.rules.query_promise import Queries
from flows.rules.query_review import judge
from flows.rules.verdict import Verdict
from flows.tasks.query_ledger import remember_plans
from flows.tasks.query_look import look_at_queries
from flows.tasks.report import concluding


@flow(name="check-query-plans", flow_run_name="{database.database}: plans", timeout_seconds=1800, persist_result=False)
@concluding
async def check_query_plans(database: Database, promised: Queries, folder: Path) -> list[Verdict]:
    """Do the named queries read no more than they should, and go the way they went before?"""
    facts, now = await look_at_queries(database, promised, folder), datetime.now(UTC)
    history = await remember_plans(database.database, facts, now)
    return judge(database, promised, facts, history, now)
