"""`POST /purges`: an application says what it has changed, and the purge queue has it from then on."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from deployments.board.writes import Asked, RefusedError, Write, site_named
from flows.tasks.purge import unpurgeable
from roundsman.purge.queue import KeyReusedError, add
from roundsman.purge.rules.queue import Kind


class Published(Asked):
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
    items = [*((Kind.ROUTE, route) for route in asked.routes), *((Kind.KEY, key) for key in asked.keys)]
    try:
        ids = add(engine, site.site, items, request_key)
    except KeyReusedError as error:
        raise RefusedError(422, str(error)) from None
    scheduled = site.schedule and site.schedule.purge
    note = {} if scheduled else {"note": "this site's queue is worked off by hand only; add `purge` to its `schedule`"}
    return {"site": site.site, "ids": ids, **note}


PURGES = Write(Published, _publish)
