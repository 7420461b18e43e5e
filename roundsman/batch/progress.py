"""Progress of a job on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from roundsman.batch.running import Progress, Report


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
