"""A small cache with the origin inside it, for incidents: what broke in one of them is a method that does otherwise.

As it stands it does what RFC 9111 asks of a shared cache, and what a careful site asks of its edge.
"""

import email.utils
import re
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus

from roundsman.http.freshness import directives, seconds
from tests.edges.pages import MEMBERS, Answer, Request
from tests.hostile import Visit, serving

PUBLIC, PRIVATE = "public, max-age=600", "private, no-store"


@dataclass(frozen=True, slots=True)
class Copy:
    """An answer in the store, with the request that made it; times are seconds on the monotonic clock."""

    request: Request
    answer: Answer
    made_at: float
    ends_at: float


class Site:
    """The origin: pages for everyone, and pages below /account for members."""

    def page(self, request: Request) -> Answer:
        """What the origin says. An incident changes this where the origin was at fault."""
        if request.path.startswith("/account"):
            return self.members_page(request)
        return shared_page(request)

    def members_page(self, request: Request, **headers: str) -> Answer:
        """The page of the member who asks; a stranger is sent to the login."""
        if not request.member:
            return made(request, "", HTTPStatus.FOUND, Location="/login", Cache_Control="no-store")
        return made(request, MEMBERS[request.member], **{"Cache_Control": PRIVATE, **headers})


def shared_page(request: Request, **headers: str) -> Answer:
    """A page that is the same for everyone."""
    return made(request, "for everyone", **{"Cache_Control": PUBLIC, **headers})


def made(request: Request, content: str, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Answer:
    """An answer with an ETag of its content; underscores in the names of headers stand for hyphens."""
    body = f"<!doctype html><title>{request.path}</title><p>{content}</p>\n".encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"ETag": f'"{zlib.crc32(body):08x}"', **named}, body)


class Edge(Site):
    """The cache before the origin. It labels its answers as Varnish does, and PURGE drops every variant of a URL."""

    def __init__(self) -> None:
        self.store: dict[str, list[Copy]] = {}
        self.lock = threading.RLock()

    def key(self, request: Request) -> str:
        """What a copy is found by, beside what its answer varies on."""
        return request.target

    def passes(self, request: Request) -> bool:
        """Whether a request goes to the origin, and its answer to nobody else."""
        return "sessionid" in request.headers.get("cookie", "") or "authorization" in request.headers

    def keeps(self, request: Request, answer: Answer) -> float:
        """For how many seconds an answer is kept; 0 when it is not."""
        if self.passes(request) or answer.status not in {200, 301, 404} or "Set-Cookie" in answer.headers:
            return 0.0
        return named_lifetime(answer)

    def stored(self, answer: Answer) -> Answer:
        """The answer as it goes into the store."""
        return answer

    def matches(self, copy: Copy, request: Request) -> bool:
        """Whether a copy is the variant that a request asks for."""
        names = copy.answer.headers.get("Vary", "").lower().split(",")
        asked, made_by = request.headers, copy.request.headers
        return all(asked.get(name.strip(), "") == made_by.get(name.strip(), "") for name in names)

    def age(self, copy: Copy) -> int:
        """The Age that a copy is sent with."""
        return int(time.monotonic() - copy.made_at)

    def labels(self, state: str, age: int) -> Mapping[str, str]:
        """What the edge says of itself."""
        return {"X-Cache": state, "Age": str(age), "Via": "1.1 varnish"}

    def purge(self, request: Request) -> None:
        """Drop what a PURGE names."""
        self.store.pop(self.key(request), None)

    def fetch(self, request: Request) -> Answer:
        """Ask the origin."""
        return self.page(request)

    def answer(self, request: Request) -> Answer:
        """Answer from the store, or fetch and store."""
        with self.lock:
            if request.method == "PURGE":
                self.purge(request)
                return Answer(HTTPStatus.OK, {}, b"Purged\n")
            if copy := self.find(request):
                return self.labelled(copy.answer, "HIT", self.age(copy))
            answer = self.fetch(replace(request, method="GET"))
            age = int(answer.headers.get("Age", "0"))
            self.put(request, answer, age)
            return self.labelled(answer, "MISS", age)

    def find(self, request: Request) -> Copy | None:
        """The copy that may answer a request."""
        if self.passes(request):
            return None
        fresh = (copy for copy in self.store.get(self.key(request), ()) if copy.ends_at > time.monotonic())
        return next((copy for copy in fresh if self.matches(copy, request)), None)

    def put(self, request: Request, answer: Answer, age: float = 0.0) -> None:
        """Store an answer that came so many seconds ago, in place of its variant."""
        if lasts := self.keeps(request, answer):
            made_at = time.monotonic() - age
            copies = self.store.get(self.key(request), [])
            others = [copy for copy in copies if not self.matches(copy, request)]
            copy = Copy(request, self.stored(answer), made_at, made_at + lasts)
            self.store[self.key(request)] = [*others, copy]

    def labelled(self, answer: Answer, state: str, age: int) -> Answer:
        """An answer with what the edge says of itself."""
        return replace(answer, headers={**answer.headers, **self.labels(state, age)})

    def not_modified(self, answer: Answer) -> Answer:
        """What replaces an answer that the client has already."""
        return Answer(HTTPStatus.NOT_MODIFIED, answer.headers)

    def converse(self, visit: Visit) -> None:
        """Answer the requests of one connection."""
        while text := visit.request():
            request = read(text)
            answer = self.answer(request)
            if answer.status == 200 and request.headers.get("if-none-match") == answer.headers.get("ETag", ""):
                answer = self.not_modified(answer)
            visit.send(written(answer, with_body=request.method != "HEAD"))


@contextmanager
def at_work(*edges: Edge) -> Iterator[tuple[str, ...]]:
    """Edges that answer, each at an address of its own."""
    first, *others = edges
    with serving(first.converse) as server:
        if not others:
            yield (server.url.rstrip("/"),)
            return
        with at_work(*others) as urls:
            yield (server.url.rstrip("/"), *urls)


def named_lifetime(answer: Answer) -> float:
    """The seconds for which a shared cache may use an answer by its Cache-Control."""
    said = directives(answer.headers.get("Cache-Control", ""))
    if {"private", "no-store", "no-cache"} & said.keys():
        return 0.0
    shared = seconds(said.get("s-maxage"))
    return float(shared if shared is not None else seconds(said.get("max-age")) or 0)


def read(text: str) -> Request:
    """The request that a text of request line and headers is."""
    line, *fields = text.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = line.split(" ")
    pairs = (re.split(r":\s*", field, maxsplit=1) for field in fields)
    return Request(method, target, {name.lower(): value for name, value in pairs})


def written(answer: Answer, *, with_body: bool) -> bytes:
    """The bytes of an answer."""
    empty = answer.status == HTTPStatus.NOT_MODIFIED
    own = {"Date": email.utils.formatdate(usegmt=True), "Content-Type": "text/html; charset=utf-8"}
    length = {} if empty else {"Content-Length": str(len(answer.body))}
    lines = [f"{name}: {value}" for name, value in {**own, **answer.headers, **length}.items()]
    head = f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n" + "\r\n".join([*lines, "", ""])
    return head.encode("latin-1") + (answer.body if with_body and not empty else b"")
