"""An import by small chunks and without Prefect that crashes, for `make demo-import`: `python -m ... SITE FEED`."""

import asyncio
import logging
import os
import signal
import sys
from dataclasses import replace
from itertools import count

from flows.tasks.catalogue import VARIABLE, catalogue
from flows.tasks.site import load
from roundsman.batch import open_target, points, run

_chunks = count(1)


def crash_in_the_second_chunk(point: str) -> None:
    """Die as in a power cut, when the second chunk's articles are written and not committed."""
    if point == "chunk.applied" and next(_chunks) == 2:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    logging.getLogger("roundsman.batch").setLevel(logging.WARNING)
    batch = catalogue(load(sys.argv[1]), sys.argv[2], open_target(VARIABLE), chunk=10)
    points.hook = crash_in_the_second_chunk
    # The next import waits for the end of the lease, and nobody wants to watch that for a minute.
    asyncio.run(run(replace(batch, lease=2.0)))
