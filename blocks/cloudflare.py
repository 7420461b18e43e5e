"""Cloudflare's purge API (https://developers.cloudflare.com/cache/how-to/purge-cache/)."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.edge import By, Edge


class Cloudflare(Edge):
    """Cloudflare: one API for all its nodes. The token needs Zone.Cache Purge; leave `nodes` empty."""

    _block_type_name = "Cloudflare"
    _block_type_slug = "cloudflare"

    # 100 operations a request on every plan; for URLs 30 was the limit long enough to be the safe one.
    limits: ClassVar[dict[By, int]] = {By.URL: 30, By.KEY: 100, By.PREFIX: 100, By.HOST: 100, By.EVERYTHING: 1}

    zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+$")]
    """The zone's ID, as its overview page shows it."""
    token: SecretStr
    api: Annotated[str, StringConstraints(pattern=r"^https?://\S+[^\s/]$")] = "https://api.cloudflare.com/client/v4"

    def request(self, by: By, items: Sequence[str], node: str) -> httpx.Request:  # noqa: ARG002 - one API for all nodes
        """Spell POST purge_cache with the items under the name that this kind has there."""
        names = {By.URL: "files", By.KEY: "tags", By.PREFIX: "prefixes", By.HOST: "hosts"}
        what = {"purge_everything": True} if by is By.EVERYTHING else {names[by]: list(items)}
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        return httpx.Request("POST", f"{self.api}/zones/{self.zone}/purge_cache", headers=headers, json=what)

    def refused(self, response: httpx.Response) -> str | None:
        """Read `success`: this API can answer 200 and still have refused."""
        try:
            said = response.json()
            if said["success"] is True:
                return None
            errors = [f"{error['code']} {error['message']}" for error in said["errors"]]
        except (ValueError, LookupError, TypeError):
            return "the answer is not Cloudflare's JSON; check the address of the API"
        return "; ".join(errors)[:200] or "it said success: false, and no reason"
