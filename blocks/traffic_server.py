"""Apache Traffic Server (https://docs.trafficserver.apache.org/en/latest/admin-guide/storage/index.en.html)."""

from typing import ClassVar

import httpx

from blocks.asking import to_node
from blocks.edge import Edge
from roundsman.purge.rules.order import Blind, By, Order


class TrafficServer(Edge):
    """Traffic Server: PURGE drops every variant of one URL on one node, and ends a fetch of it that is under way.

    ip_allow.yaml says who may purge. A path with an empty query has the copy of the path.
    """

    _block_type_name = "Traffic Server"
    _block_type_slug = "traffic-server"

    limits: ClassVar[dict[By, int]] = {By.URL: 1}
    absent: ClassVar[frozenset[int]] = frozenset({404})
    blind: ClassVar[frozenset[Blind]] = frozenset({Blind.EMPTY_QUERY})
    see: ClassVar[str] = "https://docs.trafficserver.apache.org/en/latest/admin-guide/storage/index.en.html"

    def request(self, order: Order) -> httpx.Request:
        """Spell PURGE for the URL."""
        return to_node("PURGE", order.items[0], order.node)
