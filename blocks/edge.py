"""What every edge shares: batching, sending, and saying no. A vendor only spells its requests."""

import asyncio
import re
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from string import ascii_letters, digits, punctuation
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

import httpx
from prefect.blocks.core import Block
from pydantic import AfterValidator, Field, SecretStr

#: Seconds for one whole purge request; a node that needs longer is in trouble.
PATIENCE = 10.0
#: Bytes of an answer that are read; a purge has little to say.
MOST = 65_536


class By(StrEnum):
    """What a purge names."""

    URL = "url"
    KEY = "surrogate key"
    PREFIX = "prefix"
    HOST = "host"
    EVERYTHING = "everything"


@dataclass(frozen=True)
class Receipt:
    """One request and what a node answered: `absent` says it held no copy, `answer` is its first 200 characters."""

    node: str
    items: tuple[str, ...]
    status: int
    seconds: float
    absent: bool
    answer: str


class PurgeError(Exception):
    """A purge that is not known to have happened: what was seen, what was wanted, what to do.

    `permanent` means that the same request would be refused again. `receipts` are the requests that did succeed.
    """

    def __init__(self, says: str, *, permanent: bool = False, receipts: tuple[Receipt, ...] = ()) -> None:
        super().__init__(says)
        self.permanent = permanent
        self.receipts = receipts


def _address(text: str) -> str:
    if not re.fullmatch(r"https?://[^/?#@\s]+/?", text):
        raise ValueError("wanted scheme and host of a node without a path, such as http://127.0.0.1:6081")
    return text.rstrip("/")


class Edge(Block):
    """A CDN or reverse proxy that can be told to drop a stored copy."""

    limits: ClassVar[dict[By, int]]
    """What it can purge by, and how many in one request."""
    absent: ClassVar[frozenset[int]] = frozenset()
    """The statuses that mean that this cache held no copy."""

    nodes: list[Annotated[str, AfterValidator(_address)]] = Field(default_factory=list)
    """Addresses of all its nodes, such as http://127.0.0.1:6081; when empty, the URL's own host is asked."""

    @abstractmethod
    def request(self, by: By, items: Sequence[str], node: str) -> httpx.Request:
        """Spell one request: at most `limits[by]` checked items, for one of `nodes` or, when there are none, for ""."""

    def refused(self, response: httpx.Response) -> str | None:  # noqa: ARG002 - a hook; most edges say it by status
        """Say why an answer with a good status is a refusal all the same; None when it is not."""
        return None

    async def purge(
        self, items: Iterable[str], by: By = By.URL, client: httpx.AsyncClient | None = None
    ) -> list[Receipt]:
        """Drop the copies of some items on every node. A client that is handed in stays open.

        A node in trouble does not keep the others from being asked.

        Raises:
            ValueError: No items, or an item that is not exactly one thing; nothing was sent.
            TypeError: One string in place of a list of them.
            PurgeError: The edge cannot do this, refused it, or could not be reached.
        """
        wanted = self._checked(items, by)
        batches = [wanted[start : start + self.limits[by]] for start in range(0, len(wanted), self.limits[by])]
        receipts: list[Receipt] = []
        errors: list[PurgeError] = []
        async with nullcontext(client) if client else httpx.AsyncClient() as sender:
            for node in dict.fromkeys(self.nodes or [""]):
                try:
                    for batch in batches:
                        receipts.append(await self._send(by, batch, node, sender))  # noqa: PERF401 - kept when a later one fails
                except PurgeError as error:
                    errors.append(error)
        if errors:
            says = "; ".join(dict.fromkeys(map(str, errors)))
            raise PurgeError(says, permanent=all(error.permanent for error in errors), receipts=tuple(receipts))
        return receipts

    def _checked(self, items: Iterable[str], by: By) -> tuple[str, ...]:
        name = self.get_block_type_name()
        if by not in self.limits:
            can = ", ".join(self.limits)
            raise PurgeError(f"{name} cannot purge by {by}; it can purge by {can}", permanent=True)
        if isinstance(items, str):
            raise TypeError("saw one string, wanted a list of items to purge; put it in a list")
        wanted = tuple(dict.fromkeys(items))
        if not wanted:
            raise ValueError(f"saw no items, wanted at least one {by} to purge; nothing was purged")
        for item in wanted:
            if trouble := _too_wide(item, by):
                raise ValueError(f"saw {item!r}, wanted {trouble}; nothing was purged")
        return wanted

    async def _send(self, by: By, items: tuple[str, ...], node: str, client: httpx.AsyncClient) -> Receipt:
        try:
            request = self.request(by, items, node)
        except UnicodeEncodeError:
            # Its text could quote a token.
            says = f"{self.get_block_type_name()} has a setting with characters that no header can carry; correct it"
            raise PurgeError(says, permanent=True) from None
        asked = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
        started = time.perf_counter()
        response = await self._answer(request, asked, client)
        seconds = time.perf_counter() - started
        answer = self._hidden(response.text or response.reason_phrase)[:200]
        if response.status_code in self.absent:
            return Receipt(asked, items, response.status_code, seconds, absent=True, answer=answer)
        if not response.is_success:
            raise self._failure(response, asked, answer)
        if refusal := self.refused(response):
            says = f"{self.get_block_type_name()} at {asked} refused the purge with status {response.status_code}"
            raise PurgeError(f"{says}: {self._hidden(refusal)}", permanent=True)
        return Receipt(asked, items, response.status_code, seconds, absent=False, answer=answer)

    async def _answer(self, request: httpx.Request, asked: str, client: httpx.AsyncClient) -> httpx.Response:
        """The response with a bounded body, in bounded time."""
        for header, value in (("User-Agent", "roundsman"), ("Accept-Encoding", "identity")):
            request.headers.setdefault(header, value)
        name = self.get_block_type_name()
        try:
            async with asyncio.timeout(PATIENCE):
                response = await client.send(request, stream=True, auth=None, follow_redirects=False)
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol):
            # Their text could quote a token.
            says = f"{name} at {asked} was not asked: a line break in a setting, or a wrong address; correct it"
            raise PurgeError(says, permanent=True) from None
        except (httpx.RequestError, TimeoutError) as trouble:
            seen = self._hidden(str(trouble)) or f"no answer within {PATIENCE:g} s"
            says = f"{name} at {asked} could not be reached ({type(trouble).__name__}: {seen}), wanted an answer"
            raise PurgeError(f"{says}; see whether it is up, then purge again") from None
        kept = [
            (key, value) for key, value in response.headers.items() if not key.startswith(("content-", "transfer-"))
        ]
        extensions = {"reason_phrase": response.reason_phrase.encode("ascii", "replace")}
        return httpx.Response(response.status_code, headers=kept, content=body, extensions=extensions)

    def _failure(self, response: httpx.Response, asked: str, answer: str) -> PurgeError:
        status = response.status_code
        later = status in {408, 425, 429} or status >= 500
        # Varnish sends Retry-After with every error, so it only counts where waiting can help.
        wait = response.headers.get("retry-after") if later else None
        seen = f"{status} (Retry-After: {wait[:40]})" if wait else str(status)
        told = " ".join(re.sub(r"<[^>]*>", " ", answer).split())[:80].rstrip()
        says = f"{self.get_block_type_name()} at {asked} answered {seen}, wanted 2xx; {_mend(status)}"
        return PurgeError(f"{says}. It said: {told}" if told else says, permanent=not later)

    def _hidden(self, text: str) -> str:
        """A text from outside, with none of this block's secrets in it."""
        for secret in _secrets(dict(self)):
            text = text.replace(secret, "**********")
        return text


