"""The tasks of a rehearsal. None is retried: inside a Prefect transaction a retry would first undo what came before."""

import asyncio
import secrets
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.transactions import Transaction
from sqlalchemy import Engine

from roundsman.ledger.ledger import command_hash, open_ledger
from roundsman.report.rules.report import Report, markdown
from roundsman.report.rules.text import for_markdown, markdown_table, visible
from roundsman.rollback import store as rehearse_ledger
from roundsman.rollback.look import look
from roundsman.rollback.picture import timeline
from roundsman.rollback.rules.fingerprint import Fingerprint
from roundsman.rollback.rules.judge_rehearsal import Rehearsed, Settings, legs, proves
from roundsman.rollback.rules.legs import COURSE, Leg, cut_off, is_safe, where
from roundsman.rollback.rules.plan import Plan, place, plan
from roundsman.rollback.rules.settings import SettingsError, differences, hashed
from roundsman.rollback.steps import Walk
from roundsman.rollback.store import HeldError, Lease, steps_of, unfinished
from roundsman.rollback.supervise import read_settings
from roundsman.site.rules.rehearsal_promise import PRODUCTION, STAGING, Environment
from roundsman.site.rules.site import RELEASE, Site

_ONCE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
#: Legs that only look. With them a rehearsal begins, and what comes after them has to be undone.
BEGINNING = COURSE[: COURSE.index(Leg.DEPLOY)]
#: Seconds that a command which prints settings may take.
_SETTINGS = 60.0


class Held:
    """The right to rehearse, an open ledger, and the rehearsal: a new one, or one that was never ended."""

    def __init__(self, engine: Engine, lease: Lease, walk: Walk, cut: Leg | None, *, of_before: bool) -> None:
        self.engine, self.lease, self.walk, self.cut, self.of_before = engine, lease, walk, cut, of_before

    def let_go(self) -> None:
        """Give the right back, and close the ledger."""
        try:
            self.lease.let_go()
        finally:
            self.engine.dispose()


@dataclass(frozen=True, slots=True)
class Refused:
    """Why somebody else has to end first."""

    because: str


#: The rehearsal of this run, for the hook that a failed leg calls: Prefect hands it nothing but the transaction.
under_way: ContextVar[Walk] = ContextVar("under_way")


@task(task_run_name="plan {environment}", **_ONCE)
async def prepare(site: Site, environment: str, confirm: str) -> Plan:
    """What would be run, once it is known what runs there now."""
    asked = environment == PRODUCTION and site.release and site.release.version
    running = (await look(place(site, environment))).running if asked else ""
    return plan(site, environment, confirm, running)


@task(task_run_name="take {plan.environment}", **_ONCE)
async def take_up(plan: Plan, run_id: str) -> Held | Refused:
    """Take the lease; begin a rehearsal, or take up the one that was begun there and never ended."""
    return await asyncio.to_thread(_take_up, plan, run_id)


def _take_up(plan: Plan, run_id: str) -> Held | Refused:
    engine = open_ledger()
    try:
        lease = rehearse_ledger.take(engine, plan.site.site, plan.environment)
        if (row := unfinished(engine, plan.site.site, plan.environment)) is None:
            attempt = lease.begin(command_hash(plan.release.rollback), run_id)
            return Held(engine, lease, Walk(plan, lease, attempt), None, of_before=False)
        walk = Walk(plan, lease, row.id, steps_of(engine, row.id))
        walk.before, walk.after = row.before_version, row.after_version
        kept = {Leg.FINGERPRINT_BEFORE: row.before, Leg.FINGERPRINT_DEPLOYED: row.after}
        walk.seen = {leg: Fingerprint.of_json(one) for leg, one in kept.items() if one}
        walk.given_up = row.state == rehearse_ledger.BY_HAND
        return Held(engine, lease, walk, cut_off(walk.steps), of_before=True)
    except HeldError as error:
        engine.dispose()
        return Refused(str(error))
    except BaseException:
        engine.dispose()
        raise


@task(task_run_name="begin", **_ONCE)
async def begin(walk: Walk) -> None:
    """Walk the legs that only look. When a later leg fails, Prefect rolls this task back: that ends the rehearsal."""
    for leg in BEGINNING:
        await walk.walk(leg)


@begin.on_rollback
async def _end(_: Transaction) -> None:
    await under_way.get().end()


