"""Squid (https://wiki.squid-cache.org/SquidFaq/OperatingSquid)."""

from typing import ClassVar

import httpx

from blocks.asking import to_node
from blocks.edge import Edge
from roundsman.purge.rules.order import By, Order


class Squid(Edge):
    """Squid: PURGE drops one variant of one URL on one node; `http_access` says who may.

    With that variant goes the mark that there are others: the first request for another one then looks new, while
    the rest stay old. Purge every variant.
    """

    _block_type_name = "Squid"
    _block_type_slug = "squid"

    limits: ClassVar[dict[By, int]] = {By.URL: 1}
    absent: ClassVar[frozenset[int]] = frozenset({404})
    one_variant: ClassVar[bool] = True
    see: ClassVar[str] = "https://wiki.squid-cache.org/SquidFaq/OperatingSquid"

    def request(self, order: Order) -> httpx.Request:
        """Spell PURGE for the URL, with the headers of the variant."""
        return to_node("PURGE", order.items[0], order.node, headers=order.headers)

    def reminder(self, order: Order) -> httpx.Request:
        """Spell GET for the page: its Vary is the mark."""
        return to_node("GET", order.items[0], order.node)
