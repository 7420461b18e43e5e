"""The board: which promises are broken and how every site is, on a page that needs no script."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException

from deployments.board.metrics import CONTENT_TYPE, exposition
from deployments.board.reader import (
    Board,
    Fresh,
    LedgerSilentError,
    Reason,
    asked,
    drawn,
    read_answers,
    read_board,
    read_letters,
    read_reasons,
)
from deployments.board.writes import WRITES, serve
from roundsman.alerts.outbox import TargetOutbox
from roundsman.ledger.ledger import close_kept_ledger
from roundsman.report import pictures as picture
from roundsman.report.rules.text import visible
from roundsman.report.rules.verdict import Outcome, worst
from roundsman.status.rules.facts import Answer, Question, SiteStatus
from roundsman.status.rules.page import SHAPES, caption, headline, lasted, title
from roundsman.status.rules.promises import as_json, is_alarming
from roundsman.timing.history import read_overview, read_route

#: The environment variable with the token that all pages but /health ask for.
VARIABLE = "ROUNDSMAN_BOARD_TOKEN"
#: Seconds for which a picture is not drawn again.
DRAWN_SECONDS = 300

_ASKS = {"WWW-Authenticate": 'Basic realm="roundsman", charset="UTF-8"'}
_STYLE = files("deployments.board").joinpath("templates/board.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Next = Callable[[Request], Awaitable[Response]]


def create() -> FastAPI:
    """Build the board. The token is read from ROUNDSMAN_BOARD_TOKEN now; what is shown is read when it is asked for."""
    board, reasons, answers = Fresh(read_board), Fresh(read_reasons), Fresh(read_answers)
    targets = Fresh(read_letters, "A batch job's database")
    app = FastAPI(title="Roundsman", docs_url=None, redoc_url=None, openapi_url=None, lifespan=_warm)
    token = os.environ.get(VARIABLE, "").strip()
    _guard(app, token)
    _pages(app, board, targets)
    serve(app, token, WRITES)

    @app.api_route("/health", methods=["GET", "HEAD"])
    async def health(request: Request) -> Response:
        try:
            found, made = await reasons.get(), await answers.get()
        except LedgerSilentError:
            found, made = (Reason("ledger does not answer"),), ()
        in_full = _may_read(request, token)
        sites = [as_json(one.site, one.answers[0], known, in_full=in_full) for one, known in made]
        outcome = worst(one.answers[0].outcome for one, _ in made) if made else Outcome.UNKNOWN
        ok = not found and not any(is_alarming(one.answers[0].outcome, one.answers[0].fault) for one, _ in made)
        told = [{"kind": one.kind, "sites": list(one.sites)} for one in found]
        said = {"promises": {"outcome": outcome.value, "sites": sites}, "ok": ok, "reasons": told}
        return JSONResponse(said, 200 if ok else 503)

    @app.api_route("/metrics", methods=["GET", "HEAD"])
    async def metrics() -> Response:
        try:
            body = exposition(await board.get(), await reasons.get(), await _known(targets))
        except LedgerSilentError:
            return PlainTextResponse("the ledger does not answer\n", 503)
        return Response(body, headers={"Content-Type": CONTENT_TYPE})

    return app


def is_loopback(host: str) -> bool:
    """Whether a name or address leads to this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@asynccontextmanager
async def _warm(_: FastAPI) -> AsyncIterator[None]:
    await asyncio.to_thread(picture.warm_up)
    try:
        yield
    finally:
        await asyncio.to_thread(close_kept_ledger)


