"""What may be written through the board: a small JSON body, always with the token, once for each idempotency key.

`POST /purges`: an application says what it has changed, and the purge queue has it from then on. `POST /releases`:
the deploy reports its release, and everything timed from then on belongs to it. One more is a model of
its body, a function that writes it down, and a line of WRITES.
"""

import asyncio
import hmac
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from flows.tasks.purge import unpurgeable
from flows.tasks.site import all_sites, cached
from roundsman.ledger.ledger import LedgerError, kept_ledger
from roundsman.ledger.releases import keep_release
from roundsman.ledger.rules.releases import reported_release
from roundsman.ledger.transaction import writing_session
from roundsman.purge.queue import KeyReusedError, add
from roundsman.purge.rules.queue import ItemKind
from roundsman.site.rules.release import ReleaseSource
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_file import SiteFileError

log = logging.getLogger("roundsman.board")

#: Bytes of a body, and seconds in which it has to arrive and to be written down.
MAX_BODY_BYTES, WRITE_TIMEOUT_SECONDS = 65_536, 8.0
#: Characters of an idempotency key.
MAX_KEY_CHARACTERS = 200


class Body(BaseModel):
    """A body: nothing but its fields, each of just its type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RefusedError(Exception):
    """Why nothing was written: a status, and what was seen, what was wanted, what to do."""

    def __init__(self, status: int, says: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(says)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Write:
    """What is asked for, and what writes it down and says what to answer; RefusedError when it does not.

    The last argument is the request's idempotency key: what has the same one is the same request, made again.
    """

    asked: type[Body]
    do: Callable[[Engine, Any, str | None], Mapping[str, Any]]


def serve(app: FastAPI, token: str, writes: Mapping[str, Write]) -> None:
    """Take POST at each path. Answers are JSON: 202 and what was written, else `{"error": ...}`, and nothing was."""
    for path, write in writes.items():
        app.add_api_route(path, _handler(token, write), methods=["POST"])


def site_named(name: str) -> Site:
    """A site by its name only: a path or an address from outside leads nowhere. RefusedError when there is none."""
    path = next((one for one in all_sites() if one.stem == name), None)
    if path is None:
        raise RefusedError(422, f"site: saw {name[:80]!r}, wanted the name of a file in deployments/sites/")
    try:
        return cached(path)
    except SiteFileError:
        raise RefusedError(503, f"the site file of {name} is wrong; `roundsman lint` says where") from None


def _handler(token: str, write: Write) -> Callable[[Request], Any]:
    async def handle(request: Request) -> Response:
        try:
            _admit(request, token)
            key = _key(request)
            asked = _read(write.asked, await _body(request))
            return JSONResponse(dict(await _written(write, asked, key)), 202)
        except RefusedError as error:
            return JSONResponse({"error": str(error)}, error.status, error.headers)

    return handle


def _admit(request: Request, token: str) -> None:
    """Let in who has the token as a bearer: a password is what a browser would send along from any page."""
    if not token:
        raise RefusedError(
            403, "without a token the board writes nothing; set ROUNDSMAN_BOARD_TOKEN where it is served"
        )
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        says = "wanted the board's token, as `Authorization: Bearer ...`"
        raise RefusedError(401, says, {"WWW-Authenticate": 'Bearer realm="roundsman"'})


def _key(request: Request) -> str | None:
    """The Idempotency-Key, with or without quotes; None when there is none."""
    said = request.headers.get("idempotency-key")
    if said is None:
        return None
    quoted = re.fullmatch(r'"(.*)"', said.strip())
    key = quoted[1] if quoted else said.strip()
    if not re.fullmatch(rf"[\x21-\x7e]{{1,{MAX_KEY_CHARACTERS}}}", key):
        wanted = f"wanted 1 to {MAX_KEY_CHARACTERS} printable ASCII characters without blanks"
        raise RefusedError(400, f"Idempotency-Key: {wanted}")
    return key


async def _body(request: Request) -> bytes:
    """The body, as far as it is small, JSON by its name, and quick."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, f"saw {kind[:80] or 'no content type'}, wanted application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise RefusedError(413, f"saw more than {MAX_BODY_BYTES} bytes, wanted less; send it in parts")
    except TimeoutError:
        raise RefusedError(408, f"the body took longer than {WRITE_TIMEOUT_SECONDS:g} s; send it again") from None
    return bytes(body)


