"""A release of a site: which version it runs, since when, and who said so."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ReleaseSource(StrEnum):
    """Who said that a release is out: the site's own version page, a call of the board, or a command."""

    SITE = "site"
    BOARD = "board"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Release:
    """A version that a site runs, and since when, as far as it was seen or told."""

    version: str
    seen_at: datetime
    source: ReleaseSource = ReleaseSource.SITE
