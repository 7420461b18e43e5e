"""What a rehearsal would run and where, why it is refused, where it stands after each leg, and how it is ended."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from roundsman.rollback.rules.fingerprint import pages_of
from roundsman.rollback.rules.output import shown
from roundsman.site.rules.promises import PRODUCTION, STAGING, Environment
from roundsman.site.rules.site import ReleasePromise, Site


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


class LegState(StrEnum):
    """What became of a leg. One that is `begun` and never ended was cut off."""

    BEGUN = "begun"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class LegResult:
    """One leg as it was written down. `exit_code` is None when no command ended by itself."""

    leg: Leg
    state: LegState
    seconds: float = 0.0
    exit_code: int | None = None
    detail: str = ""
    output: str = ""


class Ending(StrEnum):
    """What is done to end a rehearsal."""

    NOTHING = "nothing"
    ROLL_BACK = "roll back"
    DEPLOY = "deploy"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True)
class RehearsalState:
    """Where a rehearsal stands: which legs were begun, and what runs now."""

    steps: tuple[LegResult, ...]
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
    """Somebody was already notified that it has to be ended by hand."""


def ending_of(state: RehearsalState) -> Ending:
    """How a rehearsal that was cut off, or whose leg failed, is ended.

    A rollback mostly means "one release back". Run where the old version is back already, it would go back two; so
    what runs decides first, and only where that is no version known to be good, the last command that was begun: after
    a deploy the ending is the rollback, after a rollback it is the deploy. Each is tried once. A page amiss in the old
    version is for people as long as nothing was rolled back: what is amiss may be no work of the deploy's.
    """
    commands = _commands(state)
    known_good = state.healthy and state.running and state.running in {state.before, state.after}
    rolled_back = any(step.leg in ROLLS_BACK for step in commands)
    if not commands or (state.healthy and state.running and state.given_up):
        return Ending.NOTHING
    if known_good and not state.amiss and (state.running == state.before or rolled_back):
        return Ending.NOTHING
    if known_good and state.running == state.before and not rolled_back:
        return Ending.BY_HAND
    ending = _opposite(commands)
    return Ending.BY_HAND if ending in _tried(state) else ending


def _commands(state: RehearsalState) -> list[LegResult]:
    """The legs that ran a command, or were about to."""
    return [step for step in state.steps if step.leg in DEPLOYS | ROLLS_BACK]


def _opposite(commands: list[LegResult]) -> Ending:
    """What undoes the last command, leaving aside the endings out that were begun already."""
    last = next((step for step in reversed(commands) if not step.leg.startswith("end-by-")), commands[-1])
    return Ending.ROLL_BACK if last.leg in DEPLOYS else Ending.DEPLOY


def _tried(state: RehearsalState) -> Iterable[Ending]:
    """Endings that are not tried again: they ended, or nobody can tell what they did before they were cut off."""
    endings = {Leg.END_BY_ROLL_BACK: Ending.ROLL_BACK, Leg.END_BY_DEPLOY: Ending.DEPLOY}
    return {
        endings[step.leg]
        for step in state.steps
        if step.leg in endings and (step.state is not LegState.BEGUN or not state.running)
    }


def where(state: RehearsalState) -> str:
    """Where it stands, as a sentence without an end: `it runs 1.8.1, as before the rehearsal, and is healthy`."""
    if not state.running:
        runs = "which version runs can't be read"
    elif not _commands(state):
        runs = f"it runs {state.running}, no command was begun,"
    elif state.running == state.before:
        runs = f"it runs {state.running}, as before the rehearsal,"
    elif state.running == state.after:
        runs = f"it runs {state.running}, the new release,"
    else:
        runs = f"it runs {state.running}, which is not what ran before ({state.before or 'unknown'}),"
    amiss = f", but has {'; '.join(state.amiss)}" if state.amiss else ""
    return f"{runs} and is {'healthy' if state.healthy else 'not healthy'}{amiss}"


def is_safe(state: RehearsalState) -> bool:
    """Whether it stands where it may be left: a version that was seen to be good, and is so now."""
    if not state.healthy or not state.running or state.amiss:
        return False
    return state.given_up or not _commands(state) or state.running in {state.before, state.after}


def cut_off(steps: Iterable[LegResult]) -> Leg | None:
    """The leg that was begun last and never ended; None when none was."""
    last = next(reversed(tuple(steps)), None)
    return last.leg if last and last.state is LegState.BEGUN else None


#: Commands of one rehearsal at most: deploy, roll back, deploy again, and one to end it; each has its time to settle.
MAX_COMMANDS = 4
#: Seconds that a whole rehearsal may take.
MAX_REHEARSAL_SECONDS = 4 * 3600.0


@dataclass(frozen=True, slots=True)
class RehearsalPlan:
    """A rehearsal in one environment. With a refusal nothing of it is run."""

    site: Site
    """With the address of the environment."""
    environment: str
    refusals: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the commands find in their environment about where they are."""
    confirmed: str = ""
    """For production the version that somebody said runs there; when another one does, no command is run."""

    @property
    def release(self) -> ReleasePromise:
        """How the release comes and goes."""
        return self.site.release or ReleasePromise()


