"""Handing a rendered file to `prefect deploy`."""

import asyncio
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from prefect.client.orchestration import get_client

from deployments import server
from deployments.specs import ROOT


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
        found = await server.deployments(client, {"name": {"any_": list(ours)}})
    paused = [one.name for one in found if one.paused]
    for name in paused:
        ours[name]["paused"] = True
    return bool(paused)


def _prefect(file: Path) -> int:
    words = ["--no-prompt", "deploy", "--all", "--prefect-file", str(file.resolve())]
    command = [sys.executable, "-m", "prefect", *words]
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode  # noqa: S603 - our words
