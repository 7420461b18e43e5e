"""Rehearsals of migrations in the ledger, where `status` and notices find them."""

import asyncio
from dataclasses import asdict

from sqlalchemy import Engine
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from roundsman.database.rules.migration_record import MigrationRehearsal
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.tables_migrations import MigrationRehearsalRow


def write_migration_rehearsal(engine: Engine, done: MigrationRehearsal) -> None:
    """Keep a rehearsal. Doing it again changes nothing."""
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    with Session(engine.execution_options(writes=True)) as session, session.begin():
        session.execute(insert(MigrationRehearsalRow).values(asdict(done)).on_conflict_do_nothing())


async def remember_rehearsal(done: MigrationRehearsal | None) -> None:
    """Write a rehearsal into the ledger; nothing when nothing was rehearsed."""
    if done is not None:
        await asyncio.to_thread(_remember, done)


def _remember(done: MigrationRehearsal) -> None:
    engine = open_ledger()
    try:
        write_migration_rehearsal(engine, done)
    finally:
        engine.dispose()
