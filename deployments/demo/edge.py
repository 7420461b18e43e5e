"""The demo's caching edge: a small CDN inside one process, built on hishel's RFC 9111 middleware."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from fastapi.responses import PlainTextResponse
from hishel import AsyncBaseStorage, Entry, Headers
from hishel import Request as Asked
from hishel import Response as Answer
from hishel.asgi import ASGICacheMiddleware

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Copies that the edge keeps.
MAX_COPIES = 1000


@dataclass
class _Visit:
    """What happened to one request on its way through the edge."""

    contacted: bool = False
    stored: bool = False
    origin_status: int = 0


_VISIT: ContextVar[_Visit] = ContextVar("visit")


@dataclass
class _Copy:
    entry: Entry
    body: bytes
    since: float


class Shelf(AsyncBaseStorage):
    """The copies of an edge, in memory: one for each URL and method, as the demo's pages do not vary."""

    def __init__(self) -> None:
        super().__init__()
        self._copies: OrderedDict[tuple[str, str], _Copy] = OrderedDict()

    async def create_entry(self, request: Asked, response: Answer, key: str, **_: float | None) -> Entry:
        """Keep a response once its body has been read to the end."""
        _VISIT.get().stored = True
        entry = Entry(uuid4(), request, response)
        return replace(entry, response=replace(response, stream=self._saving(entry, key)))

    async def _saving(self, entry: Entry, key: str) -> AsyncIterator[bytes]:
        since = time.monotonic()
        body = b""
        stream = entry.response.stream
        assert isinstance(stream, AsyncIterator)  # noqa: S101 - of an ASGI application, it always is
        async for chunk in stream:
            body += chunk
            yield chunk
        self._copies[key, entry.request.method] = _Copy(entry, body, since)
        if len(self._copies) > MAX_COPIES:
            self._copies.popitem(last=False)

    async def get_entries(self, key: str) -> list[Entry]:
        """The copies of one URL, each with a body of its own to read."""
        copies = [copy for (at, _), copy in self._copies.items() if at == key]
        return [replace(copy.entry, response=replace(copy.entry.response, stream=_once(copy.body))) for copy in copies]

    async def update_headers(self, id: UUID, headers: Headers) -> None:  # noqa: A002 - the name is the base's
        """Refresh a copy that the origin confirmed; its age starts anew."""
        for copy in self._copies.values():
            if copy.entry.id == id:
                copy.entry.response.headers = headers
                copy.since = time.monotonic()

    async def remove_entry(self, id: UUID) -> None:  # noqa: A002 - the name is the base's
        """Forget one copy."""
        for at in [at for at, copy in self._copies.items() if copy.entry.id == id]:
            del self._copies[at]

    def forget(self, key: str) -> bool:
        """Forget every copy of one URL; say whether there was one."""
        found = [at for at in self._copies if at[0] == key]
        for at in found:
            del self._copies[at]
        return bool(found)

    def age(self, key: str, method: str) -> int | None:
        """Whole seconds since a copy was stored or confirmed; None when there is no copy."""
        copy = self._copies.get((key, method))
        return None if copy is None else int(time.monotonic() - copy.since)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def edge(app: App) -> App:
    """Put a shared cache before an app: RFC 9111, PURGE for one URL, and no copies for who is logged in."""
    shelf = Shelf()
    cache = ASGICacheMiddleware(_noting(app), storage=shelf)

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        scope = _untracked(scope)
        key = hashlib.sha256(f"RFC {_url(scope)}".encode()).hexdigest()
        if scope["method"] == "PURGE":
            found = shelf.forget(key)
            answer = PlainTextResponse(
                "purged\n" if found else "absent\n", 200 if found else 404, {"Cache-Control": "no-store"}
            )
            await answer(scope, receive, _signed(send, lambda: ("", None)))
            return
        if _logged_in(scope):
            await app(scope, receive, _signed(send, lambda: ("fwd=bypass", None)))
            return
        visit, before = _Visit(), shelf.age(key, scope["method"])
        _VISIT.set(visit)

        def story() -> tuple[str, int | None]:
            if visit.contacted:
                return _forwarded(scope, visit, known=before is not None), None
            return "hit", shelf.age(key, scope["method"]) or 0

        confirmed = _confirming(send, scope, lambda: not visit.contacted)
        await cache(_plain(scope), receive, _signed(confirmed, story))

    return served


