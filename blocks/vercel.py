"""Vercel's purge by cache tags, read on 2026-12-01.

https://vercel.com/docs/rest-api/edge-cache/invalidate-by-tag (soft)
https://vercel.com/docs/rest-api/edge-cache/dangerously-delete-by-tag
https://vercel.com/docs/caching/cdn-cache/purge
"""

from typing import Annotated, ClassVar, Literal

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.asking import until_reset
from blocks.edge import Api
from blocks.tagged_edge import TaggedEdge
from roundsman.purge.rules.order import By, Order, Tags

Id = Annotated[str, StringConstraints(pattern=r"^[\w.-]+$")]


class Vercel(TaggedEdge):
    """Vercel: one API for all its nodes, which purges by tag. Leave `nodes` empty.

    Answers carry their tags in the header Vercel-Cache-Tag. A soft purge lets the next visitor have the old copy once,
    while a new one is fetched. A purge reaches Vercel's data cache as well. Capital letters count.
    """

    _block_type_name = "Vercel"
    _block_type_slug = "vercel"

    # No figure is in the reference but a tag's length; sixteen are taken together.
    limits: ClassVar[dict[By, int]] = {By.URL: 16, By.KEY: 16}
    soft_by: ClassVar[frozenset[By]] = frozenset({By.URL, By.KEY})
    tags: ClassVar[Tags] = Tags("Vercel", 256, r"[^\s,]", "without blanks or commas")
    # It says that a purge takes milliseconds around the world, and promises nothing.
    settles_within: ClassVar[float] = 2.0
    see: ClassVar[str] = "https://vercel.com/docs/caching/cdn-cache/purge"

    project: Id
    """The project's ID or name."""
    team: Annotated[str, StringConstraints(pattern=r"^[\w.-]*$")] = ""
    """The team's ID, unless the project is a person's."""
    token: SecretStr
    target: Literal["production", "preview"] = "production"
    """Whose deployments lose their copies."""
    api: Api = "https://api.vercel.com"

    def request(self, order: Order) -> httpx.Request:
        """Spell POST dangerously-delete-by-tags, or invalidate-by-tags for a soft purge."""
        how = "invalidate-by-tags" if order.soft else "dangerously-delete-by-tags"
        where = {"projectIdOrName": self.project, **({"teamId": self.team} if self.team else {})}
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        what = {"tags": self.tags_of(order), "target": self.target}
        return httpx.Request("POST", f"{self.api}/v1/edge-cache/{how}", params=where, headers=headers, json=what)

    def wait_of(self, response: httpx.Response) -> float | None:
        """Until X-RateLimit-Reset, where it does not say Retry-After."""
        wait = super().wait_of(response)
        return until_reset(response, "x-ratelimit-reset") if wait is None else wait
