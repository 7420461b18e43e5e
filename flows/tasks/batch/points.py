"""Named points of the algorithm, before and after each write and commit.

`CRASH_AT=chunk.applied:3` kills the process with SIGKILL when it passes that point for the third time. The tests and
the demo do it; the list of points is what a run passes, so that a write without one is found.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable

Hook = Callable[[str], None]


def crash_at(where: str) -> Hook:
    """A hook that kills this process at `name:k`, without a word, as a power cut or the kernel's OOM killer does."""
    name, _, times = where.partition(":")
    passed: Counter[str] = Counter()

    def kill(point: str) -> None:
        passed[point] += 1
        if point == name and passed[point] == int(times or 1):
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


hook: Hook | None = crash_at(os.environ["CRASH_AT"]) if os.environ.get("CRASH_AT") else None


def point(name: str) -> None:
    """Pass a point."""
    if hook is not None:
        hook(name)
