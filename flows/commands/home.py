"""The folders that a command works in: the project's, and that of a Prefect server, which it has to itself."""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from roundsman.cli.output import InputError
from roundsman.folders import own_folder
from roundsman.report.rules.text import without_credentials

#: The folder of the project, into which each run of a worker goes.
HOME = "ROUNDSMAN_HOME"
_LEDGER = "ROUNDSMAN_LEDGER_URL"
_WANTED = "wanted the project's folder, with flows/ and deployments/ in it"
_LOCK = "up.lock"


def home_ready(environ: Mapping[str, str] = os.environ) -> None:
    """Refuse a ROUNDSMAN_HOME that no run could work in, before each of them breaks down there.

    Raises:
        InputError: it is set, and is empty, no folder, not the project's, or holds the ledger and can't be written.
    """
    if (said := environ.get(HOME)) is not None and (problem := _unusable(said, environ)):
        raise InputError(f"{HOME}: saw {problem}; set it to that folder, or leave it unset")


def _unusable(said: str, environ: Mapping[str, str]) -> str:
    folder, shown = Path(said), repr(said[:300])
    if not said.strip():
        return f"nothing; {_WANTED}"
    try:
        if not folder.exists():
            return f"{shown}, which is not there; {_WANTED}"
        if not folder.is_dir():
            return f"{shown}, which is no folder; {_WANTED}"
        if not (folder / "flows" / "jobs").is_dir() or not (folder / "deployments").is_dir():
            return f"{shown}, which is another folder; {_WANTED}"
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return f"{shown}, which can't be read ({why}); {_WANTED}"
    state = (own_folder() or folder) / ".roundsman"
    if not environ.get(_LEDGER) and not os.access(state if state.exists() else folder, os.W_OK):
        return f"{shown}, which can't be written; wanted a place for the ledger there, or {_LEDGER}"
    return ""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have a folder to oneself until the end: another process is refused, and a killed one holds nothing.

    Raises:
        InputError: another process has it, or it can't be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, str(error.strerror)) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"PREFECT_HOME: saw {folder}, which {_holder(folder)}; "
                "wanted a folder that nobody uses: stop that one first, or set PREFECT_HOME to another folder"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        file.flush()
        yield


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for another process that starts a server in a folder: two that make the same database break each other."""
    with ExitStack() as stack:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((folder / "start.lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def server_ready() -> None:
    """Refuse a Prefect server that no run could use, and a second one in a folder: each would find SQLite locked.

    Raises:
        InputError: PREFECT_API_URL is no address; or it is not set, and PREFECT_HOME can't be written or is in use by
            `make up`.
    """
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME

    folder = Path(PREFECT_HOME.value())
    if url := PREFECT_API_URL.value():
        if not re.match(r"(?i)https?://[^/?#\s]", url):
            shown = without_credentials(url[:300])
            raise InputError(f"PREFECT_API_URL: saw {shown!r}, wanted an address such as http://127.0.0.1:4200/api")
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, str(error.strerror)) from None
    if not os.access(folder, os.W_OK):
        raise _unwritable(folder, "no right to")
    if not (folder / _LOCK).exists():
        return
    with suppress(OSError), (folder / _LOCK).open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"PREFECT_HOME: saw {folder}, which {_holder(folder)}; wanted its server or a folder that nobody uses: "
                "set PREFECT_API_URL, such as http://127.0.0.1:4200/api, or set PREFECT_HOME to another folder"
            ) from None


def _unwritable(folder: Path, why: str) -> InputError:
    saw = f"the folder {folder}, which can't be written ({why})"
    return InputError(f"PREFECT_HOME: saw {saw}; wanted one that can, for the server's database")


def _holder(folder: Path) -> str:
    number, _, since = (folder / _LOCK).read_text(encoding="utf-8").partition(" ")
    return f"`make up` uses (process {number}, since {since})" if since else "`make up` uses"
