"""A rollback that was tried before it was needed: how it is quoted, and when it says nothing about today any more."""

from dataclasses import dataclass, replace
from datetime import datetime

#: Seconds after which a rehearsal says little about today.
STALE_SECONDS = 14 * 86400
#: Characters of a version that are quoted.
_SHOWN_CHARACTERS = 40
#: Why a rehearsal of another command is stale.
OTHER_COMMAND = "the command was changed since"


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One rollback that was tried before it was needed: from which version back to which, and in how many seconds."""

    ok: bool
    seconds: float
    from_version: str
    to_version: str
    finished_at: datetime
    schema_head: str | None = None
    """The migration that the database was at with the older version; None when the site does not tell."""
    stale: str | None = None
    """Why it says nothing about what runs now, however new it is."""
    newer_schema_head: str | None = None
    """The migration that it was at with the newer version."""


def held_against(rehearsal: Rehearsal, version: str, schema_head: str) -> Rehearsal:
    """A rehearsal, stale if it is of other versions or another schema than run now.

    What can't be read now, empty, makes nothing stale. The older version of the two may run: then the newer one is
    still to come.
    """
    if rehearsal.stale == OTHER_COMMAND:
        return rehearsal
    said = []
    if version and version not in {rehearsal.from_version, rehearsal.to_version}:
        said.append(f"{_short(version)} runs now")
    newer, older = rehearsal.newer_schema_head, rehearsal.schema_head
    if schema_head and (newer or older) and schema_head not in {newer, older}:
        was = (newer or older) if version == rehearsal.from_version else (older or newer)
        said.append(f"the schema is at {_short(schema_head)} now, and was at {_short(was or '')}")
    return replace(rehearsal, stale="; ".join(said) or None)


def why_stale(rehearsal: Rehearsal, now: datetime) -> str:
    """Why it says little about today; empty when it does not."""
    old = "older than 14 days" if (now - rehearsal.finished_at).total_seconds() > STALE_SECONDS else ""
    return "; ".join(filter(None, (rehearsal.stale, old)))


def rehearsed(rehearsal: Rehearsal | None, now: datetime) -> str:
    """What is quoted beside the command: `rehearsed 2 days ago, 47 s, 1.8.2 to 1.8.1`, and whether that is stale."""
    if rehearsal is None:
        return "never rehearsed"
    said = f"{ago(rehearsal.finished_at, now)}, {rehearsal.seconds:.0f} s"
    if rehearsal.from_version and rehearsal.to_version:
        said += f", {_short(rehearsal.from_version)} to {_short(rehearsal.to_version)}"
    if stale := why_stale(rehearsal, now):
        said += f", stale: {stale}"
    return f"rehearsed {said}" if rehearsal.ok else f"its rehearsal failed {said}"


def ago(then: datetime, now: datetime) -> str:
    """How long ago something was, in one unit: `2 days ago`."""
    seconds = max((now - then).total_seconds(), 0.0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def _short(version: str) -> str:
    return version if len(version) <= _SHOWN_CHARACTERS else f"{version[: _SHOWN_CHARACTERS - 3]}..."
