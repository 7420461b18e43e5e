"""What a site's robots.txt lets a robot ask for (RFC 9309)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flows.rules.spelling import spelled

#: Bytes that are read; RFC 9309 section 2.5 wants at least these.
MOST = 512_000
#: The name under which this project is spoken to.
PRODUCT = "roundsman"


@dataclass(frozen=True, slots=True)
class Robots:
    """The lines of a robots.txt that concern one robot, and the sitemaps that it names."""

    lines: tuple[tuple[bool, re.Pattern[str], int], ...] = ()
    """Whether a path is allowed, the paths it is said of, and how specific that is."""
    sitemaps: tuple[str, ...] = ()

    @classmethod
    def of(cls, body: bytes, product: str = PRODUCT) -> "Robots":
        """Read a robots.txt; what can't be understood is passed over, as the RFC has it (section 2.2)."""
        named: dict[str, list[tuple[bool, str]]] = {}
        sitemaps: list[str] = []
        agents: list[str] = []
        said = False  # a rule since the last user-agent line, so that the next one begins another group
        for key, value in _records(_read(body).decode("utf-8", "replace").lstrip("\ufeff")):
            if key == "sitemap":
                sitemaps.append(value)
            elif key == "user-agent":
                agents = [*(() if said else agents), _token(value)]
                named.setdefault(agents[-1], [])
                said = False
            elif key in {"allow", "disallow"}:
                said = True
                for agent in agents:
                    named[agent].append((key == "allow", value))
        chosen = named.get(product.lower(), named.get("*", []))
        lines = tuple((allow, _pattern(path), len(spelled(path))) for allow, path in chosen if path)
        return cls(lines, tuple(dict.fromkeys(sitemaps)))

    def allows(self, path: str) -> bool:
        """Whether a path, with its query, may be asked for: the most specific line decides, and of two, the kinder."""
        if path == "/robots.txt":
            return True
        asked = _literally(spelled(path))
        found = [(length, allow) for allow, pattern, length in self.lines if pattern.match(asked)]
        return max(found)[1] if found else True


#: When nobody knows what robots.txt says, nothing may be asked (section 2.3.1.4).
NOTHING = Robots(((False, re.compile(""), 0),))


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


def _read(body: bytes) -> bytes:
    """What is read of a file: its first bytes, by whole lines."""
    if len(body) <= MOST:
        return body
    # A line that is cut says something else: `Disallow: /private` would become `Disallow: /`.
    first = body[: MOST + 1]
    return first[: max(first.rfind(b"\n"), first.rfind(b"\r")) + 1]


def _records(text: str) -> Iterator[tuple[str, str]]:
    for line in re.split(r"\r\n|\r|\n", text):
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            yield key.strip().lower(), value.strip()


def _token(agent: str) -> str:
    """The product token of a user-agent line (section 2.2.1), such as `roundsman` of `Roundsman/1.0`."""
    found = re.match(r"\*|[A-Za-z_-]+", agent)
    return found[0].lower() if found else ""


def _literally(spelled_path: str) -> str:
    """A path whose own `*` and `$` are encoded, as a rule has to encode those that are none of its signs."""
    return spelled_path.replace("*", "%2A").replace("$", "%24")


def _pattern(path: str) -> re.Pattern[str]:
    """`*` is any text, and `$` in the end is the end (section 2.2.3)."""
    ends = path.endswith("$")
    parts = [re.escape(_literally(spelled(part))) for part in re.split(r"\*+", path.removesuffix("$"))]
    # Without the atomic groups a line of many stars could take for ever.
    first, *others = parts
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    last = (f".*{others[-1]}$" if ends else f".*?{others[-1]}") if others else ("$" if ends else "")
    return re.compile(f"{first}{middle}{last}", re.DOTALL)
