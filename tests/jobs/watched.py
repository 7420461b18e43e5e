"""Jobs that are watched: one each for what can go wrong with a run."""

import asyncio
from pathlib import Path

from prefect import flow

from roundsman.alerts.rules.runbook import NothingToUndo, job


def runbook(**bounds):
    return job(
        owner="web-platform",
        expects="It ends well.",
        on_fail="Nothing follows from it.",
        rollback=NothingToUndo("it changes nothing"),
        **bounds,
    )


@runbook(start_grace=60)
@flow
async def wait_for_file(path: str) -> None:
    """Run until a file is there."""
    while not Path(path).exists():  # noqa: ASYNC110 - a file can't wake anybody
        await asyncio.sleep(0.1)


@runbook(start_grace=60)
@flow
async def inspect_site() -> None:
    """End well without a round."""


@runbook(start_grace=60, min_runtime=30)
@flow
async def hurry() -> None:
    """Do nothing, in no time."""


@runbook(start_grace=2)
@flow
async def never() -> None:
    """Be promised, and taken by no worker."""
