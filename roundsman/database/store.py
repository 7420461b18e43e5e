"""What the ledger knows of databases: how indexes were used, plans last seen, and migrations rehearsed."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.database.rules.index_facts import IndexUses, WatchedIndex, watched
from roundsman.database.rules.judge_migrations import MigrationRehearsal
from roundsman.database.rules.query_facts import KnownPlan, ObservedQuery, PlanHistory, QueryFacts
from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.tables import IndexUseRow, MigrationRehearsalRow, QueryPlanRow
from roundsman.ledger.transaction import insert_new, writing_session

Counts = Mapping[str, Mapping[str, IndexUses]]


async def watch_indexes(database: str, nodes: Counts, now: datetime) -> dict[str, dict[str, WatchedIndex]]:
    """Write down how often each index was used by now; returns since when each has stood still, by node."""
    return await asyncio.to_thread(_watch, database, nodes, now)


def _watch(database: str, nodes: Counts, now: datetime) -> dict[str, dict[str, WatchedIndex]]:
    with use_ledger() as engine:
        return write_counts(engine, database, nodes, now)


def write_counts(engine: Engine, database: str, nodes: Counts, now: datetime) -> dict[str, dict[str, WatchedIndex]]:
    """The same, with an open ledger. An index that is gone is forgotten; a node that was not asked is left alone."""
    seen: dict[str, dict[str, WatchedIndex]] = {}
    with writing_session(engine) as session:
        for node, counts in nodes.items():
            rows = session.scalars(select(IndexUseRow).filter_by(database=database, node=node)).all()
            before = {row.name: WatchedIndex(row.scans, row.reset, row.since, row.seen_at) for row in rows}
            seen[node] = {name: watched(before.get(name), count, now) for name, count in counts.items()}
            if gone := [name for name in before if name not in counts]:
                mine = delete(IndexUseRow).where(col(IndexUseRow.database) == database, col(IndexUseRow.node) == node)
                session.execute(mine.where(col(IndexUseRow.name).in_(gone)))
            for name, index in seen[node].items():
                session.merge(
                    IndexUseRow(
                        database=database,
                        node=node,
                        name=name,
                        scans=index.scans,
                        reset=index.reset,
                        since=index.since,
                        seen_at=index.seen_at,
                    )
                )
    return seen


async def remember_plans(database: str, facts: QueryFacts, now: datetime) -> dict[str, PlanHistory]:
    """Write down each query's plan; returns since when it has it, and the one before, by query."""
    return await asyncio.to_thread(_remember_plans, database, facts, now)


def _remember_plans(database: str, facts: QueryFacts, now: datetime) -> dict[str, PlanHistory]:
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


def write_migration_rehearsal(engine: Engine, done: MigrationRehearsal) -> None:
    """Keep a rehearsal. Doing it again changes nothing."""
    with writing_session(engine) as session:
        session.execute(insert_new(engine, MigrationRehearsalRow).values(asdict(done)))


async def remember_rehearsal(done: MigrationRehearsal | None) -> None:
    """Write a rehearsal into the ledger; nothing when nothing was rehearsed."""
    if done is not None:
        await asyncio.to_thread(_remember_rehearsal, done)


def _remember_rehearsal(done: MigrationRehearsal) -> None:
    with use_ledger() as engine:
        write_migration_rehearsal(engine, done)