def to_node(method: str, url: str, node: str, prefix: str = "") -> httpx.Request:
    """A request to one node about a URL: the Host of the URL, and its path and query byte for byte.

    httpx would tidy `/a/../b`; a cache keys on what was asked. So the raw target goes along as an extension.
    """
    about = httpx.URL(url)
    target = re.sub(r"^https?://[^/?]+", "", url, flags=re.IGNORECASE)
    target = quote(
        prefix + (target if target.startswith("/") else f"/{target}"), safe=ascii_letters + digits + punctuation
    )
    address = httpx.URL(node or f"{about.scheme}://{about.netloc.decode('ascii')}")
    return httpx.Request(
        method,
        address.copy_with(raw_path=target.encode("ascii")),
        headers={"Host": about.netloc.decode("ascii")},
        extensions={"target": target.encode("ascii"), "sni_hostname": about.raw_host.decode("ascii")},
    )


def _too_wide(item: str, by: By) -> str | None:
    """What should stand in place of an item that could drop more than it says; None when it is exact."""
    if by is By.EVERYTHING:
        return None if item == By.EVERYTHING else "the word `everything`, written out"
    if not item or re.search(r"[\s*\x00-\x1f\x7f]", item):
        return f"one exact {by}, without `*`, blanks or line breaks"
    if by is By.URL:
        return None if _is_url(item) else "an absolute http(s) URL without `#` or a password, such as https://host/path"
    if by is By.KEY:
        return None if "," not in item else "one surrogate key without a comma"
    if by is By.HOST:
        return None if re.fullmatch(r"[^/?#@]+", item) else "a host, such as www.example.com"
    exact = re.fullmatch(r"[^/:?#@]+/[^/?#][^?#]*", item)
    return (
        None if exact else "host and path without a scheme, such as www.example.com/blog (a bare host is not a prefix)"
    )


def _is_url(item: str) -> bool:
    if not re.fullmatch(r"https?://[^/?#@\\]+([/?][^#]*)?", item, re.IGNORECASE):
        return False
    try:
        url = httpx.URL(item)
    except httpx.InvalidURL:
        return False
    return bool(url.host) and (url.port or 0) < 65_536


def _mend(status: int) -> str:
    if status >= 500 or status in {408, 425, 429}:
        return "purge again later"
    if status < 400:
        return "a redirect is not followed; set the address that it leads to"
    known = {
        401: "check the token",
        403: "check the token's rights, or whom the edge allows to purge",
        404: "check the address and what it names",
        405: "the edge does not let this machine purge; allow it in its configuration",
    }
    return known.get(status, "check the settings of this block")


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        if secret := value.get_secret_value():
            yield secret
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner)


async def _read(response: httpx.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= MOST:
            break
    return body[:MOST]
