"""A round on a terminal: what is going on while it runs, and a table at the end."""

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from roundsman.purge.rules.queue import QueueRun
from roundsman.purge.rules.report import Purging, planned, proven
from roundsman.report.rules.grouping import Group, group, passed
from roundsman.report.rules.report import COLUMNS, Report, columns, line, seen
from roundsman.report.rules.text import for_terminal
from roundsman.report.rules.verdict import Outcome

STYLES = {Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.UNKNOWN: "magenta", Outcome.FAIL: "bold red"}
Result = TypeVar("Result")

#: Characters from which on the two columns stand beside what was seen; else all of it stands in lines.
WIDE_CHARACTERS = 120


async def walk(site: str, only: Sequence[Any] = (), console: Console | None = None) -> Report:
    """Run `inspect_site` here and now, and say where it is."""

    async def run() -> Any:
        from flows.jobs.inspect_site import inspect_site

        return await inspect_site(site, only=list(only), return_state=True)

    return await follow(run, Report, console)


async def purge(site: str, routes: Sequence[str], console: Console | None = None, **how: bool) -> Purging:
    """Run `purge_routes` here and now, and say where it is."""

    async def run() -> Any:
        from flows.jobs.purge_routes import purge_routes

        return await purge_routes(site, list(routes), **how, return_state=True)

    return await follow(run, Purging, console)


async def published(site: str, console: Console | None = None) -> QueueRun:
    """Run `purge_published` here and now, and say where it is."""

    async def run() -> Any:
        from flows.jobs.purge_published import purge_published

        return await purge_published(site, dry_run=False, return_state=True)

    return await follow(run, QueueRun, console)


async def compare(site: str, console: Console | None = None, **how: Any) -> Report:
    """Run `compare_release` here and now, and say where it is."""

    async def run() -> Any:
        from flows.jobs.compare_release import compare_release

        return await compare_release(site, **how, return_state=True)

    return await follow(run, Report, console)


async def follow(run: Callable[[], Awaitable[Any]], kind: type[Result], console: Console | None = None) -> Result:
    """Run a job with its words on the terminal. Returns its result; raises what it broke down with."""
    from prefect.settings import PREFECT_API_URL

    console = console or Console()
    server = PREFECT_API_URL.value()
    first = f"asking Prefect at {server}" if server else "starting Prefect (an embedded server needs some ten seconds)"
    with console.status(words(first)) as status:
        if not console.is_terminal:
            console.print(words(first), soft_wrap=True)
        await start()
        handler = _Progress(console, status)
        log = logging.getLogger("roundsman")
        log.propagate = False  # Prefect would print each line once more
        log.addHandler(handler)
        try:
            state = await run()
        finally:
            log.removeHandler(handler)
            log.propagate = True
    result = await state.aresult(raise_on_failure=False)
    if isinstance(result, kind):
        return result
    raise result if isinstance(result, BaseException) else RuntimeError(state.message)


async def start() -> None:
    """Get ready what a round would else wait for: the server, if it is embedded; meanwhile ledger, blocks, pictures.

    A server that is not ready yet when this is stopped is killed: it has nothing to lose, and would take its time.
    """
    from prefect.client.orchestration import get_client

    from flows.tasks import site as site_files
    from roundsman.ledger import ledger
    from roundsman.report import pictures as picture

    meanwhile = [_in_a_thread(work) for work in (picture.warm_up, ledger.ready, site_files.warm_up)]
    with _killed_unless_ready():
        async with get_client() as client:
            # It listens before it is at ease: its first answer can take a second.
            await client.read_flow_runs(limit=1)
    await asyncio.gather(*meanwhile)


@contextmanager
def _killed_unless_ready() -> Iterator[None]:
    """Start Prefect's embedded server, unless there is another one; kill it when what follows does not succeed."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_SERVER_EPHEMERAL_ENABLED

    from flows.commands.home import one_at_a_time

    if PREFECT_API_URL.value() or not PREFECT_SERVER_EPHEMERAL_ENABLED.value():
        yield
        return
    server: Any = None
    try:
        with _interruptible():
            from prefect.server.api.server import SubprocessASGIServer

            server = SubprocessASGIServer()
            with one_at_a_time(Path(PREFECT_HOME.value())):
                server.start()
        yield
    except BaseException:
        if server and server.server_process:
            server.server_process.kill()
            server.stop()
        raise


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end what blocks the event loop: asyncio would wait until the loop goes on."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if (task := asyncio.current_task()) and task.cancelling():  # it came just before
            raise KeyboardInterrupt
        yield
    finally:
        signal.signal(signal.SIGINT, kept)


def _in_a_thread(work: Callable[[], object]) -> asyncio.Future[object]:
    """Work beside the event loop, which does not hold up the end of the process as `asyncio.to_thread` does."""
    done: Future[object] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - who waits for it gets it
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return asyncio.wrap_future(done)


class _Progress(logging.Handler):
    """A spinner's text on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, status: Any) -> None:
        super().__init__()
        self._console, self._status = console, status

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "roundsman.faults":  # they stand in the report
            return
        message = words(record.getMessage())
        if self._console.is_terminal:
            self._status.update(message)
        else:
            self._console.print(message, soft_wrap=True)


