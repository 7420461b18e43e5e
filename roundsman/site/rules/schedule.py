"""When a site's job starts: the minute comes from its name, so that sites do not start together."""

import hashlib

#: Words for a schedule. `H` as the minute is the name's own.
WORDS = {"hourly": "H * * * *", "daily": "H 3 * * *"}


def cron(written: str, name: str) -> str:
    """A schedule as the cron expression that runs.

    `hourly` and `daily` (between three and four) are spelled out; a minute written `H` becomes the minute of the
    name, always the same one. Everything else stays as it was written.
    """
    expression = WORDS.get(written, written)
    return f"{minute(name)}{expression[1:]}" if expression.startswith("H ") else expression


def minute(name: str) -> int:
    """The minute of the hour, 0 to 59, that belongs to a name: the same in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()) % 60
