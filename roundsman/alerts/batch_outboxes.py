"""Databases of batch jobs: each has an outbox of its own, which is served and shown as the ledger's is."""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from roundsman.alerts.outbox import DeadLetter, Delivered, Send, dead_letters, deliver, undelivered
from roundsman.batch import BatchError, open_target
from roundsman.batch.target import has_tables

log = logging.getLogger("roundsman")

#: Names of environment variables, each with the address of a target, between spaces or commas.
NAMES = "ROUNDSMAN_TARGETS"
#: The one that is served when nothing is named, if it is set.
CATALOGUE = "ROUNDSMAN_CATALOGUE_URL"


@dataclass(frozen=True, slots=True)
class TargetOutbox:
    """The outbox of a target: what is dead in it, the newest first, and how many that are. Or why nobody knows."""

    variable: str
    dead: tuple[DeadLetter, ...] = ()
    count: int = 0
    problem: str = ""


def target_variables() -> tuple[str, ...]:
    """The variables that hold the address of a target."""
    names = os.environ.get(NAMES, "").replace(",", " ").split()
    return tuple(dict.fromkeys(names)) or ((CATALOGUE,) if os.environ.get(CATALOGUE) else ())


def target_outboxes(most: int) -> tuple[TargetOutbox, ...]:
    """What is dead in each target, up to `most` of each."""
    return tuple(_letters(variable, most) for variable in target_variables())


async def deliver_targets(send: Send, run_id: str = "") -> Delivered:
    """Send what is due in each target. One that can't be used is told in the log, and holds up no other."""
    sent = failed = 0
    for variable in target_variables():
        try:
            with _opened(variable) as engine:
                if await asyncio.to_thread(has_tables, engine):
                    done = await deliver(send, target=engine, run_id=run_id)
                    sent, failed = sent + done.sent, failed + done.failed
        except (BatchError, SQLAlchemyError) as error:
            log.warning("%s: its outbox can't be served: %s", variable, _why(error))
    return Delivered(sent, failed)


def _letters(variable: str, most: int) -> TargetOutbox:
    try:
        with _opened(variable) as engine:
            if not has_tables(engine):
                return TargetOutbox(variable)
            return TargetOutbox(variable, tuple(dead_letters(engine, most)), undelivered(engine)[1])
    except (BatchError, SQLAlchemyError) as error:
        return TargetOutbox(variable, problem=_why(error))


@contextmanager
def _opened(variable: str) -> Iterator[Engine]:
    engine = open_target(variable)
    try:
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        if file and not Path(file).exists():  # who only looks shall not make an empty one
            raise BatchError(f"{variable}: saw a file that is not there; wanted the database of a batch job")
        yield engine
    finally:
        engine.dispose()


def _why(error: Exception) -> str:
    """What a database says can name its user and host."""
    return str(error) if isinstance(error, BatchError) else type(error).__name__
