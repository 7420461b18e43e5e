"""Rehearsals of migrations in the ledger, where `status` and notices find them."""

import asyncio
from dataclasses import asdict, fields

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from flows.rules.migration_record import MigrationRehearsal
from flows.tasks.ledger import open_ledger
from flows.tasks.migration_tables import MigrationRehearsalRow


def write_migration_rehearsal(engine: Engine, done: MigrationRehearsal) -> None:
    """Keep a rehearsal. Doing it again changes nothing."""
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    with Session(engine.execution_options(writes=True)) as session, session.begin():
        session.execute(insert(MigrationRehearsalRow).values(asdict(done)).on_conflict_do_nothing())


def last_migration_rehearsal(engine: Engine, database: str) -> MigrationRehearsal | None:
    """The last rehearsal of a database's migrations; None when there was none."""
    ask = select(MigrationRehearsalRow).filter_by(database=database)
    with Session(engine) as session:
        row = session.scalars(ask.order_by(MigrationRehearsalRow.finished_at.desc()).limit(1)).first()
        return row and MigrationRehearsal(**{one.name: getattr(row, one.name) for one in fields(MigrationRehearsal)})


@task(
    task_run_name="remember the rehearsal",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
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
