"""bunny.net's purge API, read on 2026-12-01.

https://docs.bunny.net/reference/purgepublic_indexpost
https://docs.bunny.net/cdn/purge-cache (a tag's length)
https://docs.bunny.net/docs/cdn-api-purge-rate-limits
"""

from typing import Annotated, ClassVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.asking import written_out
from blocks.edge import Api, Edge
from roundsman.purge.rules.order import Blind, By, Order, Rate, Tags


class Bunny(Edge):
    """bunny.net: one API for all its nodes. Leave `nodes` empty; a purge by key needs the pull zone's number.

    A URL with a slash at its end is purged as this one page (`exactPath`), and not with everything below it.
    """

    _block_type_name = "bunny.net"
    _block_type_slug = "bunny"

    limits: ClassVar[dict[By, int]] = {By.URL: 1, By.KEY: 1, By.EVERYTHING: 1}
    # It answers when its own logic is through; no figure is promised for the nodes.
    settles_within: ClassVar[float] = 5.0
    # The header CDN-Tag is cut after so many bytes.
    tags: ClassVar[Tags] = Tags("bunny.net", 1024, r"[\x21-\x2b\x2d-\x7e]", "visible ASCII without a comma")
    see: ClassVar[str] = "https://docs.bunny.net/cdn/purge-cache"

    token: SecretStr
    """The account's API key."""
    zone: Annotated[str, StringConstraints(pattern=r"^[0-9]+$")]
    """The pull zone's number."""
    queries_apart: bool = False
    """Whether the zone varies its copies by query string; it does not by default, and then a path has one copy."""
    api: Api = "https://api.bunny.net"

    def blindness(self) -> frozenset[Blind]:
        """One copy for all queries of a path, unless the zone keeps them apart."""
        return frozenset() if self.queries_apart else frozenset({Blind.SHARED_QUERY})

    def request(self, order: Order) -> httpx.Request:
        """Spell POST purge for a URL, or POST purgeCache of the pull zone with a tag."""
        headers = {"AccessKey": self.token.get_secret_value()}
        if order.by is By.URL:
            query = f"url={quote(written_out(order.items[0]), safe='')}&async=false&exactPath=true"
            return httpx.Request("POST", f"{self.api}/purge?{query}", headers=headers)
        tag = {"CacheTag": order.items[0]} if order.by is By.KEY else None
        return httpx.Request("POST", f"{self.api}/pullzone/{self.zone}/purgeCache", headers=headers, json=tag)

    def rates(self) -> tuple[Rate, ...]:
        """Exact URLs. One with a slash at its end may count as a prefix, whose bucket is smaller: 429 says how long."""
        return (Rate("items", 5, 120, "https://docs.bunny.net/docs/cdn-api-purge-rate-limits"),)
