"""The demo site: an origin with articles, members and planted faults, behind a small caching edge.

Planted: /news lives shorter than promised, and /inbox, a member's page, calls itself public. Everything else is right.
`PUT /faults` with a JSON list of names changes what is planted, to try what a round says of it.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from starlette.exceptions import HTTPException

from deployments.demo.edge import edge

__all__ = ["PEOPLE", "OriginState", "Person", "edge", "origin"]

NO_STORE = {"Cache-Control": "no-store"}
READ = ["GET", "HEAD"]
#: Bytes of a login form that are read.
MAX_FORM_BYTES = 10_000
#: What is wrong unless somebody says otherwise.
FAULTS = frozenset(["inbox", "news"])


@dataclass(frozen=True)
class Person:
    """A member of the demo site; a play site may keep its passwords in its code."""

    name: str
    mailbox: str
    variable: str
    default: str

    @property
    def password(self) -> str:
        """The password, from the environment when it is set there."""
        return os.environ.get(self.variable) or self.default


PEOPLE = {
    "ada": Person("Ada Lovelace", "ada@members.example", "DEMO_ADA_PASSWORD", "ada-demo"),
    "ben": Person("Ben Bitdiddle", "ben@members.example", "DEMO_BEN_PASSWORD", "ben-demo"),
}


@dataclass
class OriginState:
    """What the origin remembers while it runs."""

    commit: str = "4f2a9c1"
    revisions: Counter[str] = field(default_factory=Counter)
    sessions: dict[str, str] = field(default_factory=dict)
    faults: frozenset[str] = FAULTS
    releases: Path | None = None
    """Where releases are kept, one of which is `current`; see deployments/demo/release.py."""

    @property
    def version(self) -> str:
        """The release that runs."""
        return (self.releases / "current").resolve().name if self.releases else self.commit

    @property
    def motto(self) -> str:
        """What the release that runs says on each article."""
        return f"<p>{(self.releases / 'current' / 'motto').read_text('utf-8')}</p>" if self.releases else ""

    def person(self, request: Request) -> Person | None:
        """The member that a request is logged in as."""
        return PEOPLE.get(self.sessions.get(request.cookies.get("sessionid", ""), ""))


def origin(state: OriginState) -> FastAPI:
    """Build the origin: it says how each page may be cached, and counts each article's revisions in `state`."""
    app = FastAPI(title="Garden Post", docs_url=None, redoc_url=None, openapi_url=None)
    _public(app, state)
    _members(app, state)

    @app.exception_handler(HTTPException)
    async def error(_: Request, error: HTTPException) -> Response:
        return PlainTextResponse(f"{error.detail}\n", error.status_code, {**(error.headers or {}), **NO_STORE})

    return app


def _public(app: FastAPI, state: OriginState) -> None:
    @app.api_route("/articles/{slug}", methods=READ)
    async def article(slug: str, request: Request) -> Response:
        body = _page(_title(slug), f"<p>Revision {state.revisions[slug]} of this article.</p>{state.motto}{ARTICLE}")
        return _tagged(request, body, "public, max-age=60, s-maxage=600")

    @app.api_route("/guides/{name}", methods=READ)
    async def guide(name: str, request: Request) -> Response:
        if name not in GUIDES:
            return PlainTextResponse("There is no such guide.\n", 404, {"Cache-Control": "public, max-age=30"})
        return _tagged(request, _page(_title(name), GUIDES[name]), "public, max-age=60, s-maxage=600")

    @app.post("/articles/{slug}/touch")
    async def touch(slug: str) -> Response:
        _title(slug)
        state.revisions[slug] += 1
        return Response(status_code=204, headers=NO_STORE)

    @app.api_route("/news", methods=READ)
    async def news(request: Request) -> Response:
        # Planted fault: the site file promises five minutes to an hour.
        lifetime = "max-age=120" if "news" in state.faults else "max-age=60, s-maxage=600"
        return _tagged(request, _page("News", NEWS), f"public, {lifetime}")

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"ok": True}, headers=NO_STORE)

    @app.put("/faults")
    async def plant(wanted: list[str]) -> Response:
        if strange := sorted(set(wanted) - FAULTS):
            raise HTTPException(422, f"saw the fault {strange[0]!r}, wanted some of {', '.join(sorted(FAULTS))}")
        state.faults = frozenset(wanted)
        return JSONResponse(sorted(state.faults), headers=NO_STORE)

    @app.get("/version")
    async def version() -> Response:
        return JSONResponse({"commit": state.version}, headers=NO_STORE)


