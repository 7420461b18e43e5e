"""A kit for batch jobs that are safe to run again: each row is applied once, wherever a run was stopped.

    batch = Batch(kind="prices", source=JsonLines("prices.jsonl"), target=engine, apply=add_prices)
    outcome = await run(batch)

`apply(connection, rows) -> Applied(changed=...)` does the effects of some rows in the transaction that it is given; the
kit writes its checkpoint into the same one. Each row is counted as changed or unchanged; `each_matched` executes an
UPDATE for rows, and has one that matched nothing quarantined.
"""

from roundsman.batch.attempt import Batch
from roundsman.batch.effects import each_matched
from roundsman.batch.errors import (
    BatchError,
    FencedError,
    LimitError,
    SourceChangedError,
    SourceError,
    TargetError,
    UnmatchedError,
)
from roundsman.batch.files import Csv, JsonLines
from roundsman.batch.jobs import give_up
from roundsman.batch.paged import PagedApi
from roundsman.batch.progress import on_terminal
from roundsman.batch.quarantine import Replayed, dismiss, replay
from roundsman.batch.rules import Applied, Change, Outgoing, Status
from roundsman.batch.running import BatchOutcome, Progress, run
from roundsman.batch.sources import SqlQuery
from roundsman.batch.target import open_target

__all__ = [
    "Applied",
    "Batch",
    "BatchError",
    "BatchOutcome",
    "Change",
    "Csv",
    "FencedError",
    "JsonLines",
    "LimitError",
    "Outgoing",
    "PagedApi",
    "Progress",
    "Replayed",
    "SourceChangedError",
    "SourceError",
    "SqlQuery",
    "Status",
    "TargetError",
    "UnmatchedError",
    "dismiss",
    "each_matched",
    "give_up",
    "on_terminal",
    "open_target",
    "replay",
    "run",
]
