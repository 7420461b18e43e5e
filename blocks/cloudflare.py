"""Cloudflare's purge API, read on 2026-12-01.

https://developers.cloudflare.com/cache/how-to/purge-cache/ (limits)
https://developers.cloudflare.com/cache/how-to/purge-cache/purge-by-tags/ (a tag's characters)
"""

from typing import Annotated, ClassVar, Literal

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.asking import written_out
from blocks.edge import Api, Edge
from roundsman.purge.rules.order import By, Order, Rate, Tags

#: Requests a second and bucket for tags, hosts, prefixes and everything, by plan.
_RATES = {"free": (5 / 60, 25), "pro": (5, 25), "business": (10, 50), "enterprise": (50, 500)}
#: URLs a second, by plan, as a moving average: apart from the requests.
_URLS = {"free": 800, "pro": 1500, "business": 1500, "enterprise": 3000}

#: Codes of errors that are about the token: its form, and whether it is known.
_TOKEN = frozenset({6003, 6111, 10000})


def _codes(response: httpx.Response) -> set[int]:
    try:
        return {error["code"] for error in response.json()["errors"]}
    except (ValueError, LookupError, TypeError):
        return set()


class Cloudflare(Edge):
    """Cloudflare: one API for all its nodes. The token needs Zone.Cache Purge; leave `nodes` empty.

    A URL is purged as visitors ask for it. With a custom cache key, an Origin header or the like in it, the copy stays
    unless the order carries these headers; a URL that redirects is purged, and not where it leads. After a soft purge
    the first answer may be the old copy, while a new one is fetched.
    """

    _block_type_name = "Cloudflare"
    _block_type_slug = "cloudflare"

    # 100 operations a request on every plan, and on Enterprise 500 URLs.
    limits: ClassVar[dict[By, int]] = {By.URL: 100, By.KEY: 100, By.PREFIX: 100, By.HOST: 100, By.EVERYTHING: 1}
    # POST invalidate_cache, since September 2026.
    soft_by: ClassVar[frozenset[By]] = frozenset({By.URL, By.KEY, By.PREFIX, By.HOST})
    tags: ClassVar[Tags] = Tags("Cloudflare", 1024, r"[\x21-\x2b\x2d-\x7e]", "visible ASCII without a comma")
    # It says "instant" and promises no figure.
    settles_within: ClassVar[float] = 5.0
    see: ClassVar[str] = "https://developers.cloudflare.com/cache/how-to/purge-cache/"

    zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]+$")]
    """The zone's ID, as its overview page shows it."""
    token: SecretStr
    plan: Literal["free", "pro", "business", "enterprise"] = "free"
    """The account's plan, which sets how often it may purge."""
    api: Api = "https://api.cloudflare.com/client/v4"

    def within(self) -> dict[By, int]:
        """Five times as many URLs for an account on Enterprise."""
        return {**self.limits, By.URL: 500} if self.plan == "enterprise" else self.limits

    def request(self, order: Order) -> httpx.Request:
        """Spell POST purge_cache, or invalidate_cache for a soft purge, with the items under this kind's name there."""
        names = {By.URL: "files", By.KEY: "tags", By.PREFIX: "prefixes", By.HOST: "hosts"}
        items: list[object] = list(order.items)
        if order.by is By.URL:
            urls = [written_out(url) for url in order.items]
            items = [{"url": url, "headers": dict(order.headers)} for url in urls] if order.headers else list(urls)
        what = {"purge_everything": True} if order.by is By.EVERYTHING else {names[order.by]: items}
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        how = "invalidate_cache" if order.soft else "purge_cache"
        return httpx.Request("POST", f"{self.api}/zones/{self.zone}/{how}", headers=headers, json=what)

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it says so itself
        """Read `success`: this API can answer 200 and still have refused."""
        try:
            said = response.json()
            if said["success"] is True:
                return None
            errors = [f"{error['code']} {error['message']}" for error in said["errors"]]
        except (ValueError, LookupError, TypeError):
            return "the answer is not Cloudflare's JSON; check the address of the API"
        return "; ".join(errors)[:200] or "it said success: false, and no reason"

    def denies(self, response: httpx.Response) -> bool:
        """Read the codes of an answer 400 as well: a token that is cut short is told so."""
        return super().denies(response) or (response.status_code == 400 and bool(_codes(response) & _TOKEN))

    def rates(self) -> tuple[Rate, ...]:
        """URLs, and requests of all other kinds, for the whole account."""
        per_second, burst = _RATES[self.plan]
        see = f"{self.see}#availability-and-limits"
        others = frozenset(self.limits) - {By.URL}
        urls = Rate("items", _URLS[self.plan], _URLS[self.plan], see, frozenset({By.URL}))
        return (urls, Rate("requests", per_second, burst, see, others))
