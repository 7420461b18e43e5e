"""Plans of named queries in the ledger: which one a query had before, and since when it has another."""

import asyncio
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.database.rules.query_facts import KnownPlan, ObservedQuery, PlanHistory, QueryFacts
from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.tables_databases import QueryPlanRow
from roundsman.ledger.transaction import writing_session


async def remember_plans(database: str, facts: QueryFacts, now: datetime) -> dict[str, PlanHistory]:
    """Write down each query's plan; returns since when it has it, and the one before, by query."""
    return await asyncio.to_thread(_remember, database, facts, now)


def _remember(database: str, facts: QueryFacts, now: datetime) -> dict[str, PlanHistory]:
    with use_ledger() as engine:
        return write_plans(engine, database, facts, now)


def write_plans(engine: Engine, database: str, facts: QueryFacts, now: datetime) -> dict[str, PlanHistory]:
    """The same, with an open ledger. Doing it again changes nothing; a query that is written anew begins anew."""
    with writing_session(engine) as session:
        return {
            seen.query.name: _history(session, database, seen, now) for seen in facts.queries if seen.plan is not None
        }


def _history(session: Session, database: str, seen: ObservedQuery, now: datetime) -> PlanHistory:
    assert seen.plan is not None  # noqa: S101 - the caller looked
    mine = select(QueryPlanRow).filter_by(database=database, query=seen.query.name, statement_hash=seen.query.digest)
    last = session.scalars(mine.order_by(col(QueryPlanRow.since).desc()).limit(2)).all()
    blocks = seen.ran.blocks if seen.ran else None
    if last and last[0].fingerprint == seen.plan.fingerprint:
        current, before = last[0], last[1] if len(last) > 1 else None
        current.seen_at, current.cost, current.blocks = now, seen.plan.cost, blocks
        return PlanHistory(current.since, _known(before) if before else None)
    session.add(
        QueryPlanRow(
            database=database,
            query=seen.query.name,
            since=now,
            seen_at=now,
            statement_hash=seen.query.digest,
            fingerprint=seen.plan.fingerprint,
            cost=seen.plan.cost,
            blocks=blocks,
            lines=list(seen.plan.lines),
        )
    )
    return PlanHistory(now, _known(last[0]) if last else None)


def _known(row: QueryPlanRow) -> KnownPlan:
    return KnownPlan(row.since, tuple(row.lines), row.cost, row.blocks)
