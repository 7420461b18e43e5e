"""Akamai's Fast Purge, read on 2026-12-01.

https://techdocs.akamai.com/purge-cache/reference/api
https://techdocs.akamai.com/purge-cache/reference/rate-limiting and /429 (how long to wait)
https://techdocs.akamai.com/purge-cache/docs/purge-content-cache-tag (a tag's characters)


https://techdocs.akamai.com/developer/docs/authenticate-with-edgegrid
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Generator
from datetime import UTC, datetime
from typing import ClassVar, Literal

import httpx
from pydantic import SecretStr

from blocks.asking import written_out
from blocks.edge import Api, Edge
from roundsman.purge.rules.order import By, Order, Rate, Tags

#: Bytes of a body that are signed, unless Akamai set another figure for the client.
MAX_SIGNED_BYTES = 131_072


class EdgeGrid(httpx.Auth):
    """Signs every request of a client. `headers` names those that the Akamai client is configured to sign."""

    requires_request_body = True

    def __init__(
        self,
        client_token: str,
        client_secret: str,
        access_token: str,
        most_signed: int = MAX_SIGNED_BYTES,
        headers: tuple[str, ...] = (),
    ) -> None:
        self._names = f"client_token={client_token};access_token={access_token};"
        self._secret = client_secret
        self._most = most_signed
        self._headers = headers

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the Authorization header."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H:%M:%S+0000")
        request.headers["Authorization"] = self.signed(request, now, str(uuid.uuid4()))
        yield request

    def signed(self, request: httpx.Request, now: str, nonce: str) -> str:
        """The value of Authorization; `now` as in 20140321T19:34:21+0000, `nonce` used only once."""
        unsigned = f"EG1-HMAC-SHA256 {self._names}timestamp={now};nonce={nonce};"
        to_sign = [
            request.method,
            request.url.scheme,
            request.url.netloc.decode("ascii").lower(),
            request.url.raw_path.decode("ascii"),
            self._canonical(request),
            self._body(request),
            unsigned,
        ]
        signature = _mac(_mac(self._secret, now), "\t".join(to_sign))
        return f"{unsigned}signature={signature}"

    def _canonical(self, request: httpx.Request) -> str:
        """The headers that the client agreed to sign, each `name:value` with its blanks made one, tabs between them."""
        there = [(name.lower(), request.headers[name]) for name in self._headers if name in request.headers]
        return "\t".join(f"{name}:{' '.join(value.split())}" for name, value in there)

    def _body(self, request: httpx.Request) -> str:
        """The hash of the body's start, for POST only."""
        if request.method != "POST" or not request.content:
            return ""
        return base64.b64encode(hashlib.sha256(request.content[: self._most]).digest()).decode("ascii")


def _mac(key: str, text: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()).decode("ascii")


#: Seconds to wait after a 429, whose answer does not say how long.
_WAIT_SECONDS = 5.0


class Akamai(Edge):
    """Akamai: one API for all its nodes; the client needs CCU APIs, read and write. Leave `nodes` empty.

    A soft purge invalidates: a copy is used again when the origin says that it did not change. A CP code is too wide
    to be purged here.
    """

    _block_type_name = "Akamai"
    _block_type_slug = "akamai"

    # Nothing but the size of the request is documented; each item also takes a token from the account's bucket.
    limits: ClassVar[dict[By, int]] = {By.URL: 500, By.KEY: 500}
    soft_by: ClassVar[frozenset[By]] = frozenset({By.URL, By.KEY})
    tags: ClassVar[Tags] = Tags(
        "Akamai",
        128,
        r"[A-Za-z0-9&'^$!`#%.+~_|/-]",
        "letters, digits and & ' ^ - $ ! ` # % . + ~ _ | / only",
    )
    most_bytes: ClassVar[int] = 49_000
    # `estimatedSeconds`; there is nothing that could be asked.
    settles_within: ClassVar[float] = 5.0
    see: ClassVar[str] = "https://techdocs.akamai.com/purge-cache/reference/api"

    api: Api
    """The client's own host, such as https://akab-x.luna.akamaiapis.net."""
    client_token: SecretStr
    client_secret: SecretStr
    access_token: SecretStr
    network: Literal["production", "staging"] = "production"

    def request(self, order: Order) -> httpx.Request:
        """Spell POST delete, or invalidate for a soft purge, with the objects."""
        how = "invalidate" if order.soft else "delete"
        what = "url" if order.by is By.URL else "tag"
        address = f"{self.api}/ccu/v3/{how}/{what}/{self.network}"
        # One URL with a letter beyond ASCII has the whole request refused.
        objects = [written_out(url) for url in order.items] if order.by is By.URL else list(order.items)
        return httpx.Request("POST", address, json={"objects": objects})

    def auth(self) -> httpx.Auth:
        """Sign with EdgeGrid."""
        return EdgeGrid(
            self.client_token.get_secret_value(),
            self.client_secret.get_secret_value(),
            self.access_token.get_secret_value(),
        )

    def refused(self, response: httpx.Response, order: Order) -> str | None:  # noqa: ARG002 - it says so itself
        """Read `httpStatus`, which is 201 where the purge was taken."""
        try:
            said = response.json()
            return None if said["httpStatus"] == 201 else f"{said['httpStatus']} {said.get('detail', '')}"[:200]
        except (ValueError, LookupError, TypeError, AttributeError):
            return "the answer is not Akamai's JSON; check the address of the API"

    def wait_of(self, response: httpx.Response) -> float | None:
        """Five seconds after a 429 that does not say how long."""
        wait = super().wait_of(response)
        return _WAIT_SECONDS if wait is None and response.status_code == 429 else wait

    def rates(self) -> tuple[Rate, ...]:
        """Requests of all kinds, and items of each kind apart, for the whole account."""
        see = "https://techdocs.akamai.com/purge-cache/reference/rate-limiting"
        urls = Rate("items", 12_000 / 60, 10_000, see, frozenset({By.URL}))
        return (Rate("requests", 50, 100, see), urls, Rate("items", 500 / 60, 5000, see, frozenset({By.KEY})))
