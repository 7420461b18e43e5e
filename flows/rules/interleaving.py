"""In which order the arms of a comparison are asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from flows.rules.promises import Audience, Rule
from flows.rules.trial import Arm

#: Requests of each kind to either release in one round: few, so that a round is short and drift is the same for all.
EACH = 10
#: The round in which connections are opened and copies are made; its times are not compared.
WARM_UP = -1


@dataclass(frozen=True, slots=True)
class Turn:
    """One request that is to be made: of which arm, in which round, and whether no copy may answer it."""

    path: str
    arm: Arm
    round: int
    fresh: bool


def compared(rule: Rule) -> tuple[str, ...]:
    """The routes of a rule that are compared; a member's pages are not, since nobody is logged in at both arms."""
    return () if rule.cache.by is Audience.MEMBER else rule.routes


def turns(rule: Rule, samples: int, shuffle: Callable[[list[Any]], None]) -> list[Turn]:
    """All requests of a rule's routes, in order: at least so many samples of each release, route and cache state.

    Half of those of the baseline are of its second arm.

    A page that is cached is asked for as it is, and with a query of its own, which makes a miss. `shuffle` shuffles a
    list in its place; within a round of one route every order is as likely, and between rounds nothing is shuffled.
    """
    rounds = -(-samples // EACH)
    routes = compared(rule)
    order = [Turn(path, arm, WARM_UP, fresh=False) for path in routes for arm in Arm]
    for number in range(rounds):
        for path in routes:
            here = list(_round(rule, path, number))
            shuffle(here)
            order += here
    return order


def _round(rule: Rule, path: str, number: int) -> Iterator[Turn]:
    shared = rule.cache.by is Audience.EVERYONE and path in rule.examples.cached
    # Either release is asked as often: one that is asked half as often as the other is colder, and its hits took 8 %
    # longer from two Varnishes that were the same.
    for arm, count in ((Arm.BASELINE, EACH // 2), (Arm.AGAIN, EACH // 2), (Arm.CANDIDATE, EACH)):
        for fresh in (False, True) if shared else (False,):
            yield from [Turn(path, arm, number, fresh)] * count
