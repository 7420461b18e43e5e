"""What all commands share: their exit codes, how wrong input is told, and a terminal that is left to the report."""

import asyncio
import json
import logging
import os
import re
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

#: Beside 0, all well, and 1, something failed.
COULD_NOT_LOOK, WRONG_INPUT, STOPPED = 2, 3, 130

Result = TypeVar("Result")


class InputError(ValueError):
    """A command was called with something that it can't use; nothing was run."""


class Ended(Exception):  # noqa: N818 - it may have been stopped by whoever called it
    """A command came to an early end that was told already; its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def is_number(text: str) -> bool:
    """Whether it is a whole number that any database can hold."""
    return re.fullmatch("[0-9]{1,18}", text) is not None


def add_json(parser: Any, what: str = "the report") -> None:
    """The option `--json FILE`."""
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"write {what} as JSON")


def writable(path: Path | None) -> None:
    """Refuse a file for `--json` that can't be written, before anything runs."""
    if path and not path.parent.is_dir():
        raise InputError(f"--json: saw {path}, whose folder is not there; wanted a file in a folder that is")
    if path and path.is_dir():
        raise InputError(f"--json: saw the folder {path}, wanted a file in it")
    if path and not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"--json: saw {path}, which may not be written; wanted a file that may")


def write_json(path: Path | None, read: object) -> None:
    """Write what `--json` asks for.

    Raises:
        Ended: it can't be written after all, such as on a full disk; the report was shown.
    """
    if path:
        try:
            path.write_text(json.dumps(read, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            print(f"--json: {path} could not be written: {error.strerror}", file=sys.stderr)
            raise Ended(COULD_NOT_LOOK) from None


def ledger_ready() -> None:
    """See that the ledger can be written, before anything runs.

    Raises:
        InputError: it can't.
    """
    from flows.tasks.ledger import LedgerError, ready

    try:
        ready()
    except LedgerError as error:
        raise InputError(str(error)) from None


def carried_out(work: Coroutine[Any, Any, Result], what: str, stopped: str) -> Result:
    """Run a job to its end, and tell in one sentence when it has none.

    Args:
        work: The job.
        what: Its name in a sentence, such as `the round`.
        stopped: What holds when Ctrl-C stopped it.

    Raises:
        Ended: it was stopped, or broke down.
    """
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        print(f"stopped; {stopped}", file=sys.stderr)
        raise Ended(STOPPED) from None
    except Exception as error:  # noqa: BLE001 - whatever it was, nobody could look
        print(f"{what} broke down: {type(error).__name__}: {error}", file=sys.stderr)
        raise Ended(COULD_NOT_LOOK) from None


#: Settings of the server that Prefect embeds when PREFECT_API_URL names none, unless the environment says otherwise.
EMBEDDED = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # While one writer is at work, a subflow's creation finds SQLite locked, and is tried again only 2 s later. So a
    # round's task runs are written together, at the latest when the server ends; nobody reads its event feed.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "30",
}


def quiet_prefect() -> None:
    """Leave the terminal to the report. To be called before Prefect is imported."""
    for name, value in EMBEDDED.items():
        os.environ.setdefault(name, value)
    logging.captureWarnings(capture=True)
