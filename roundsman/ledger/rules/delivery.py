"""Delivering the outbox: what a message to a machine says, how long to wait after a failure, and when to give up."""

import json
from dataclasses import dataclass
from datetime import timedelta

#: Kinds of messages that are no words to people.
PURGE, WEBHOOK = "purge", "webhook"

#: The pause after a first failure; each further one doubles it, up to the longest. A message to people waits less, so
#: that a channel that works again is heard from within two minutes.
FIRST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE_OF_WORDS = timedelta(seconds=15), timedelta(hours=1), timedelta(minutes=2)
#: Attempts after which a message is dead: about a day, so that a channel that is down for a night loses nothing.
MOST_ATTEMPTS, MOST_ATTEMPTS_OF_WORDS = 30, 800


@dataclass(frozen=True, slots=True)
class DeliveryFailure:
    """What an attempt met, without secrets. `permanent`: the same message would be refused again.

    `wait` are the seconds that the other side asked for.
    """

    says: str
    permanent: bool = False
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class PurgeMessage:
    """What a purge names: routes of the site, or surrogate keys."""

    routes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def as_body(self) -> str:
        """As the outbox keeps it: `{"routes": ["/articles/tomatoes"]}`."""
        return json.dumps({"routes": self.routes} if self.routes else {"keys": self.keys})

    @classmethod
    def from_body(cls, body: str) -> "PurgeMessage":
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


def is_over(attempts: int, trouble: DeliveryFailure, kind: str = PURGE) -> bool:
    """Whether a message of a kind that has failed so many times is dead."""
    most = MOST_ATTEMPTS if kind in {PURGE, WEBHOOK} else MOST_ATTEMPTS_OF_WORDS
    return trouble.permanent or attempts >= most


def pause(attempts: int, trouble: DeliveryFailure, chance: float, kind: str = PURGE) -> timedelta:
    """How long a message rests that has failed so many times; shorter by up to a quarter, by a `chance` of 0..1.

    So messages that failed together do not come back together.
    """
    most = LONGEST_PAUSE if kind in {PURGE, WEBHOOK} else LONGEST_PAUSE_OF_WORDS
    longest = min(FIRST_PAUSE * 2.0 ** min(attempts - 1, 20), most)
    return max(longest * (1 - chance / 4), min(timedelta(seconds=trouble.wait), LONGEST_PAUSE))
