"""nginx: with ngx_cache_purge in a location of its own (https://github.com/FRiCKLE/ngx_cache_purge), or as it comes."""

import re
from typing import Annotated, ClassVar

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.asking import to_node
from blocks.edge import Edge
from roundsman.purge.rules.order import By, Order


class Nginx(Edge):
    """nginx: a GET below the purge location drops one variant of one URL, and answers 404 where it held no copy.

    The location has to build its key from the raw `$request_uri`, or encoded paths are never purged. Where `$scheme` is
    part of the key, a node has to be asked with the scheme that visitors use. The variant that was stored first hides
    the others once it is gone: look, and purge again, until all are new.
    """

    _block_type_name = "nginx"
    _block_type_slug = "nginx"

    limits: ClassVar[dict[By, int]] = {By.URL: 1}
    # The maintained fork answers 412 unless cache_purge_legacy_status is off.
    absent: ClassVar[frozenset[int]] = frozenset({404, 412})
    one_variant: ClassVar[bool] = True
    see: ClassVar[str] = "https://github.com/FRiCKLE/ngx_cache_purge"

    purge_prefix: Annotated[str, StringConstraints(pattern=r"^/[^\s?#]*[^\s?#/]$")] = "/__purge"
    """The path of the purge location, without a slash at its end."""

    def request(self, order: Order) -> httpx.Request:
        """Spell GET for the purge location with the raw path and query behind it."""
        return to_node("GET", order.items[0], order.node, prefix=self.purge_prefix, headers=order.headers)

    def reminder(self, order: Order) -> httpx.Request:
        """Spell GET for the page: its Vary is the mark."""
        return to_node("GET", order.items[0], order.node)

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it says so itself
        """Tell the module's answer, which names the key, from a page that the site serves at this path."""
        if re.search(r"\bKey\b\W{0,4}[:>]", response.text):
            return None
        return f"the answer is not the purge module's; is {self.purge_prefix} the purge location?"


class NginxRefresh(Edge):
    """nginx without any module: a GET that bypasses the store fetches one variant of one URL, and overwrites its copy.

    It needs `proxy_cache_bypass` on a header that only this block sends, and the word of `$upstream_cache_status` in
    an answer's header. A page that is gone at the origin keeps its old copy, unless nginx stores the 404: an error.
    """

    _block_type_name = "nginx refresh"
    _block_type_slug = "nginx-refresh"

    limits: ClassVar[dict[By, int]] = {By.URL: 1}
    one_variant: ClassVar[bool] = True
    refills: ClassVar[bool] = True
    # The whole page is the answer, and has to arrive to be stored.
    most: ClassVar[int] = 50_000_000
    see: ClassVar[str] = "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_cache_bypass"

    header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")] = "X-Refresh"
    """The header that `proxy_cache_bypass` looks at."""
    value: SecretStr
    """What it has to hold, so that a stranger can't make nginx fetch."""
    status_header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")] = "X-Cache-Status"
    """The header with `$upstream_cache_status`."""

    def request(self, order: Order) -> httpx.Request:
        """Spell GET for the page itself, with the header."""
        headers = (*order.headers, (self.header, self.value.get_secret_value()))
        return to_node("GET", order.items[0], order.node, headers=headers)

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it says so itself
        """Only BYPASS went to the origin because of the header."""
        said = response.headers.get(self.status_header, "")
        if said.upper() == "BYPASS":
            return None
        return (
            f"saw {self.status_header}: {said or '(none)'}, wanted BYPASS; does proxy_cache_bypass read {self.header}?"
        )
