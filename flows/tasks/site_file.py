"""Finding and reading site files."""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from prefect.client.schemas.schedules import CronSchedule

from blocks import registry
from flows.rules.first_look import infer
from flows.rules.site import Schedule, Site
from flows.rules.site_file import Lines, Place, Problem, SiteFileError, read
from flows.rules.spread import cron

#: Where the sites of this project are written down.
SITES = Path(__file__).parents[2] / "deployments" / "sites"
#: Of a site file.
MOST_BYTES = 1_000_000


def all_sites() -> list[Path]:
    """Every site file of the project."""
    return sorted(SITES.glob("*.yaml"))


def load(site: str) -> Site:
    """The site of a name in deployments/sites/, of a path to a site file, or of a URL (for a first look).

    Raises:
        SiteFileError: there is no such file, or something in it is wrong.
    """
    if "://" in site:
        try:
            return infer(site)
        except ValueError as error:
            raise SiteFileError([Problem(_without_password(site), 1, "site", "no address", str(error))]) from None
    path = Path(site)
    if path.suffix not in {".yaml", ".yml"} and "/" not in site:
        path = SITES / f"{site}.yaml"
    return check(path)


def check(path: Path) -> Site:
    """Read one site file and hold it against what this project can do.

    Raises:
        SiteFileError: with every problem found.
    """
    shown, text = shown_and_text(path, all_sites(), "sites")
    site, lines = read(text, shown)
    if problems := [*_name_problems(site, lines, path), *_block_problems(site, lines)]:
        raise SiteFileError(problems)
    return site


def _without_password(address: str) -> str:
    return re.sub(r"//[^/]*@", "//...@", address)


def shown_and_text(path: Path, known: Sequence[Path], what: str) -> tuple[str, str]:
    """What a file is called in messages, and what is written in it.

    Raises:
        SiteFileError: it can't be read; where it is not there, with the name that it is most like among the known.
    """
    shown = os.path.relpath(path) if path.resolve().is_relative_to(Path.cwd()) else str(path)
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1).decode("utf-8-sig")
    except FileNotFoundError:
        names = [one.stem for one in known]
        near = difflib.get_close_matches(path.stem, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"known {what}: {', '.join(names) or 'none'}"
        raise SiteFileError([Problem(shown, 1, "file", "no such file", hint)]) from None
    except (OSError, ValueError) as error:
        saw = f"nothing that can be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        mend = "make it a readable file of UTF-8 text"
        raise SiteFileError([Problem(shown, 1, "file", saw, mend)]) from None
    if len(text) > MOST_BYTES:
        raise SiteFileError([Problem(shown, 1, "file", f"more than {MOST_BYTES} bytes", f"is it a {what[:-1]} file?")])
    return shown, text


def _name_problems(site: Site, lines: Lines, path: Path) -> Iterator[Problem]:
    """A name by which the site would not be found, and a time at which it would never run."""
    if path.parent.resolve() == SITES and path.stem != site.site:
        yield lines.problem(("site",), repr(site.site), f"a file of this folder has its site's name: {path.stem}")
    if site.schedule and (problem := schedule_problem(site.schedule)):
        yield lines.problem(("schedule", problem[0]), problem[1], problem[2])


@cache
def timezones() -> frozenset[str]:
    """The names of all zones of this machine, which are as many files."""
    return frozenset(available_timezones())


def zone(cron: str, timezone: str) -> str:
    """The time zone of a deployment's schedule: UTC for what is due every hour, where its minutes are the same there.

    Prefect makes no run in the hour that comes twice when clocks go back: a purge each minute would stop for an hour.
    """
    if cron.split()[1:] != ["*"] * 4 or timezone not in timezones():
        return timezone
    offsets = (datetime(2026, month, 1, tzinfo=ZoneInfo(timezone)).utcoffset() or timedelta() for month in (1, 7))
    return timezone if any(offset % timedelta(hours=1) for offset in offsets) else "UTC"


def warm_up() -> None:
    """Read what every site file is held against, while there is something else to wait for."""
    registry.kinds()
    timezones()


def schedule_problem(schedule: Schedule) -> tuple[str, str, str] | None:
    """What Prefect would refuse of a schedule: field, what was seen, what was wanted."""
    if schedule.timezone not in timezones():
        return "timezone", repr(schedule.timezone), "wanted a timezone such as Europe/Berlin"
    for field, said in schedule.model_dump(exclude={"timezone"}, exclude_none=True).items():
        try:
            CronSchedule(cron=cron(said, ""), timezone=schedule.timezone)
        except ValueError:
            wanted = "wanted hourly, daily, or a cron expression of five fields, such as 7 * * * * or H * * * *"
            return field, repr(said), wanted
    return None


def _block_problems(site: Site, lines: Lines) -> list[Problem]:
    """Blocks that are of no known type, are not declared, or are declared wrongly."""
    used: list[tuple[Place, str, str]] = [
        (("sessions", index), name, "session") for index, name in enumerate(site.sessions)
    ]
    used += [((field,), name, "edge") for field in ("edge", "shield") if (name := getattr(site, field))]
    if site.notify:
        used += [(("notify", "channels", index), name, "channel") for index, name in enumerate(site.notify.channels)]
    known = {"session": sorted(registry.members()), "edge": sorted(registry.edges())}
    known["channel"] = sorted(registry.channels())
    problems = []
    for place, name, what in used:
        kind = name.partition("/")[0]
        kinds = known[what]
        if kind not in kinds:
            near = difflib.get_close_matches(kind, kinds, 1)
            hint = f"did you mean {near[0]}?" if near else f"wanted one of {', '.join(kinds)}"
            problems.append(lines.problem(place, f"the unknown {what} type {kind!r}", hint))
        elif name not in site.blocks and _declares(site, what, kinds) and "PREFECT_API_URL" not in os.environ:
            mend = f"declare it under `blocks:`, where there are {', '.join(sorted(site.blocks))}"
            problems.append(lines.problem(place, f"the unknown {what} {name!r}", mend))
    for name, settings in site.blocks.items():
        try:
            registry.check(name, settings)
        except registry.BlockError as error:
            problems.append(lines.problem(_place(name, error.setting), error.saw, error.mend))
    return problems


def _declares(site: Site, what: str, kinds: Sequence[str]) -> bool:
    """Whether a site file keeps such blocks itself. Who tells people is often kept in Prefect, whatever else is not."""
    return any(what != "channel" or name.partition("/")[0] in kinds for name in site.blocks)


def _place(name: str, setting: str) -> Place:
    """Where a block's setting, told as `type/name.field.inner`, stands in the site file."""
    inner = setting.removeprefix(name).strip(".")
    return ("blocks", name, *(inner.split(".") if inner else ()))
