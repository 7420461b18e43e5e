"""Who asks: a test member with a session, or a stranger without one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.sentinel import shows


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
