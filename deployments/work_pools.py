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
#: What deployments/Dockerfile makes; where a registry keeps it under another name, an operator says so in the pool.
IMAGE = "roundsman"
#: Defaults of a pool's variables that are ours, such as the image of a docker pool.
DEFAULTS: dict[str, dict[str, Any]] = {
    "process": {"env": ENV},
    "docker": {"env": ENV, "image": IMAGE},
    "kubernetes": {"env": ENV, "image": IMAGE},
}
#: The secret of which a pod has the ledger's address and what site files name as {env: NAME}.
SECRET = "roundsman-worker"  # noqa: S105 - its name

_BUNDLED = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"


def template(kind: str) -> dict[str, Any]:
    """The base job template of a type of pool: Prefect's, as it comes with the installed version, and our defaults."""
    workers = json.loads(_BUNDLED.read_text(encoding="utf-8"))[KINDS[kind]]
    made: dict[str, Any] = deepcopy(workers[kind]["default_base_job_configuration"])
    for variable, default in DEFAULTS[kind].items():
        made["variables"]["properties"][variable]["default"] = default
    if kind == "kubernetes":
        [container] = made["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["containers"]
        container["envFrom"] = [{"secretRef": {"name": SECRET, "optional": True}}]
    return made


def kept(wanted: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """A template with what an operator has set in the pool's: defaults of variables, and more in the environment."""
    made = deepcopy(wanted)
    theirs = found.get("variables", {}).get("properties", {})
    for name, variable in made["variables"]["properties"].items():
        if "default" in theirs.get(name, {}):
            own = theirs[name]["default"]
            variable["default"] = {**(own or {}), **ENV} if name == "env" else own
    return made


async def ensure(kind: str = "process", name: str = POOL) -> str:
    """Create the work pool, or bring its template up to date; says in a sentence what was done.

    Nothing else of a pool is touched: an operator's pause, concurrency limit and defaults of variables stay.

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
        wanted = kept(wanted, pool.base_job_template)
        if pool.base_job_template == wanted:
            return f"work pool {name}: as it was"
        await client.update_work_pool(name, WorkPoolUpdate(base_job_template=wanted))
        return f"work pool {name}: template brought up to date"
