"""nginx with ngx_cache_purge in a location of its own (https://github.com/FRiCKLE/ngx_cache_purge)."""

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar

import httpx
from pydantic import StringConstraints

from blocks.edge import By, Edge, to_node


class Nginx(Edge):
    """nginx: a GET below the purge location drops one variant of one URL, and answers 404 where it held no copy.

    The location has to build its key from the raw `$request_uri`, or encoded paths are never purged. Where `$scheme` is
    part of the key, a node has to be asked with the scheme that visitors use.
    """

    _block_type_name = "nginx"
    _block_type_slug = "nginx"

    limits: ClassVar[dict[By, int]] = {By.URL: 1}
    # The maintained fork answers 412 unless cache_purge_legacy_status is off.
    absent: ClassVar[frozenset[int]] = frozenset({404, 412})

    purge_prefix: Annotated[str, StringConstraints(pattern=r"^/[^\s?#]*[^\s?#/]$")] = "/__purge"
    """The path of the purge location, without a slash at its end."""

    def request(self, by: By, items: Sequence[str], node: str) -> httpx.Request:  # noqa: ARG002 - it knows URLs only
        """Spell GET for the purge location with the raw path and query behind it."""
        return to_node("GET", items[0], node, prefix=self.purge_prefix)

    def refused(self, response: httpx.Response) -> str | None:
        """Tell the module's answer, which names the key, from a page that the site serves at this path."""
        if re.search(r"\bKey\b\W{0,4}[:>]", response.text):
            return None
        return f"the answer is not the purge module's; is {self.purge_prefix} the purge location?"
