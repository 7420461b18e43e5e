"""Progress of a batch job where Prefect shows it: as a progress artifact of the run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact

from roundsman.batch import Progress, on_terminal
from roundsman.batch.events import log
from roundsman.batch.progress import words
from roundsman.batch.running import Report
from roundsman.report.rules.text import for_markdown


@asynccontextmanager
async def in_prefect(title: str) -> AsyncIterator[Report]:
    """A progress artifact of the flow's run; it stands still while nobody knows how much there is."""
    artifact = await acreate_progress_artifact(0.0, description=for_markdown(title))

    async def show(progress: Progress) -> None:
        await advance(artifact, 100.0 * min(progress.share or 0.0, 1.0), f"{title}: {words(progress)}")

    yield show


async def advance(artifact: UUID, percent: float, message: str) -> None:
    """Bring a progress artifact to where the work is; what keeps Prefect from taking it is logged, and no more."""
    try:
        await aupdate_progress_artifact(artifact, float(percent), description=for_markdown(message))
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
