"""A sweep of a million pages, whole, against one of a hundred thousand; and three workers against one.

`python -m benchmarks sweep_million` takes some minutes and some gigabytes of disk.
"""

import asyncio
import multiprocessing
import os
import tempfile
import time

from benchmarks.shop import alone, shop
from benchmarks.sweep import RATE, Row, _load, grown, site_of, sweep

BY_NAME = True
FEW, MANY = 100_000, 1_000_000
#: Pages for the workers, how long each takes in milliseconds, and pages of a shard.
PAGES, DELAY, SHARD = 18_000, 20, 500


def rows() -> list[Row]:
    costs = []
    # A minute later the machine may be a slower one: the few stand before and after the many.
    for pages in (FEW, MANY, FEW):
        with shop(pages) as address:
            costs.append(alone(sweep, address, pages))
    before, many, after = (cost.listing + cost.looking for cost in costs)
    more = 2 * many / (before + after)
    what = f"a sweep of {MANY:,} pages against those of {FEW:,} before and after it"
    return [*map(grown, costs), (what, f"{more:.1f}x the time", "<= 11x", more <= 11), *_workers(), _load()]


def _workers() -> list[Row]:
    with shop(PAGES, DELAY) as address:
        one, two, three = (_swept_by(workers, address) for workers in (1, 2, 3))
    faster = one / three
    told = f"{PAGES / one:,.0f}, {PAGES / two:,.0f} and {PAGES / three:,.0f} pages/s: {faster:.1f}x"
    return [(f"1, 2 and 3 workers, a site that takes {DELAY} ms for a page", told, ">= 2x", faster >= 2)]


def _swept_by(workers: int, address: str) -> float:
    """Seconds for all pages; listed before."""
    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as name:
        url = f"sqlite:///{name}/ledger.db"
        context = multiprocessing.get_context("spawn")
        with context.Pool(workers) as pool:
            number = pool.apply(_list, (url, address, name))
            pool.map(_import, range(4 * workers))
            begun = time.perf_counter()
            pool.starmap(_work, [(url, address, number, place, workers) for place in range(workers)], chunksize=1)
            return time.perf_counter() - begun


def _import(_: int) -> None:
    from roundsman.sweep import shards as sweep  # noqa: F401 - so that it is not measured


def _list(url: str, address: str, folder: str) -> int:
    from roundsman.ledger.ledger import open_ledger
    from roundsman.sweep.listing import enlist

    os.chdir(folder)
    engine, site = open_ledger(url), site_of(address)
    cut = site.sweep.model_copy(update={"shard": SHARD})
    number = enlist(engine, site.model_copy(update={"sweep": cut}), "bench")
    engine.dispose()
    return number


def _work(url: str, address: str, number: int, place: int, workers: int) -> None:
    from flows.commands.common import quiet_prefect

    quiet_prefect()
    from roundsman.ledger.ledger import open_ledger
    from roundsman.sweep import shards as sweep

    os.environ["ROUNDSMAN_LEDGER_URL"] = url
    engine, site = open_ledger(url), site_of(address)

    async def look() -> None:
        for shard in sweep.standing(engine, number)[place::workers]:
            await sweep.sweep_pages(site, number, shard.number, RATE)

    asyncio.run(look())
    engine.dispose()
