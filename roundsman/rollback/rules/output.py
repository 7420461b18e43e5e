"""What of a command's output may be kept: its beginning and its end, without a secret of its environment."""

import base64
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus, unquote, urlsplit

from roundsman.report.rules.text import plain, scrubbed

#: Bytes kept of the beginning and of the end of an output.
HEAD_BYTES = TAIL_BYTES = 8000
#: Bytes more on each side of a cut: a secret that the cut goes through can't be recognised, so they are dropped.
MARGIN_BYTES = 1000
#: A shorter value stands in too many words to be taken out of them.
MIN_SECRET_CHARACTERS = 4
_SECRET = re.compile(r"(?i)passw|passphrase|secret|token|key|auth|credential|cookie|session|private|dsn|salt|pin$|pwd$")
_INNOCENT = frozenset({"true", "false", "none", "null"})


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Values that must not be shown, the longest first: by their variable's name, and the passwords in addresses.

    Each as it is, quoted for a URL, and in base64.
    """
    found: set[str] = set()
    for name, value in environment.items():
        if name == "PWD":
            continue
        if _SECRET.search(name):
            found |= {value, *value.splitlines()}
        found |= set(_passwords(value))
    plain_ones = {value for value in found if len(value) >= MIN_SECRET_CHARACTERS and value.lower() not in _INNOCENT}
    coded = {form for value in plain_ones for form in _forms(value)}
    return tuple(sorted(plain_ones | coded, key=lambda value: (-len(value), value)))


def shown(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables that may be shown: what may be a secret is `...`."""
    secrets = secrets_of(variables)
    return {name: "..." if _SECRET.search(name) else redacted(value, secrets) for name, value in variables.items()}


def _passwords(value: str) -> Iterable[str]:
    """Passwords that stand in an address, as they are written and as they are meant."""
    for word in re.findall(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", value):
        try:
            password = urlsplit(word).password
        except ValueError:
            password = None
        if password:
            yield from (password, unquote(password))


def _forms(value: str) -> Iterable[str]:
    raw = value.encode(errors="surrogateescape")
    yield from (quote(raw, safe=""), quote_plus(raw))
    yield base64.b64encode(raw).decode().rstrip("=")


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A text of several lines without secrets: each line by its own, control characters left out."""
    for secret in secrets:
        text = text.replace(secret, "...")
    return "\n".join(filter(None, (scrubbed(line) for line in text.splitlines())))


def kept(head: bytes, tail: bytes, dropped: int, secrets: Iterable[str]) -> str:
    """The beginning and the end of an output, to be shown. `dropped`: bytes between them that nobody kept."""
    secrets = tuple(secrets)
    if not dropped:
        return _whole(redacted((head + tail).decode("utf-8", "replace"), secrets))
    first = redacted(head.decode("utf-8", "replace"), secrets)[:-MARGIN_BYTES]
    last = redacted(tail.decode("utf-8", "replace"), secrets)[MARGIN_BYTES:]
    return f"{first}\n[{dropped + 2 * MARGIN_BYTES} bytes left out]\n{last}"


def _whole(text: str) -> str:
    most = HEAD_BYTES + TAIL_BYTES
    return text if len(text) <= most else f"{text[:HEAD_BYTES]}\n[left out]\n{text[-TAIL_BYTES:]}"


def last_line(text: str) -> str:
    """The last line of an output, for a sentence."""
    return plain(text.strip().rpartition("\n")[2])[:200] or "it said nothing"
