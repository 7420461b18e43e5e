"""Take a work pool out of work: pause it, and wait until nothing of it runs.

`python -m deployments.drain [--pool roundsman] [--timeout 900]`, and `--resume` to let it take runs again.
Whoever stops a worker without this leaves its runs "Running" for ever: nobody reports their end.
"""

import argparse
import asyncio
import math
import re
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import httpx
from prefect import get_client
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.variables import Variable
from rich.console import Console

from roundsman.cli.parser import CommandParser

DONE, STILL_BUSY, COULD_NOT_ASK, WRONG_INPUT = range(4)
#: As deployments/specs.py says; importing that would import every job. A test holds the two together.
POOL = "roundsman"
TIMEOUT_SECONDS = 900.0
#: Seconds for which nothing may run: what a worker fetched just before the pause shows up a little later.
QUIET_SECONDS = 2.0

_LOOK_EVERY_SECONDS = 0.5
_TELL_EVERY_SECONDS = 30.0
_UNDER_WAY = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


def main(words: list[str] | None = None) -> int:
    """Drain or resume a pool. Exit codes: 0 done, 1 runs are left, 2 no server to ask, 3 wrong input."""
    parser = CommandParser(prog="python -m deployments.drain", description="Take a work pool out of work.")
    parser.add_argument("--pool", default=POOL, help="name of the work pool (default: %(default)s)")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT_SECONDS,
        metavar="SECONDS",
        help="how long to wait (default: %(default)g)",
    )
    parser.add_argument("--resume", action="store_true", help="let the pool take runs again, and wait for nothing")
    try:
        args = parser.parse_args(words)
    except SystemExit as stop:
        return WRONG_INPUT if stop.code else DONE
    return resume(args.pool) if args.resume else drain(args.pool, args.timeout)


def drain(pool: str, timeout: float = TIMEOUT_SECONDS) -> int:
    """Pause a work pool and wait, at most `timeout` seconds, until none of its runs is pending or running.

    Says which runs it waits for. Returns 0 when the pool is drained, 1 when the time was up (the pool stays paused),
    2 when no server answers, 3 when there is no such pool.
    """
    return asyncio.run(answered(_drain(pool, timeout), pool))


def resume(pool: str) -> int:
    """Let a work pool take runs again. Returns 0, or 2 and 3 as `drain` does."""
    return asyncio.run(answered(_resume(pool), pool))


async def answered(asking: Coroutine[Any, Any, int], pool: str) -> int:
    """What was answered as an exit code, or the sentence and the code of why nothing was."""
    if not PREFECT_API_URL.value():
        asking.close()
        _say("no Prefect server is named: set PREFECT_API_URL, such as http://127.0.0.1:4200/api")
        return WRONG_INPUT
    try:
        return await asking
    except ObjectNotFound:
        _say(f"no work pool {pool} at {PREFECT_API_URL.value()}; `python -m deployments deploy` makes ours")
        return WRONG_INPUT
    except PrefectHTTPStatusError as error:
        hint = "; PREFECT_API_AUTH_STRING is to be the server's" if error.response.status_code == 401 else ""
        _say(f"the server at {PREFECT_API_URL.value()} refused with status {error.response.status_code}{hint}")
    except (httpx.HTTPError, OSError, RuntimeError) as error:
        _say(f"the server at {PREFECT_API_URL.value()} does not answer: {type(error).__name__}")
    return COULD_NOT_ASK


async def is_paused(pool: str) -> bool:
    """Whether a work pool is paused."""
    async with get_client() as client:
        return (await client.read_work_pool(pool)).is_paused


async def set_paused(pool: str, *, paused: bool) -> None:
    """Pause a work pool, or let it go on."""
    async with get_client() as client:
        await client.update_work_pool(pool, WorkPoolUpdate(is_paused=paused))


async def under_way(pool: str) -> list[FlowRun]:
    """The runs of a pool that are pending, running or being cancelled."""
    async with get_client() as client:
        return await client.read_flow_runs(
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[*_UNDER_WAY]))),
        )


async def wait(pool: str, timeout: float) -> int:
    """Wait until nothing of a paused pool was under way for 2 s, at most `timeout` seconds; 0 or 1 as `drain`."""
    _say(f"work pool {pool} is paused")
    busy_at = time.monotonic()
    end = busy_at + timeout
    last_runs, last_told_at = [""], -math.inf
    while True:
        runs, now = sorted([f"{run.name} ({run.state_name})" for run in await under_way(pool)]), time.monotonic()
        if not runs and now >= min(busy_at + QUIET_SECONDS, end):
            _say("nothing of it runs any more")
            return DONE
        if runs:
            busy_at = now
        if runs and (runs != last_runs or now > last_told_at + _TELL_EVERY_SECONDS):
            _say(f"waiting for {_counted(runs)}")
            last_runs, last_told_at = runs, now
        if runs and now >= end:
            _say(f"after {timeout:g} s not ended: {_counted(runs)}")
            return STILL_BUSY
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def mark(pool: str) -> str:
    """The Prefect variable by which a worker says that it has paused its pool."""
    return "draining-" + re.sub("[^a-z0-9]+", "-", pool.lower())


async def _drain(pool: str, timeout: float) -> int:
    # From now on the pause is an operator's: no worker is to end it.
    await Variable.aunset(mark(pool))
    await set_paused(pool, paused=True)
    if code := await wait(pool, timeout):
        _say(f"work pool {pool} stays paused; to go on: python -m deployments.drain --pool {pool} --resume")
    return code


async def _resume(pool: str) -> int:
    was_paused = await is_paused(pool)
    await set_paused(pool, paused=False)
    await Variable.aunset(mark(pool))
    _say(f"work pool {pool} takes runs again" if was_paused else f"work pool {pool} was not paused")
    return DONE


def seconds(text: str) -> float:
    """A number of seconds of the command line."""
    with suppress(ValueError):
        if 0 <= (number := float(text)) < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"saw {text!r}, wanted a number of seconds from 0 on")


def _counted(runs: list[str]) -> str:
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {', '.join(runs)}"


def _say(sentence: str) -> None:
    Console(soft_wrap=True).print(sentence, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