def _noting(app: App) -> App:
    """The app, with a note in the visit that it was asked."""

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        visit = _VISIT.get()
        visit.contacted = True

        async def noted(message: MutableMapping[str, Any]) -> None:
            visit.origin_status = message.get("status", visit.origin_status)
            await send(message)

        await app(scope, receive, noted)

    return asked


def _forwarded(scope: Scope, visit: _Visit, *, known: bool) -> str:
    """Why the origin was asked, and whether its answer is kept (RFC 9211 section 2)."""
    if scope["method"] not in {"GET", "HEAD"}:
        return "fwd=method"
    headers = dict(scope["headers"])
    if known and (b"range" in headers or b"no-cache" in headers.get(b"cache-control", b"")):
        reason = "fwd=request"
    else:
        reason = "fwd=stale" if known else "fwd=uri-miss"
    if visit.origin_status == 304:
        reason += "; fwd-status=304"
    return f"{reason}; stored" if visit.stored else reason


def _signed(send: Send, story: Callable[[], tuple[str, int | None]]) -> Send:
    """Send with Cache-Status, with the Age of a copy, and with a Date (a copy has kept its own)."""

    async def signed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status, age = story()
            headers = [
                (key, value) for key, value in message["headers"] if key.lower() not in {b"age", b"cache-status"}
            ]
            if status:
                headers.append((b"cache-status", f"demo-edge; {status}".encode()))
            if age is not None:
                headers.append((b"age", str(age).encode()))
            if not any(key.lower() == b"date" for key, _ in headers):
                headers.append((b"date", formatdate(usegmt=True).encode()))
            message = {**message, "headers": headers}
        await send(message)

    return signed


def _confirming(send: Send, scope: Scope, is_copy: Callable[[], bool]) -> Send:
    """Send 304 in place of a copy to a client that has it already (RFC 9110 section 13.1.2)."""
    known = dict(scope["headers"]).get(b"if-none-match", b"")
    empty = False

    async def confirmed(message: MutableMapping[str, Any]) -> None:
        nonlocal empty
        if message["type"] == "http.response.start":
            etag = next((value for key, value in message["headers"] if key.lower() == b"etag"), b"")
            empty = bool(etag) and etag in known and is_copy()
            if empty:
                kept = [pair for pair in message["headers"] if not pair[0].lower().startswith(b"content-")]
                message = {**message, "status": 304, "headers": kept}
        elif empty:
            message = {**message, "body": b""}
        await send(message)

    return confirmed


def _untracked(scope: Scope) -> Scope:
    """The request without the parameters that only count campaigns, so that all of these share one copy."""
    parts = scope.get("query_string", b"").split(b"&")
    return {**scope, "query_string": b"&".join(part for part in parts if not part.startswith(b"utm_"))}


def _url(scope: Scope) -> str:
    """The URL as the cache keys it: the Host header, and path and query byte for byte."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{scope['scheme']}://{host}{path}" + (f"?{query}" if query else "")


def _logged_in(scope: Scope) -> bool:
    cookies = b";".join(value for key, value in scope["headers"] if key == b"cookie")
    return any(pair.strip().startswith(b"sessionid=") for pair in cookies.split(b";"))


def _plain(scope: Scope) -> Scope:
    """The request as the origin gets it: for a whole page, in the one encoding there is, so that all can share it."""
    dropped = {b"accept-encoding", b"if-none-match", b"if-modified-since"}
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in dropped]}
