"""Measuring in a process of its own: what else this one does, and its one interpreter lock, would be in the times."""

import asyncio
import math
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

from roundsman.probe.probe import probe
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.site.rules.site import Manners

_ROOT = Path(__file__).parents[2]


async def probe_apart(
    probes: Sequence[Probe], *, manners: Manners, user_agent: str, connections: int, patience: float = math.inf
) -> list[Exchange]:
    """As `roundsman.probe.probe.probe`, in another process, which ends with this call however it ends.

    Raises:
        RuntimeError: the process broke down.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, cwd=_ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        answer, _ = await child.communicate(pickle.dumps((list(probes), manners, user_agent, connections, patience)))
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise RuntimeError(f"the process that measures ended with {child.returncode}")
    exchanges: list[Exchange] = pickle.loads(answer)  # noqa: S301 - our own child's
    return exchanges


def main() -> None:
    """Read a batch from standard input and write what came of it to standard output."""
    probes, manners, user_agent, connections, patience = pickle.load(sys.stdin.buffer)  # noqa: S301 - our parent's
    seen = probe(probes, manners=manners, user_agent=user_agent, connections=connections, patience=patience)
    pickle.dump(seen, sys.stdout.buffer)


if __name__ == "__main__":
    main()
