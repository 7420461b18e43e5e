"""A round's result, where people look for it: Prefect's artifacts and logs, and the colour of the run."""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect import Flow, State, Task, task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed

from roundsman.report.pictures import latencies
from roundsman.report.rules.grouping import Group
from roundsman.report.rules.report import Report, log_line, markdown, message_of, rows
from roundsman.report.rules.text import for_markdown
from roundsman.report.rules.verdict import Outcome, Verdict, worst

#: Apart from the logger of what is going on, since a terminal shows the faults in its report.
FAULTS = logging.getLogger("roundsman.faults")
#: Faults that are logged of one run, at most; its artifact has all.
MOST_LOGGED = 100

#: State names of a round that ended red and said why. Failures that need somebody else to speak for them have others.
BREACH, UNKNOWN = "Breach", "Unknown"


@task(task_run_name="publish {report.site}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
async def publish(report: Report, page_key: str = "round", table_key: str = "verdicts") -> None:
    """Write the round as a page with a picture, and as a table of verdicts. The site's name ends both keys."""
    series = [one for verdict in report.verdicts for one in verdict.series]
    page = markdown(report, latencies(series))
    summary = for_markdown(f"{report.site}: {report.message}")
    await acreate_markdown_artifact(page, key=f"{page_key}-{report.site}", description=summary)
    await acreate_table_artifact(rows(report.verdicts), key=f"{table_key}-{report.site}", description=summary)


def log_faults(site: str, faults: Sequence[Group]) -> None:
    """Write a line for each fault into the run's log: an error for what failed, a warning for what is unknown."""
    heavy = [one for one in faults if one.outcome in _LEVELS]
    for one in heavy[:MOST_LOGGED]:
        FAULTS.log(_LEVELS[one.outcome], "%s: %s", site, log_line(one))
    if len(heavy) > MOST_LOGGED:
        FAULTS.error("%s: and %d more faults; see the run's artifact", site, len(heavy) - MOST_LOGGED)


def conclude(report: Report, data: Any = None) -> State[Any]:
    """The run's colour: red when something failed or could not be looked at; its message names the worst fault.

    `data` is the run's result, the report when left out.
    """
    return ended(report.outcome, report.message, data or report)


def ended(outcome: Outcome, message: str, data: Any) -> State[Any]:
    """The state of a run that has looked, by what it found."""
    name = {Outcome.FAIL: BREACH, Outcome.UNKNOWN: UNKNOWN}.get(outcome)
    return Failed(name=name, message=message, data=data) if name else Completed(message=message, data=data)


Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def concluding(
    check: Callable[Arguments, Awaitable[list[Verdict]]],
) -> Callable[Arguments, Awaitable[State[list[Verdict]]]]:
    """Let a check's own run be as red as its verdicts. Stands between `@flow` and the check.

    Called as any subflow, a red check raises; `verdicts_of` calls it and gets what it found.
    """

    @wraps(check)
    async def run(*args: Arguments.args, **how: Arguments.kwargs) -> State[list[Verdict]]:
        verdicts = await check(*args, **how)
        _found.get([]).append(verdicts)
        return ended(worst(one.outcome for one in verdicts), message_of(verdicts), verdicts)

    return run


async def attempt(work: Task[..., Coroutine[Any, Any, Result]], *args: Any, **how: Any) -> State[Result]:
    """Run a task whose failure does not end the run that called it, and return how it ended."""
    # By Prefect's annotation this is the state itself; of an asynchronous task it is to be waited for.
    ended: Any = work(*args, return_state=True, **how)
    state: State[Result] = await ended
    return state


async def verdicts_of(check: Flow[..., Any], *args: Any) -> list[Verdict]:
    """Run a check as a subflow and return its verdicts, also when its run ends red.

    Raises:
        Exception: whatever the check broke down with.
    """
    found: list[list[Verdict]] = []
    token = _found.set(found)
    try:
        running: Any = check(*args, return_state=True)
        state: State[list[Verdict]] = await running
    except Exception:
        if not found:
            raise
    finally:
        _found.reset(token)
    # A state that had to be sent to the server twice comes back without its data.
    return found[0] if found else await state.aresult()


#: Where a check that is under way leaves its verdicts for the run that called it.
_found: ContextVar[list[list[Verdict]]] = ContextVar("found")

_LEVELS = {Outcome.FAIL: logging.ERROR, Outcome.UNKNOWN: logging.WARNING}