@task(task_run_name="{leg}", **_ONCE)
async def carry_out(walk: Walk, leg: Leg) -> None:
    """Walk one leg.

    Raises:
        LegFailedError: it did not end as it should.
    """
    await walk.walk(leg)


@task(task_run_name="end the earlier one", **_ONCE)
async def end_earlier(walk: Walk) -> None:
    """End a rehearsal that an earlier run began and did not end."""
    await walk.end()


@task(task_run_name="write down", **_ONCE)
async def conclude_walk(held: Held, settings: Settings | None) -> Rehearsed:
    """What came of a rehearsal, written down; one that has to be ended by hand stays open."""
    walk, stand = held.walk, held.walk.stand
    heads = (walk.seen.get(leg) for leg in (Leg.FINGERPRINT_BEFORE, Leg.FINGERPRINT_DEPLOYED))
    older, newer = (one.schema_head if one else "" for one in heads)
    done = Rehearsed(
        stand,
        walk.way,
        of_before=held.of_before,
        cut=held.cut,
        schema_heads=(older, newer),
        settings=settings,
    )
    failed = rehearse_ledger.FAILED if is_safe(stand) or not walk.ran else rehearse_ledger.BY_HAND
    state = rehearse_ledger.SUCCEEDED if done.ok else failed
    proof = _proof(walk, done) if proves(done) and not held.of_before else None
    await asyncio.to_thread(held.lease.end, walk.attempt, state, where(stand), proof)
    return done


def _proof(walk: Walk, done: Rehearsed) -> dict[str, Any]:
    return {
        "rule": RELEASE,
        "command_hash": command_hash(walk.release.rollback),
        "ok": done.ok,
        "seconds": done.seconds,
        "from_version": walk.after,
        "to_version": walk.before,
        "schema_head": done.schema_heads[0] or None,
        "newer_schema_head": done.schema_heads[1] or None,
    }


@task(task_run_name="compare settings", **_ONCE)
async def compare_settings(site: Site) -> Settings | None:
    """How the settings of staging and production differ; None when the site file names no command for both.

    The key of the hashes is made here and forgotten: nobody can try values against a hash, and no value is kept.
    """
    known = site.release.environments if site.release else None
    if not (known and known.staging and known.production and known.staging.settings and known.production.settings):
        return None
    key, found = secrets.token_bytes(32), []
    for name, one in ((STAGING, known.staging), (PRODUCTION, known.production)):
        output, trouble = await asyncio.to_thread(_settings, site, name, one)
        if trouble:
            return Settings(trouble=f"the settings of {name} can't be read: {trouble}")
        try:
            found.append(hashed(output, key))
        except SettingsError as error:
            return Settings(trouble=f"the settings of {name} can't be read: {error}")
    meant = site.release.rehearsal.differs if site.release else ()
    return Settings(differences(*found, meant), len(found[0].keys() | found[1].keys()))


def _settings(site: Site, name: str, one: Environment) -> tuple[bytes, str]:
    told = {"ROUNDSMAN_ENVIRONMENT": name, "ROUNDSMAN_BASE_URL": one.base_url or site.base_url, **one.env}
    return read_settings(one.settings, told, _SETTINGS)


@task(task_run_name="publish {report.site}", retries=2, retry_delay_seconds=1, **_ONCE)
async def publish_rehearsal(report: Report, done: Rehearsed) -> None:
    """Write the rehearsal as a page, with each leg and what its command said."""
    picture = await asyncio.to_thread(timeline, done.stand.steps)
    page = "\n\n".join([markdown(report, picture, "Each leg and its seconds"), "## Legs", *_legs(done)])
    said = f"{report.site}: {report.summary}; {where(done.stand)}"
    await acreate_markdown_artifact(page, key=f"rehearsal-{report.site}", description=for_markdown(said))


def _legs(done: Rehearsed) -> Sequence[str]:
    told = legs(done.stand.steps)
    rows = [(one["leg"], one["state"], f"{one['seconds']:.1f} s", for_markdown(one["saw"])) for one in told]
    # Indented, so that nothing in it can end the block and be read as a page.
    outputs = [
        f"### What {step.leg} said\n\n" + "\n".join(f"    {visible(line)}" for line in step.output.splitlines())
        for step in done.stand.steps
        if step.output
    ]
    return [markdown_table(("leg", "state", "took", "saw"), rows), *outputs]
