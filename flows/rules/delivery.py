"""Delivering the outbox: what a message to a machine says, how long to wait after a failure, and when to give up."""

import json
from dataclasses import dataclass
from datetime import timedelta

#: Kinds of messages that are no words to people.
PURGE, WEBHOOK = "purge", "webhook"

#: The pause after a first failure; each further one doubles it, up to the longest.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(hours=1)
#: Attempts after which a message is dead: about a day, so that a channel that is down for a night loses nothing.
MOST_ATTEMPTS = 30


@dataclass(frozen=True, slots=True)
class Trouble:
    """What an attempt met, without secrets. `permanent`: the same message would be refused again.

    `wait` are the seconds that the other side asked for.
    """

    says: str
    permanent: bool = False
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Purge:
    """What a purge names: routes of the site, or surrogate keys."""

    routes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def as_body(self) -> str:
        """As the outbox keeps it: `{"routes": ["/articles/tomatoes"]}`."""
        return json.dumps({"routes": self.routes} if self.routes else {"keys": self.keys})

    @classmethod
    def from_body(cls, body: str) -> "Purge":
        """What `as_body` wrote.

        Raises:
            ValueError: it is something else.
        """
        told = json.loads(body)
        if not isinstance(told, dict) or len(told) != 1 or not told.keys() <= {"routes", "keys"}:
            raise ValueError('saw a purge of something else; wanted {"routes": [...]} or {"keys": [...]}')
        [(what, items)] = told.items()
        if not items or not isinstance(items, list) or not all(item and isinstance(item, str) for item in items):
            raise ValueError(f"saw no list of {what}; wanted at least one, each as text")
        if what == "routes" and (strange := next((item for item in items if not item.startswith("/")), "")):
            raise ValueError(f"saw the route {strange[:80]!r}; wanted a path of the site, such as /articles/tomatoes")
        return cls(**{what: tuple(items)})


def is_over(attempts: int, trouble: Trouble) -> bool:
    """Whether a message that has failed so many times is dead."""
    return trouble.permanent or attempts >= MOST_ATTEMPTS


def pause(attempts: int, trouble: Trouble, chance: float) -> timedelta:
    """How long a message rests that has failed so many times; shorter by up to a quarter, by a `chance` of 0..1.

    So messages that failed together do not come back together.
    """
    longest = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
    return max(longest * (1 - chance / 4), min(timedelta(seconds=trouble.wait), LONGEST_PAUSE))
