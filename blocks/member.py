"""A test member: how to become one, and how to recognise what belongs to it."""

import asyncio
import re
from contextlib import nullcontext
from typing import Annotated, Any, ClassVar

import httpx
from prefect.blocks.core import Block, schema_extra
from pydantic import ConfigDict, Field, SecretStr, StringConstraints, field_validator

#: Seconds for one whole login.
LOGIN_TIMEOUT_SECONDS = 15.0
#: What is shorter is found where nobody put it.
MIN_SENTINEL_CHARACTERS = 5


class LoginError(Exception):
    """A login that did not make one a member: what was seen, what was wanted, what to do. It never quotes a secret."""


def _hide_inner(schema: dict[str, Any], member: type[Block]) -> None:
    """Mark each value of a mapping as secret. Prefect itself marks the mapping only, and then shows its values."""
    schema_extra(schema, member)
    inner = {"form", "headers"}
    schema["secret_fields"] = [f"{name}.*" if name in inner else name for name in schema["secret_fields"]]


class Member(Block):
    """A test member's session: a login form to send, or headers that are the session. Never a real person's."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_extra=_hide_inner)

    _block_type_name = "Member"
    _block_type_slug = "member"

    login: Annotated[str, StringConstraints(pattern=r"^(/\S*)?$")] = ""
    """The path that the form is sent to, such as /login."""
    form: dict[str, SecretStr] = Field(default_factory=dict)
    """The form's fields; what a person would type."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Headers that are the session, such as Cookie or Authorization, instead of a form."""
    sentinels: list[SecretStr] = Field(default_factory=list)
    """Values that appear only in this member's pages, such as its mail address; at least 5 characters each."""

    @field_validator("sentinels")
    @classmethod
    def _tell_one_from_all(cls, sentinels: list[SecretStr]) -> list[SecretStr]:
        lengths = [len(value.get_secret_value().strip()) for value in sentinels]
        if any(length < MIN_SENTINEL_CHARACTERS for length in lengths):
            raise ValueError(
                f"wanted at least {MIN_SENTINEL_CHARACTERS} characters, as a shorter text stands in pages by chance; "
                "put a long random word into the member's profile"
            )
        return sentinels

    async def log_in(self, base_url: str, client: httpx.AsyncClient | None = None) -> dict[str, str]:
        """Return the request headers that make one this member of the site at `base_url`.

        A client that is handed in stays open, and its own cookies stay as they were. Redirects are not followed.

        Raises:
            LoginError: No credentials, no answer, a refusal, or an answer that sets no cookie.
        """
        if bool(self.form) == bool(self.headers):
            seen = "form and headers" if self.form else "neither form nor headers"
            raise LoginError(f"saw {seen}, wanted one of them; set how this member logs in")
        if self.headers:
            return {name: _one_line(secret) for name, secret in self.headers.items()}
        if not self.login:
            raise LoginError("saw a form without its path, wanted `login`, such as /login; set it")
        url = base_url.rstrip("/") + self.login
        response = await self._post(url, client)
        if response.status_code >= 400:
            remedy = "check the member's form fields" if response.status_code < 500 else "see what troubles the site"
            raise LoginError(f"{url} answered {response.status_code}, wanted a login; {remedy}")
        # Cookies that were deleted, or are for another host, are not among these.
        cookies = [f"{cookie.name}={cookie.value or ''}" for cookie in response.cookies.jar]
        # The bytes as they came, each as a character, which is how headers are sent.
        pairs = [text.encode(response.headers.encoding).decode("latin-1") for text in cookies]
        if not pairs:
            seen = (
                "only cookies that are expired or for another host" if "set-cookie" in response.headers else "no cookie"
            )
            raise LoginError(
                f"{url} answered {response.status_code} and set {seen}, wanted a session cookie; check the form fields"
            )
        return {"Cookie": "; ".join(pairs)}

    async def _post(self, url: str, client: httpx.AsyncClient | None) -> httpx.Response:
        fields = {name: secret.get_secret_value() for name, secret in self.form.items()}
        request = httpx.Request("POST", url, data=fields, headers={"User-Agent": "roundsman"})
        try:
            async with (
                asyncio.timeout(LOGIN_TIMEOUT_SECONDS),
                nullcontext(client) if client else httpx.AsyncClient() as sender,
            ):
                before = httpx.Cookies(sender.cookies)
                response = await sender.send(request, stream=True, auth=None, follow_redirects=False)
                # Another member's login, or a stranger's request, may use the same client.
                sender.cookies = before
                await response.aclose()
                return response
        except UnicodeEncodeError:
            # httpx makes the request that would follow, although it is not sent.
            seen = "set a cookie that is not ASCII and leads elsewhere"
            raise LoginError(f"{url} {seen}, wanted one in ASCII; give the session as `headers`") from None
        except (httpx.RequestError, TimeoutError) as trouble:
            seen = type(trouble).__name__
            raise LoginError(f"{url} gave no answer ({seen}), wanted a login; see whether the site is up") from None


def _one_line(secret: SecretStr) -> str:
    value = secret.get_secret_value()
    if re.search(r"[\r\n\x00]", value):
        raise LoginError("saw a line break in one of `headers`, wanted one line each; correct it")
    return value
