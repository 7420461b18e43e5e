"""Policies that caches read in more than one way: broken directives, and lifetimes that are said twice."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from flows.rules.caching import unread
from flows.rules.exchange import Exchange
from flows.rules.http_fields import SECONDS, delta_seconds, is_directive, members, pairs
from flows.rules.verdict import Claim, Finding, Outcome

CLEAR = Claim(
    "cache-headers/clear",
    "What the headers say of caching reads in one way only.",
    "https://www.rfc-editor.org/rfc/rfc9111#section-4.2.1",
    breach=Outcome.WARN,
)
#: Characters of a directive that are shown.
SHOWN = 40


def findings(first: Exchange, targeted: Sequence[str] = ()) -> Iterator[Finding]:
    """One finding when something can't be read, or is read one way here and another way there; else none."""
    found = list(_troubles(first.all("cache-control")))
    if len({value.strip() for value in first.all("expires")}) > 1:
        found.append("two Expires, and they differ")
    found += [f"{name} can't be read, so it does not count" for name in targeted if unread(name, first.header(name))]
    if found:
        wanted = "each directive once, with its seconds as a number"
        yield CLEAR.against("; ".join(found), wanted, holds=False, evidence=[first])


@lru_cache(maxsize=1024)
def _troubles(lines: tuple[str, ...]) -> tuple[str, ...]:
    value = ", ".join(lines)
    broken = [f"`{_short(one)}` is no directive" for one in members(value) if not is_directive(one)]
    said: dict[str, set[str | None]] = {}
    for name, argument in pairs(value):
        said.setdefault(name, set()).add(argument)
    timed = {name: arguments for name, arguments in said.items() if name in SECONDS}
    broken += [
        f"`{name}={_short(one or '')}` names no seconds"
        for name, arguments in timed.items()
        for one in sorted(arguments, key=str)
        if delta_seconds(one) is None
    ]
    twice = [name for name, arguments in timed.items() if len(arguments) > 1]
    return (*broken, *(f"{name} is said twice, and differs" for name in twice))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
