"""Work pools: Prefect's own base job templates, with what our runs need as defaults."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import prefect
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from deployments.specs import ENV, POOL, ROOT

FOLDER = ROOT / "deployments" / "pools"
#: The collection that Prefect keeps each type of pool in.
KINDS = {"process": "prefect", "docker": "prefect-docker", "kubernetes": "prefect-kubernetes"}
#: Defaults of a pool's variables that are ours, such as the image of a docker pool.
DEFAULTS: dict[str, dict[str, Any]] = {kind: {"env": ENV} for kind in KINDS}

_BUNDLED = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"


def template(kind: str) -> dict[str, Any]:
    """The base job template of a type of pool: Prefect's, as it comes with the installed version, and our defaults."""
    workers = json.loads(_BUNDLED.read_text(encoding="utf-8"))[KINDS[kind]]
    made: dict[str, Any] = deepcopy(workers[kind]["default_base_job_configuration"])
    for variable, default in DEFAULTS[kind].items():
        made["variables"]["properties"][variable]["default"] = default
    return made


async def ensure(kind: str = "process", name: str = POOL) -> str:
    """Create the work pool, or bring its template up to date; says in a sentence what was done.

    Nothing else of a pool is touched: an operator's pause and concurrency limit stay.

    Raises:
        ValueError: a pool of this name has another type, which Prefect can't change.
    """
    wanted = json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))
    async with get_client() as client:
        try:
            pool = await client.read_work_pool(name)
        except ObjectNotFound:
            await client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=wanted))
            return f"work pool {name}: created, type {kind}"
        if pool.type != kind:
            raise ValueError(f"work pool {name}: type: saw {pool.type}, wanted {kind}; pass --pool-type {pool.type}")
        if pool.base_job_template == wanted:
            return f"work pool {name}: as it was"
        await client.update_work_pool(name, WorkPoolUpdate(base_job_template=wanted))
        return f"work pool {name}: template brought up to date"
