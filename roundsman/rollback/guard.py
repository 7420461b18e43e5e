"""Runs one command in a session of its own, and ends it with all it started as soon as nobody listens any more.

It is run as a script and imports nothing of this project: `python -I -S guard.py PATIENCE GRACE ARGV...`.
Whoever started it writes a byte to its standard input now and then. When none came for PATIENCE seconds, or the input
is at its end because the writer was killed, the command's group gets SIGTERM, and SIGKILL after GRACE seconds; then on
Linux what has left the group for a session of its own is killed too. So no command outlives the lease under which it
was begun, whatever becomes of its runner. When the command ends by itself, what it left behind is left alone: a deploy
may start a server. The exit code is the command's, 128 + N after signal N.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.05
#: Of Linux's prctl: whoever loses its parent becomes our child, so that it can be found. It outlives us unharmed.
PR_SET_CHILD_SUBREAPER = 36
CHILDREN = Path("/proc/self/task") / str(os.getpid()) / "children"


def main(words: list[str]) -> int:
    """Run the command and wait for its end, or bring it about."""
    patience, grace, argv = float(words[0]), float(words[1]), words[2:]
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)  # it is ended by its input, so that it never leaves the command alone
    with suppress(AttributeError, OSError):  # not on Linux
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        child = subprocess.Popen(  # noqa: S603 - a command of the site file, as a list of words
            argv,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_listen,  # noqa: PLW1509 - no thread here
        )
    except OSError as error:
        sys.stderr.write(f"{argv[0]} can't be run: {error.strerror}\n")
        return 126
    heard, unheard = time.monotonic(), False
    while child.poll() is None:
        ready, _, _ = select.select([0], [], [], POLL_SECONDS)
        if ready:
            if not os.read(0, 4096):
                break
            heard = time.monotonic()
        if time.monotonic() - heard > patience:
            unheard = True
            break
    if child.returncode is None:
        _end(child, grace)
    if unheard:
        with suppress(OSError):  # only now, and without waiting: perhaps nobody reads any more either
            os.set_blocking(2, False)
            os.write(2, f"it was ended: its runner was not heard for {patience:g}s\n".encode())
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _listen() -> None:
    """The command hears signals again; what is ignored would stay so."""
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_DFL)


def _end(child: subprocess.Popen[bytes], grace: float) -> None:
    """The whole group, also what is left of it when the command itself has gone."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    end = time.monotonic() + grace
    while child.poll() is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    _end_adopted()


def _end_adopted() -> None:
    """What has left the group. Its own children are ours as soon as it is dead; who is dead is taken off the list."""
    with suppress(OSError, ValueError):
        while adopted := [int(word) for word in CHILDREN.read_text().split()]:
            for number in adopted:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
                os.waitpid(number, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
