"""The pages of the site behind the caches: what it answers, by the first word of the path.

What follows that word is free for the test to choose, so that every test has pages that no other one asks for.
"""

import email.utils
import gzip
import re
import secrets
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

import brotli

MEMBERS = {"ada": "Ada Lovelace ada@members.example", "ben": "Ben Bitdiddle ben@members.example"}

_PUBLIC = "public, max-age=600"
_PRIVATE = "private, no-store"
_FIRST_EDITION = 1_700_000_000  # Unix seconds; each generation is a minute younger than the one before
_TEN_DAYS = 864_000


@dataclass(frozen=True, slots=True)
class Request:
    """What reached the origin: `target` is the path with its query, header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def member(self) -> str:
        """Who asks, by the session's cookie or the bearer's token; "" for a stranger."""
        session = re.search(r"(?:^|;\s*)sessionid=(\w+)", self.headers.get("cookie", ""))
        who = session[1] if session else self.headers.get("authorization", "").removeprefix("Bearer ")
        return who if who in MEMBERS else ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the origin says to a request."""

    status: HTTPStatus
    headers: dict[str, str]
    body: bytes = b""


def answer(request: Request, generation: int) -> Answer:
    """The answer by the leading word of the path, which a slash, `;`, `.` or an encoded character ends.

    So lenient a router is what a cache is deceived with: `/account/x.css` and `/account;x.css` are the account.
    """
    family = re.match(r"/([\w-]*)", request.target)[1]
    if request.method == "POST":
        return _login(request) if request.path == "/login" else _short(HTTPStatus.METHOD_NOT_ALLOWED, "no-store")
    if status := re.fullmatch(r"([345]\d\d)(-kept)?", family):
        return _status(int(status[1]), _PUBLIC if status[2] else "")
    if family in _FAMILIES:
        return _unless_known(request, _FAMILIES[family](request, generation))
    return _short(HTTPStatus.NOT_FOUND, "no-store")


def _page(
    request: Request, generation: int, content: str = "for everyone", mark: str = "all", **headers: str
) -> Answer:
    """A page of this generation; underscores in the names of further headers stand for hyphens."""
    path = request.path
    markers = {
        "ETag": f'"{path.strip("/").replace("/", "-")}-{mark}-{generation}"',
        "Last-Modified": email.utils.formatdate(_FIRST_EDITION + 60 * generation, usegmt=True),
        "X-Origin-Gen": str(generation),
    }
    body = f"<!doctype html><title>{path}</title><p>generation {generation}</p><p>{content}</p>\n"
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(HTTPStatus.OK, markers | more, body.encode())


def _fixed(cache_control: str, **headers: str) -> Callable[[Request, int], Answer]:
    """A page that is the same for everybody."""
    return lambda request, generation: _page(request, generation, Cache_Control=cache_control, **headers)


def _by_language(request: Request, generation: int) -> Answer:
    language = request.headers.get("accept-language", "en")[:2]
    return _page(request, generation, f"in {language}", language, Cache_Control=_PUBLIC, Vary="Accept-Language")


def _by_query(request: Request, generation: int) -> Answer:
    query = request.target.partition("?")[2]
    return _page(request, generation, f"results for {query!r}", query.replace("=", "-") or "all", Cache_Control=_PUBLIC)


def _reflected(request: Request, generation: int) -> Answer:
    host = request.headers.get("x-forwarded-host") or request.headers.get("host", "")
    return _page(
        request, generation, f'<link rel="canonical" href="http://{host}{request.path}">', Cache_Control=_PUBLIC
    )


def _welcome(**headers: str) -> Callable[[Request, int], Answer]:
    """A page for everyone whose head names the member."""

    def page(request: Request, generation: int) -> Answer:
        who = request.member
        return _page(
            request, generation, MEMBERS.get(who, "for everyone"), who or "all", Cache_Control=_PUBLIC, **headers
        )

    return page


def _personal(
    cache_control: str, *, visit: bool = False, age: int = 0, vary: str = ""
) -> Callable[[Request, int], Answer]:
    """A member's page, which sends a stranger to the login; `visit` sets a cookie that no other visit gets."""

    def page(request: Request, generation: int) -> Answer:
        if not request.member:
            return Answer(HTTPStatus.FOUND, {"Location": "/login", "Cache-Control": "no-store"})
        own = _page(request, generation, MEMBERS[request.member], request.member)
        if cache_control:
            own.headers["Cache-Control"] = cache_control
        if vary:
            own.headers["Vary"] = vary
        if visit:
            own.headers["Set-Cookie"] = _visit()
        if age:
            own.headers["Last-Modified"] = email.utils.formatdate(time.time() - age, usegmt=True)
        return own

    return page


def _bearer(cache_control: str) -> Callable[[Request, int], Answer]:
    """What an API answers to a token, and 401 without one."""

    def page(request: Request, generation: int) -> Answer:
        if not request.member:
            return _short(HTTPStatus.UNAUTHORIZED, "no-store", **{"WWW-Authenticate": "Bearer"})
        return _page(request, generation, MEMBERS[request.member], request.member, Cache_Control=cache_control)

    return page


