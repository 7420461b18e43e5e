"""Where progress is shown: on a terminal, and in Prefect as a progress artifact of the run."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from flows.tasks.batch.events import log
from flows.tasks.batch.running import Progress, Report


def words(progress: Progress) -> str:
    """How far a job is: `12,000 rows, 2 in quarantine, 31,000 rows/s`."""
    bad = f", {progress.quarantined:,} in quarantine" if progress.quarantined else ""
    return f"{progress.rows:,} rows{bad}, {progress.rows_per_second:,.0f} rows/s"


@contextmanager
def on_terminal(title: str, console: Console | None = None) -> Iterator[Report]:
    """A bar on standard error while the job runs; where there is no terminal, nothing but the log."""
    console = console or Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}")
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, told="")

        async def show(progress: Progress) -> None:
            share = progress.share
            bar.update(task, told=words(progress), completed=share or 0.0, total=None if share is None else 1.0)

        yield show


@asynccontextmanager
async def in_prefect(title: str) -> AsyncIterator[Report]:
    """A progress artifact of the flow's run; it stands still while nobody knows how much there is."""
    from prefect.artifacts import acreate_progress_artifact  # noqa: PLC0415 - a worker that is no flow starts without it

    artifact = await acreate_progress_artifact(0.0, description=title)

    async def show(progress: Progress) -> None:
        await advance(artifact, 100.0 * min(progress.share or 0.0, 1.0), f"{title}: {words(progress)}")

    yield show


async def advance(artifact: UUID, percent: float, told: str) -> None:
    """Bring a progress artifact to where the work is; what keeps Prefect from taking it is logged, and no more."""
    from prefect.artifacts import aupdate_progress_artifact  # noqa: PLC0415 - a worker that is no flow starts without it

    try:
        await aupdate_progress_artifact(artifact, float(percent), description=told)
    except Exception as error:  # noqa: BLE001 - whatever it was, the job is well
        log.warning("Prefect can't be told of the progress: %s", type(error).__name__)


@asynccontextmanager
async def everywhere(title: str) -> AsyncIterator[Report]:
    """In Prefect, and on the terminal where there is one."""
    async with in_prefect(title) as keep:
        with on_terminal(title) as draw:

            async def show(progress: Progress) -> None:
                await draw(progress)
                await keep(progress)

            yield show
