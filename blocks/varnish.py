"""Varnish, with a VCL that answers PURGE (https://varnish-cache.org/docs/trunk/users-guide/purging.html)."""

from collections.abc import Sequence
from typing import ClassVar

import httpx

from blocks.edge import By, Edge, PurgeError, to_node


class Varnish(Edge):
    """Varnish: PURGE drops every variant of one URL, on one node, and answers 200 whether it held a copy or not.

    A purge by surrogate key needs the xkey module, and a VCL that reads the header `xkey-purge`.
    """

    _block_type_name = "Varnish"
    _block_type_slug = "varnish"

    # The keys share one header, and Varnish reads 8 KiB of it (http_req_hdr_len).
    limits: ClassVar[dict[By, int]] = {By.URL: 1, By.KEY: 32}

    def request(self, by: By, items: Sequence[str], node: str) -> httpx.Request:
        """Spell PURGE for the URL, or for the node's root with the keys in a header."""
        if by is By.URL:
            return to_node("PURGE", items[0], node)
        if not node:
            raise PurgeError("Varnish was not asked: a surrogate key names no host; set `nodes`", permanent=True)
        return httpx.Request("PURGE", f"{node}/", headers={"xkey-purge": " ".join(items)})
