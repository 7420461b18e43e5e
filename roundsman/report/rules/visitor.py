"""Who asks, a test member or a stranger, and how a value of theirs is found in a response, however it is encoded."""

import base64
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import quote, unquote, unquote_plus

from roundsman.report.rules.exchange import Exchange

#: How often one encoding may lie within another, such as a URL in JSON in an attribute of HTML.
MAX_ENCODINGS = 3
#: Characters of base64 from which on they are no chance: 36 bits.
MIN_BASE64_CHARACTERS = 6

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def shows(exchange: Exchange, values: Iterable[str]) -> bool:
    """Whether one of some values stands in the decoded body or in a header.

    As it is, with the entities of HTML, the escapes of JSON, URL-encoded, each in the other, or in base64 at whatever
    place of a longer text. A blank value is none.
    """
    headers = "\n".join(value for _, value in exchange.headers).encode("latin-1", "replace")
    wanted = list(values)
    return stands_in(headers, wanted) or stands_in(exchange.body or b"", wanted)


def stands_in(held: bytes, values: Iterable[str]) -> bool:
    """Whether one of some values stands in these bytes; see `shows`."""
    wanted = [value for value in values if value.strip()]
    if not wanted or not held:
        return False
    readings = _readings(held)
    if any(value in text for text in readings for value in wanted):
        return True
    inside = {form for value in wanted for form in _in_base64(value)}
    plain = [text.replace("-", "+").replace("_", "/") for text in readings]
    return any(form in text for text in plain for form in inside)


def _readings(held: bytes) -> set[str]:
    """The text, and what it says when its encodings are taken away."""
    found = {held.decode("utf-8", "replace")}
    if "\ufffd" in min(found):
        found.add(held.decode("latin-1"))
    fresh = set(found)
    for _ in range(MAX_ENCODINGS):
        fresh = {decode(text) for text in fresh for decode in _DECODERS} - found
        found |= fresh
    return found


def _unescaped(text: str) -> str:
    """The text without the escapes of JSON and JavaScript; two halves of one character become one again."""
    if "\\" not in text:
        return text

    def letter(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        return chr(int(code, 16)) if code else _LETTERS.get(match[3], match[3])

    return _ESCAPE.sub(letter, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_DECODERS: tuple[Callable[[str], str], ...] = (html.unescape, _unescaped, unquote, unquote_plus)


@lru_cache(maxsize=256)
def _in_base64(value: str) -> frozenset[str]:
    """What of a value is sure to stand in the base64 of any text that holds it, at each of the three alignments."""
    spelled = {value, json.dumps(value)[1:-1], html.escape(value), quote(value, safe="")}
    forms = set()
    for one in spelled:
        for before in range(3):
            held = b"\0" * before + one.encode("utf-8", "surrogatepass")
            text = base64.b64encode(held).decode()
            # The first and the last character can hold bits of the neighbours.
            whole = text[: len(held) * 8 // 6][(before * 8 + 5) // 6 :]
            if len(whole) >= MIN_BASE64_CHARACTERS:
                forms.add(whole)
    return frozenset(forms)


@dataclass(frozen=True, slots=True)
class Visitor:
    """A test member. `headers` make a request theirs, `sentinels` appear on no one else's page; both are secrets.

    `problem` is empty, or why the login failed.
    """

    name: str
    headers: tuple[tuple[str, str], ...] = ()
    sentinels: tuple[str, ...] = ()
    problem: str = ""

    def __repr__(self) -> str:
        return f"Visitor({self.name}{', not logged in' if self.problem else ''})"

    @property
    def cookies(self) -> bool:
        """Whether the session is kept in a cookie."""
        return any(name.lower() == "cookie" for name, _ in self.headers)

    @property
    def authorized(self) -> bool:
        """Whether the session is kept in an Authorization header."""
        return any(name.lower() == "authorization" for name, _ in self.headers)

    def shows_in(self, exchange: Exchange) -> bool:
        """Whether one of the sentinels stands in the body or a header, plain or encoded; see `sentinel.shows`."""
        return shows(exchange, self.sentinels)


STRANGER = Visitor("stranger")
NO_MEMBER = Visitor("member", problem="the site file names no sessions")

#: Who asked, by letter, and what came back.
Step = tuple[str, Exchange]


def cast(members: Sequence[Visitor]) -> Mapping[str, Visitor]:
    """Who plays A, B (the members) and N (nobody). With one member alone, B is missing.

    They keep only those sentinels that tell: an empty one is on every page, a common one on both members'.
    """
    actors = dict(zip("AB", members, strict=False))

    def own(letter: str) -> tuple[str, ...]:
        others = [value for other, actor in actors.items() if other != letter for value in actor.sentinels]
        return tuple(
            value for value in actors[letter].sentinels if value.strip() and not any(value in one for one in others)
        )

    return {letter: replace(actor, sentinels=own(letter)) for letter, actor in actors.items()} | {"N": STRANGER}


def leaks(steps: Sequence[Step], actors: Mapping[str, Visitor]) -> list[tuple[str, str, Exchange]]:
    """Who got whose page, by letters, and the answer that shows it."""
    return [
        (who, owner, exchange)
        for who, exchange in steps
        for owner, actor in actors.items()
        if owner != who and actor.shows_in(exchange)
    ]
