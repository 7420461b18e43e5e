"""Site files, held against the blocks that there are as well."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from blocks import registry
from roundsman.report.rules.text import did_you_mean
from roundsman.site import site_file
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_file import Conflict, Place
from roundsman.site.site_file import all_sites, timezones

__all__ = ["all_sites", "cached", "check", "check_text", "load", "warm_up"]


def load(site: str) -> Site:
    """As `site_file.load`, with its blocks looked at.

    Raises:
        SiteFileError: there is no such file, or something in it is wrong.
    """
    return site_file.load(site, _block_conflicts)


def check(path: Path) -> Site:
    """As `site_file.check`, with its blocks looked at.

    Raises:
        SiteFileError: with every problem found.
    """
    return site_file.check(path, _block_conflicts)


def check_text(text: str) -> Site:
    """A site file that comes from standard input.

    Raises:
        SiteFileError: with every problem found.
    """
    return site_file.check_text("standard input", text, Path("-"), _block_conflicts)


def cached(path: Path) -> Site:
    """As `site_file.cached`, with its blocks looked at.

    Raises:
        SiteFileError: with every problem found.
    """
    return site_file.cached(path, _block_conflicts)


def warm_up() -> None:
    """Read what every site file is held against, while there is something else to wait for."""
    registry.kinds()
    timezones()


def _block_conflicts(site: Site) -> Iterator[Conflict]:
    """Blocks that are of no known type, are not declared, or are declared wrongly."""
    used: list[tuple[Place, str, str]] = [
        (("sessions", index), name, "session") for index, name in enumerate(site.sessions)
    ]
    used += [((field,), name, "edge") for field in ("edge", "shield") if (name := getattr(site, field))]
    if site.notify:
        used += [(("notify", "channels", index), name, "channel") for index, name in enumerate(site.notify.channels)]
    known = {"session": sorted(registry.members()), "edge": sorted(registry.edges())}
    known["channel"] = sorted(registry.channels())
    for place, name, what in used:
        kind = name.partition("/")[0]
        kinds = known[what]
        if kind not in kinds:
            hint = did_you_mean(kind, kinds) or f"wanted one of {', '.join(kinds)}"
            yield place, f"the unknown {what} type {kind!r}", hint
        elif name not in site.blocks and _declares(site, what, kinds) and "PREFECT_API_URL" not in os.environ:
            remedy = f"declare it under `blocks:`, where there are {', '.join(sorted(site.blocks))}"
            yield place, f"the unknown {what} {name!r}", remedy
    for name, settings in site.blocks.items():
        for error in registry.faults(name, settings):
            yield _place(name, error.setting), error.saw, error.remedy


def _declares(site: Site, what: str, kinds: Sequence[str]) -> bool:
    """Whether a site file keeps such blocks itself. Who tells people is often kept in Prefect, whatever else is not."""
    return any(what != "channel" or name.partition("/")[0] in kinds for name in site.blocks)


def _place(name: str, setting: str) -> Place:
    """The place in the site file of a block's setting, given as `type/name.field.inner`."""
    inner = setting.removeprefix(name).strip(".")
    return ("blocks", name, *(inner.split(".") if inner else ()))
