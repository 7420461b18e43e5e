"""What a pass of the watch costs to find out whether its open slots are still promised."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice

DEPLOYMENTS, SLOTS, SECONDS = 55, 270, 1.0


def rows() -> list[tuple[str, str, str, bool]]:
    """One row: as many deployments and slots as twenty sites have; half of the jobs run each hour, half each minute."""
    return [asyncio.run(_row())]


async def _row() -> tuple[str, str, str, bool]:
    from flows.jobs.watch_jobs import _still_promised
    from flows.tasks.watch import promised
    from roundsman.ledger.tables import SlotRow
    from tests.watch.test_runs import berlin, scheduled

    now = datetime.now(UTC)
    crons = [f"{number} * * * *" if number % 2 else "* * * * *" for number in range(DEPLOYMENTS)]
    named = {f"job-{number}": scheduled(berlin(cron)) for number, cron in enumerate(crons)}
    due = [
        (name, at)
        for name, one in named.items()
        for at in islice(await promised(replace(one, name=name), now, now + timedelta(hours=2)), 8)
    ]
    bounds = {
        "site": "",
        "start_grace_s": 60,
        "max_runtime_s": 60,
        "min_runtime_s": 0,
        "state": "waiting",
        "since": now,
    }
    slots = [SlotRow(id=number, deployment=name, slot_at=at, **bounds) for number, (name, at) in enumerate(due[:SLOTS])]
    begun = time.process_time()
    found = await _still_promised(named, slots)
    took = time.process_time() - begun
    what = f"{len(slots)} open slots of {len(named)} deployments, still promised?"
    return what, f"{took:.2f} CPU s", f"at most {SECONDS} CPU s", took <= SECONDS and len(found) == len(slots)


if __name__ == "__main__":
    print(rows())
