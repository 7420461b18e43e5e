"""The caching edge that the demo site brings along (deployments/demo)."""

from typing import ClassVar

import httpx

from blocks.asking import to_node
from blocks.edge import Edge
from roundsman.purge.rules.order import By, Order


class DemoEdge(Edge):
    """The demo site's edge: PURGE drops one URL, 200 when it held a copy and 404 when it did not."""

    _block_type_name = "Demo Edge"
    _block_type_slug = "demo-edge"

    limits: ClassVar[dict[By, int]] = {By.URL: 1}
    absent: ClassVar[frozenset[int]] = frozenset({404})

    def request(self, order: Order) -> httpx.Request:
        """Spell PURGE for the URL."""
        return to_node("PURGE", order.items[0], order.node)
