"""What commands that run a job share: what is refused before anything runs, and how a job ends on a terminal."""

import asyncio
import logging
import os
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from roundsman.cli.output import COULD_NOT_LOOK, STOPPED, Ended, InputError, say, say_broken

if TYPE_CHECKING:
    from sqlalchemy import Engine

Result = TypeVar("Result")


def feed_ready(feed: str) -> None:
    """Refuse a feed that can't be read, before anything runs.

    Raises:
        InputError: no such file, a folder, a file that may not be read, or an address that nobody can ask.
    """
    from roundsman.report.rules.text import nearest, without_credentials
    from roundsman.site.rules.first_look import address_meant
    from roundsman.site.rules.written_secrets import what_is_secret

    if what := what_is_secret(feed):
        remedy = "wanted it without, as Prefect shows a run's parameters to everybody; rotate the secret"
        raise InputError(f"FEED: saw {what}: {without_credentials(feed)}; {remedy}")
    if "://" in feed:
        scheme, _, rest = feed.partition("://")
        host = re.match(r"(\[[0-9a-fA-F:.]+\]|[^/?#@:\s]+)(?::[0-9]{1,5})?(?:[/?#]|$)", rest)
        if scheme.lower() in {"http", "https"} and host:
            return
        near = nearest(scheme, ["http", "https"], 1)
        remedy = "wanted an address such as https://feed.example.com/articles, or a file of JSON lines or CSV"
        if "@" in rest.partition("/")[0]:
            remedy = f"{remedy}, without name and password"
        elif near and host:
            remedy = f"did you mean {near[0]}://{rest}?"
        raise InputError(f"FEED: saw {without_credentials(feed)!r}; {remedy}")
    path = Path(feed)
    try:
        if path.is_dir():
            problem = f"saw the folder {feed}; wanted a file of JSON lines or CSV in it"
        elif path.exists() and not path.is_file():
            problem = f"saw {feed}, which is no plain file; wanted one of JSON lines or CSV"
        else:
            path.open("rb").close()
            return
    except FileNotFoundError:
        beside = [str(one) for one in path.parent.glob("*")][:1000] if path.parent.is_dir() else []
        meant = " or ".join([address_meant(feed)] if address_meant(feed) else nearest(str(path), beside))
        remedy = (
            f"did you mean {meant}?" if meant else "wanted a file of JSON lines or CSV, or the address of a paged API"
        )
        raise InputError(f"FEED: saw no file {feed}; {remedy}") from None
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"FEED: saw {feed[:300]!r}, which can't be read ({said}); wanted a readable file") from None
    raise InputError(f"FEED: {problem}")


def open_database(option: str, variable: str) -> "Engine":
    """Open the database of a batch job, whose address is in an environment variable. `dispose()` closes it.

    Raises:
        InputError: nobody says where it is, or it is a file that is not there: who looks shall not make one.
    """
    from roundsman.batch import BatchError, open_target

    try:
        engine = open_target(variable)
    except BatchError as error:
        raise InputError(f"{option}: {error}" if option else str(error)) from None
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file and file != ":memory:" and not Path(file).is_file():
        engine.dispose()
        said = f"saw the file {file}, which is not there; wanted the database of a batch job; correct {variable}"
        raise InputError(f"{option}: {said}" if option else f"{variable}: {said}")
    return engine


def ledger_ready(url: str | None = None) -> None:
    """See that the ledger can be written, before anything runs: that of a URL, else of this process's environment.

    Raises:
        InputError: it can't.
    """
    from roundsman.ledger.ledger import LedgerError, open_ledger

    try:
        open_ledger(url).dispose()
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
    from flows.commands.home import server_ready

    try:
        server_ready()
    except InputError:
        work.close()
        raise
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        say(f"stopped; {stopped}", error=True)
        raise Ended(STOPPED) from None
    except Exception as error:  # noqa: BLE001 - whatever it was, nobody could look
        say_broken(what, error)
        raise Ended(COULD_NOT_LOOK) from None


#: Settings of the server that Prefect embeds when PREFECT_API_URL names none, unless the environment says otherwise.
EMBEDDED = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # While its database restarts, Prefect's API answers 500.
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500,504",
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
