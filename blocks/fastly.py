"""Fastly's purge API, read on 2026-12-01.

https://www.fastly.com/documentation/reference/api/purging/
https://www.fastly.com/documentation/reference/http/http-headers/Surrogate-Key (a key's length)
https://www.fastly.com/documentation/reference/api/#rate-limiting (how long to wait)
"""

from typing import Annotated, ClassVar

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.asking import target_of, to_raw, until_reset
from blocks.edge import Api, Edge
from roundsman.purge.rules.order import Blind, By, Order, Rate, Tags


class Fastly(Edge):
    """Fastly: one API for all its nodes, shields among them. The token needs purge_select; leave `nodes` empty.

    After a soft purge the first answer may be the old copy, marked stale, while a new one is fetched.
    """

    _block_type_name = "Fastly"
    _block_type_slug = "fastly"

    limits: ClassVar[dict[By, int]] = {By.URL: 1, By.KEY: 256, By.EVERYTHING: 1}
    soft_by: ClassVar[frozenset[By]] = frozenset({By.URL, By.KEY})
    # Keys stand in a header with blanks between them.
    tags: ClassVar[Tags] = Tags("Fastly", 1024, r"[^\s]", "without blanks")
    # About 150 ms around the world.
    settles_within: ClassVar[float] = 1.0
    # The API names a URL without its scheme.
    blind: ClassVar[frozenset[Blind]] = frozenset({Blind.SCHEME})
    see: ClassVar[str] = "https://www.fastly.com/documentation/reference/api/purging/"

    service: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+$")]
    """The service's ID."""
    token: SecretStr
    api: Api = "https://api.fastly.com"

    def request(self, order: Order) -> httpx.Request:
        """Spell POST purge with host and path, or below the service with the keys."""
        headers = {"Fastly-Key": self.token.get_secret_value(), "Accept": "application/json"}
        if order.soft:
            headers["Fastly-Soft-Purge"] = "1"
        if order.by is By.URL:
            url = order.items[0]
            base = httpx.URL(self.api).path.rstrip("/")
            host = httpx.URL(url).netloc.decode("ascii")
            return to_raw("POST", self.api, f"{base}/purge/{host}{target_of(url)}", headers)
        service = f"{self.api}/service/{self.service}"
        if order.by is By.EVERYTHING:
            return httpx.Request("POST", f"{service}/purge_all", headers=headers)
        return httpx.Request("POST", f"{service}/purge", headers=headers, json={"surrogate_keys": list(order.items)})

    def refused(self, response: httpx.Response, order: Order) -> str | None:
        """Read `status`, or for keys whether each of them got the ID of its purge."""
        try:
            said = response.json()
            if order.by is By.KEY:
                missing = [key for key in order.items if not said.get(key)]
                return f"no purge for {', '.join(missing)[:150]}" if missing else None
            return None if said["status"] == "ok" else f"it said status: {said['status']}"[:200]
        except (ValueError, LookupError, TypeError, AttributeError):
            return "the answer is not Fastly's JSON; check the address of the API"

    def wait_of(self, response: httpx.Response) -> float | None:
        """Until Fastly-RateLimit-Reset, where it does not say Retry-After."""
        wait = super().wait_of(response)
        return until_reset(response, "fastly-ratelimit-reset") if wait is None else wait

    def rates(self) -> tuple[Rate, ...]:
        """Purges an hour, for the whole account."""
        see = "https://www.fastly.com/documentation/guides/full-site-delivery/purging/working-with-surrogate-keys/"
        return (Rate("items", 100_000 / 3600, 1000, see),)
