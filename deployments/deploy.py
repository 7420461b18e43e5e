"""The Prefect server that is deployed to: handing it a rendered file, and finding what it runs that git lost."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter
from prefect.client.schemas.responses import DeploymentResponse
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import get_current_settings

from deployments.specs import ROOT, TAG

#: The most that the server gives at once.
_PAGE_SIZE = 200


def address() -> str:
    """The address of the server that is deployed to.

    Raises:
        ValueError: none is named; Prefect would deploy to a server of its own that ends with the command.
    """
    if url := get_current_settings().api.url:
        return url
    raise ValueError("PREFECT_API_URL: saw none, wanted a server, such as http://127.0.0.1:4200/api")


async def deployments(client: PrefectClient, wanted: dict[str, Any]) -> list[DeploymentResponse]:
    """Every deployment that fits a filter of Prefect's, such as `{"tags": {"all_": ["a"]}}`."""
    wanted_ones = DeploymentFilter.model_validate(wanted)
    found: list[DeploymentResponse] = []
    while True:
        page = await client.read_deployments(deployment_filter=wanted_ones, limit=_PAGE_SIZE, offset=len(found))
        found += page
        if len(page) < _PAGE_SIZE:
            return found


def deploy(file: Path) -> int:
    """Create or update every deployment of a file that was validated; the exit code of `prefect deploy`.

    An operator's pause stays. That of a schedule does so by itself, but Prefect takes a deployment that does not say
    `paused` as one that is not to be: so it is told which ones are.
    """
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not asyncio.run(_keep_paused(config)):
        return _prefect(file)
    with TemporaryDirectory() as folder:
        config_file = Path(folder, "prefect.yaml")
        config_file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return _prefect(config_file)


async def _keep_paused(config: dict[str, Any]) -> bool:
    """Write down what is paused on the server; whether anything is."""
    ours = {one["name"]: one for one in config["deployments"]}
    async with get_client() as client:
        found = await deployments(client, {"name": {"any_": list(ours)}})
    paused = [one.name for one in found if one.paused]
    for name in paused:
        ours[name]["paused"] = True
    return bool(paused)


def _prefect(file: Path) -> int:
    words = ["--no-prompt", "deploy", "--all", "--prefect-file", str(file.resolve())]
    command = [sys.executable, "-m", "prefect", *words]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode  # noqa: S603 - our words


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
        ours = await deployments(client, {"tags": {"all_": [TAG]}})
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
