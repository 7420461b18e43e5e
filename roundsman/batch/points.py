"""Named points of the algorithm, before and after each write and commit.

A program that wants to know of them, or to end at one, sets `hook`: the tests, which find a write without a point in
the list of those that a run passes, and the demo. Nothing outside the process can.
"""

from collections.abc import Callable

Hook = Callable[[str], None]

hook: Hook | None = None


def point(name: str) -> None:
    """Pass a point."""
    if hook is not None:
        hook(name)
