"""Commands of a site file: found, and run as a list of words in a session of their own."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from roundsman.rollback.rules.judge import FoundCommand
from roundsman.rollback.rules.make_targets import OLD_LIST, complaint, goals, is_make, missing, reading
from roundsman.site.rules.site import RELEASE, Site

#: How much of a command's output is read back, in bytes.
OUTPUT_TAIL_BYTES = 2000
#: Seconds in which make lists its targets.
MAKE_SECONDS = 20.0
_OF_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEFILES"}


def path_of(argv0: str) -> str:
    """Where a command's program is, or "" when there is none that may be run. The project's own come first."""
    return shutil.which(argv0, path=environment()["PATH"]) or ""


def environment() -> dict[str, str]:
    """What a command finds in its environment: ours, with the project's own programs first on the PATH."""
    own = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([own, os.environ.get("PATH", os.defpath)])}


async def find_commands(site: Site) -> dict[str, FoundCommand]:
    """What there is of each rule's rollback, by rule name; the site's own under RELEASE."""
    commands = {rule.name: rule.rollback.command for rule in site.rules}
    if site.release and site.release.rollback:
        commands[RELEASE] = site.release.rollback
    return {name: await find(command) for name, command in commands.items()}


async def find(argv: Sequence[str]) -> FoundCommand:
    """What there is of a command. Of make its targets are asked for as well; none is made."""
    program = path_of(argv[0])
    if not program or not is_make(argv[0]):
        return FoundCommand(program)
    try:
        wanted = goals(argv)
        listing, trouble = await _listing(program, reading(argv)[1:])
        if "unrecognized option" in trouble:
            listing, trouble = await _listing(program, reading(argv, OLD_LIST)[1:])
    except TimeoutError:
        return FoundCommand(program, unread=f"{argv[0]} did not list its targets within {MAKE_SECONDS:g}s")
    except (ValueError, OSError) as error:
        return FoundCommand(program, unread=f"{argv[0]} did not list its targets: {error}")
    lacks = missing(listing, wanted)
    if trouble or lacks is None:
        return FoundCommand(program, unread=f"{argv[0]} did not list its targets: {trouble or 'it is not GNU make'}")
    return FoundCommand(program, tuple(lacks))


async def _listing(program: str, words: Sequence[str]) -> tuple[str, str]:
    """All that make knows, and what kept it from knowing more."""
    # Its headings are looked for in English; what a make above us got is not for this one.
    plain = {name: value for name, value in environment().items() if name not in _OF_MAKE} | {"LC_ALL": "C"}
    _, listing, errors = await _end([program, *words], MAKE_SECONDS, plain, stderr=asyncio.subprocess.PIPE)
    return listing.decode("utf-8", "replace"), complaint(errors.decode("utf-8", "replace"))


async def run(argv: Sequence[str], *, timeout: float) -> str:
    """Run a command and wait. Returns "" when it ended well, else what went wrong.

    After `timeout` seconds it is killed with everything it started.
    """
    program = path_of(argv[0])
    if not program:
        return f"no program {argv[0]}; wanted one on the PATH or in the project"
    words = [program, *argv[1:]]
    try:
        code, output, _ = await _end(words, timeout, environment(), stderr=asyncio.subprocess.STDOUT)
    except TimeoutError:
        return f"no end after {timeout:g}s; it was killed"
    except OSError as error:
        return f"{program} can't be run: {error.strerror}"
    if code == 0:
        return ""
    last = output[-OUTPUT_TAIL_BYTES:].decode("utf-8", "replace").strip().rpartition("\n")[2]
    return f"exit {code}: {last or 'it said nothing'}"


async def _end(
    words: Sequence[str], timeout: float, env: Mapping[str, str], *, stderr: int
) -> tuple[int | None, bytes, bytes]:
    """Run a program to its end: exit code, output and errors. TimeoutError when it was killed, with all it began."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        env=env,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), timeout)
    finally:
        if process.returncode is None:  # hanging, or we were cancelled
            _kill_group(process.pid)
            await process.wait()
    return process.returncode, output, errors or b""


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
