"""How an edge is asked over HTTP: byte for byte, in bounded time, with a bounded answer.

Also keeps secrets out of messages about a block.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from string import ascii_letters, digits, punctuation
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from roundsman.purge.rules.order import By

#: Statuses that are about who asks: a token that has expired, or a right that is missing.
DENIED = frozenset({401, 403, 407})


def target_of(url: str) -> str:
    """Path and query of a URL as they were written, with what no request line can carry encoded."""
    target = re.sub(r"^https?://[^/?]+", "", url, flags=re.IGNORECASE)
    target = target if target.startswith("/") else f"/{target}"
    return quote(target, safe=ascii_letters + digits + punctuation)


def written_out(url: str) -> str:
    """A URL with all characters encoded that no request line can carry; what is ASCII stays as it was written."""
    if url.isascii():
        return url
    about = httpx.URL(url)
    return f"{about.scheme}://{about.netloc.decode('ascii')}{target_of(url)}"


def to_raw(method: str, address: str, target: str, headers: dict[str, str]) -> httpx.Request:
    """A request whose target arrives as it is.

    httpx would tidy `/a/../b`; a cache keys on what was asked. So the raw target goes along as an extension.
    """
    raw = target.encode("ascii")
    url = httpx.URL(address).copy_with(raw_path=raw)
    return httpx.Request(method, url, headers=headers, extensions={"target": raw})


def to_node(
    method: str, url: str, node: str, prefix: str = "", headers: tuple[tuple[str, str], ...] = ()
) -> httpx.Request:
    """A request to one node about a URL: the Host of the URL, and its path and query byte for byte."""
    about = httpx.URL(url)
    host = about.netloc.decode("ascii")
    request = to_raw(
        method, node or f"{about.scheme}://{host}", prefix + target_of(url), {**dict(headers), "Host": host}
    )
    request.extensions["sni_hostname"] = about.raw_host.decode("ascii")
    return request


async def bounded(response: httpx.Response, most: int) -> httpx.Response:
    """The same answer, read up to `most` bytes and closed."""
    body = b""
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= most:
                break
    finally:
        await response.aclose()
    kept = [(key, value) for key, value in response.headers.items() if not key.startswith(("content-", "transfer-"))]
    extensions = {"reason_phrase": response.reason_phrase.encode("ascii", "replace")}
    return httpx.Response(response.status_code, headers=kept, content=body[:most], extensions=extensions)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait (RFC 9110 section 10.2.3); None when it does not say.

    `headers` find a name in whatever case it is written.
    """
    written = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", written):
        return float(written)
    try:
        # By the other side's own clock: ours may be off.
        wait = parsedate_to_datetime(written) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())


def until_reset(response: httpx.Response, header: str) -> float | None:
    """Seconds until the moment in a header, which is in seconds since 1970; None when the answer does not say.

    By the other side's own clock, as for `retry_after`.
    """
    said = response.headers.get(header, "").strip()
    try:
        here = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return None
    return max(0.0, float(said) - here) if re.fullmatch(r"[0-9]{1,12}", said) else None


def remedy(status: int) -> str:
    """What to do about an answer that is a refusal for good."""
    if status < 400:
        return "a redirect is not followed; set the address that it leads to"
    known = {
        401: "check the token",
        403: "check the token's rights, or whom the edge allows to purge",
        404: "check the address and what it names",
        405: "the edge does not let this machine purge; allow it in its configuration",
    }
    return known.get(status, "check the settings of this block")


def too_wide(item: str, by: By) -> str | None:
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


def struck_out(text: str, secrets: Iterable[str], instead: str) -> str:
    """A text with something else in the place of each secret."""
    # The longest first: one secret may begin as another does.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, instead)
    return text


def secrets_in(value: Any) -> Iterator[str]:
    """Every secret in some settings, however deep."""
    if isinstance(value, SecretStr):
        if secret := value.get_secret_value():
            yield secret
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets_in(inner)