def _visitor(request: Request, generation: int) -> Answer:
    return _page(request, generation, Cache_Control=_PUBLIC, Set_Cookie=_visit())


def _visit() -> str:
    return f"visit={secrets.token_hex(8)}; Path=/"


def _compressed(**headers: str) -> Callable[[Request, int], Answer]:
    """A page in the coding that the request prefers: br, gzip or none."""
    codings = {"br": brotli.compress, "gzip": lambda body: gzip.compress(body, mtime=0)}

    def page(request: Request, generation: int) -> Answer:
        wanted = re.findall(r"[\w*-]+(?!;\s*q=0(?![.\d]))", request.headers.get("accept-encoding", ""))
        coding = next((name for name in codings if name in wanted), "identity")
        plain = _page(request, generation, "for everyone " * 40, coding, Cache_Control=_PUBLIC, **headers)
        if coding == "identity":
            return plain
        return replace(plain, headers=plain.headers | {"Content-Encoding": coding}, body=codings[coding](plain.body))

    return page


_FAMILIES = {
    # the same for everybody
    "articles": _fixed(_PUBLIC),
    "guides": _fixed(_PUBLIC),  # a family far away from /articles, for the control of a purge
    "slow": _fixed(_PUBLIC),  # the server takes a second
    "short": _fixed("public, max-age=5"),
    "brief": _fixed("public, max-age=1"),
    "ending": lambda request, generation: _page(
        request, generation, Cache_Control=_PUBLIC, **({"Age": "596"} if generation == 1 else {})
    ),  # the first copy is nearly over when it comes
    "renewed": _fixed("public, max-age=1, stale-while-revalidate=60"),
    "browser-only": _fixed("private, max-age=600"),
    "nocache": _fixed("no-cache"),
    "nostore": _fixed("no-store"),
    "health": _fixed("no-store"),
    "login": _fixed("no-store"),
    "cdn": _fixed("no-store", CDN_Cache_Control="max-age=600"),
    "cdn-nostore": _fixed(_PUBLIC, CDN_Cache_Control="no-store"),
    "surrogate": _fixed("no-store", Surrogate_Control="max-age=600"),
    "surrogate-nostore": _fixed(_PUBLIC, Surrogate_Control="no-store"),
    "error": lambda _request, _generation: _short(HTTPStatus.INTERNAL_SERVER_ERROR, _PUBLIC),
    "redirect-loop": lambda request, _generation: Answer(HTTPStatus.FOUND, {"Location": request.target}),
    # not the same for every request
    "encoded": _compressed(Vary="Accept-Encoding"),
    "encoded-blindly": _compressed(),
    "language": _by_language,
    "star": _fixed(_PUBLIC, Vary="*"),
    "search": _by_query,
    "reflected": _reflected,
    "visitor": _visitor,
    "stamped": lambda request, generation: _page(request, generation, secrets.token_hex(8), Cache_Control=_PUBLIC),
    # a member's
    "inbox": _personal(_PRIVATE, visit=True),
    "account": _personal(_PRIVATE, visit=True),
    "profile": _personal(_PUBLIC),  # wrongly
    "profile-encoded": _personal(_PUBLIC, vary="Accept-Encoding"),
    "greeting": _personal("", age=_TEN_DAYS),  # says nothing about caching
    "welcome": _welcome(),  # wrongly, too
    "welcome-by-cookie": _welcome(Vary="Cookie"),
    "token": _bearer("max-age=600"),
    "token-shared": _bearer("s-maxage=600"),
    "token-public": _bearer(_PUBLIC),
    "token-private": _bearer(_PRIVATE),
}


def _login(request: Request) -> Answer:
    user = urllib.parse.parse_qs(request.body.decode()).get("user", [""])[0]
    if user not in MEMBERS:
        return _short(HTTPStatus.FORBIDDEN, "no-store")
    cookie = f"sessionid={user}; Path=/; HttpOnly"
    return Answer(HTTPStatus.SEE_OTHER, {"Location": "/inbox", "Cache-Control": "no-store", "Set-Cookie": cookie})


def _status(code: int, cache_control: str) -> Answer:
    """A bare status, or one with Cache-Control; a redirect leads to the article `elsewhere`."""
    said = _short(HTTPStatus(code), cache_control)
    if code // 100 == 3:
        said.headers["Location"] = "/articles/elsewhere"
    if not cache_control:
        del said.headers["Cache-Control"]
    return said


def _short(status: HTTPStatus, cache_control: str, **headers: str) -> Answer:
    return Answer(status, {"Cache-Control": cache_control, **headers}, f"{status.value} {status.phrase}\n".encode())


def _unless_known(request: Request, page: Answer) -> Answer:
    if "ETag" not in page.headers:
        return page
    asked = request.headers
    known = (
        asked["if-none-match"].removeprefix("W/") == page.headers["ETag"]
        if "if-none-match" in asked
        else asked.get("if-modified-since") == page.headers["Last-Modified"]
    )
    return Answer(HTTPStatus.NOT_MODIFIED, page.headers) if known else page
