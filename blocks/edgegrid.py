"""Akamai's signature for requests, EG1-HMAC-SHA256.

https://techdocs.akamai.com/developer/docs/authenticate-with-edgegrid
"""

import base64
import hashlib
import hmac
import uuid
from collections.abc import Generator
from datetime import UTC, datetime

import httpx

#: Bytes of a body that are signed, unless Akamai set another figure for the client.
MAX_SIGNED_BYTES = 131_072


class EdgeGrid(httpx.Auth):
    """Signs every request of a client. `headers` are the names of those that Akamai was told to expect signed."""

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
