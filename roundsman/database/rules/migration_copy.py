"""The name of a copy that migrations are rehearsed on. It says whose it is and since when, so that nothing is lost."""

import re
from datetime import UTC, datetime

_TIME = "%Y%m%d%H%M%S"
_NAME = re.compile(r"rehearsal_(?P<project>[a-z0-9_]+)_(?P<time>\d{14})_[0-9a-f]{8}")
#: PostgreSQL cuts a name after 63 bytes.
_MAX_PROJECT_BYTES = 63 - len("rehearsal___") - 14 - 8


def copy_name(project: str, now: datetime, token: str) -> str:
    """Name a copy. `token` is eight hex digits, so that two that begin at once differ."""
    return f"rehearsal_{_plain(project)}_{now.astimezone(UTC):{_TIME}}_{token}"


def is_copy(name: str) -> bool:
    """Whether this is named like a copy, of whatever project."""
    return bool(_NAME.fullmatch(name))


def is_left_over(name: str, project: str, now: datetime, longest: float) -> bool:
    """Whether this is a copy of the project that nobody can be at work on: older than a rehearsal's `longest` seconds.

    What is not named like a copy never is.
    """
    match = _NAME.fullmatch(name)
    if not match or match["project"] != _plain(project):
        return False
    try:
        made = datetime.strptime(match["time"], _TIME).replace(tzinfo=UTC)
    except ValueError:
        return False
    return (now - made).total_seconds() > longest


def _plain(project: str) -> str:
    return (re.sub(r"[^a-z0-9]+", "_", project.lower()).strip("_") or "project")[:_MAX_PROJECT_BYTES]