def _members(app: FastAPI, state: OriginState) -> None:
    @app.get("/inbox")
    async def inbox(request: Request) -> Response:
        # Planted fault: a shared cache may keep this page and show it to anyone.
        kept = "public, max-age=60" if "inbox" in state.faults else "private, no-store"
        return _for_member(state, request, "Inbox", INBOX, kept)

    @app.get("/account")
    async def account(request: Request) -> Response:
        return _for_member(state, request, "Account", ACCOUNT, "private, no-store")

    @app.get("/login")
    async def form() -> Response:
        return HTMLResponse(_page("Log in", FORM), headers=NO_STORE)

    @app.post("/login")
    async def login(request: Request) -> Response:
        fields = parse_qs(await _form(request))
        user, password = (fields.get(name, [""])[0] for name in ("user", "password"))
        known = PEOPLE.get(user)
        if not known or not hmac.compare_digest(known.password.encode(), password.encode()):
            raise HTTPException(403, "This name and password do not belong together.")
        token = secrets.token_urlsafe(24)
        state.sessions[token] = user
        answer = RedirectResponse("/inbox", 303, NO_STORE)
        answer.set_cookie("sessionid", token, httponly=True, path="/", samesite="lax")
        return answer


def _tagged(request: Request, body: str, cache_control: str) -> Response:
    """A page with an ETag, or 304 for who has it."""
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:20]}"'
    headers = {"Cache-Control": cache_control, "ETag": etag, "Vary": "Accept-Encoding"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return HTMLResponse(body, headers=headers)


def _for_member(state: OriginState, request: Request, title: str, text: str, cache_control: str) -> Response:
    if not (person := state.person(request)):
        return RedirectResponse("/login", 302, NO_STORE)
    who = f"<p>Hello, {escape(person.name)}. Your mailbox is {escape(person.mailbox)}.</p>"
    return HTMLResponse(_page(title, who + text), headers={"Cache-Control": cache_control})


async def _form(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise HTTPException(413, "This form is too long.")
    return body.decode("utf-8", "replace")


def _title(slug: str) -> str:
    """The title of an article; on a play site every well-formed slug has one."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug):
        raise HTTPException(404, "There is no such article.")
    return slug.replace("-", " ").capitalize()


def _page(title: str, text: str) -> str:
    links = " ".join(f'<a href="{path}">{name}</a>' for path, name in LINKS.items())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>\n'
        f"<body><nav>{links}</nav>\n<main><h1>{escape(title)}</h1>\n{text}</main></body></html>\n"
    )


LINKS = {"/articles/tomatoes": "Tomatoes", "/articles/how-to-plant": "How to plant", "/news": "News", "/inbox": "Inbox"}

ARTICLE = """
<p>Start with the soil. A bed that drains after rain and still feels damp a finger deep will forgive most of what comes
later, and a bed that does neither will forgive nothing. Dig once in autumn, add two fingers of compost, and leave the
worms to it over the winter.</p>
<p>Plant when the nights stay above ten degrees, not when the shops fill their shelves. Water the pot first, loosen the
roots with a thumb, and set the plant a little deeper than it stood before. An arm's length to the next one looks like
waste in May and like foresight in August.</p>
<h2>Through the summer</h2>
<p>Water in the morning, at the foot, seldom and long. Leaves that dry slowly fall ill, and roots that are given a
little every day stay where the little is. A layer of straw keeps the ground cool and the fruit clean, and it saves one
watering in three.</p>
<p>Feed when the first fruit is the size of a marble and every second week from then on. Take the side shoots while they
are short enough to break with two fingers. What turns yellow at the bottom can go, and what curls at the top on a hot
day is only resting.</p>
<h2>Harvest</h2>
<p>Pick often, for a plant that keeps its ripe fruit thinks that its work is done. Pick in the evening for the kitchen
and in the morning for the market. Before the first frost bring in all that has some colour, lay it in a drawer with an
apple, and look every other day.</p>
<p>Write down what you sowed, where, and how it went. Next spring everyone remembers the good year, and nobody the
week in which it was made.</p>
"""

NEWS = """
<p>The seed exchange opens on Saturday at nine in the old station. Bring what you have in paper bags, labelled with
the name and the year; the tables are sorted by family this time, beans nearest the door.</p>
<p>The water butts behind the allotments are full again, and the committee asks that the lower tap be closed with care
rather than with force. The hedge along the railway stays uncut until the wrens have flown.</p>
<p>Last month's question, why courgettes fall off when they are as long as a finger, had forty answers. Most of you were
right: too few bees on cold mornings. A brush helps.</p>
"""

GUIDES = {
    "soil": """
<p>A handful that holds together and falls apart at a touch is right. Clay wants sand and frost, sand wants compost,
and both want to be left alone while they are wet.</p>
""",
    "water": """
<p>Rain from a butt, in the morning, at the foot of the plant. Twice a week is plenty, and once is better.</p>
""",
}

INBOX = """
<p>Two letters are waiting. The committee asks whether your plot needs a second key before the summer, and your
neighbour offers eleven leek seedlings against anything that climbs.</p>
<p>Nothing else is new. Letters stay here for a year, and are then composted.</p>
"""

ACCOUNT = """
<p>Your plot is paid for until the end of the season. You asked for the printed calendar and against the weekly letter,
and you lend your wheelbarrow to members who bring it back clean.</p>
<p>To change any of this, write to the committee, or come by on a Saturday before noon.</p>
"""

FORM = """
<form method="post" action="/login">
<p><label>Name <input name="user" autocomplete="username" required></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label></p>
<p><button>Log in</button></p>
</form>
"""
