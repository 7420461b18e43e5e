"""What Prefect and the report cost a round, beside the looking itself."""

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from flows.commands.common import quiet_prefect

RUNS = 3
WANTED = 3.0


def rows() -> list[tuple[str, str, str, bool]]:
    """Seconds of a round of the demo that are not spent on the outside; the start of the server is named apart."""
    from deployments.demo.__main__ import SITE_FILE, WRITTEN_ADDRESS, serving

    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as folder:
        os.environ |= {"PREFECT_HOME": f"{folder}/prefect", "ROUNDSMAN_LEDGER_URL": f"sqlite:///{folder}/ledger.db"}
        os.environ |= {"DEMO_ADA_PASSWORD": "a", "DEMO_BEN_PASSWORD": "b"}
        os.environ.pop("PREFECT_API_URL", None)
        quiet_prefect()
        with serving() as address:
            site = Path(folder) / "demo.yaml"
            site.write_text(SITE_FILE.read_text().replace(WRITTEN_ADDRESS, address))
            start, beside, looking = asyncio.run(_rounds(str(site)))
    cold, *warm = beside
    spent = statistics.median(warm)
    return [
        ("starting the embedded server", f"{start:.1f} s", "named apart", True),
        ("looking, in a round of the demo", f"{statistics.median(looking):.1f} s", "-", True),
        ("the first round beside its looking", f"{cold:.2f} s", f"at most {WANTED:g} s", cold <= WANTED),
        ("the next rounds beside their looking", f"{spent:.2f} s", f"at most {WANTED:g} s", spent <= WANTED),
    ]


async def _rounds(site: str) -> tuple[float, list[float], list[float]]:
    from flows import terminal
    from flows.jobs.inspect_site import inspect_site

    begun = time.perf_counter()
    await terminal.start()
    start = time.perf_counter() - begun
    beside, looking = [], []
    for _ in range(RUNS):
        begun = time.perf_counter()
        state = await inspect_site(site, return_state=True)
        whole = time.perf_counter() - begun
        report = await state.aresult(raise_on_failure=False)
        beside.append(whole - report.looking)
        looking.append(report.looking)
    return start, beside, looking
