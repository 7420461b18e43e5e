"""Runs one command in a session of its own, and ends it with all it started as soon as nobody listens any more.

It is run as a script and imports nothing of this project: `python -I -S rehearse_guard.py PATIENCE GRACE ARGV...`.
Whoever started it writes a byte to its standard input now and then. When none came for PATIENCE seconds, or the input
is at its end because the writer was killed, the command's group gets SIGTERM, and SIGKILL after GRACE seconds. So no
command outlives the lease under which it was begun, whatever becomes of its runner. When the command ends by itself,
what it left behind is left alone: a deploy may start a server. The exit code is the command's, 128 + N after signal N.
"""

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

LOOK = 0.05


def main(words: list[str]) -> int:
    """Run the command and wait for its end, or bring it about."""
    patience, grace, argv = float(words[0]), float(words[1]), words[2:]
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)  # it is ended by its input, so that it never leaves the command alone
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
    heard = time.monotonic()
    while child.poll() is None:
        ready, _, _ = select.select([0], [], [], LOOK)
        if ready:
            if not os.read(0, 4096):
                break
            heard = time.monotonic()
        if time.monotonic() - heard > patience:
            break
    if child.returncode is None:
        _end(child, grace)
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
        time.sleep(LOOK)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
