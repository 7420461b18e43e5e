"""Varnish, with a VCL that answers PURGE (https://varnish-cache.org/docs/trunk/users-guide/purging.html)."""

from typing import ClassVar, Literal

import httpx

from blocks.asking import to_node
from blocks.edge import Edge
from roundsman.purge.rules.order import Blind, By, Order, PurgeError


class Varnish(Edge):
    """Varnish: PURGE drops every variant of one URL, on one node, and answers 200 whether it held a copy or not.

    A purge by surrogate key needs the xkey module, and a VCL that reads the headers `xkey-purge` and `xkey-softpurge`.
    A soft purge needs a VCL that answers SOFTPURGE with `purge.soft()`, and 404 where it held no copy. The key of a
    copy is the Host as it was asked, so that `host` and `host:80` have one each.
    """

    _block_type_name = "Varnish"
    _block_type_slug = "varnish"

    # The keys share one header, and Varnish reads 8 KiB of it (http_req_hdr_len).
    limits: ClassVar[dict[By, int]] = {By.URL: 1, By.KEY: 32}
    soft_by: ClassVar[frozenset[By]] = frozenset({By.URL, By.KEY})
    most_bytes: ClassVar[int] = 8000
    blind: ClassVar[frozenset[Blind]] = frozenset({Blind.SCHEME})
    see: ClassVar[str] = "https://varnish-cache.org/docs/trunk/users-guide/purging.html"

    method: Literal["PURGE", "BAN"] = "PURGE"
    """BAN where the VCL bans the one URL that is asked (`==`, no expression), such as before a list of back ends."""

    def request(self, order: Order) -> httpx.Request:
        """Spell PURGE for the URL, or for the node's root with the keys in a header."""
        if order.by is By.URL:
            return to_node("SOFTPURGE" if order.soft else self.method, order.items[0], order.node)
        if not order.node:
            raise PurgeError("Varnish was not asked: a surrogate key names no host; set `nodes`", permanent=True)
        name = "xkey-softpurge" if order.soft else "xkey-purge"
        return httpx.Request("PURGE", f"{order.node}/", headers={name: " ".join(order.items)})

    def held_none(self, response: httpx.Response, order: Order) -> bool:
        """A soft purge says so; a 404 to PURGE comes from the site, which was asked in vain."""
        return order.soft and order.by is By.URL and response.status_code == 404
