"""A round on a terminal: what is going on while it runs, and a table at the end."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.rules.report import Report, held, line, notable
from flows.rules.verdict import Outcome

_STYLES = {Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.UNKNOWN: "magenta", Outcome.FAIL: "bold red"}


async def walk(site: str, only: Sequence[Any] = (), console: Console | None = None) -> Report:
    """Run `inspect_site` here and now, and say where it is."""
    from prefect.settings import PREFECT_API_URL

    from flows.jobs.inspect_site import inspect_site

    console = console or Console()
    server = PREFECT_API_URL.value()
    first = f"asking Prefect at {server}" if server else "starting Prefect (an embedded server needs some ten seconds)"
    with console.status(first) as status:
        if not console.is_terminal:
            console.print(first, highlight=False)
        await start()
        handler = _Progress(console, status)
        log = logging.getLogger("roundsman")
        log.propagate = False  # Prefect would print each line once more
        log.addHandler(handler)
        try:
            state = await inspect_site(site, only=list(only), return_state=True)
        finally:
            log.removeHandler(handler)
    result = await state.aresult(raise_on_failure=False)
    if isinstance(result, Report):
        return result
    raise result if isinstance(result, BaseException) else RuntimeError(state.message)


async def start() -> None:
    """Get ready what a round would else wait for: the server, if it is embedded, and meanwhile ledger and pictures."""
    from prefect.client.orchestration import get_client

    from flows.tasks import ledger, picture

    async def server() -> None:
        async with get_client():
            pass

    await asyncio.gather(asyncio.to_thread(picture.warm_up), asyncio.to_thread(ledger.ready), server())


class _Progress(logging.Handler):
    """A spinner's text on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, status: Any) -> None:
        super().__init__()
        self._console, self._status = console, status

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if self._console.is_terminal:
            self._status.update(message)
        else:
            self._console.print(message, highlight=False, soft_wrap=True)


def show(report: Report, console: Console | None = None) -> None:
    """Print the report: a table of verdicts, then a line for each finding that needs somebody."""
    console = console or Console()
    table = Table(title=f"{report.site}: {report.summary}", title_justify="left", box=None, pad_edge=False)
    for column in ("outcome", "check", "subject", "saw"):
        table.add_column(column, overflow="fold")
    for verdict in report.verdicts:
        worst = notable(verdict)
        saw = "; ".join(finding.saw for finding in worst) or held(verdict)
        outcome = Text(verdict.outcome, style=_STYLES[verdict.outcome])
        table.add_row(outcome, verdict.check, Text(verdict.subject), Text(saw))
    console.print()
    console.print(table)
    console.print()
    for verdict in report.verdicts:
        for finding in notable(verdict):
            if finding.outcome in {Outcome.FAIL, Outcome.UNKNOWN}:
                console.print(Text(line(verdict, finding), style=_STYLES[finding.outcome]), soft_wrap=True)
