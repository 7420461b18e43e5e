"""The arms of a comparison side by side: in which order they are asked, and what comes of each request."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from roundsman.report.rules.exchange import Exchange
from roundsman.site.rules.promises import Audience, Rule
from roundsman.timing.rules.aligned_ranks import needed

#: Requests of each kind to either release in one round: few, so that a round is short and drift is the same for all.
EACH = 10
#: Samples of each release, route and cache state where less would do.
USUAL_SAMPLES = 300
#: To show that nothing changed the whole interval has to lie within the margin, which takes twice the samples that show
#: a change of that size.
CLEAR_OF_MARGIN = 2.0
#: Samples that tell how widely a route's times spread.
PILOT_SAMPLES = 30
#: The round in which connections are opened and copies are made; its times are not compared.
WARM_UP = -1


class Arm(IntEnum):
    """Who was asked: the old release, the same once more (what differs between the two is noise), the new one."""

    BASELINE = 0
    AGAIN = 1
    CANDIDATE = 2


@dataclass(frozen=True, slots=True)
class ArmExchange:
    """One exchange of an arm in a round. `fresh` ones asked with a query of their own, so that no copy could answer."""

    arm: Arm
    round: int
    exchange: Exchange
    fresh: bool = False


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


def samples_needed(spread: float, margin: float) -> int:
    """How many samples of each release show that nothing changed, or that something did, four times in five.

    `spread` is the standard deviation of the logarithms of one release's times in one cache state.
    """
    return max(USUAL_SAMPLES, round(needed(max(spread, 0.01), margin) * CLEAR_OF_MARGIN))


def spread_of(seconds: Sequence[float]) -> float:
    """The standard deviation of the logarithms of some times, by their quartiles: a spike does not count."""
    logs = sorted(math.log(max(one, 1e-6)) for one in seconds)
    return (logs[3 * len(logs) // 4] - logs[len(logs) // 4]) / 1.349


def requests(rule: Rule, samples: int) -> int:
    """How many requests a rule takes for so many samples of each release, route and cache state."""
    return len(turns(rule, samples, lambda _: None))


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