def plan(site: Site, environment: str, confirm: str = "", running: str = "") -> RehearsalPlan:
    """What would be run. `running` is the version that runs there now, and `confirm` what was said to be so.

    Production is rehearsed only when somebody named site and version, and they are right: who knows what runs there
    meant this place, and nobody released anything meanwhile.
    """
    here = place(site, environment)
    refusals = tuple(_refusals(site, here, environment, confirm, running))
    own = {"ROUNDSMAN_ENVIRONMENT": environment, "ROUNDSMAN_BASE_URL": here.base_url}
    variables = {**own, **_environment(site, environment).env}
    return RehearsalPlan(here, environment, refusals, variables, running if environment == PRODUCTION else "")


def plan_by_file(site: Site, environment: str, confirm: str = "") -> RehearsalPlan:
    """The plan as far as the site file alone tells: in production the version that somebody confirms is believed."""
    return plan(site, environment, confirm, running=confirm.partition(":")[2] or "?")


def place(site: Site, environment: str) -> Site:
    """The site as it is in an environment: its promises at that environment's address."""
    values = {name: getattr(site, name) for name in type(site).model_fields}
    address = _environment(site, environment).base_url or site.base_url
    return Site.model_construct(**values | {"base_url": address})


def _environment(site: Site, environment: str) -> Environment:
    known = site.release.environments if site.release else None
    return getattr(known, environment, None) or Environment()


def _refusals(site: Site, here: Site, environment: str, confirm: str, running: str) -> Iterator[str]:
    if environment not in {STAGING, PRODUCTION}:
        yield f"environment: saw {environment!r}, wanted {STAGING} or {PRODUCTION}"
        return
    release = site.release or ReleasePromise()
    for name in ("version", "deploy", "rollback"):
        if not getattr(release, name):
            yield f"release.{name}: saw none in the site file, wanted one: without it nothing can be proven"
    if MAX_COMMANDS * (release.rehearsal.timeout + release.rehearsal.settle) > MAX_REHEARSAL_SECONDS:
        saw = f"{release.rehearsal.timeout:g}s and {release.rehearsal.settle:g}s for each of {MAX_COMMANDS} commands"
        yield f"release.rehearsal: saw timeout and settle of {saw}, wanted at most {MAX_REHEARSAL_SECONDS:g}s for all"
    own = _environment(site, environment).base_url
    if environment == STAGING and not site.staging and (own is None or own == site.base_url):
        mend = "write its base_url under release.environments.staging, or staging: true when this site is one"
        yield f"staging: saw none in the site file; {mend}"
    if environment == PRODUCTION:
        if site.staging and own is None:
            yield "production: saw staging: true, wanted the site file of production, or its base_url"
        yield from _unconfirmed(here, confirm, running)


def _unconfirmed(here: Site, confirm: str, running: str) -> Iterator[str]:
    if not running:
        yield f"production: the version at {here.base_url} can't be read, so nothing can be confirmed"
    elif not confirm:
        yield f"production: readers are here; wanted --confirm {here.site}:VERSION with the version that runs now"
    elif confirm != f"{here.site}:{running}":
        yield f"production: saw --confirm {confirm}, wanted this site and the version that runs there now"


def planned(one: RehearsalPlan) -> list[str]:
    """The plan as lines for whoever decides."""
    if one.refusals:
        return [f"refused: {reason}" for reason in one.refusals]
    release, deploys, backs = one.release, *(sum(leg in kind for leg in COURSE) for kind in (DEPLOYS, ROLLS_BACK))
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in shown(one.variables).items())
    drill = release.rehearsal
    named = {"schema head": release.schema_head, "data checksum": release.data_checksum}
    compared = ["version", *(name for name, promised in named.items() if promised), *pages_of(one.site)]
    return [
        f"{one.site.site}, {one.environment}: {one.site.base_url}",
        f"deploy ({deploys} times): {shlex.join(release.deploy)}",
        f"roll back ({backs} time): {shlex.join(release.rollback)}",
        f"with {variables}",
        f"each within {drill.timeout:g}s, and the site as it should be within {drill.settle:g}s after it",
        f"compared: {', '.join(compared)}",
    ]
