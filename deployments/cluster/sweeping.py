"""What a client of the cluster does: `python -m deployments.cluster.sweeping deploy|sweep|count FOLDER`."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from prefect import State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from sqlalchemy import select

from deployments.deploy import deploy as hand_over
from deployments.render import prefect_yaml
from deployments.specs import specs
from deployments.work_pools import ensure
from flows.jobs.sweep_site import sweep_site
from flows.tasks.site import check
from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.tables import PAGE, SHARD, SWEEP
from roundsman.sweep.listing import unpacked
from roundsman.sweep.shards import conclude

#: What makes this sweep another one than the last; there is one.
EDITION = "cluster"


def deploy(folder: Path) -> int:
    """Make the pool and the deployments of the shop."""
    file = folder / "prefect.yaml"
    wanted = [one for one in specs([check(folder / "shop.yaml")]) if one.name.startswith("sweep")]
    file.write_text(prefect_yaml(wanted), encoding="utf-8")
    print(asyncio.run(ensure()), flush=True)
    return hand_over(file)


def sweep(folder: Path) -> int:
    """Sweep the shop, its shards on the workers."""
    state = asyncio.run(_swept(str(folder / "shop.yaml")))
    print(state.message)
    return 0 if state.is_completed() else 1


async def _swept(site: str) -> State[Any]:
    return await sweep_site(site, edition=EDITION, return_state=True)


def count(_folder: Path) -> int:
    """Print what the ledger and the servers know, as JSON."""
    with use_ledger() as engine:
        with engine.connect() as connection:
            number = connection.execute(select(SWEEP.c.id).filter_by(edition=EDITION)).scalar_one()
            shards = connection.execute(select(SHARD).filter_by(sweep_id=number)).all()
            places = connection.execute(select(PAGE.c.shard, PAGE.c.position).where(PAGE.c.sweep_id == number)).all()
        swept = conclude(engine, number)
    paths = {row.number: unpacked(row.paths) for row in shards}
    seen = Counter(paths[shard][position] for shard, position in places)
    facts = {"listed": swept.listed, "summary": swept.summary, "looked_at": seen, "runs": asyncio.run(_runs())}
    print(json.dumps(facts))
    return 0


async def _runs() -> Counter[str]:
    """Runs of shards by how they ended."""
    named = FlowFilter(name=FlowFilterName(any_=["sweep-shard"]))
    async with get_client() as client:
        found = await client.read_flow_runs(flow_filter=named)
    return Counter(one.state_type.value for one in found if one.state_type)


if __name__ == "__main__":
    sys.exit({"deploy": deploy, "sweep": sweep, "count": count}[sys.argv[1]](Path(sys.argv[2])))
