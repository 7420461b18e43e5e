"""One pass over the whole ledger: roll up, delete what nothing needs, and give its space back."""

import asyncio
import logging
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from roundsman.ledger.days import DAYS_AHEAD, make_days
from roundsman.ledger.ledger import file_size, use_ledger
from roundsman.ledger.rules.retention import SAMPLES
from roundsman.ledger.tables_samples import SampleDueRow
from roundsman.timing.rollup import roll_up
from roundsman.upkeep.prune_rows import find_old
from roundsman.upkeep.prune_samples import count_old_samples, prune_roll_ups, prune_samples

log = logging.getLogger("roundsman")

ROLLED_UP = "roll-ups of samples"
#: Which share of an SQLite file may stay free: tomorrow's rows go there, and need no new space.
SPARE_SHARE = 0.1
#: Pages that are given back in one transaction.
BATCH_PAGES = 2000


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pass did, or would do."""

    hours: int
    """Hours of samples that were rolled up."""
    gone: dict[str, int] = field(default_factory=dict)
    """How many by what they were; rows that went along with others are not counted."""
    freed: int = 0
    """Bytes that an SQLite file is shorter now."""
    spare: int = 0
    """Bytes inside an SQLite file that are used again."""
    size: int = 0
    """Bytes of an SQLite file."""


async def prune(now: datetime, *, dry_run: bool) -> Pruned:
    """Roll samples up and delete what is old; with `dry_run` count it only. Goes on wherever an earlier one stopped.

    Raises:
        LedgerError: the ledger can't be opened.
    """
    return await asyncio.to_thread(_prune, now, dry_run=dry_run)


def prune_all(engine: Engine, now: datetime) -> Pruned:
    """As `prune` without a dry run, in an open ledger. Each batch is a transaction, so it may be stopped anywhere."""
    make_days(engine, now.astimezone(UTC).date(), DAYS_AHEAD + 1)
    hours = roll_up(engine)
    log.info("rolled up: %d hours of samples", hours)
    gone = {SAMPLES.what: prune_samples(engine, now), ROLLED_UP: prune_roll_ups(engine, now)}
    with Session(engine) as session:
        doomed = find_old(session, now)
    for old in doomed:
        gone[old.retention.what] = gone.get(old.retention.what, 0) + old.delete(engine)
        log.info("deleted: %d %s", gone[old.retention.what], old.retention.what)
    freed, spare = give_back(engine)
    with engine.connect() as connection:
        return Pruned(hours, gone, freed, spare, file_size(connection))


def would_prune(engine: Engine, now: datetime) -> Pruned:
    """What `prune_all` would do now. Rounds are counted, and what goes along with them is not."""
    with Session(engine) as session:
        hours = session.scalar(select(func.count()).select_from(SampleDueRow)) or 0
        raw, spans = count_old_samples(session, now)
        gone = {SAMPLES.what: raw, ROLLED_UP: spans}
        for old in find_old(session, now):
            gone[old.retention.what] = gone.get(old.retention.what, 0) + old.count(session)
        return Pruned(hours, gone, size=file_size(session.connection()))


def give_back(engine: Engine) -> tuple[int, int]:
    """Shorten an SQLite file by what it has free beyond its share; says by how many bytes, and how many stay free.

    Never by VACUUM, which keeps all others out while it writes the whole file anew. A ledger that was made before files
    could be shortened stays as long as it is, and its free pages are used again. PostgreSQL does this by itself.
    """
    if engine.dialect.name != "sqlite":
        return 0, 0
    # Not in a transaction of the engine's: each step ends before the next one begins, so that others can write.
    with closing(engine.raw_connection()) as opened, closing(opened.cursor()) as cursor:

        def asked(pragma: str) -> int:
            return int(cursor.execute(f"PRAGMA {pragma}").fetchone()[0])

        size, pages, free = asked("page_size"), asked("page_count"), asked("freelist_count")
        kept = int(SPARE_SHARE * (pages - free) / (1 - SPARE_SHARE))
        before = free
        while asked("auto_vacuum") == 2 and free > kept:
            cursor.execute(f"PRAGMA incremental_vacuum({min(BATCH_PAGES, free - kept)})").fetchall()
            free = asked("freelist_count")
        # The log of changes would else stay as long as the longest time between two checkpoints made it.
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return (before - free) * size, free * size


def _prune(now: datetime, *, dry_run: bool) -> Pruned:
    with use_ledger() as engine:
        return would_prune(engine, now) if dry_run else prune_all(engine, now)
