"""Programs that run side by side in one terminal: each line says whose it is, and none is left behind."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Self

from rich.console import Console
from rich.text import Text

from roundsman.report.rules.text import for_terminal

#: Lines that are told once more of a part that died.
LAST_LINES = 12
_STYLES = ("cyan", "green", "magenta", "blue", "yellow")
_LOOK_EVERY_SECONDS = 0.3


class StoppedError(Exception):
    """Somebody asked for the end: Ctrl-C, SIGTERM, or a terminal that was closed."""


class PartError(Exception):
    """A part ended, or was not ready in time; says which one."""

    def __init__(self, part: "Part", what: str) -> None:
        super().__init__(f"{part.name} {what}")
        self.part = part


class Part:
    """One program, in a session of its own, so that Ctrl-C in a terminal is ours alone to handle."""

    def __init__(self, name: str, process: subprocess.Popen[str], patience: float, hide: re.Pattern[str]) -> None:
        self.name, self.process, self.patience, self.hide = name, process, patience, hide
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self.relay: threading.Thread | None = None

    def hear_out(self) -> None:
        """Wait for the last words, but not for long: what it started may hold its output open."""
        if self.relay:
            self.relay.join(1)

    @property
    def fate(self) -> str:
        """How it ended."""
        code = self.process.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class Parts:
    """The parts of one terminal, as a context: they are stopped at its end, the last one that was started first."""

    def __init__(self, console: Console, width: int) -> None:
        self._console, self._width = console, width
        self._parts: list[Part] = []
        self._killed: set[Part] = set()
        # A queue that may be written to from a signal's handler: the part that ended, or None for a signal.
        self._events: SimpleQueue[Part | None] = SimpleQueue()

    def __enter__(self) -> Self:
        _adopt_orphans()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._events.put(None))
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        _end_orphans()

    def say(self, name: str, line: str) -> None:
        """Print one line of a part."""
        style = _STYLES[sum(name.encode()) % len(_STYLES)]
        self._console.print(Text.assemble((f"{name:<{self._width}} | ", style), for_terminal(line)), soft_wrap=True)

    def start(
        self, name: str, command: list[str], environment: Mapping[str, str], *, patience: float = 10, hide: str = "$."
    ) -> Part:
        """Start a part. It has `patience` seconds to end when it is asked to; lines that begin like `hide` are hidden.

        `hide` is a regular expression, and what it hides is told after all when the part dies.
        """
        process = subprocess.Popen(  # noqa: S603 - our own words
            command,
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        part = Part(name, process, patience, re.compile(hide))
        self._parts.append(part)
        part.relay = threading.Thread(target=self._relay, args=(part,), daemon=True)
        part.relay.start()
        threading.Thread(target=self._await, args=(part,), daemon=True).start()
        return part

    def finish(self, name: str, command: list[str], environment: Mapping[str, str], *, hide: str = "$.") -> None:
        """Run a part to its end.

        Raises:
            PartError: this one failed, or another one ended meanwhile.
            StoppedError: somebody asked for the end.
        """
        part = self.start(name, command, environment, hide=hide)
        while not self._event(None, awaited=part):
            pass
        self._parts.remove(part)

    def until(self, part: Part, condition: Callable[[], object], seconds: float) -> None:
        """Wait until a part is ready.

        Raises:
            PartError: it was not after `seconds`, or a part ended meanwhile.
            StoppedError: somebody asked for the end.
        """
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise PartError(part, f"was not ready after {seconds:g} s")
            self._event(_LOOK_EVERY_SECONDS)
        part.last.clear()  # what it said while it started explains no later end

    def kill(self, part: Part, also: Sequence[int] = ()) -> None:
        """End a part by force, as when its machine goes; that it ended is no error.

        Args:
            part: Which one.
            also: Processes that it has started, each the first of a group of its own.
        """
        self._parts.remove(part)
        self._killed.add(part)
        for group in (part.process.pid, *also):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        part.process.wait()

    def await_end(self, part: Part, seconds: float) -> None:
        """Wait until a part that was started has ended well.

        Raises:
            PartError: it failed, or had not ended in time, or another part ended.
            StoppedError: somebody asked for the end.
        """
        end = time.monotonic() + seconds
        while not self._event(_LOOK_EVERY_SECONDS, awaited=part):
            if time.monotonic() > end:
                raise PartError(part, f"had not ended after {seconds:g} s")
        self._parts.remove(part)

    def wait(self) -> None:
        """Wait for the first thing that ends it all, and raise it: PartError or StoppedError."""
        while True:
            self._event(None)

    def _event(self, timeout: float | None, awaited: Part | None = None) -> bool:
        try:
            part = self._events.get(timeout=timeout)
        except Empty:
            return False
        if part is None:
            raise StoppedError
        if part in self._killed:
            return False
        if part is awaited and part.process.returncode == 0:
            return True
        raise PartError(part, part.fate)

    def _relay(self, part: Part) -> None:
        for line in part.process.stdout or ():
            if text := line.rstrip():
                part.last.append(text)
                if not part.hide.match(text):
                    self.say(part.name, text)

    def _await(self, part: Part) -> None:
        part.process.wait()
        part.hear_out()
        self._events.put(part)

    def _stop(self) -> None:
        hurry = False
        for part in reversed(self._parts):
            if part.process.poll() is None:
                part.process.terminate()
                hurry = self._ended(part, hurry=hurry)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(part.process.pid, signal.SIGKILL)
            part.process.wait()
            part.hear_out()

    def _ended(self, part: Part, *, hurry: bool) -> bool:
        """Wait for a part that was asked to end; a signal meanwhile hurries it and all that come after it."""
        end = time.monotonic() + part.patience
        warned = False
        while part.process.poll() is None and time.monotonic() < end:
            if hurry and not warned:
                part.process.send_signal(signal.SIGINT)
                warned = True
            with suppress(Empty):
                hurry = self._events.get(timeout=_LOOK_EVERY_SECONDS) is None or hurry
        return hurry


def _adopt_orphans() -> None:
    """Become the parent of what our children leave behind: a run's process has a session of its own."""
    if sys.platform == "linux":
        pr_set_child_subreaper = 36
        ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def _end_orphans() -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while children.exists() and (found := children.read_text().split()):
        for child in map(int, found):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child, 0)
