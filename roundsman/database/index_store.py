"""How indexes are used, in the ledger: counts that a server forgets, or loses, do not make an index unused."""

import asyncio
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine, delete, select
from sqlmodel import col

from roundsman.database.rules.index_facts import IndexUses
from roundsman.database.rules.index_usage import WatchedIndex, watched
from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.tables_databases import IndexUseRow
from roundsman.ledger.transaction import writing_session

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
