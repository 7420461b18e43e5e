"""Google Cloud CDN, read on 2026-12-01.

https://cloud.google.com/compute/docs/reference/rest/v1/urlMaps/invalidateCache
https://cloud.google.com/cdn/docs/cache-invalidation-overview (how often, and that it takes about 10 s)
https://cloud.google.com/docs/quotas/troubleshoot (how an answer says that a quota is used up)
"""

import re
import uuid
from typing import Annotated, Any, ClassVar

import httpx
from pydantic import Field, PrivateAttr, SecretStr, StringConstraints, ValidationInfo, field_validator

from blocks.access_token import TokenSource, google_machine, google_service_account
from blocks.asking import target_of
from blocks.edge import Api, Edge
from roundsman.purge.rules.order import Blind, By, Order, PurgeError, Rate, Tags

#: Compute Engine says with 403 that a quota is used up, and other parts of Google with 413 or 429; the reason tells it
#: from a missing right. In an operation the same words are its error's code.
_QUOTA = frozenset(
    {
        "ratelimitexceeded",
        "userratelimitexceeded",
        "quotaexceeded",
        "dailylimitexceeded",
        "concurrentlimitexceeded",
        "resourceexhausted",
        "resourceoperationratelimitexceeded",
    }
)
#: Seconds to wait then: quotas are counted by the minute.
QUOTA_SECONDS = 60.0
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:._-]+$")]


class GoogleCDN(Edge):
    """Google Cloud CDN: one API for all its nodes. Leave `nodes` empty.

    It drops every query of a path, so that it takes a URL without one. Whoever asks needs
    compute.urlMaps.invalidateCache and compute.globalOperations.get: say by `service_account_key`, by
    `machine_identity`, or by `token` who that is.
    """

    _block_type_name = "Google Cloud CDN"
    _block_type_slug = "google-cdn"

    limits: ClassVar[dict[By, int]] = {By.URL: 1, By.KEY: 10, By.EVERYTHING: 1}
    # About 10 s as a rule; the operation says when it is done.
    settles_within: ClassVar[float] = 120.0
    blind: ClassVar[frozenset[Blind]] = frozenset({Blind.QUERY, Blind.SCHEME})
    once: ClassVar[bool] = True
    # A tag's length is not said.
    tags: ClassVar[Tags] = Tags("Google Cloud CDN", 1024, r"[\x21-\x2b\x2d-\x7e]", "visible ASCII without a comma")
    see: ClassVar[str] = "https://cloud.google.com/cdn/docs/invalidating-cached-content"

    project: Id
    url_map: Id
    """The name of the load balancer's URL map."""
    token: SecretStr | None = None
    """An OAuth 2 access token, which ends after an hour: for a purge by hand."""
    service_account_key: SecretStr | None = None
    """The JSON of a service account's key; tokens are fetched with it, and renewed."""
    machine_identity: Annotated[bool, Field(validate_default=True)] = False
    """Whether to ask as the service account of this machine, container or pod on Google Cloud."""
    api: Api = "https://compute.googleapis.com/compute/v1"

    _source: TokenSource | None = PrivateAttr(default=None)

    @field_validator("machine_identity")
    @classmethod
    def _one_way_to_ask(cls, machine: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        ways = [info.data.get("token"), info.data.get("service_account_key"), machine]
        # What is wrong with another setting is said there.
        if sum(map(bool, ways)) != 1 and {"token", "service_account_key"} <= info.data.keys():
            raise ValueError("wanted exactly one of token, service_account_key and machine_identity: true")
        return machine

    def token_source(self) -> TokenSource | None:
        """The service account's key, or this machine's metadata server; None with a token that is given."""
        if self._source is None and self.service_account_key:
            key, hint = self.service_account_key, "check the service account and its key"
            spell = lambda: google_service_account(key.get_secret_value(), _SCOPE)  # noqa: E731 - it is made once
            self._source = TokenSource(self.get_block_type_name(), spell, hint)
        elif self._source is None and self.machine_identity:
            hint = "is this machine on Google Cloud, with a service account? else set `service_account_key`"
            self._source = TokenSource(self.get_block_type_name(), google_machine, hint, machine=True)
        return self._source

    def too_wide(self, item: str, by: By) -> str | None:
        """A query would be dropped without a word."""
        if by is By.URL and "?" in item:
            return "a URL without its query, because Google Cloud CDN drops every query of a path"
        return super().too_wide(item, by)

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
            if error.retry_after:
                raise
            return str(error)
        return None

    def later(self, response: httpx.Response) -> bool:
        """Read the reason as well: a quota that is used up is a 403, as a missing right is."""
        return super().later(response) or _is_over_quota(response)

    def wait_of(self, response: httpx.Response) -> float | None:
        """A minute, where a quota is used up and nothing else is said."""
        wait = super().wait_of(response)
        return QUOTA_SECONDS if wait is None and _is_over_quota(response) else wait

    def rates(self) -> tuple[Rate, ...]:
        """Invalidations a minute, for a project."""
        see = "https://cloud.google.com/cdn/docs/cache-invalidation-overview"
        return (Rate("requests", 500 / 60, 500, see),)

    def _token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token.get_secret_value()}"} if self.token else {}


def _plain(reason: Any) -> str:
    """`RATE_LIMIT_EXCEEDED` and `rateLimitExceeded` as the same word."""
    return re.sub(r"[^a-z]", "", str(reason).lower())


def _is_over_quota(response: httpx.Response) -> bool:
    """Whether an error's reason, its status or one of its details says so (https://cloud.google.com/apis/design/errors)."""
    if response.status_code not in {403, 413, 429}:
        return False
    try:
        error = response.json()["error"]
        parts = [*error.get("errors", ()), *error.get("details", ())]
        reasons = [error.get("status"), *(part.get("reason") for part in parts)]
    except (ValueError, LookupError, TypeError, AttributeError):
        return response.status_code == 429
    return response.status_code == 429 or any(_plain(reason) in _QUOTA for reason in reasons)


def _operation(response: httpx.Response) -> dict[str, object]:
    try:
        said = response.json()
        failures = said.get("error", {}).get("errors", [])
        errors = [f"{error['code']} {error.get('message', '')}" for error in failures]
        named = {"name": said["name"], "status": said["status"]}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise PurgeError("the answer is not one of Google's operations; check the address of the API") from None
    if errors:
        over_quota = all(_plain(error["code"]) in _QUOTA for error in failures)
        says = f"Google Cloud CDN failed to purge: {'; '.join(errors)[:200]}"
        raise PurgeError(says, permanent=not over_quota, retry_after=QUOTA_SECONDS if over_quota else None)
    return named
