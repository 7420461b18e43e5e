from datetime import UTC, datetime

from prefect import flow

from flows.tasks.database import look_at_indexes, watch_indexes
from flows.tasks.report import concluding
from roundsman.database.rules.judge_indexes import judge
from roundsman.database.rules.promise import Database
from roundsman.report.rules.verdict import Verdict


@flow(name="check-indexes", flow_run_name="{database.database}: indexes", timeout_seconds=600, persist_result=False)
@concluding
async def check_indexes(database: Database) -> list[Verdict]:
    """Is an index missing, doubled, broken or idle, do numbers run out, and does the planner know the tables?"""
    facts, now = await look_at_indexes(database), datetime.now(UTC)
    nodes = await watch_indexes(database.database, facts.nodes, now)
    return judge(database, facts, nodes, now)