def _pages(app: FastAPI, board: Fresh[Board], targets: Fresh[tuple[TargetOutbox, ...]]) -> None:
    @app.api_route("/", methods=["GET", "HEAD"])
    async def index() -> Response:
        seen = await board.get()
        shown = {one.site: _pictured(one) for one in seen.statuses}
        pictures = {site: (answer, await _drawn(answer, seen.at)) for site, answer in shown.items()}
        outboxes = [TargetOutbox("", seen.dead, seen.dead_count), *await _known(targets)]
        more = {"outboxes": outboxes, "kept": seen.kept, "kept_count": seen.queued.get("quarantined", 0)}
        return _page("index.html", seen.at, statuses=seen.statuses, pictures=pictures, **more)

    @app.api_route("/sites/{site}", methods=["GET", "HEAD"])
    async def one_site(site: str) -> Response:
        seen = await board.get()
        found = seen.status_of(site)
        if found is None:
            raise HTTPException(404, "There is no such site.")
        pictures = {one.question: await _drawn(one, seen.at) for one in found.answers}
        return _page("site.html", seen.at, status=found, pictures=pictures)

    @app.api_route("/sites/{site}/times", methods=["GET", "HEAD"])
    async def times(site: str, path: str = "") -> Response:
        seen = await board.get()
        if seen.status_of(site) is None:
            raise HTTPException(404, "There is no such site.")
        found = await asked(read_route, site, path) if path else await asked(read_overview, site)
        if found is None:
            raise HTTPException(404, "No round has timed this route.")
        return _page("times.html", seen.at, site=site, path=path, **{"route" if path else "all": found})

    @app.exception_handler(LedgerSilentError)
    async def silent(_: Request, __: Exception) -> Response:
        says = "The ledger does not answer, so nothing is known of any site. First look: its database."
        return _message(503, says)

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> Response:
        return _message(error.status_code, str(error.detail), error.headers)


async def _known(targets: Fresh[tuple[TargetOutbox, ...]]) -> tuple[TargetOutbox, ...]:
    """What is dead in the databases of batch jobs; a slow one of them is no reason to show nothing."""
    try:
        return await targets.get()
    except LedgerSilentError:
        return (TargetOutbox("a batch job's database", problem="no answer in time"),)


def _guard(app: FastAPI, token: str) -> None:
    """Ask for the token where one is set; without one answer this machine only, whatever name led here."""

    @app.middleware("http")
    async def guard(request: Request, go_on: Next) -> Response:
        # What writes asks for the token itself, and always.
        if request.url.path == "/health" or (request.method == "POST" and request.url.path in WRITES):
            answer = await go_on(request)
        elif token and not _may_read(request, token):
            answer = PlainTextResponse("This page needs the board's token.\n", 401, _ASKS)
        elif not _may_read(request, token):
            says = f"Without a token the board answers to localhost only; set {VARIABLE}.\n"
            answer = PlainTextResponse(says, 403)
        else:
            answer = await go_on(request)
        answer.headers.update(_HEADERS)
        return answer


def _may_read(request: Request, token: str) -> bool:
    """Whether whoever asks may read the pages."""
    return _knows(request, token) if token else is_loopback(request.url.hostname or "")


def _knows(request: Request, token: str) -> bool:
    """Whether a request has the token: as `Authorization: Bearer`, or as a password, for which a browser can ask."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    given = given.strip()
    if kind.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(), token.encode())


def _pictured(status: SiteStatus) -> Answer:
    """The answer whose history stands for a site on the page of all: whether it was up, where that is asked."""
    return next((one for one in status.answers if one.question is Question.UP), status.answers[0])


async def _drawn(answer: Answer, at: datetime) -> str:
    steady = at - timedelta(seconds=at.timestamp() % DRAWN_SECONDS)
    return await asyncio.to_thread(drawn, answer, steady)


def _page(template: str, at: datetime, **shown: Any) -> Response:
    return HTMLResponse(_TEMPLATES.get_template(template).render(at=at, style=_STYLE, **shown))


def _message(code: int, says: str, headers: Mapping[str, str] | None = None) -> Response:
    return HTMLResponse(_TEMPLATES.get_template("message.html").render(style=_STYLE, says=says), code, headers)


_TEMPLATES = Environment(
    loader=PackageLoader("deployments.board"),
    autoescape=True,
    # Before it is escaped; what is markup already stays.
    finalize=lambda value: visible(value, "\n\t") if type(value) is str else value,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals.update(shapes=SHAPES, caption=caption, headline=headline, title=title, lasted=lasted)
