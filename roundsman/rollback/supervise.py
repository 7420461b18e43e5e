"""Running a release's command: bounded in time and output, gone with everything it started, and without its secrets."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roundsman.rollback.find_and_run import environment as own_environment
from roundsman.rollback.find_and_run import path_of
from roundsman.rollback.rules.output import HEAD_BYTES, MARGIN_BYTES, TAIL_BYTES, kept, last_line, secrets_of

GUARD = Path(__file__).with_name("guard.py")
#: Seconds between SIGTERM and SIGKILL.
GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.05
#: Bytes of settings that are read, at most.
MAX_SETTINGS_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended. `trouble` is empty when it ended well, else a sentence; `output` may be shown.

    `exit_code` is None when it did not end by itself.
    """

    seconds: float
    exit_code: int | None
    trouble: str
    output: str


@dataclass(frozen=True, slots=True)
class CommandBounds:
    """Until when a command may run.

    `beat` is called every `patience` / 4 seconds and keeps whatever permits the command to run; what it raises ends the
    command, and is passed on. `stop` ends it as soon as it says True. Both are called in the thread of the command.
    """

    timeout: float
    patience: float = 60.0
    beat: Callable[[], None] = lambda: None
    stop: Callable[[], bool] = lambda: False


class _Output:
    """The beginning and the end of what a command says; what lies between is counted only."""

    def __init__(self, head: int, tail: int) -> None:
        self._room, self._last = head, tail
        self.head, self.tail, self.dropped = bytearray(), bytearray(), 0

    def add(self, data: bytes) -> None:
        room = self._room - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if (over := len(self.tail) - self._last) > 0:
            del self.tail[:over]
            self.dropped += over


def environment_of(more: Mapping[str, str], without: Collection[str] = ()) -> dict[str, str]:
    """What a command finds in its environment: ours but for what it goes without, and what the site file says."""
    return {**{name: value for name, value in own_environment().items() if name not in without}, **more}


def supervise(
    argv: Sequence[str], more: Mapping[str, str], bounds: CommandBounds, without: Collection[str] = ()
) -> CommandResult:
    """Run a command to its end. Blocks; to be called in a thread.

    At its bounds it is ended with everything it started; when this process is killed it is so within a second.
    """
    if missing := _missing(argv):
        return CommandResult(0.0, None, missing, "")
    output, begun = _Output(HEAD_BYTES + MARGIN_BYTES, TAIL_BYTES + MARGIN_BYTES), time.monotonic()
    environment = environment_of(more, without)
    code = _run(argv, environment, bounds, output, subprocess.STDOUT)
    seconds = time.monotonic() - begun
    text = kept(bytes(output.head), bytes(output.tail), output.dropped, secrets_of(environment))
    if code is None:
        why = "it was stopped" if bounds.stop() else f"no end after {bounds.timeout:g}s"
        return CommandResult(seconds, None, f"{why}; it was killed with everything it started", text)
    return CommandResult(seconds, code, f"exit {code}: {last_line(text)}" if code else "", text)


def read_settings(argv: Sequence[str], more: Mapping[str, str], timeout: float) -> tuple[bytes, str]:
    """What a command that only reads prints to its standard output, and what went wrong, or "".

    Of a command that went wrong nothing else is shown: its output may hold a secret.
    """
    if missing := _missing(argv):
        return b"", missing
    output = _Output(MAX_SETTINGS_BYTES, 0)
    code = _run(argv, environment_of(more), CommandBounds(timeout), output, subprocess.DEVNULL)
    if code is None:
        return b"", f"no end after {timeout:g}s"
    if output.dropped:
        return b"", f"its output is longer than {MAX_SETTINGS_BYTES} bytes"
    return (b"", f"exit {code}") if code else (bytes(output.head), "")


def _missing(argv: Sequence[str]) -> str:
    return "" if path_of(argv[0]) else f"no program {argv[0]}; wanted one on the PATH or in the project"


def _run(
    argv: Sequence[str], environment: Mapping[str, str], bounds: CommandBounds, output: _Output, errors: int
) -> int | None:
    """Its exit code; None when it had to be ended."""
    guard = [
        sys.executable,
        "-I",
        "-S",
        str(GUARD),
        str(bounds.patience),
        str(GRACE_SECONDS),
        path_of(argv[0]),
        *argv[1:],
    ]
    with subprocess.Popen(  # noqa: S603 - a command of the site file, as a list of words
        guard,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        bufsize=0,
        env=environment,
    ) as process:
        assert process.stdin is not None  # noqa: S101 - it was asked for
        try:
            ended = _follow(process, output, bounds)
        finally:
            # Once nobody can write to it, the guard ends the command, if there still is one.
            process.stdin.close()
            process.wait()
        _drain(process, output)
    return process.returncode if ended else None


def _follow(process: Any, output: _Output, bounds: CommandBounds) -> bool:
    """Read what it says until it ends, which is True, or has to be ended."""
    os.set_blocking(process.stdout.fileno(), False)
    begun = time.monotonic()
    next_beat = begun + bounds.patience / 4
    while process.poll() is None:
        if not (select.select([process.stdout], [], [], _POLL_SECONDS)[0] and _read(process, output)):
            time.sleep(_POLL_SECONDS)
        now = time.monotonic()
        if now - begun >= bounds.timeout or bounds.stop():
            return False
        if now >= next_beat:
            next_beat = now + bounds.patience / 4
            bounds.beat()
            with suppress(BrokenPipeError):  # it has ended just now
                process.stdin.write(b".")
    return True


def _drain(process: Any, output: _Output) -> None:
    """What it said last. A server that it left behind may hold the pipe for ever, so nobody waits for its end."""
    for _ in range(100):
        if not _read(process, output):
            return


def _read(process: Any, output: _Output) -> bool:
    """Whether there was something to read."""
    data = process.stdout.read(65536)
    output.add(data or b"")
    return bool(data)
