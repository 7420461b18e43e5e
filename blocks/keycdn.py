"""KeyCDN's API (https://www.keycdn.com/api#purge-zone-url and #rate-limiting), read on 2026-12-01."""

from typing import Annotated, ClassVar

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.asking import target_of
from blocks.edge import Api, Edge
from roundsman.purge.rules.order import Blind, By, Order, Rate, Tags

#: Seconds to wait after a 429 that does not say how long: calls are counted by the minute.
_WAIT_SECONDS = 60.0


class KeyCDN(Edge):
    """KeyCDN: one API for all its nodes; it knows a URL by the zone's own host, without a scheme.

    Leave `nodes` empty.
    """

    _block_type_name = "KeyCDN"
    _block_type_slug = "keycdn"

    # Nothing but the size of the request is documented for URLs; of tags it took 128 characters.
    limits: ClassVar[dict[By, int]] = {By.URL: 100, By.KEY: 1, By.EVERYTHING: 1}
    tags: ClassVar[Tags] = Tags("KeyCDN", 128, r"[\x21-\x2b\x2d-\x7e]", "visible ASCII without a comma")
    most_bytes: ClassVar[int] = 60_000
    # Nothing is promised.
    settles_within: ClassVar[float] = 10.0
    blind: ClassVar[frozenset[Blind]] = frozenset({Blind.SCHEME, Blind.HOST})
    see: ClassVar[str] = "https://www.keycdn.com/api#purge-zone-url"

    zone: Annotated[str, StringConstraints(pattern=r"^[0-9]+$")]
    """The zone's number."""
    host: Annotated[str, StringConstraints(pattern=r"^[^/?#@\s]+$")]
    """The zone's own host, such as shop-1a2b.kxcdn.com."""
    token: SecretStr
    """The secret API key."""
    api: Api = "https://api.keycdn.com"

    def request(self, order: Order) -> httpx.Request:
        """Spell DELETE purgeurl or purgetag with the items."""
        if order.by is By.EVERYTHING:
            return httpx.Request("GET", f"{self.api}/zones/purge/{self.zone}.json")
        if order.by is By.KEY:
            return httpx.Request("DELETE", f"{self.api}/zones/purgetag/{self.zone}.json", json={"tags": [*order.items]})
        urls = [self.host + target_of(url) for url in order.items]
        return httpx.Request("DELETE", f"{self.api}/zones/purgeurl/{self.zone}.json", json={"urls": urls})

    def auth(self) -> httpx.Auth:
        """Basic, with the key in place of the user."""
        return httpx.BasicAuth(self.token.get_secret_value(), "")

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it says so itself
        """Read `status`: not all its errors have a status of HTTP."""
        try:
            said = response.json()
            return None if said["status"] == "success" else str(said.get("description", "no reason"))[:200]
        except (ValueError, LookupError, TypeError, AttributeError):
            return "the answer is not KeyCDN's JSON; check the address of the API"

    def wait_of(self, response: httpx.Response) -> float | None:
        """A minute after a 429 that does not say how long."""
        wait = super().wait_of(response)
        return _WAIT_SECONDS if wait is None and response.status_code == 429 else wait

    def rates(self) -> tuple[Rate, ...]:
        """Calls of the whole API; X-Rate-Limit-Limit in its answers says what an account has."""
        return (Rate("requests", 20 / 60, 20, "https://www.keycdn.com/api#rate-limiting"),)
