"""What a sweep costs: pages a second against what people use now, and time, memory and disk as a site grows.

Whole means fetched, judged and stored, on one core, against Varnish on the others. `python -m benchmarks sweep`; the
million is in `sweep_million`.
"""

import asyncio
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx

from benchmarks.shop import OURS, RULE, alone, path, pinned, program, shop

Row = tuple[str, str, str, bool]

TURNS, CONNECTIONS = 5, 32
#: Pages of one turn for each.
PAGES, FEW = 20_000, 2000
RATE = 1e9


class Cost(NamedTuple):
    """What one sweep took. Seconds of the wall and of the CPU, listing included; megabytes."""

    pages: int
    listing: float
    looking: float
    cpu: float
    memory: float
    disk: float


def rows() -> list[Row]:
    missing = [name for name in ("varnishd", "nginx", "curl", "wrk", "taskset") if not program(name)]
    if missing:
        return [("sweeps", f"this machine has no {' and no '.join(missing)}", "all of them", False)]
    return [*_throughput(), *_growth(), _orchestration(), _load()]


def _load() -> Row:
    return "load of the machine meanwhile", f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", "-", True


def _throughput() -> list[Row]:
    with shop(PAGES) as address:
        turns = []
        for _ in range(TURNS):
            swept = alone(sweep, address, PAGES)
            curl, curl_cpu = _curl(address)
            turns.append(
                (
                    PAGES / swept.looking,
                    1e6 * swept.cpu / PAGES,
                    PAGES / curl,
                    1e6 * curl_cpu / PAGES,
                    alone(_httpx, address),
                    _wrk(address),
                )
            )
        sweeps, cpu, curl, curl_cpu, bare, wrk = (median(column) for column in zip(*turns, strict=True))
    whole = "sweep, whole: pages/s on one core"
    return [
        (whole, f"{sweeps:,.0f}/s; {cpu:.0f} us of CPU each", ">= 10,000/s", sweeps >= 10_000),
        (f"{whole}, against curl --parallel, which stores nothing",
         f"{curl:,.0f}/s; {curl_cpu:.0f} us of CPU each: {sweeps / curl:.2f}", ">= 0.50", sweeps / curl >= 0.5),
        (f"{whole}, against httpx's bare loop", f"{bare:,.0f}/s: {sweeps / bare:.0f}x", ">= 10x", sweeps / bare >= 10),
        ("wrk, the limit of the server: one page, nothing read", f"{wrk:,.0f}/s: {sweeps / wrk:.2f}", "-", True),
    ]  # fmt: skip


def _growth() -> list[Row]:
    costs = {}
    for pages in (1000, 10_000, 100_000):
        with shop(pages) as address:
            costs[pages] = alone(sweep, address, pages)
    return [grown(cost) for cost in costs.values()]


def grown(cost: Cost) -> Row:
    """What a sweep of some size took."""
    told = f"{cost.listing + cost.looking:.1f} s ({cost.listing:.1f} s listing), {cost.memory:.0f} MB of memory, "
    return f"a sweep of {cost.pages:,} pages", f"{told}{cost.disk:.1f} MB of ledger", "< 300 MB", cost.memory < 300


def site_of(address: str) -> Any:
    """The shop, as it is promised."""
    from roundsman.site.rules.site import Site

    own = {"site": "shop", "base_url": address, "owner": "web <w@shop.test>", "edge": "varnish/shop", "rules": [RULE]}
    return Site(**own, sweep={"rate": 100_000})


def sweep(address: str, pages: int, url: str = "") -> Cost:
    """Sweep a shop: each page fetched, judged and stored. Each must be found, and found well."""
    from flows.commands.common import quiet_prefect

    quiet_prefect()
    from roundsman.ledger.ledger import open_ledger
    from roundsman.sweep import shards as sweep
    from roundsman.sweep.listing import enlist

    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as name:
        os.chdir(name)
        os.environ["ROUNDSMAN_LEDGER_URL"] = url or f"sqlite:///{name}/ledger.db"
        engine, site = open_ledger(), site_of(address)
        cpu, begun = time.process_time(), time.perf_counter()
        number = enlist(engine, site, "bench")
        listed = time.perf_counter()

        async def look() -> None:
            for shard in sweep.standing(engine, number):
                await sweep.sweep_pages(site, number, shard.number, RATE)

        asyncio.run(look())
        swept = sweep.conclude(engine, number)
        ended, cpu = time.perf_counter(), time.process_time() - cpu
        assert f"{pages:,} pages: {pages:,} passed" == swept.summary, swept.summary
        engine.dispose()
        disk = sum(file.stat().st_size for file in Path(name).glob("ledger.db*")) / 1e6
        os.chdir("/")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(pages, listed - begun, ended - listed, cpu, memory, disk)