def _read(asked: type[Body], body: bytes) -> Body:
    try:
        return asked.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[:5]
        found = "; ".join(f"{_where(one['loc'])}: {one['msg']}" for one in first)
        status = 400 if first[0]["type"] == "json_invalid" else 422
        raise RefusedError(status, f"{found}; wanted {_shape(asked)}") from None


def _where(place: tuple[int | str, ...]) -> str:
    return ".".join(str(one)[:40] for one in place) or "body"


def _shape(asked: type[Body]) -> str:
    fields = asked.model_fields.items()
    return f"{{{', '.join(name if field.is_required() else f'{name}?' for name, field in fields)}}}"


async def _written(write: Write, asked: Body, key: str | None) -> Mapping[str, Any]:
    try:
        async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
            return await asyncio.to_thread(_write, write, asked, key)
    except (LedgerError, SQLAlchemyError, OSError, TimeoutError) as error:
        # What a database says can name its user and host.
        log.warning("The ledger does not answer: %s", type(error).__name__)
        says = "the ledger does not answer; send it again with the same Idempotency-Key"
        raise RefusedError(503, says, {"Retry-After": "5"}) from None


def _write(write: Write, asked: Body, key: str | None) -> Mapping[str, Any]:
    with kept_ledger() as engine:
        return write.do(engine, asked, key)


class Published(Body):
    """What was changed at a site."""

    site: str
    """A name in deployments/sites/."""
    routes: tuple[str, ...] = ()
    """Paths such as /articles/tomatoes, or URLs of the site."""
    keys: tuple[str, ...] = ()
    """Surrogate keys, of which every page goes."""


def _publish(engine: Engine, asked: Published, request_key: str | None) -> Mapping[str, Any]:
    site = site_named(asked.site)
    if not site.edge:
        raise RefusedError(422, f"{site.site} has no edge to purge; add `edge: TYPE/NAME` to its site file")
    if trouble := unpurgeable(site, asked.routes, asked.keys):
        raise RefusedError(422, trouble)
    items = [*((ItemKind.ROUTE, route) for route in asked.routes), *((ItemKind.KEY, key) for key in asked.keys)]
    try:
        ids = add(engine, site.site, items, request_key)
    except KeyReusedError as error:
        raise RefusedError(422, str(error)) from None
    scheduled = site.schedule and site.schedule.purge
    note = {} if scheduled else {"note": "this site's queue is worked off by hand only; add `purge` to its `schedule`"}
    return {"site": site.site, "ids": ids, **note}


class Released(Body):
    """A release that is out."""

    site: str
    """A name in deployments/sites/."""
    version: str
    """As the site's own version page says it, if there is one."""
    at: str = ""
    """Since when, such as 2026-03-01T14:30:00+01:00; now when left out."""


def _release(engine: Engine, asked: Released, _key: str | None) -> Mapping[str, Any]:
    site = site_named(asked.site)
    try:
        release = reported_release(asked.version, asked.at, datetime.now(UTC), ReleaseSource.BOARD)
    except ValueError as error:
        raise RefusedError(422, str(error)) from None
    # Told again it is the same release, whatever its key: nothing has to be remembered of a request.
    with writing_session(engine) as session:
        new = keep_release(session, site.site, release)
    return {"site": site.site, "version": release.version, "since": release.seen_at.isoformat(), "new": new}


#: What may be written, and where.
WRITES = {"/purges": Write(Published, _publish), "/releases": Write(Released, _release)}
