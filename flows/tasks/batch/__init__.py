"""A kit for batch jobs that are safe to run again: each row is applied once, wherever a run was stopped.

    batch = Batch(kind="prices", source=JsonLines("prices.jsonl"), target=engine, apply=add_prices)
    outcome = await run(batch)

`apply(connection, rows) -> Applied(changed=...)` does the effects of some rows in the transaction that it is given; the
kit writes its checkpoint into the same one.
"""

from flows.rules.batch import Applied, Change, Outgoing, Status
from flows.tasks.batch.attempt import Batch
from flows.tasks.batch.errors import (
    BatchError,
    FencedError,
    LimitError,
    SourceChangedError,
    SourceError,
    TargetError,
)
from flows.tasks.batch.files import Csv, JsonLines
from flows.tasks.batch.jobs import give_up
from flows.tasks.batch.paged import PagedApi
from flows.tasks.batch.progress import everywhere, in_prefect, on_terminal
from flows.tasks.batch.quarantine import Replayed, dismiss, replay
from flows.tasks.batch.running import Outcome, Progress, run
from flows.tasks.batch.sources import SqlQuery
from flows.tasks.batch.target import open_target

__all__ = [
    "Applied",
    "Batch",
    "BatchError",
    "Change",
    "Csv",
    "FencedError",
    "JsonLines",
    "LimitError",
    "Outcome",
    "Outgoing",
    "PagedApi",
    "Progress",
    "Replayed",
    "SourceChangedError",
    "SourceError",
    "SqlQuery",
    "Status",
    "TargetError",
    "dismiss",
    "everywhere",
    "give_up",
    "in_prefect",
    "on_terminal",
    "open_target",
    "replay",
    "run",
]
