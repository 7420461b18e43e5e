"""The legs of a rehearsal, where it stands after each, and how it is ended from there without harm."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Leg(StrEnum):
    """The legs in their order; the last two are run only to end a rehearsal that went wrong."""

    PRECHECK = "precheck"
    FINGERPRINT_BEFORE = "fingerprint-before"
    DEPLOY = "deploy"
    VERIFY_DEPLOY = "verify-deploy"
    FINGERPRINT_DEPLOYED = "fingerprint-deployed"
    ROLL_BACK = "roll-back"
    VERIFY_ROLL_BACK = "verify-roll-back"
    FINGERPRINT_BACK = "fingerprint-back"
    DEPLOY_AGAIN = "deploy-again"
    VERIFY_DEPLOY_AGAIN = "verify-deploy-again"
    END_BY_ROLL_BACK = "end-by-roll-back"
    END_BY_DEPLOY = "end-by-deploy"


#: What is run when nothing goes wrong.
COURSE = tuple(leg for leg in Leg if not leg.startswith("end-by-"))
#: Legs that run the deploy command, and those that run the rollback.
DEPLOYS = frozenset({Leg.DEPLOY, Leg.DEPLOY_AGAIN, Leg.END_BY_DEPLOY})
ROLLS_BACK = frozenset({Leg.ROLL_BACK, Leg.END_BY_ROLL_BACK})


class State(StrEnum):
    """What became of a leg. One that is `begun` and never ended was cut off."""

    BEGUN = "begun"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Step:
    """One leg as it was written down. `exit_code` is None when no command ended by itself."""

    leg: Leg
    state: State
    seconds: float = 0.0
    exit_code: int | None = None
    detail: str = ""
    output: str = ""


class Way(StrEnum):
    """What is done to end a rehearsal."""

    NOTHING = "nothing"
    ROLL_BACK = "roll back"
    DEPLOY = "deploy"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a rehearsal stands: which legs were begun, and what runs now."""

    steps: tuple[Step, ...]
    before: str = ""
    """The version that ran before it."""
    after: str = ""
    """The version that the deploy brought, once it was verified."""
    running: str = ""
    """The version that runs now; empty when it can't be read."""
    healthy: bool = False
    amiss: tuple[str, ...] = ()
    """What is not as it was when this version was seen to be good, healthy or not: a page that has another status."""
    given_up: bool = False
    """Somebody was told already that it has to be ended by hand."""


def way_out(stand: Stand) -> Way:
    """How a rehearsal that was cut off, or whose leg failed, is ended.

    A rollback mostly means "one release back". Run where the old version is back already, it would go back two; so
    what runs decides first, and only where that is no version known to be good, the last command that was begun: after
    a deploy the way out is the rollback, after a rollback it is the deploy. Each is tried once. A page amiss in the old
    version is for people as long as nothing was rolled back: what is amiss may be no work of the deploy's.
    """
    commands = _commands(stand)
    known_good = stand.healthy and stand.running and stand.running in {stand.before, stand.after}
    rolled_back = any(step.leg in ROLLS_BACK for step in commands)
    if not commands or (stand.healthy and stand.running and stand.given_up):
        return Way.NOTHING
    if known_good and not stand.amiss and (stand.running == stand.before or rolled_back):
        return Way.NOTHING
    if known_good and stand.running == stand.before and not rolled_back:
        return Way.BY_HAND
    way = _opposite(commands)
    return Way.BY_HAND if way in _tried(stand) else way


def _commands(stand: Stand) -> list[Step]:
    """The legs that ran a command, or were about to."""
    return [step for step in stand.steps if step.leg in DEPLOYS | ROLLS_BACK]


def _opposite(commands: list[Step]) -> Way:
    """What undoes the last command, leaving aside the ways out that were begun already."""
    last = next((step for step in reversed(commands) if not step.leg.startswith("end-by-")), commands[-1])
    return Way.ROLL_BACK if last.leg in DEPLOYS else Way.DEPLOY


def _tried(stand: Stand) -> Iterable[Way]:
    """Ways out that are not tried again: they ended, or nobody can tell what they did before they were cut off."""
    ways = {Leg.END_BY_ROLL_BACK: Way.ROLL_BACK, Leg.END_BY_DEPLOY: Way.DEPLOY}
    return {
        ways[step.leg]
        for step in stand.steps
        if step.leg in ways and (step.state is not State.BEGUN or not stand.running)
    }


def where(stand: Stand) -> str:
    """Where it stands, as a sentence without an end: `it runs 1.8.1, as before the rehearsal, and is healthy`."""
    if not stand.running:
        runs = "which version runs can't be read"
    elif not _commands(stand):
        runs = f"it runs {stand.running}, no command was begun,"
    elif stand.running == stand.before:
        runs = f"it runs {stand.running}, as before the rehearsal,"
    elif stand.running == stand.after:
        runs = f"it runs {stand.running}, the new release,"
    else:
        runs = f"it runs {stand.running}, which is not what ran before ({stand.before or 'unknown'}),"
    amiss = f", but has {'; '.join(stand.amiss)}" if stand.amiss else ""
    return f"{runs} and is {'healthy' if stand.healthy else 'not healthy'}{amiss}"


def is_safe(stand: Stand) -> bool:
    """Whether it stands where it may be left: a version that was seen to be good, and is so now."""
    if not stand.healthy or not stand.running or stand.amiss:
        return False
    return stand.given_up or not _commands(stand) or stand.running in {stand.before, stand.after}


def cut_off(steps: Iterable[Step]) -> Leg | None:
    """The leg that was begun last and never ended; None when none was."""
    last = next(reversed(tuple(steps)), None)
    return last.leg if last and last.state is State.BEGUN else None