def words(text: str, style: str = "") -> Text:
    """Text from outside for a terminal, which obeys nothing in it, nor does Rich."""
    return Text(for_terminal(text), style)


def heading(text: str) -> Text:
    """A line between two empty ones."""
    return Text.assemble("\n", words(text, "bold"), "\n")


def show(report: Report, console: Console | None = None) -> None:
    """Print the report: a table of faults and of what holds, then a line for each fault that needs somebody."""
    console = console or Console()
    faults = group(report.verdicts)
    console.print(heading(f"{report.site}: {report.summary}"))
    show_groups([*faults, *passed(report.verdicts)], console)


def show_groups(groups: Sequence[Group], console: Console) -> None:
    """Print a table of groups, then a line for each in which something is wrong, with what was wanted."""
    console.print(_table(groups, wide=console.width >= WIDE_CHARACTERS))
    console.print()
    for one in groups:
        if one.outcome is not Outcome.PASS:
            console.print(words(line(one), STYLES[one.outcome]), soft_wrap=True)


def show_purge(purging: Purging, console: Console | None = None) -> None:
    """Print the plan as lines; then, when it was carried out, its report, and what was proven of each target."""
    console = console or Console()
    for said in planned(purging.plan):
        console.print(words(said), soft_wrap=True)
    if purging.plan.refusals:
        console.print("nothing was purged")
    elif purging.report is None:
        console.print("a dry run: nothing was purged; --apply does it")
    else:
        show(purging.report, console)
        for said in proven(purging.report.verdicts):
            console.print(words(said), soft_wrap=True)


def show_comparison(report: Report, console: Console | None = None) -> None:
    """Print a comparison: how fast each route is in each cache state, and whatever else differs."""
    console = console or Console()
    console.print(heading(f"{report.site}: {report.summary}"))
    table = Table(box=None, pad_edge=False)
    for head in ("outcome", "route", "what", "saw", "wanted"):
        table.add_column(head, overflow="fold", no_wrap=head == "outcome")
    for verdict in report.verdicts:
        for one in verdict.findings:
            what = one.claim.partition("/")[2]
            if one.outcome is not Outcome.PASS or what.endswith("speed"):
                cells = (verdict.subject, what, one.saw, one.wanted)
                table.add_row(Text(one.outcome, style=STYLES[one.outcome]), *map(words, cells))
    console.print(table)


def _table(groups: Sequence[Group], *, wide: bool) -> Table:
    """A row for each group. On a narrow terminal what would stand beside each other stands below."""
    table = Table(box=None, pad_edge=False, show_header=wide)
    table.add_column("outcome", no_wrap=True)
    beside = [name for name in COLUMNS if any(name in columns(one) for one in groups)]
    for head in ("check", "subject", "saw", *beside) if wide else ("",):
        table.add_column(head, overflow="fold", no_wrap=head == "check")
    for one in groups:
        outcome = _lines(one.outcome, one.severity)
        outcome.stylize(STYLES[one.outcome])
        table.add_row(outcome, *(_cells(one, beside) if wide else [_below(one)]))
    return table


def _cells(one: Group, beside: Sequence[str]) -> list[Text]:
    cells = columns(one)
    subjects = _lines(*one.examples, one.more)
    return [words(one.check), subjects, words(seen(one)), *(words(cells.get(name, "")) for name in beside)]


def _below(one: Group) -> Text:
    both = "; ".join(f"{name}: {text}" for name, text in columns(one).items())
    return Text.assemble(words(f"{one.check}  {one.where}", "bold"), "\n", _lines(seen(one), both))


def _lines(*texts: str | None) -> Text:
    return Text("\n").join(words(text) for text in texts if text)
