"""What a rehearsal would run and where, and why it is refused."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from roundsman.rollback.rules.fingerprint import pages_of
from roundsman.rollback.rules.legs import COURSE, DEPLOYS, ROLLS_BACK
from roundsman.rollback.rules.output import shown
from roundsman.site.rules.rehearsal_promise import PRODUCTION, STAGING, Environment
from roundsman.site.rules.site import ReleasePromise, Site

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
