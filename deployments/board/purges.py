"""`POST /purges`: an application says what it has changed, and the purge queue has it from then on."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine

from deployments.board.writes import Asked, RefusedError, Write
from flows.rules.purge_queue import Kind, unfit
from flows.rules.site import Site
from flows.rules.site_file import SiteFileError
from flows.tasks.purge_queue import KeyReusedError, add
from flows.tasks.site_file import all_sites, check


class Published(Asked):
    """What was changed at a site."""

    site: str
    """A name in deployments/sites/."""
    routes: tuple[str, ...] = ()
    """Paths such as /articles/tomatoes, or URLs of the site."""
    keys: tuple[str, ...] = ()
    """Surrogate keys, of which every page goes."""


def _publish(engine: Engine, asked: Published, request_key: str | None) -> Mapping[str, Any]:
    site = _site(asked.site)
    if trouble := unfit(site, asked.routes, asked.keys):
        raise RefusedError(422, trouble)
    items = [*((Kind.ROUTE, route) for route in asked.routes), *((Kind.KEY, key) for key in asked.keys)]
    try:
        ids = add(engine, site.site, items, request_key)
    except KeyReusedError as error:
        raise RefusedError(422, str(error)) from None
    scheduled = site.schedule and site.schedule.purge
    note = {} if scheduled else {"note": "this site's queue is worked off by hand only; add `purge` to its `schedule`"}
    return {"site": site.site, "ids": ids, **note}


def _site(name: str) -> Site:
    """A site by its name only: a path or an address from outside leads nowhere."""
    path = next((one for one in all_sites() if one.stem == name), None)
    if path is None:
        raise RefusedError(422, f"site: saw {name[:80]!r}, wanted the name of a file in deployments/sites/")
    try:
        site = check(path)
    except SiteFileError:
        raise RefusedError(503, f"the site file of {name} is wrong; `python -m flows lint` says where") from None
    if not site.edge:
        raise RefusedError(422, f"{name} has no edge to purge; add `edge: TYPE/NAME` to its site file")
    return site


PURGES = Write(Published, _publish)
