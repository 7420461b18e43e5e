"""OAuth 2 access tokens for a vendor's API: fetched, kept until shortly before they end, and then fetched anew.

Google, read on 2026-12-01:
https://developers.google.com/identity/protocols/oauth2/service-account#httprest (RFC 7523) and
https://cloud.google.com/compute/docs/access/authenticate-workloads#applications (the metadata server).

Azure, read on 2026-12-01:
https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow (a secret, or a token of
Kubernetes) and https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
with https://learn.microsoft.com/en-us/azure/app-service/overview-managed-identity#rest-endpoint-reference.
"""

import asyncio
import base64
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from blocks.asking import bounded, retry_after
from roundsman.purge.rules.order import PurgeError

#: Seconds for one whole request for a token.
TOKEN_TIMEOUT_SECONDS = 10.0
#: Bytes of an answer that are read; a token of a directory with many groups is some kilobytes.
MAX_ANSWER_BYTES = 65_536
#: Seconds before its end at which a token is not used any more. Google's metadata server has no newer one until five
#: minutes before.
MARGIN_SECONDS = 180.0
#: Seconds for which a token is kept whose answer does not say when it ends.
UNSAID_SECONDS = 60.0

_TRANSIENT = frozenset({408, 425, 429})
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenSource:
    """Where access tokens come from. It shows none of them."""

    def __init__(
        self,
        vendor: str,
        spell: Callable[[], httpx.Request],
        hint: str = "check the credentials of this block",
        *,
        machine: bool = False,
    ) -> None:
        """`spell` makes the request for a token; `machine` is whether this machine's own identity is asked for."""
        self._vendor = vendor
        self._spell = spell
        self._hint = hint
        self._machine = machine
        self._token, self._until = "", 0.0

    async def token(self, client: httpx.AsyncClient) -> str:
        """An access token that is good for at least some minutes.

        Raises:
            PurgeError: there is none. It is permanent when the credentials are refused.
        """
        if not self._token or monotonic() >= self._until:
            asked_at = monotonic()
            self._token, seconds = await self._fetched(client)
            self._until = asked_at + seconds - MARGIN_SECONDS
        return self._token

    def forget(self, token: str) -> None:
        """Do not use this token again: it was refused."""
        if token == self._token:
            self._token = ""

    async def _fetched(self, client: httpx.AsyncClient) -> tuple[str, float]:
        request = self._spell()
        request.headers["User-Agent"] = "roundsman"
        request.headers["Accept-Encoding"] = "identity"
        request.extensions["timeout"] = httpx.Timeout(None, connect=TOKEN_TIMEOUT_SECONDS / 2).as_dict()
        asked = f"{self._vendor} was not asked: the token endpoint {request.url.host}"
        try:
            async with asyncio.timeout(TOKEN_TIMEOUT_SECONDS):
                answer = await client.send(request, stream=True, auth=None, follow_redirects=False)
                response = await bounded(answer, MAX_ANSWER_BYTES)
        except (httpx.RequestError, TimeoutError) as trouble:
            # Their text could quote what was sent.
            seen = f"could not be reached ({type(trouble).__name__}), wanted an access token"
            raise PurgeError(f"{asked} {seen}; {self._hint}") from None
        status = response.status_code
        # A machine's own endpoint is away for moments while its host is updated.
        later = status in _TRANSIENT or status >= 500 or (self._machine and status in {404, 410})
        if not response.is_success:
            what = "ask again later" if later else self._hint
            says = f"{asked} answered {status}{_reason(response)}, wanted an access token; {what}"
            wait = retry_after(response.headers) if later else None
            raise PurgeError(says, permanent=not later, shut_out=not later, denied=not later, retry_after=wait)
        return self._read(response, asked)

    def _read(self, response: httpx.Response, asked: str) -> tuple[str, float]:
        """The token and for how many seconds it is good."""
        try:
            said = response.json()
            [token] = re.findall(r"\A[\x21-\x7e]+\Z", said["access_token"])
            return token, _seconds(said)
        except (ValueError, LookupError, TypeError):
            says = f"{asked} sent no `access_token`, wanted JSON with one; {self._hint}"
            raise PurgeError(says, permanent=True, shut_out=True, denied=True) from None


def _seconds(said: Mapping[str, Any]) -> float:
    """For how long a token is good: by `expires_in`, or by the `expires_on` (since 1970) of Azure's App Service."""
    if "expires_in" in said:
        return float(said["expires_in"])
    return float(said["expires_on"]) - time.time() if "expires_on" in said else MARGIN_SECONDS + UNSAID_SECONDS


