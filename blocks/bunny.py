"""bunny.net's purge API (https://docs.bunny.net/reference/purgepublic_indexpost)."""

from typing import Annotated, ClassVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.edge import Api, Edge
from blocks.purge import By, Order, Rate, too_wide


class Bunny(Edge):
    """bunny.net: one API for all its nodes. Leave `nodes` empty; a purge by key needs the pull zone's number.

    A URL with a slash at its end is refused: unless the zone keeps query strings apart, everything below would go.
    """

    _block_type_name = "bunny.net"
    _block_type_slug = "bunny"

    limits: ClassVar[dict[By, int]] = {By.URL: 1, By.KEY: 1, By.EVERYTHING: 1}
    # It answers when its own logic is through; no figure is promised for the nodes.
    settles_within: ClassVar[float] = 5.0
    see: ClassVar[str] = "https://docs.bunny.net/cdn/purge-cache"

    token: SecretStr
    """The account's API key."""
    zone: Annotated[str, StringConstraints(pattern=r"^[0-9]+$")]
    """The pull zone's number."""
    api: Api = "https://api.bunny.net"

    def too_wide(self, item: str, by: By) -> str | None:
        """A slash at the end is a wildcard here."""
        path = item.partition("://")[2].partition("?")[0]
        if by is By.URL and (path.endswith("/") or "/" not in path):
            return "a URL without a slash at its end, because bunny.net drops everything below it"
        return too_wide(item, by)

    def request(self, order: Order) -> httpx.Request:
        """Spell POST purge for a URL, or POST purgeCache of the pull zone with a tag."""
        headers = {"AccessKey": self.token.get_secret_value()}
        if order.by is By.URL:
            query = f"url={quote(order.items[0], safe='')}&async=false&exactPath=true"
            return httpx.Request("POST", f"{self.api}/purge?{query}", headers=headers)
        what = {"json": {"CacheTag": order.items[0]}} if order.by is By.KEY else {}
        return httpx.Request("POST", f"{self.api}/pullzone/{self.zone}/purgeCache", headers=headers, **what)

    def rates(self) -> tuple[Rate, ...]:
        """Exact URLs; prefixes, which are not purged here, have a smaller bucket."""
        return (Rate("items", 5, 120, "https://docs.bunny.net/docs/cdn-api-purge-rate-limits"),)
