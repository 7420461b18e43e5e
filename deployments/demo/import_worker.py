"""An import by small chunks and without Prefect, for `make demo-import` to crash: `python -m ... SITE FEED`."""

import asyncio
import logging
import sys
from dataclasses import replace

from flows.tasks.batch import open_target, run
from flows.tasks.catalogue import VARIABLE, catalogue
from flows.tasks.site_file import load

if __name__ == "__main__":
    logging.getLogger("roundsman.batch").setLevel(logging.WARNING)
    batch = catalogue(load(sys.argv[1]), sys.argv[2], open_target(VARIABLE), chunk=10)
    # Who comes next waits for the end of the lease; nobody wants to watch that for a minute.
    asyncio.run(run(replace(batch, lease=2.0)))
