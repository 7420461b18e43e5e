"""What a request to the board costs with twenty sites, after the first one."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

SITES, TIMES = 20, 15
TOKEN = "of-the-benchmark"


def rows() -> list[tuple[str, str, str, bool]]:
    """A row for each path that programs ask."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"ROUNDSMAN_LEDGER_URL": f"sqlite:///{folder}/ledger.db", "ROUNDSMAN_BOARD_TOKEN": TOKEN}
        return asyncio.run(_table(Path(folder)))


async def _table(folder: Path) -> list[tuple[str, str, str, bool]]:
    import httpx
    import yaml

    from deployments.board import reader
    from deployments.board.app import create
    from roundsman.site import site_file
    from tests.deployments.test_board_writes import EDGE

    sites = folder / "sites"
    sites.mkdir()
    site_file.SITES, reader.FRESH_SECONDS = sites.resolve(), 0.0
    for number in range(SITES):
        site = EDGE | {"site": f"shop-{number}", "base_url": "http://example.test", "owner": "web <w@example.com>"}
        (sites / f"shop-{number}.yaml").write_text(yaml.safe_dump(site))
    found = []
    transport = httpx.ASGITransport(create())
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as board:
        purge = {"site": "shop-3", "routes": ["/articles/one"]}
        for what, most, ask in (
            ("POST /purges", 40, lambda _: board.post("/purges", json=purge)),
            ("POST /releases", 40, lambda n: board.post("/releases", json={"site": "shop-3", "version": f"1.{n}"})),
            ("GET /health", 200, lambda _: board.get("/health")),
        ):
            took = await _median(ask)
            row = f"{what}, {SITES} sites", f"{took:.1f} ms", f"at most {most} ms", took <= most
            found.append(row)
    return found


async def _median(ask: Callable[[int], Awaitable[object]]) -> float:
    took = []
    for number in range(TIMES):
        begun = time.perf_counter()
        await ask(number)
        took.append((time.perf_counter() - begun) * 1000)
    return statistics.median(took[1:])
