"""The caching edge that the demo site brings along (deployments/demo)."""

from collections.abc import Sequence
from typing import ClassVar

import httpx

from blocks.edge import By, Edge, to_node


class DemoEdge(Edge):
    """The demo site's edge: PURGE drops one URL, 200 when it held a copy and 404 when it did not."""

    _block_type_name = "Demo Edge"
    _block_type_slug = "demo-edge"

    limits: ClassVar[dict[By, int]] = {By.URL: 1}
    absent: ClassVar[frozenset[int]] = frozenset({404})

    def request(self, by: By, items: Sequence[str], node: str) -> httpx.Request:  # noqa: ARG002 - it knows URLs only
        """Spell PURGE for the URL."""
        return to_node("PURGE", items[0], node)
