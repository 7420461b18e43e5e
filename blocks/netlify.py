"""Netlify's purge by cache tags, read on 2026-12-01.

https://docs.netlify.com/build/caching/caching-overview/#on-demand-invalidation
https://www.netlify.com/blog/cache-tags-and-purge-api-on-netlify/
"""

from typing import Annotated, ClassVar

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.edge import Api
from blocks.tagged_edge import TaggedEdge
from roundsman.purge.rules.order import Blind, By, Order, Rate, Tags

#: Seconds for which a tag rests that was purged twice.
_REST_SECONDS = 5.0


class Netlify(TaggedEdge):
    """Netlify: one API for all its nodes, which purges by tag, or everything of a site. Leave `nodes` empty.

    Answers carry their tags in the header Netlify-Cache-Tag or Cache-Tag. Capital letters make no difference. What a
    deploy replaces goes by itself.
    """

    _block_type_name = "Netlify"
    _block_type_slug = "netlify"

    # How many tags a request may have is not said.
    limits: ClassVar[dict[By, int]] = {By.URL: 100, By.KEY: 100, By.EVERYTHING: 1}
    tags: ClassVar[Tags] = Tags("Netlify", 1024, r"[\x21-\x2b\x2d-\x7e]", "visible ASCII without a comma")
    blind: ClassVar[frozenset[Blind]] = TaggedEdge.blind | {Blind.CASE}
    # "Almost immediately."
    settles_within: ClassVar[float] = 5.0
    see: ClassVar[str] = "https://docs.netlify.com/build/caching/caching-overview/#on-demand-invalidation"

    site: Annotated[str, StringConstraints(pattern=r"^[\w.-]+$")]
    """The site's ID, as its configuration page shows it."""
    token: SecretStr
    """A personal access token."""
    deploy_alias: Annotated[str, StringConstraints(pattern=r"^[\w.-]*$")] = ""
    """A branch or deploy preview whose copies go; the published deploy's when left out."""
    api: Api = "https://api.netlify.com/api/v1"

    def request(self, order: Order) -> httpx.Request:
        """Spell POST purge with the site, and its tags; without tags the whole site is meant."""
        what: dict[str, object] = {"site_id": self.site}
        if self.deploy_alias:
            what["deploy_alias"] = self.deploy_alias
        if order.by is not By.EVERYTHING:
            what["cache_tags"] = self.tags_of(order)
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        return httpx.Request("POST", f"{self.api}/purge", headers=headers, json=what)

    def wait_of(self, response: httpx.Response) -> float | None:
        """As long as a tag rests, where a 429 does not say it."""
        wait = super().wait_of(response)
        return _REST_SECONDS if wait is None and response.status_code == 429 else wait

    def rates(self) -> tuple[Rate, ...]:
        """Two purges in five seconds of the same tag or site; held for all requests, as a tag may be in any of them."""
        return (Rate("requests", 2 / _REST_SECONDS, 2, self.see),)
