"""One rehearsal of a release from its plan to its end: taken up under a lease, run leg by leg, and written down."""

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from roundsman.ledger.ledger import command_hash, open_ledger
from roundsman.rollback.look import look
from roundsman.rollback.rules.fingerprint import Fingerprint
from roundsman.rollback.rules.judge_rehearsal import (
    RehearsalOutcome,
    SettingsComparison,
    SettingsError,
    differences,
    hashed,
    proves,
)
from roundsman.rollback.rules.plan import COURSE, Leg, RehearsalPlan, cut_off, is_safe, place, plan, where
from roundsman.rollback.steps import RehearsalRun
from roundsman.rollback.store import (
    BY_HAND,
    FAILED,
    SUCCEEDED,
    RehearsalHeldError,
    RehearsalLease,
    steps_of,
    take,
    unfinished,
)
from roundsman.rollback.supervise import read_settings
from roundsman.site.rules.promises import PRODUCTION, STAGING, Environment
from roundsman.site.rules.site import RELEASE, Site

#: Legs that only look. A rehearsal begins with them, and what comes after them has to be undone.
LOOKING_LEGS = COURSE[: COURSE.index(Leg.DEPLOY)]
#: Legs that change what runs, or look at what was changed.
CHANGING_LEGS = COURSE[len(LOOKING_LEGS) :]
_SETTINGS_SECONDS = 60.0


@dataclass(slots=True)
class OpenRehearsal:
    """The right to rehearse, an open ledger, and the rehearsal: a new one, or one that was never ended."""

    engine: Engine
    lease: RehearsalLease
    run: RehearsalRun
    interrupted_in: Leg | None
    """The leg in which an earlier run was cut off."""
    is_resumed: bool
    """It was begun by an earlier run."""

    def close(self) -> None:
        """Give the right back, and close the ledger."""
        try:
            self.lease.let_go()
        finally:
            self.engine.dispose()


@dataclass(frozen=True, slots=True)
class RehearsalRefused:
    """Why somebody else has to end first."""

    reason: str


async def prepare(site: Site, environment: str, confirm: str) -> RehearsalPlan:
    """What would be run, once it is known what runs there now."""
    needs_version = environment == PRODUCTION and site.release and site.release.version
    running = (await look(place(site, environment))).running if needs_version else ""
    return plan(site, environment, confirm, running)


async def take_up(plan: RehearsalPlan, run_id: str) -> OpenRehearsal | RehearsalRefused:
    """Take the lease; begin a rehearsal, or take up the one that was begun there and never ended."""
    return await asyncio.to_thread(take_up_here, plan, run_id)


def take_up_here(plan: RehearsalPlan, run_id: str) -> OpenRehearsal | RehearsalRefused:
    """The same, in this thread."""
    engine = open_ledger()
    try:
        lease = take(engine, plan.site.site, plan.environment)
        if (row := unfinished(engine, plan.site.site, plan.environment)) is None:
            attempt = lease.begin(command_hash(plan.release.rollback), run_id)
            return OpenRehearsal(engine, lease, RehearsalRun(plan, lease, attempt), None, is_resumed=False)
        run = RehearsalRun(plan, lease, row.id, steps_of(engine, row.id))
        run.before, run.after = row.before_version, row.after_version
        stored = {Leg.FINGERPRINT_BEFORE: row.before, Leg.FINGERPRINT_DEPLOYED: row.after}
        run.seen = {leg: Fingerprint.of_json(fingerprint) for leg, fingerprint in stored.items() if fingerprint}
        run.given_up = row.state == BY_HAND
        return OpenRehearsal(engine, lease, run, cut_off(run.steps), is_resumed=True)
    except RehearsalHeldError as error:
        engine.dispose()
        return RehearsalRefused(str(error))
    except BaseException:
        engine.dispose()
        raise


async def begin(run: RehearsalRun) -> None:
    """Run the legs that only look.

    Raises:
        LegFailedError: one of them did not end as it should.
    """
    for leg in LOOKING_LEGS:
        await run.run_leg(leg)


async def run_leg(run: RehearsalRun, leg: Leg) -> None:
    """Run one leg.

    Raises:
        LegFailedError: it did not end as it should.
    """
    await run.run_leg(leg)


async def end_earlier(run: RehearsalRun) -> None:
    """End a rehearsal that an earlier run began and did not end."""
    await run.end()


async def conclude(rehearsal: OpenRehearsal, settings: SettingsComparison | None) -> RehearsalOutcome:
    """What came of a rehearsal, written down; one that has to be ended by hand stays open."""
    run, state = rehearsal.run, rehearsal.run.state
    fingerprints = (run.seen.get(leg) for leg in (Leg.FINGERPRINT_BEFORE, Leg.FINGERPRINT_DEPLOYED))
    older, newer = (fingerprint.schema_head if fingerprint else "" for fingerprint in fingerprints)
    outcome = RehearsalOutcome(
        state,
        run.ending,
        is_resumed=rehearsal.is_resumed,
        interrupted_in=rehearsal.interrupted_in,
        schema_heads=(older, newer),
        settings=settings,
    )
    failed_as = FAILED if is_safe(state) or not run.ran else BY_HAND
    ended_as = SUCCEEDED if outcome.ok else failed_as
    proof = _proof(run, outcome) if proves(outcome) and not rehearsal.is_resumed else None
    await asyncio.to_thread(rehearsal.lease.end, run.attempt, ended_as, where(state), proof)
    return outcome


def _proof(run: RehearsalRun, outcome: RehearsalOutcome) -> dict[str, Any]:
    return {
        "rule": RELEASE,
        "command_hash": command_hash(run.release.rollback),
        "ok": outcome.ok,
        "seconds": outcome.seconds,
        "from_version": run.after,
        "to_version": run.before,
        "schema_head": outcome.schema_heads[0] or None,
        "newer_schema_head": outcome.schema_heads[1] or None,
    }


async def compare_settings(site: Site) -> SettingsComparison | None:
    """How the settings of staging and production differ; None when the site file names no command for both.

    The key of the hashes is made here and forgotten: nobody can try values against a hash, and no value is kept.
    """
    known = site.release.environments if site.release else None
    if not (known and known.staging and known.production and known.staging.settings and known.production.settings):
        return None
    key, found = secrets.token_bytes(32), dict[str, dict[str, str]]()
    for name, environment in ((STAGING, known.staging), (PRODUCTION, known.production)):
        output, trouble = await asyncio.to_thread(_settings, site, name, environment)
        if trouble:
            return SettingsComparison(trouble=f"the settings of {name} can't be read: {trouble}")
        try:
            found[name] = hashed(output, key)
        except SettingsError as error:
            return SettingsComparison(trouble=f"the settings of {name} can't be read: {error}")
    meant = site.release.rehearsal.differs if site.release else ()
    staging, production = found[STAGING], found[PRODUCTION]
    return SettingsComparison(differences(staging, production, meant), len(staging.keys() | production.keys()))


def _settings(site: Site, name: str, environment: Environment) -> tuple[bytes, str]:
    base_url = environment.base_url or site.base_url
    variables = {"ROUNDSMAN_ENVIRONMENT": name, "ROUNDSMAN_BASE_URL": base_url, **environment.env}
    return read_settings(environment.settings, variables, _SETTINGS_SECONDS)
