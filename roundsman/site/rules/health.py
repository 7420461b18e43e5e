"""What a site says of itself: that it is up, and which version it runs."""

import json

from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.text import plain
from roundsman.site.rules.site import Health, Version


def is_up(health: Health, seen: Exchange) -> bool:
    """Whether a site says that it is up. One that does not answer is down for its readers too."""
    return seen.answered and seen.status == health.expect


def version_of(version: Version, seen: Exchange) -> str:
    """What a site says it runs; empty when that can't be read, or is longer than 100 characters."""
    if not seen.answered or seen.status != 200 or seen.body is None:
        return ""
    said: object = seen.body.decode(errors="replace")
    if version.json_field is not None:
        try:
            page = json.loads(str(said))
        except (ValueError, RecursionError):
            return ""
        said = page.get(version.json_field) if isinstance(page, dict) else None
        if not isinstance(said, str | int | float) or isinstance(said, bool):
            return ""
    text = plain(str(said))
    return text if len(text) <= 100 else ""