def _reason(response: httpx.Response) -> str:
    """The error's code (RFC 6749 section 5.2) and Entra's number; the rest of an answer could hold a secret."""
    try:
        code = response.json()["error"]
    except (ValueError, LookupError, TypeError):
        return ""
    number = re.search(r"\bAADSTS[0-9]{1,10}\b", response.text)
    known = isinstance(code, str) and re.fullmatch(r"[A-Za-z_]{1,40}", code)
    return "".join(f" {one}" for one in (code if known else "", number[0] if number else "") if one)


def google_service_account(key: str, scope: str) -> httpx.Request:
    """Spell the request for a token with a service account's key, which is the JSON that Google made.

    Raises:
        PurgeError: that is no such key.
    """
    try:
        said = json.loads(key)
        email, address = said["client_email"], said["token_uri"]
        private: object = serialization.load_pem_private_key(said["private_key"].encode(), password=None)
        is_account = said["type"] == "service_account"
        is_safe = re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", address)
    except (ValueError, LookupError, TypeError, AttributeError, UnsupportedAlgorithm):
        is_account, is_safe, private = False, None, None
    if not (is_account and is_safe and isinstance(private, rsa.RSAPrivateKey)):
        wanted = "wanted the JSON of a service account's key, with client_email, private_key and token_uri"
        says = f"Google Cloud CDN was not asked: `service_account_key` is something else, {wanted}; make a new key"
        raise PurgeError(says, permanent=True, shut_out=True, denied=True) from None
    now = int(time.time())
    claims = {"iss": email, "scope": scope, "aud": address, "iat": now, "exp": now + 3600}
    head = {"alg": "RS256", "typ": "JWT", "kid": said.get("private_key_id", "")}
    unsigned = ".".join(_base64url(json.dumps(part).encode()) for part in (head, claims))
    signature = private.sign(unsigned.encode(), padding.PKCS1v15(), hashes.SHA256())
    form = {"grant_type": _JWT_BEARER, "assertion": f"{unsigned}.{_base64url(signature)}"}
    return httpx.Request("POST", address, data=form)


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode("ascii")


def google_machine(environ: Mapping[str, str] = os.environ) -> httpx.Request:
    """Spell the request for a token of the service account that this machine, container or pod runs as."""
    host = environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    address = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
    return httpx.Request("GET", address, headers={"Metadata-Flavor": "Google"})


def azure_client(login: str, tenant: str, client: str, secret: str, resource: str) -> httpx.Request:
    """Spell the request for a token with an application's secret."""
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    return httpx.Request("POST", f"{login}/{tenant}/oauth2/v2.0/token", data={**form, "scope": f"{resource}/.default"})


def azure_machine(resource: str, client: str = "", environ: Mapping[str, str] = os.environ) -> httpx.Request:
    """Spell the request for a token of a managed identity: of a pod, an App Service or a machine, by its environment.

    `client` names a user-assigned identity; without it the system-assigned one is meant.

    Raises:
        PurgeError: the pod's own token can't be read.
    """
    if file := environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        return _azure_pod(resource, client, file, environ)
    asked = {"resource": resource, **({"client_id": client} if client else {})}
    if endpoint := environ.get("IDENTITY_ENDPOINT"):
        headers = {"X-IDENTITY-HEADER": environ.get("IDENTITY_HEADER", "")}
        return httpx.Request("GET", endpoint, params={"api-version": "2019-08-01", **asked}, headers=headers)
    address = "http://169.254.169.254/metadata/identity/oauth2/token"
    return httpx.Request("GET", address, params={"api-version": "2018-02-01", **asked}, headers={"Metadata": "true"})


def _azure_pod(resource: str, client: str, file: str, environ: Mapping[str, str]) -> httpx.Request:
    try:
        assertion = Path(file).read_text(encoding="ascii").strip()
        client = client or environ["AZURE_CLIENT_ID"]
        login = environ.get("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com").rstrip("/")
        address = f"{login}/{environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    except (OSError, ValueError, KeyError) as trouble:
        seen = f"workload identity can't be used ({type(trouble).__name__})"
        wanted = "wanted a readable AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID and AZURE_CLIENT_ID"
        says = f"Azure Front Door was not asked: {seen}, {wanted}; set up the pod's service account"
        raise PurgeError(says, permanent=True, shut_out=True, denied=True) from None
    form = {"grant_type": "client_credentials", "client_id": client, "scope": f"{resource}/.default"}
    proof = {"client_assertion_type": _CLIENT_ASSERTION, "client_assertion": assertion}
    return httpx.Request("POST", address, data={**form, **proof})
