"""Finding and reading site files."""

import codecs
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from croniter import croniter

from roundsman.folders import files_of
from roundsman.report.rules.text import did_you_mean, nearest, without_credentials
from roundsman.site.rules.first_look import address_meant, infer
from roundsman.site.rules.promises import cron
from roundsman.site.rules.site import Schedule, Site
from roundsman.site.rules.site_file import Conflict, Problem, SiteFileError, read

#: What else a site file is held against.
Conflicts = Callable[[Site], Iterable[Conflict]]

#: Where the sites are written down.
SITES = files_of("sites")
#: Of a site file.
MAX_FILE_BYTES = 1_000_000
#: Characters of a file's name that are shown.
_MAX_NAME_CHARACTERS = 300


def all_sites() -> list[Path]:
    """Every site file of the project."""
    return sorted(SITES.glob("*.yaml"))


def no_more(_site: Site) -> Iterator[Conflict]:
    """No further conflicts: a site file is held against what the library knows, and its blocks are not looked at."""
    yield from ()


def load(site: str, conflicts: Conflicts = no_more) -> Site:
    """The site of a name in deployments/sites/, of a path to a site file, or of a URL (for a first look).

    `conflicts`: what else its file is held against, such as the blocks that there are.

    Raises:
        SiteFileError: there is no such file, or something in it is wrong.
    """
    if "://" in site:
        try:
            return infer(site)
        except ValueError as error:
            saw, _, remedy = str(error).rpartition("; ")
            raise SiteFileError([Problem(without_credentials(site), 0, "SITE", saw, remedy)]) from None
    if not site.strip():
        hint = f"known sites: {', '.join(one.stem for one in all_sites()) or 'none'}"
        raise SiteFileError([Problem("SITE", 0, "SITE", "no name", hint)])
    path = Path(site)
    if path.suffix not in {".yaml", ".yml"} and "/" not in site and not path.is_file():
        path = SITES / f"{site}.yaml"
    shown = without_credentials(site)
    if shown != site and not _is_there(path):
        raise SiteFileError([Problem(shown, 0, "SITE", "a name or password before a host", "leave it out")])
    if not _is_there(path) and (meant := address_meant(site)):
        raise SiteFileError([Problem(site, 0, "SITE", "no such site or file", f"did you mean {meant}?")])
    return check(path, conflicts)


def is_known(site: str) -> bool:
    """Whether a word is the name or the path of a site file that is there."""
    return _is_there(Path(site)) or ("/" not in site and _is_there(SITES / f"{site}.yaml"))


def check(path: Path, conflicts: Conflicts = no_more) -> Site:
    """Read one site file and hold it against what this project can do; `conflicts` as for `load`.

    Raises:
        SiteFileError: with every problem found.
    """
    return check_text(*shown_and_text(path, all_sites(), "sites"), path, conflicts)


def check_text(shown: str, text: str, path: Path, conflicts: Conflicts = no_more) -> Site:
    """As `check`, of a text that is called `shown` in messages; `path` is where it lies, or would.

    Raises:
        SiteFileError: with every problem found.
    """

    def also(site: Site) -> Iterator[Conflict]:
        yield from _name_conflicts(site, path)
        yield from conflicts(site)

    return read(text, shown, also)[0]


def cached(path: Path, conflicts: Conflicts = no_more) -> Site:
    """As `check`, for who asks again and again: a file that has not changed since is not read again.

    Raises:
        SiteFileError: as for `check`.
    """
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return check(path, conflicts)
    file = seen.st_dev, seen.st_ino, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_size
    around = SITES, Path.cwd(), "PREFECT_API_URL" in os.environ
    found = _checked(path, conflicts, file, around)
    if isinstance(found, SiteFileError):
        raise found.with_traceback(None)
    return found


@lru_cache(maxsize=1024)
def _checked(
    path: Path, conflicts: Conflicts, _file: tuple[int, ...], _around: tuple[Path, Path, bool]
) -> Site | SiteFileError:
    try:
        return check(path, conflicts)
    except SiteFileError as error:
        return error


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or has a NUL in it
        return False


def shown_and_text(path: Path, known: Sequence[Path], what: str) -> tuple[str, str]:
    """What a file is called in messages, and what is written in it.

    Raises:
        SiteFileError: it can't be read; where it is not there, with the name that it is most like among the known.
    """
    shown = str(path)[:_MAX_NAME_CHARACTERS]
    with suppress(OSError, ValueError):
        if path.resolve().is_relative_to(Path.cwd()):
            shown = os.path.relpath(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        names = [one.stem for one in known]
        beside = {one.stem: str(one) for one in path.parent.glob("*.y*ml")} if path.parent.is_dir() else {}
        near = [beside[one] for one in nearest(path.stem, beside)] if path.parent.resolve() != SITES else []
        hint = f"did you mean {' or '.join(near)}?" if near else did_you_mean(path.stem, names)
        hint = hint or f"known {what}: {', '.join(names) or 'none'}"
        raise SiteFileError([Problem(shown, 0, "file", "no such file", hint)]) from None
    except IsADirectoryError:
        raise SiteFileError([Problem(shown, 0, "file", "a folder", f"name a {what[:-1]} file in it")]) from None
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "make it a readable file of UTF-8 text"
        raise SiteFileError([Problem(shown, 0, "file", f"nothing that can be read ({said})", remedy)]) from None
    if len(raw) > MAX_FILE_BYTES:
        saw = f"more than {MAX_FILE_BYTES} bytes"
        raise SiteFileError([Problem(shown, 0, "file", saw, f"is it a {what[:-1]} file?")])
    return shown, _text(raw, shown)


def _text(raw: bytes, shown: str) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in raw[:4]:
        raise SiteFileError([Problem(shown, 0, "file", "text in UTF-16 or UTF-32", "save it as UTF-8")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        saw = f"the byte 0x{raw[error.start]:02x}, which is not UTF-8"
        raise SiteFileError([Problem(shown, line, "file", saw, "save it as UTF-8", column)]) from None


def _name_conflicts(site: Site, path: Path) -> Iterator[Conflict]:
    """A name by which the site would not be found, and times at which it would never run."""
    if path.parent.resolve() == SITES and path.stem != site.site:
        yield ("site",), repr(site.site), f"a file of this folder has its site's name: {path.stem}"
    if site.schedule:
        for field, saw, remedy in schedule_problems(site.schedule):
            yield ("schedule", field), saw, remedy


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


def schedule_problems(schedule: Schedule) -> Iterator[tuple[str, str, str]]:
    """What Prefect would refuse of a schedule: field, what was seen, what was wanted."""
    known = schedule.timezone in timezones()
    if not known:
        near = did_you_mean(schedule.timezone, timezones(), 1)
        remedy = "wanted a timezone such as Europe/Berlin" + (f"; {near}" if near else "")
        yield "timezone", repr(schedule.timezone), remedy
    for field, said in schedule.model_dump(exclude={"timezone"}, exclude_none=True).items():
        if not croniter.is_valid(cron(said, "")):
            wanted = "wanted hourly, daily, or a cron expression of five fields, such as 7 * * * * or H * * * *"
            yield field, repr(said), wanted
