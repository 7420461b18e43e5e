"""Akamai's Fast Purge, read on 2026-12-01.

https://techdocs.akamai.com/purge-cache/reference/api
https://techdocs.akamai.com/purge-cache/reference/rate-limiting and /429 (how long to wait)
https://techdocs.akamai.com/purge-cache/docs/purge-content-cache-tag (a tag's characters)
"""

from typing import ClassVar, Literal

import httpx
from pydantic import SecretStr

from blocks.asking import written_out
from blocks.edge import Api, Edge
from blocks.edgegrid import EdgeGrid
from roundsman.purge.rules.order import By, Order, Rate, Tags

#: Seconds to wait after a 429, whose answer does not say how long.
_WAIT_SECONDS = 5.0


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
    tags: ClassVar[Tags] = Tags(
        "Akamai",
        128,
        r"[A-Za-z0-9&'^$!`#%.+~_|/-]",
        "letters, digits and & ' ^ - $ ! ` # % . + ~ _ | / only",
    )
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
        # One URL with a letter beyond ASCII has the whole request refused.
        objects = [written_out(url) for url in order.items] if order.by is By.URL else list(order.items)
        return httpx.Request("POST", address, json={"objects": objects})

    def auth(self) -> httpx.Auth:
        """Sign with EdgeGrid."""
        return EdgeGrid(
            self.client_token.get_secret_value(),
            self.client_secret.get_secret_value(),
            self.access_token.get_secret_value(),
        )

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it says so itself
        """Read `httpStatus`, which is 201 where the purge was taken."""
        try:
            said = response.json()
            return None if said["httpStatus"] == 201 else f"{said['httpStatus']} {said.get('detail', '')}"[:200]
        except (ValueError, LookupError, TypeError, AttributeError):
            return "the answer is not Akamai's JSON; check the address of the API"

    def wait_of(self, response: httpx.Response) -> float | None:
        """Five seconds after a 429 that does not say how long."""
        wait = super().wait_of(response)
        return _WAIT_SECONDS if wait is None and response.status_code == 429 else wait

    def rates(self) -> tuple[Rate, ...]:
        """Requests of all kinds, and items of each kind apart, for the whole account."""
        see = "https://techdocs.akamai.com/purge-cache/reference/rate-limiting"
        urls = Rate("items", 12_000 / 60, 10_000, see, frozenset({By.URL}))
        return (Rate("requests", 50, 100, see), urls, Rate("items", 500 / 60, 5000, see, frozenset({By.KEY})))
