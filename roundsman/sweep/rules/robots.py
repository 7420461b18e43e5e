"""What a site's robots.txt lets a robot ask for (RFC 9309, read as Google's parser reads it where the RFC is silent).

Source of the second: https://github.com/google/robotstxt, read on 2026-12-01. One difference is the RFC's word:
an octet that needs no encoding is the same with and without it (section 2.2.2).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from roundsman.site.rules.url_spelling import spelled

#: Bytes that are read; RFC 9309 section 2.5 wants at least these.
MAX_ROBOTS_BYTES = 512_000
#: The name that this project goes by in robots.txt.
PRODUCT = "roundsman"

#: What the keys of a line begin with. Google reads these misspellings as they are meant.
_USER_AGENT = ("user-agent", "useragent", "user agent")
_ALLOW = ("allow",)
_DISALLOW = ("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw")
_SITEMAP = ("sitemap", "site-map")


@dataclass(frozen=True, slots=True)
class RobotsLine:
    """One allow or disallow line: literal parts with any text between them, the first one at the path's beginning."""

    allow: bool
    parts: tuple[str, ...]
    """As `spelled`; there is a `*` between two of them."""
    to_end: bool
    """Whether the last part has to stand at the path's end (`$`)."""
    length: int
    """Characters of the pattern: the longest line that matches decides."""

    def matches(self, path: str) -> bool:
        """Whether the line speaks of a path that begins with the first part. Linear in the path."""
        first, *middle = self.parts
        if not middle:
            return not self.to_end or len(path) == len(first)
        place = len(first)
        last = middle.pop() if self.to_end else ""
        for part in middle:
            if (found := path.find(part, place)) < 0:
                return False
            place = found + len(part)
        return len(path) - len(last) >= place and path.endswith(last)


@dataclass(frozen=True)
class Robots:
    """The lines of a robots.txt that concern one robot, and the sitemaps that it names."""

    lines: tuple[RobotsLine, ...] = ()
    sitemaps: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, body: bytes, product: str = PRODUCT) -> "Robots":
        """Read a robots.txt. A line that means nothing is passed over (RFC 9309 section 2.2)."""
        groups: dict[str, list[RobotsLine]] = {}
        sitemaps: list[str] = []
        agents: list[str] = []
        has_rules = False  # since the last user-agent line, so that the next one begins another group
        for key, value in _records(_whole_lines(body).decode("utf-8", "replace").lstrip("\ufeff")):
            if key.startswith(_SITEMAP):
                sitemaps += [value] if value else []
            elif key.startswith(_USER_AGENT):
                agents = [*(() if has_rules else agents), _agent(value)]
                groups.setdefault(agents[-1], [])
                has_rules = False
            elif (allow := key.startswith(_ALLOW)) or key.startswith(_DISALLOW):
                has_rules = True
                lines = list(_lines(value, allow=allow))
                for agent in agents:
                    groups[agent] += lines
        return cls(tuple(groups.get(product.lower(), groups.get("*", []))), tuple(dict.fromkeys(sitemaps)))

    def allows(self, path: str) -> bool:
        """Whether a path, with its query, may be asked for: the longest line decides, and of two, the one that allows.

        The cost grows with the path and with the lines that have a `*`, not with the plain ones, of which some sites
        have twenty thousand.
        """
        if path == "/robots.txt":
            return True
        asked = _literal(spelled(path))
        best = -1, True
        for length, lines in self._by_beginning.items():
            for line in lines.get(asked[:length], ()):
                if (line.length, line.allow) > best and line.matches(asked):
                    best = line.length, line.allow
        return best[1]

    @cached_property
    def _by_beginning(self) -> Mapping[int, Mapping[str, list[RobotsLine]]]:
        """The lines by the length of their first part, and by that part."""
        found: dict[int, dict[str, list[RobotsLine]]] = defaultdict(lambda: defaultdict(list))
        for line in self.lines:
            found[len(line.parts[0])][line.parts[0]].append(line)
        return {length: dict(lines) for length, lines in found.items()}


#: When nobody knows what robots.txt says, nothing may be asked (section 2.3.1.4).
NOTHING = Robots((RobotsLine(allow=False, parts=("",), to_end=False, length=0),))


def robots_of(status: int, body: bytes) -> Robots:
    """What an answer to `/robots.txt` lets a robot ask for; `status` 0 is no answer (section 2.3.1)."""
    if 200 <= status < 300:
        return Robots.of(body)
    return Robots() if 400 <= status < 500 and status != 429 else NOTHING


def allowed(robots: Robots, paths: Iterable[str]) -> tuple[list[str], int]:
    """The paths that may be asked for, in their order, and how many may not."""
    paths = list(paths)
    kept = [path for path in paths if robots.allows(path)] if robots.lines else paths
    return kept, len(paths) - len(kept)


def _whole_lines(body: bytes) -> bytes:
    """The part of a file that is read: its first bytes, by whole lines."""
    if len(body) <= MAX_ROBOTS_BYTES:
        return body
    # A line that is cut says something else: `Disallow: /private` would become `Disallow: /`.
    first = body[: MAX_ROBOTS_BYTES + 1]
    return first[: max(first.rfind(b"\n"), first.rfind(b"\r")) + 1]


def _records(text: str) -> Iterator[tuple[str, str]]:
    for line in re.split(r"[\r\n]", text):
        record = line.partition("#")[0].strip()
        key, colon, value = record.partition(":")
        if colon:
            yield key.strip().lower(), value.strip()
        elif len(words := record.split()) == 2:  # some forget the colon, and two words leave no doubt
            yield words[0].lower(), words[1]


def _agent(value: str) -> str:
    """Whom a user-agent line names: `*` for everybody, or a product token (section 2.2.1)."""
    if re.match(r"\*(\s|$)", value):
        return "*"
    found = re.match(r"[A-Za-z_-]+", value)
    return found[0].lower() if found else ""


def _lines(pattern: str, *, allow: bool) -> Iterator[RobotsLine]:
    """The line that a pattern is, and for an index page the directory that it stands for; none when it is empty."""
    if not pattern:
        return
    to_end = pattern.endswith("$")
    parts = tuple(_literal(spelled(part)) for part in re.split(r"\*+", pattern.removesuffix("$")))
    yield RobotsLine(allow, parts, to_end, len(spelled(pattern)))
    folder, slash, page = pattern.rpartition("/")
    if allow and page.startswith("index.htm"):
        yield from _lines(f"{folder}{slash}$", allow=True)


def _literal(spelled_path: str) -> str:
    """A path whose own `*` and `$` are encoded, as they are in a rule that does not mean them as signs."""
    return spelled_path.replace("*", "%2A").replace("$", "%24")