def _curl(address: str) -> tuple[float, float]:
    with tempfile.NamedTemporaryFile("w", suffix=".curl") as config:
        config.writelines(f'url = "{address}{path(number)}"\noutput = /dev/null\n' for number in range(PAGES))
        config.flush()
        return pinned("curl", "-s", "--parallel", "--parallel-max", str(CONNECTIONS), "--compressed", "-K", config.name)


def _httpx(address: str) -> float:
    async def loop() -> float:
        async with httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=CONNECTIONS)) as client:
            numbers = iter(range(FEW))

            async def ask() -> None:
                for number in numbers:
                    (await client.get(f"{address}{path(number)}")).raise_for_status()

            begun = time.perf_counter()
            await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
            return FEW / (time.perf_counter() - begun)

    return asyncio.run(loop())


def _wrk(address: str) -> float:
    command = ["taskset", "-c", str(OURS), "wrk", "-t1", f"-c{CONNECTIONS}", "-d3s", f"{address}{path(1)}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def _orchestration() -> Row:
    """A sweep of 100,000 pages as a run of the job, and the same functions called by hand; each twice, in turn."""
    with shop(100_000) as address:
        hand, job = [], []
        for _ in range(2):
            cost = alone(sweep, address, 100_000)
            hand.append(cost.listing + cost.looking)
            job.append(alone(_job, address))
    more = min(job) / min(hand) - 1
    told = f"{min(job):.1f} s against {min(hand):.1f} s: {more:+.1%}"
    return (
        "a sweep of 100,000 pages as a run of the job, against the same functions called by hand",
        told,
        "<= 5 %",
        more <= 0.05,
    )


def _job(address: str) -> float:
    """Seconds of a run of the job, with a server that is up and has had a run."""
    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as name:
        command = [sys.executable, "-m", "benchmarks.sweep", address, name]
        environment = {
            **os.environ,
            "PREFECT_HOME": f"{name}/prefect",
            "ROUNDSMAN_LEDGER_URL": f"sqlite:///{name}/l.db",
        }
        environment.pop("PREFECT_API_URL", None)
        said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=900).stdout
        return float(said.rpartition("took ")[2])


async def _nothing() -> None:
    """A run in which nothing happens."""


async def _run_job(address: str, folder: str) -> None:
    import yaml

    from flows import terminal
    from flows.commands.common import quiet_prefect

    quiet_prefect()
    from prefect import flow

    from flows.jobs.sweep_site import sweep_site

    file = Path(folder) / "shop.yaml"
    own = {"site": "shop", "base_url": address, "owner": "web <w@shop.test>", "edge": "varnish/shop", "rules": [RULE]}
    file.write_text(yaml.safe_dump({**own, "sweep": {"rate": 100_000}}))
    # The server is no part of the job: it has the cores of the other servers, and stays there.
    _all_of_us_at(set(range(os.cpu_count() or 1)) - {OURS})
    await terminal.start()
    # The first run of a server that has just started takes half a second more than those after it.
    await flow(_nothing)()
    _all_of_us_at({OURS})
    begun = time.perf_counter()
    state = await sweep_site(str(file), edition="bench", here=True, return_state=True)
    took = time.perf_counter() - begun
    assert state.is_completed(), state.message
    sys.stdout.write(f"took {took}\n")


def _all_of_us_at(cores: set[int]) -> None:
    """Take the threads of this process to some cores; what it starts from now on begins there, too."""
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores or {OURS})


if __name__ == "__main__":
    asyncio.run(_run_job(*sys.argv[1:]))
