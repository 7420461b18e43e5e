"""Akamai's Fast Purge (https://techdocs.akamai.com/purge-cache/reference/api)."""

from typing import ClassVar, Literal

import httpx
from pydantic import SecretStr

from blocks.edge import Api, Edge
from blocks.edgegrid import EdgeGrid
from blocks.purge import By, Order, Rate


class Akamai(Edge):
    """Akamai: one API for all its nodes; the client needs CCU APIs, read and write. Leave `nodes` empty.

    A soft purge invalidates: a copy is used again when the origin says that it did not change. A CP code is too wide
    to be purged here.
    """

    _block_type_name = "Akamai"
    _block_type_slug = "akamai"

    # Nothing but the size of the request is documented; each item also takes a token from the account's bucket.
    limits: ClassVar[dict[By, int]] = {By.URL: 500, By.KEY: 500}
    soft_by: ClassVar[frozenset[By]] = frozenset({By.URL, By.KEY})
    most_bytes: ClassVar[int] = 49_000
    # `estimatedSeconds`; there is nothing that could be asked.
    settles_within: ClassVar[float] = 5.0
    see: ClassVar[str] = "https://techdocs.akamai.com/purge-cache/reference/api"

    api: Api
    """The client's own host, such as https://akab-x.luna.akamaiapis.net."""
    client_token: SecretStr
    client_secret: SecretStr
    access_token: SecretStr
    network: Literal["production", "staging"] = "production"

    def request(self, order: Order) -> httpx.Request:
        """Spell POST delete, or invalidate for a soft purge, with the objects."""
        how = "invalidate" if order.soft else "delete"
        what = "url" if order.by is By.URL else "tag"
        address = f"{self.api}/ccu/v3/{how}/{what}/{self.network}"
        return httpx.Request("POST", address, json={"objects": list(order.items)})

    def auth(self) -> httpx.Auth:
        """Sign with EdgeGrid."""
        secrets = (self.client_token, self.client_secret, self.access_token)
        return EdgeGrid(*(secret.get_secret_value() for secret in secrets))

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it says so itself
        """Read `httpStatus`, which is 201 where the purge was taken."""
        try:
            said = response.json()
            return None if said["httpStatus"] == 201 else f"{said['httpStatus']} {said.get('detail', '')}"[:200]
        except (ValueError, LookupError, TypeError, AttributeError):
            return "the answer is not Akamai's JSON; check the address of the API"

    def rates(self) -> tuple[Rate, ...]:
        """Requests of all kinds, then the items of the kind that has the smaller bucket."""
        see = "https://techdocs.akamai.com/purge-cache/reference/rate-limiting"
        return (Rate("requests", 50, 100, see), Rate("items", 500 / 60, 5000, see))
