"""A worker that drains its pool before it stops: `roundsman worker [--pool roundsman] [-- WORDS]`.

SIGTERM pauses the pool, waits for the runs under way, ends the worker and lets the pool go on: a systemd unit, a
container and `make up` stop it in this way. A second signal ends it at once.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from prefect.variables import Variable

from deployments import drain
from flows.commands.common import ledger_ready
from flows.commands.home import home_ready
from roundsman.cli.output import InputError, say
from roundsman.cli.parser import CommandParser

#: Seconds in which a worker without runs ends.
_ENDS_WITHIN_SECONDS = 20.0


def main(words: list[str] | None = None) -> int:
    """Work until a signal. Exit codes: 0 drained, 1 runs were cut off, 2 no server to ask, 3 wrong input."""
    parser = CommandParser(prog="roundsman worker", description="Work, and drain at the end.")
    parser.add_version()
    parser.add_argument("--pool", default=drain.POOL, help="name of the work pool (default: %(default)s)")
    parser.add_argument(
        "--drain",
        type=drain.seconds,
        default=drain.TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="how long to wait at the end for the runs under way (default: %(default)g)",
    )
    parser.add_argument("more", nargs="*", metavar="WORDS", help="after --, what else `prefect worker start` takes")
    try:
        args = parser.parse_args(words)
    except SystemExit as stop:
        return drain.WRONG_INPUT if stop.code else drain.DONE
    try:
        home_ready()
        if os.environ.get("ROUNDSMAN_LEDGER_URL"):
            ledger_ready()
    except InputError as error:
        say(error, error=True)
        return drain.WRONG_INPUT
    return asyncio.run(drain.answered(_work(args.pool, args.drain, args.more), args.pool))


async def _work(pool: str, patience: float, more: list[str]) -> int:
    asked: asyncio.Queue[None] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.put_nowait, None)
    await _go_on(pool)
    # By its machine's name `watch_jobs` knows whether it may look for a run's process here.
    name = f"{pool}@{socket.gethostname()}"
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "prefect",
        "worker",
        "start",
        "--pool",
        pool,
        "--name",
        name,
        "--install-policy",
        "never",
        *more,
    )
    ended = asyncio.create_task(worker.wait())
    await _first(ended, asked.get())
    if ended.done():
        return ended.result() or drain.COULD_NOT_ASK
    draining = asyncio.create_task(drain.answered(_drain(pool, patience), pool))
    await _first(draining, ended, asked.get())
    code = draining.result() if draining.done() else drain.STILL_BUSY
    draining.cancel()
    await _end(worker)
    if code != drain.COULD_NOT_ASK:
        await _go_on(pool)
    return code


async def _drain(pool: str, patience: float) -> int:
    """Pause the pool, with a mark that it was us: what an operator paused stays as it is."""
    if not await drain.is_paused(pool):
        await Variable.aset(drain.mark(pool), value=True, overwrite=True)
        await drain.set_paused(pool, paused=True)
    return await drain.wait(pool, patience)


async def _go_on(pool: str) -> None:
    """Let the pool go on if a worker had paused it, this one or one that was killed while it drained."""
    if await Variable.aget(drain.mark(pool)):
        await drain.set_paused(pool, paused=False)
        await Variable.aunset(drain.mark(pool))


async def _first(*waited: asyncio.Task[int] | Coroutine[Any, Any, None]) -> None:
    """Wait for the first of some; the last of them, a signal, is then forgotten."""
    tasks = [asyncio.ensure_future(one) for one in waited]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    tasks[-1].cancel()


async def _end(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.terminate()
        try:
            await asyncio.wait_for(worker.wait(), _ENDS_WITHIN_SECONDS)
        except TimeoutError:
            worker.kill()
            await worker.wait()


if __name__ == "__main__":
    sys.exit(main())
