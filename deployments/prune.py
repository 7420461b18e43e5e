"""What the server still runs although git no longer has it. Prefect's own deploy removes nothing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.flows import load_flow_from_entrypoint

from deployments import server
from deployments.specs import TAG


@dataclass(frozen=True)
class Leftover:
    """A deployment, or one schedule of a deployment, that git no longer has."""

    name: str
    deployment: UUID
    slug: str = ""
    schedule: UUID | None = None

    def __str__(self) -> str:
        return f"schedule {self.slug} of {self.name}" if self.schedule else f"deployment {self.name}"


def wanted(config: Mapping[str, Any]) -> dict[str, set[str]]:
    """The slugs of each deployment's schedules, by the name under which the server knows the deployment.

    Raises:
        ValueError: there is no deployment at all, which would make everything a leftover.
    """
    if not config.get("deployments"):
        raise ValueError("prefect.yaml: deployments: saw none, so nothing is pruned; wanted at least one")
    return {
        f"{load_flow_from_entrypoint(one['entrypoint']).name}/{one['name']}": {
            schedule["slug"] for schedule in one["schedules"]
        }
        for one in config["deployments"]
    }


async def leftovers(config: Mapping[str, Any]) -> list[Leftover]:
    """What the server has and the configuration has not.

    Only deployments that carry our tag are looked at, and of their schedules only those with a slug: one without was
    made by an operator.
    """
    known = wanted(config)
    async with get_client() as client:
        ours = await server.deployments(client, {"tags": {"all_": [TAG]}})
        flows = {one.flow_id for one in ours}
        names = {flow: (await client.read_flow(flow)).name for flow in flows}
    found = []
    for one in ours:
        name = f"{names[one.flow_id]}/{one.name}"
        if name not in known:
            found.append(Leftover(name, one.id))
            continue
        found += [
            Leftover(name, one.id, schedule.slug, schedule.id)
            for schedule in one.schedules
            if schedule.slug and schedule.slug not in known[name]
        ]
    return sorted(found, key=str)


async def remove(found: list[Leftover]) -> None:
    """Delete leftovers from the server. The runs that a deployment made stay."""
    async with get_client() as client:
        for one in found:
            if one.schedule:
                await client.delete_deployment_schedule(one.deployment, one.schedule)
            else:
                await client.delete_deployment(one.deployment)


def prune(config: Mapping[str, Any], *, apply: bool = False) -> list[Leftover]:
    """Find what git no longer has, and remove it when `apply` says so."""
    return asyncio.run(_prune(config, apply=apply))


async def _prune(config: Mapping[str, Any], *, apply: bool) -> list[Leftover]:
    found = await leftovers(config)
    if apply:
        await remove(found)
    return found
