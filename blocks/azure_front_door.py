"""Azure Front Door, Standard and Premium, read on 2026-12-01.

https://learn.microsoft.com/en-us/rest/api/frontdoorservice/azurefrontdoorstandardpremium/afd-endpoints/purge-content
https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling (429)
https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/async-operations (how far a purge is)
"""

from typing import Annotated, ClassVar

import httpx
from pydantic import Field, PrivateAttr, SecretStr, StringConstraints, ValidationInfo, field_validator

from blocks.access_token import TokenSource, azure_client, azure_machine
from blocks.asking import target_of
from blocks.edge import Api, Edge
from roundsman.purge.rules.order import Blind, By, Order, PurgeError

Id = Annotated[str, StringConstraints(pattern=r"^[\w.()-]+$")]


class AzureFrontDoor(Edge):
    """Azure Front Door: one API for all its nodes. Leave `nodes` empty.

    It drops every query of a path, in upper and lower case alike, so that it takes a URL without a query. Whoever asks
    needs Microsoft.Cdn/profiles/afdEndpoints/purge/action: say who that is by `tenant`, `client_id` and
    `client_secret`, by `machine_identity`, or by `token`.
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
    token: SecretStr | None = None
    """An Entra access token, which ends after about an hour: for a purge by hand."""
    tenant: Annotated[str, StringConstraints(pattern=r"^[\w.-]*$")] = ""
    """The directory of the application that asks, by its ID or its domain."""
    client_id: Annotated[str, StringConstraints(pattern=r"^[\w-]*$")] = ""
    """The application that asks; with `machine_identity` a user-assigned identity."""
    client_secret: SecretStr | None = None
    """The application's secret; tokens are fetched with it, and renewed."""
    machine_identity: Annotated[bool, Field(validate_default=True)] = False
    """Whether to ask as the managed identity of this machine, App Service or pod on Azure."""
    login: Api = "https://login.microsoftonline.com"
    """Where Entra is; national clouds have another one, and another `api`."""
    api: Api = "https://management.azure.com"
    api_version: Annotated[str, StringConstraints(pattern=r"^[\w-]+$")] = "2023-05-01"

    _source: TokenSource | None = PrivateAttr(default=None)

    @field_validator("machine_identity")
    @classmethod
    def _one_way_to_ask(cls, machine: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        said = info.data
        ways = [said.get("token"), said.get("client_secret"), machine]
        # What is wrong with another setting is said there.
        if sum(map(bool, ways)) != 1 and {"token", "client_secret"} <= said.keys():
            raise ValueError("wanted exactly one of token, client_secret and machine_identity: true")
        if said.get("client_secret") and not (said.get("tenant", "x") and said.get("client_id", "x")):
            raise ValueError("wanted tenant and client_id beside client_secret")
        return machine

    def token_source(self) -> TokenSource | None:
        """The application's secret, or this machine's managed identity; None with a token that is given."""
        name = self.get_block_type_name()
        if self._source is None and self.client_secret:
            secret, hint = self.client_secret, "check the application, its secret and its role"
            spell = lambda: azure_client(  # noqa: E731 - it is made once
                self.login, self.tenant, self.client_id, secret.get_secret_value(), self.api
            )
            self._source = TokenSource(name, spell, hint)
        elif self._source is None and self.machine_identity:
            hint = "has this machine a managed identity? else set `client_secret`"
            spell = lambda: azure_machine(self.api, self.client_id)  # noqa: E731
            self._source = TokenSource(name, spell, hint, machine=True)
        return self._source

    def later(self, response: httpx.Response) -> bool:
        """A profile that is being changed answers 409 until that is done."""
        return super().later(response) or response.status_code == 409

    def too_wide(self, item: str, by: By) -> str | None:
        """A query would be dropped without a word."""
        if by is By.URL and "?" in item:
            return "a URL without its query, because Azure Front Door drops every query of a path"
        return super().too_wide(item, by)

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
        address: str = response.headers.get("azure-asyncoperation") or response.headers.get("location", "")
        return address

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
        return bool(said == "Succeeded")

    def _token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.get_secret_value()}"} if self.token else {}
