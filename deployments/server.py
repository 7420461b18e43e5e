"""The Prefect server that is deployed to: where it is, and what it has."""

from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import DeploymentFilter
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import get_current_settings

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
