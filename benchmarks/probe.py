"""How many exchanges a second `roundsman.probe.probe` does, and whether the times it reports are true."""

import asyncio
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

from roundsman.probe.probe import Prober
from roundsman.report.rules.exchange import Probe
from roundsman.site.rules.site import Manners

Row = tuple[str, str, str, bool]

#: No site may be asked so fast; the cap itself is not what is measured here.
MANNERS = Manners.model_construct(rate=1e9, timeout=10.0)
AGENT = "roundsman-benchmark (local)"
CONNECTIONS = 32
SECONDS = 3


def rows() -> list[Row]:
    missing = [name for name in ("varnishd", "wrk") if not _program(name)]
    if missing:
        return [("the prober", f"this machine has no {' and no '.join(missing)}", "both", False)]
    with _varnish() as port:
        return [*_throughput(f"http://127.0.0.1:{port}/page"), *_truth(f"http://127.0.0.1:{port}/sleep")]


def _throughput(url: str) -> list[Row]:
    _probe(url, 1000)  # the page is in the store, the clients are imported
    turns = [(_wrk(url), _probe(url, 30_000), asyncio.run(_httpx(url))) for _ in range(3)]
    wrk, probe, other = (median(column) for column in zip(*turns, strict=True))
    measured = f"{probe:,.0f}/s of {wrk:,.0f}/s = {probe / wrk:.2f}"
    beside = f"{probe:,.0f}/s, httpx {other:,.0f}/s = {probe / other:.0f}x"
    return [
        (f"exchanges a second, {CONNECTIONS} connections, against wrk", measured, ">= 0.20", probe / wrk >= 0.2),
        (f"exchanges a second, {CONNECTIONS} connections, against httpx", beside, ">= 15x", probe / other >= 15),
    ]


def _truth(url: str) -> list[Row]:
    """The reported p50 against the time the server sleeps, each connection asking again as soon as it has an answer."""
    table = []
    for delay in (5, 50, 200):
        # More than a core can be asked for in 5 ms are no truth about times.
        for connections in (1, 8, 32, *((256,) if delay > 5 else ())):
            count = max(40, connections * 1500 // delay)
            with Prober(MANNERS, AGENT, connections) as prober:
                seen = prober.ask([Probe(f"{url}/{delay}")] * count)
            reported = median(one.phases.first_byte * 1000 for one in seen if one.reused and one.answered)
            bound = 0.5 + 0.02 * delay
            more = reported - delay
            what = f"p50 of the first byte, a server that sleeps {delay} ms, {connections} connections"
            table.append((what, f"{reported:.2f} ms: {more:+.2f} ms", f"within {bound:g} ms", abs(more) <= bound))
    return table


def _probe(url: str, count: int) -> float:
    with Prober(MANNERS, AGENT, CONNECTIONS) as prober:
        begun = time.perf_counter()
        seen = prober.ask([Probe(url)] * count)
        spent = time.perf_counter() - begun
    assert all(exchange.status == 200 for exchange in seen)
    return count / spent


async def _httpx(url: str) -> float:
    async with httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_connections=CONNECTIONS)) as client:
        end = time.perf_counter() + SECONDS

        async def ask() -> int:
            count = 0
            while time.perf_counter() < end:
                (await client.get(url)).raise_for_status()
                count += 1
            return count

        return sum(await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))) / SECONDS


def _wrk(url: str) -> float:
    command = [_program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def _program(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""


@contextmanager
def _varnish() -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        vcl = Path(folder, "probe.vcl")
        template = Path(__file__).with_name("probe.vcl").read_text(encoding="utf-8")
        vcl.write_text(template.replace("@PORT@", str(port)).replace("@BODY@", "x" * 2048), encoding="utf-8")
        command = [_program("varnishd"), "-j", "none", "-F", "-n", f"{folder}/n", "-a", f"127.0.0.1:{port}"]
        command += ["-f", str(vcl), "-s", "malloc,16M", "-T", "none", "-p", "thread_pool_min=200"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
            try:
                _wait_for(port, server)
                yield port
            finally:
                server.terminate()


def _wait_for(port: int, server: subprocess.Popen) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return
