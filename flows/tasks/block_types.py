"""The types of block that a Prefect server knows."""

from prefect.client.orchestration import get_client

from blocks.registry import kinds


async def register_blocks() -> None:
    """Make our own types of block known to the server, so that one can be saved there, in the UI as well."""
    async with get_client() as client:
        for kind in kinds().values():
            if kind.__module__.startswith("blocks."):
                await kind.register_type_and_schema(client=client)
