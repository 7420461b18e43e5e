"""Rehearsals of migrations in the ledger, where `status` and notices find them."""

import asyncio
from dataclasses import asdict

from sqlalchemy import Engine

from roundsman.database.rules.migration_record import MigrationRehearsal
from roundsman.ledger.insert import insert_new
from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.tables_migrations import MigrationRehearsalRow
from roundsman.ledger.transaction import writing_session


def write_migration_rehearsal(engine: Engine, done: MigrationRehearsal) -> None:
    """Keep a rehearsal. Doing it again changes nothing."""
    with writing_session(engine) as session:
        session.execute(insert_new(engine, MigrationRehearsalRow).values(asdict(done)))


async def remember_rehearsal(done: MigrationRehearsal | None) -> None:
    """Write a rehearsal into the ledger; nothing when nothing was rehearsed."""
    if done is not None:
        await asyncio.to_thread(_remember, done)


def _remember(done: MigrationRehearsal) -> None:
    with use_ledger() as engine:
        write_migration_rehearsal(engine, done)
