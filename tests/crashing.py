"""A process that dies at a named point, without a word, as in a power cut or by the kernel's OOM killer."""

import os
import signal
from collections import Counter
from collections.abc import Callable

from roundsman.batch import points


def crash_at(where: str) -> Callable[[str], None]:
    """A hook that kills this process at `name:k`, when it passes that point for the k-th time; `name` is the first."""
    name, _, times = where.partition(":")
    passed: Counter[str] = Counter()

    def kill(point: str) -> None:
        passed[point] += 1
        if point == name and passed[point] == int(times or 1):
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


def set_crash(where: str) -> None:
    """Have this process die at a point; at none when it is empty."""
    points.hook = crash_at(where) if where else None
