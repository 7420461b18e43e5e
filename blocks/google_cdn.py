"""Google Cloud CDN (https://cloud.google.com/compute/docs/reference/rest/v1/urlMaps/invalidateCache)."""

import uuid
from typing import Annotated, ClassVar

import httpx
from pydantic import SecretStr, StringConstraints

from blocks.asking import target_of
from blocks.edge import Api, Edge
from blocks.purge import Blind, By, Order, PurgeError, Rate, too_wide

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:._-]+$")]


class GoogleCDN(Edge):
    """Google Cloud CDN: one API for all its nodes. Leave `nodes` empty.

    It drops every query of a path, so that it takes a URL without one. The token is an OAuth 2 access token, which
    ends after an hour; it needs compute.urlMaps.invalidateCache.
    """

    _block_type_name = "Google Cloud CDN"
    _block_type_slug = "google-cdn"

    limits: ClassVar[dict[By, int]] = {By.URL: 1, By.KEY: 10, By.EVERYTHING: 1}
    # About 10 s as a rule; the operation says when it is done.
    settles_within: ClassVar[float] = 120.0
    blind: ClassVar[frozenset[Blind]] = frozenset({Blind.QUERY, Blind.SCHEME})
    once: ClassVar[bool] = True
    see: ClassVar[str] = "https://cloud.google.com/cdn/docs/invalidating-cached-content"

    project: Id
    url_map: Id
    """The name of the load balancer's URL map."""
    token: SecretStr
    api: Api = "https://compute.googleapis.com/compute/v1"

    def too_wide(self, item: str, by: By) -> str | None:
        """A query would be dropped without a word."""
        if by is By.URL and "?" in item:
            return "a URL without its query, because Google Cloud CDN drops every query of a path"
        return too_wide(item, by)

    def request(self, order: Order) -> httpx.Request:
        """Spell POST invalidateCache; the order's key makes a second one of the same do nothing."""
        what: dict[str, object] = {"cacheTags": list(order.items)}
        if order.by is By.URL:
            what = {"path": target_of(order.items[0]), "host": httpx.URL(order.items[0]).netloc.decode("ascii")}
        elif order.by is By.EVERYTHING:
            what = {"path": "/*"}
        address = f"{self.api}/projects/{self.project}/global/urlMaps/{self.url_map}/invalidateCache"
        once = {"requestId": str(uuid.uuid5(uuid.NAMESPACE_URL, order.key))} if order.key else None
        return httpx.Request("POST", address, params=once, headers=self._token(), json=what)

    def ticket(self, response: httpx.Response) -> str:
        """The operation's name."""
        return str(_operation(response)["name"])

    def question(self, ticket: str) -> httpx.Request:
        """Spell GET for the operation."""
        address = f"{self.api}/projects/{self.project}/global/operations/{ticket}"
        return httpx.Request("GET", address, headers=self._token())

    def finished(self, response: httpx.Response) -> bool:
        """DONE, and without an error."""
        return _operation(response)["status"] == "DONE"

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it says so itself
        """An operation that failed at once, or no operation at all."""
        try:
            _operation(response)
        except PurgeError as error:
            return str(error)
        return None

    def rates(self) -> tuple[Rate, ...]:
        """Invalidations a minute, for a project."""
        return (Rate("requests", 500 / 60, 500, f"{self.see}#limitations"),)

    def _token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.get_secret_value()}"}


def _operation(response: httpx.Response) -> dict[str, object]:
    try:
        said = response.json()
        errors = [f"{error['code']} {error.get('message', '')}" for error in said.get("error", {}).get("errors", [])]
        named = {"name": said["name"], "status": said["status"]}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise PurgeError("the answer is not one of Google's operations; check the address of the API") from None
    if errors:
        raise PurgeError(f"Google Cloud CDN failed to purge: {'; '.join(errors)[:200]}", permanent=True)
    return named
