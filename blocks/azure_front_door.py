"""Azure Front Door, Standard and Premium.

https://learn.microsoft.com/en-us/rest/api/frontdoorservice/azurefrontdoorstandardpremium/afd-endpoints/purge-content
"""

from typing import Annotated, ClassVar

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.asking import target_of
from blocks.edge import Api, Edge
from blocks.purge import Blind, By, Order, PurgeError, too_wide

Id = Annotated[str, StringConstraints(pattern=r"^[\w.()-]+$")]


class AzureFrontDoor(Edge):
    """Azure Front Door: one API for all its nodes. Leave `nodes` empty.

    It drops every query of a path, in upper and lower case alike, so that it takes a URL without a query. The token is
    an Entra access token, which ends after about an hour.
    """

    _block_type_name = "Azure Front Door"
    _block_type_slug = "azure-front-door"

    limits: ClassVar[dict[By, int]] = {By.URL: 50, By.EVERYTHING: 1}
    settles_within: ClassVar[float] = 600.0
    blind: ClassVar[frozenset[Blind]] = frozenset({Blind.CASE, Blind.QUERY, Blind.SCHEME})
    see: ClassVar[str] = "https://learn.microsoft.com/en-us/azure/frontdoor/cache-purge"

    subscription: Id
    resource_group: Id
    profile: Id
    endpoint: Id
    token: SecretStr
    api: Api = "https://management.azure.com"
    api_version: Annotated[str, StringConstraints(pattern=r"^[\w-]+$")] = "2023-05-01"

    def too_wide(self, item: str, by: By) -> str | None:
        """A query would be dropped without a word."""
        if by is By.URL and "?" in item:
            return "a URL without its query, because Azure Front Door drops every query of a path"
        return too_wide(item, by)

    def together(self, item: str, by: By) -> str:
        """One host a request: every path goes from every domain that a request names."""
        return httpx.URL(item).netloc.decode("ascii") if by is By.URL else ""

    def request(self, order: Order) -> httpx.Request:
        """Spell POST purge with the paths, and the host that they are purged from."""
        what: dict[str, list[str]] = {"contentPaths": ["/*"]}
        if order.by is By.URL:
            what = {
                "contentPaths": [target_of(url) for url in order.items],
                "domains": [self.together(order.items[0], By.URL)],
            }
        address = (
            f"{self.api}/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}/providers"
            f"/Microsoft.Cdn/profiles/{self.profile}/afdEndpoints/{self.endpoint}/purge?api-version={self.api_version}"
        )
        return httpx.Request("POST", address, headers=self._token(), json=what)

    def ticket(self, response: httpx.Response) -> str:
        """The address of the operation; an answer of 200 is done already."""
        return response.headers.get("azure-asyncoperation") or response.headers.get("location", "")

    def question(self, ticket: str) -> httpx.Request:
        """Spell GET for the operation, if it is at the API's own address: the token goes nowhere else."""
        here, there = httpx.URL(self.api), httpx.URL(ticket)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            says = f"Azure Front Door's operation is at {there.host}, wanted {here.host}; see the purge in its portal"
            raise PurgeError(says, permanent=True)
        return httpx.Request("GET", there, headers=self._token())

    def finished(self, response: httpx.Response) -> bool:
        """The operation's `status`; without one, its 202 means that it goes on."""
        try:
            said = response.json()["status"]
        except (ValueError, LookupError, TypeError):
            return response.status_code != 202
        if said in {"Failed", "Canceled"}:
            raise PurgeError(f"Azure Front Door's purge ended with {said}; purge again", permanent=False)
        return said == "Succeeded"

    def _token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.get_secret_value()}"}
