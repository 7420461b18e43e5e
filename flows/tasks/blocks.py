"""The blocks that a site names, from its own file or from Prefect: its edges and its test members."""

from collections.abc import Mapping, Sequence
from typing import cast

import httpx
from prefect import task
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client

from blocks import registry
from blocks.edge import Edge
from blocks.member import LoginError, Member
from roundsman.probe.ask import outside
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.site import Site


async def block(site: Site, name: str) -> Block:
    """A block that a site names: written in its file, else kept in Prefect.

    Raises:
        BlockError: no such block, or one whose settings can't be used.
    """
    return registry.make(name, site.blocks[name]) if name in site.blocks else await saved(name)


async def saved(name: str) -> Block:
    """A block that is kept in Prefect; BlockError as for `block`."""
    kind, _, short = name.partition("/")
    try:
        return cast("Block", await registry.kinds()[kind].aload(short))
    except (KeyError, ValueError) as error:
        remedy = f"write its settings under `blocks: {{{name}: ...}}` in the site file, or save the block in Prefect"
        raise registry.BlockError(name, "no such block, neither in the site file nor in Prefect", remedy) from error


async def edges_of(site: Site) -> Mapping[str, Edge]:
    """A site's edges by name, the one nearest to the origin first; BlockError as for `block`."""
    found = {name: await block(site, name) for name in site.edge_names}
    return {name: edge for name, edge in found.items() if isinstance(edge, Edge)}


@task(task_run_name="log in test members", cache_policy=NO_CACHE, persist_result=False)
async def log_in(site: Site) -> Sequence[Visitor]:
    """Log in every test member of a site; one that can't comes back with its problem."""
    return [await _visitor(site, name) for name in site.sessions]


async def _visitor(site: Site, name: str) -> Visitor:
    short = name.partition("/")[2]
    try:
        member = cast("Member", await block(site, name))
        with outside():
            headers = await member.log_in(site.base_url)
    except (LoginError, registry.BlockError, httpx.HTTPError) as error:
        return Visitor(short, problem=f"login failed: {error}")
    sentinels = tuple(value.get_secret_value() for value in member.sentinels)
    return Visitor(short, headers=tuple(headers.items()), sentinels=sentinels)


async def register_blocks() -> None:
    """Make our own types of block known to the server, so that one can be saved there, in the UI as well."""
    async with get_client() as client:
        for kind in registry.kinds().values():
            if kind.__module__.startswith("blocks."):
                await kind.register_type_and_schema(client=client)
