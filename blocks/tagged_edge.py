"""Edges that drop copies by their tags, and know nothing of URLs."""

from typing import Annotated, Any, ClassVar

import httpx
from pydantic import StringConstraints

from blocks.asking import target_of
from blocks.edge import Edge
from roundsman.purge.rules.order import Blind, By, Order


class TaggedEdge(Edge):
    """An edge that drops copies by their tags only.

    Where every page has a tag that is made of its path, `route_tag` says how, and a URL is purged by that tag. Copies
    that differ in their query have the same one, and go together.
    """

    blind: ClassVar[frozenset[Blind]] = frozenset({Blind.QUERY, Blind.HOST, Blind.SCHEME})
    assumed: ClassVar[dict[str, Any]] = {"route_tag": "{path}"}

    route_tag: Annotated[str, StringConstraints(pattern=r"^([^\s,{}]*\{path\}[^\s,{}]*)?$")] = ""
    """The tag that every page has for its path, such as page:{path}; empty when pages have none."""

    def within(self) -> dict[By, int]:
        """Everything in `limits`, and a URL only by a tag of its path."""
        return {by: limit for by, limit in self.limits.items() if by is not By.URL or self.route_tag}

    def instead(self, by: By) -> str:
        """How routes can be purged here."""
        return "tag every page with its path and set `route_tag` in the edge's block" if by is By.URL else ""

    def too_wide(self, item: str, by: By) -> str | None:
        """The tag of a URL has to be one that the vendor takes as well."""
        trouble = super().too_wide(item, by)
        if trouble or by is not By.URL or not self.tags:
            return trouble
        return self.tags.wanted(self._tag(item))

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it has no words of its own
        """Tell an API's answer, which is empty or JSON, from a page that somebody else serves."""
        if response.text.lstrip().startswith("<"):
            return f"the answer is not the API of {self.get_block_type_name()}; check its address"
        return None

    def tags_of(self, order: Order) -> list[str]:
        """The tags that an order names: its keys, or those of its URLs' paths."""
        return [self._tag(item) if order.by is By.URL else item for item in order.items]

    def _tag(self, url: str) -> str:
        return self.route_tag.replace("{path}", target_of(url).partition("?")[0])
