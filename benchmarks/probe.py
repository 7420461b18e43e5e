"""How many exchanges a second `flows.tasks.probe` does, and whether the times it reports are true."""

import asyncio
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx

from flows.rules.exchange import Probe
from flows.rules.site import Manners
from flows.tasks.probe import Prober

Row = tuple[str, str, str, bool]

#: No site may be asked so fast; the cap itself is not what is measured here.
MANNERS = Manners.model_construct(rate=1e9, timeout=10.0)
AGENT = "roundsman-benchmark (local)"
CONNECTIONS = 32
SECONDS = 3
#: Requests a second that a server in Python answers without a queue.
BUSY = 1000


def rows() -> list[Row]:
    with _sleeper() as origin:
        return [*_throughput(origin), *_truth(origin), *_without_pause(origin)]


def _throughput(origin: int) -> list[Row]:
    missing = [name for name in ("varnishd", "wrk") if not _program(name)]
    if missing:
        return [("exchanges a second", f"this machine has no {' and no '.join(missing)}", "both", False)]
    with _varnish(origin) as port:
        url = f"http://127.0.0.1:{port}/page"
        _probe(url, 1000)  # the page is in the store, the clients are imported
        turns = [(_wrk(url), _probe(url, 30_000), asyncio.run(_httpx(url))) for _ in range(3)]
    wrk, probe, other = (median(column) for column in zip(*turns, strict=True))
    measured = f"{probe:,.0f}/s of {wrk:,.0f}/s = {probe / wrk:.2f}"
    beside = f"{probe:,.0f}/s, httpx {other:,.0f}/s = {probe / other:.0f}x"
    return [
        (f"exchanges a second, {CONNECTIONS} connections, against wrk", measured, ">= 0.20", probe / wrk >= 0.2),
        (f"exchanges a second, {CONNECTIONS} connections, against httpx", beside, ">= 15x", probe / other >= 15),
    ]


def _truth(port: int) -> list[Row]:
    """The reported p50 against what the server says that it slept.

    Every connection is opened, then at most half of what they could carry is asked, one due time after the other: at
    more the server's own queue grows, which its `x-slept` does not tell; see `_without_pause`.
    """
    table = []
    for delay in (5, 50, 200):
        for connections in (1, 8, 32):
            rate = min(500 * connections / delay, BUSY)
            at = [0.0] * connections + [1 + place / rate for place in range(max(8, round(2 * rate)))]
            url = f"http://127.0.0.1:{port}/sleep/{delay}"
            with Prober(MANNERS, AGENT, connections) as prober:
                seen = prober.ask([Probe(url, at=due) for due in at])
            warm = [exchange for exchange in seen if exchange.reused and exchange.answered]
            slept = median(float(exchange.header("x-slept")) for exchange in warm)
            reported = median(exchange.phases.first_byte * 1000 for exchange in warm)
            bound = 0.5 + 0.02 * delay
            table.append(
                (
                    f"p50 of the first byte, {delay} ms, {connections} connections, {rate:g}/s",
                    f"{reported:.2f} ms, really {slept:.2f} ms: {reported - slept:+.2f} ms",
                    f"within {bound:g} ms",
                    abs(reported - slept) <= bound,
                )
            )
    return table


def _without_pause(port: int) -> list[Row]:
    """As fast as the server can: its queue is part of what is waited for, so wrk tells how much that is."""
    if not _program("wrk"):
        return [("p50 without a pause", "this machine has no wrk", "wrk", False)]
    url = f"http://127.0.0.1:{port}/sleep/5"
    turns = [(_wrk(url, r"50%\s+([\d.]+)ms"), _p50(url)) for _ in range(3)]
    wrk, reported = (median(column) for column in zip(*turns, strict=True))
    return [
        (
            f"p50 of the first byte, 5 ms, {CONNECTIONS} connections without a pause",
            f"{reported:.2f} ms, wrk {wrk:.2f} ms: {reported - wrk:+.2f} ms",
            "at most 0.6 ms more",
            reported - wrk <= 0.6,
        )
    ]


def _p50(url: str) -> float:
    with Prober(MANNERS, AGENT, CONNECTIONS) as prober:
        seen = prober.ask([Probe(url)] * (CONNECTIONS * 300))
    return median(exchange.phases.first_byte * 1000 for exchange in seen if exchange.reused)


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


def _wrk(url: str, wanted: str = r"Requests/sec:\s+([\d.]+)") -> float:
    command = [_program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", url]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return float(re.search(wanted, said)[1])


def _program(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""


@contextmanager
def _sleeper() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-m", "benchmarks.sleeper"], stdout=subprocess.PIPE, text=True) as server:
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


@contextmanager
def _varnish(origin: int) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        vcl = Path(folder, "probe.vcl")
        template = Path(__file__).with_name("probe.vcl").read_text(encoding="utf-8")
        vcl.write_text(template.replace("@ORIGIN_PORT@", str(origin)), encoding="utf-8")
        command = [_program("varnishd"), "-j", "none", "-F", "-n", f"{folder}/n", "-a", f"127.0.0.1:{port}"]
        command += ["-f", str(vcl), "-s", "malloc,16M", "-T", "none"]
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
