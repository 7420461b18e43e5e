"""What people use now to ask for many pages, against the same shop as the sweep; each on one core, storing nothing.

What this machine lacks is named and left out: linkchecker, REDbot and blackbox_exporter are no dependencies.
"""

import asyncio
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.probe import _wait_for as wait_for
from benchmarks.shop import OURS, alone, path, pinned, program, shop
from benchmarks.sweep import CONNECTIONS, sweep
from tests.ports import free_port

Row = tuple[str, str, str, bool]

PAGES = 2000
#: Pages of what waits between them, and of what is started for each.
SOME, FEW = 60, 5
_MODULE = "modules: {http: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}}\n"


def rows() -> list[Row]:
    if missing := [name for name in ("varnishd", "nginx", "taskset") if not program(name)]:
        return [("what people use now", f"this machine has no {' and no '.join(missing)}", "all of them", False)]
    with shop(PAGES) as address:
        swept = alone(sweep, address, PAGES)
        ours = PAGES / swept.looking
        table = [("sweep, whole, 2,000 pages", f"{ours:,.0f}/s", "-", True)]
        told = {
            "aiohttp, fetched alone": alone(_aiohttp, address),
            "linkchecker, a list of pages, by its CPU time": _linkchecker(address),
            "blackbox_exporter, a scrape for each page": _blackbox(address),
            "REDbot, started for each page, which it asks some four times": _redbot(address),
        }
    for name, rate in told.items():
        said = f"{rate:,.1f}/s: the sweep is {ours / rate:,.1f}x" if rate else "not on this machine"
        table.append((name, said, "-", True))
    return table


def _aiohttp(address: str) -> float:
    import aiohttp

    async def loop() -> float:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(connector=connector) as session:
            numbers = iter(range(PAGES))

            async def ask() -> None:
                for number in numbers:
                    async with session.get(f"{address}{path(number)}") as response:
                        response.raise_for_status()
                        await response.read()

            begun = time.perf_counter()
            await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
            return PAGES / (time.perf_counter() - begun)

    return asyncio.run(loop())


def _linkchecker(address: str) -> float:
    """Pages a second of CPU. By the clock it is some three a second: it waits up to half a second between two pages of
    one host, whatever it is told. Its start is not counted."""
    if not (tool := program("linkchecker")):
        return 0.0
    command = [tool, "--no-status", "--no-warnings", f"--threads={CONNECTIONS}", "--recursion-level=1", "-o", "none"]
    config = "[checking]\nmaxrequestspersecond=100000\nrobotstxt=0\n"
    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as name:
        settings = Path(name, "settings")
        settings.write_text(config)
        command += ["--config", str(settings)]
        _, start = pinned(*command, f"{address}{path(0)}")
        _, whole = pinned(*command, *(f"{address}{path(number)}" for number in range(SOME)))
    return (SOME - 1) / max(whole - start, 1e-9)


def _blackbox(address: str) -> float:
    if not (tool := program("prometheus-blackbox-exporter") or program("blackbox_exporter")):
        return 0.0
    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as name, ExitStack() as stack:
        config, port = Path(name, "blackbox.yml"), free_port()
        config.write_text(_MODULE)
        command = [
            "taskset",
            "-c",
            str(OURS),
            tool,
            f"--config.file={config}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        stack.callback(server.terminate)
        wait_for(port, server)
        return _scraped(f"http://127.0.0.1:{port}/probe?module=http&target={address}")


def _scraped(target: str) -> float:
    """Scrapes a second, as a Prometheus would: asked from the other core, by our own prober."""
    from benchmarks.probe import AGENT, MANNERS
    from roundsman.probe.probe import Prober
    from roundsman.report.rules.exchange import Probe

    with Prober(MANNERS, AGENT, 8) as prober:
        begun = time.perf_counter()
        seen = prober.ask([Probe(f"{target}{path(number)}", keep_body=True) for number in range(PAGES)])
        spent = time.perf_counter() - begun
    assert all(b"probe_success 1" in (one.body or b"") for one in seen)
    return PAGES / spent


def _redbot(address: str) -> float:
    if not (tool := program("redbot")):
        return 0.0
    spent = sum(pinned(tool, "-o", "text", f"{address}{path(number)}")[0] for number in range(FEW))
    return FEW / spent
