"""Walking the legs of a rehearsal, each written down before and after it; and ending one that went wrong."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from roundsman.batch.points import point
from roundsman.rollback.find_and_run import path_of
from roundsman.rollback.look import RunningRelease, fingerprint, look, wait
from roundsman.rollback.rules import fingerprint as fingerprints
from roundsman.rollback.rules.fingerprint import Fingerprint
from roundsman.rollback.rules.plan import (
    DEPLOYS,
    ROLLS_BACK,
    Ending,
    Leg,
    LegResult,
    LegState,
    RehearsalPlan,
    RehearsalState,
    ending_of,
)
from roundsman.rollback.store import MAX_UNRENEWED_SECONDS, RehearsalLease
from roundsman.rollback.supervise import CommandBounds, CommandResult, supervise

log = logging.getLogger("roundsman")


class LegFailedError(Exception):
    """A leg did not end as it should; the rehearsal goes no further."""


class RehearsalRun:
    """One rehearsal under way, under a lease. Every leg may be killed at any line."""

    def __init__(
        self, plan: RehearsalPlan, lease: RehearsalLease, attempt: int, steps: tuple[LegResult, ...] = ()
    ) -> None:
        self.plan, self.lease, self.attempt = plan, lease, attempt
        self.site, self.release = plan.site, plan.release
        self.steps = list(steps)
        self.seen: dict[Leg, Fingerprint] = {}
        self.before = self.after = ""
        self.now = RunningRelease("", healthy=False)
        self.amiss: tuple[str, ...] = ()
        self.given_up = False
        self.ending = Ending.NOTHING
        self.ended = False

    @property
    def state(self) -> RehearsalState:
        """Where it stands, as it was last looked at."""
        now = self.now
        return RehearsalState(
            tuple(self.steps), self.before, self.after, now.running, now.healthy, self.amiss, given_up=self.given_up
        )

    @property
    def ran(self) -> bool:
        """Whether a command was begun."""
        return any(step.leg in DEPLOYS | ROLLS_BACK for step in self.steps)

    async def run_leg(self, leg: Leg) -> None:
        """Walk one leg.

        Raises:
            LegFailedError: it did not end as it should.
            FencedError: somebody else took the rehearsal over; nothing more was run.
        """
        place = len(self.steps)
        await asyncio.to_thread(self.lease.begin_leg, self.attempt, place, leg)
        self.steps.append(LegResult(leg, LegState.BEGUN))
        log.info("%s, %s: %s", self.site.site, self.plan.environment, leg.replace("-", " "))
        point(f"rehearse.{leg}")
        begun = time.monotonic()
        try:
            step = await self._do(leg)
        except LegFailedError as error:
            step = LegResult(leg, LegState.FAILED, detail=str(error))
        step = replace(step, seconds=step.seconds or time.monotonic() - begun)
        self.steps[place] = step
        await asyncio.to_thread(self.lease.end_leg, self.attempt, place, step)
        if step.state is LegState.FAILED:
            raise LegFailedError(f"{leg}: {step.detail}")

    async def end(self) -> Ending:
        """Look where it stands and end it from there, if need be by a command; says how."""
        known = {self.before, self.after} - {""}
        self.now = await self._settled(lambda now: now.healthy and now.running in (known or {now.running} - {""}))
        await self._look_closer()
        self.ending = ending_of(self.state)
        if (leg := _ENDS.get(self.ending)) is not None:
            try:
                await self.run_leg(leg)
            except LegFailedError as error:
                log.warning("%s, %s: %s", self.site.site, self.plan.environment, error)
                left = ending_of(self.state)
                self.ending = left if left is Ending.BY_HAND else self.ending
        self.ended = True
        return self.ending

    async def _do(self, leg: Leg) -> LegResult:
        return await _LEGS[leg](self, leg)

    async def _precheck(self, leg: Leg) -> LegResult:
        missing = [argv[0] for argv in (self.release.deploy, self.release.rollback) if not path_of(argv[0])]
        if missing:
            raise LegFailedError(f"no program {missing[0]}; wanted one on the PATH or in the project")
        self.now = await self._settled(lambda now: bool(now.healthy and now.running))
        if not self.now.running:
            raise LegFailedError(f"the version at {self.site.base_url} can't be read")
        if not self.now.healthy:
            raise LegFailedError(f"{self.site.base_url} is not healthy")
        if self.plan.confirmed not in {"", self.now.running}:
            raise LegFailedError(f"it runs {self.now.running} now, and {self.plan.confirmed} was confirmed")
        self.before = self.now.running
        await asyncio.to_thread(self.lease.note, self.attempt, before_version=self.before)
        return LegResult(leg, LegState.PASSED, detail=f"it runs {self.before} and is healthy")

    async def _fingerprint(self, leg: Leg) -> LegResult:
        found = self.seen[leg] = await fingerprint(self.site, self.now.running)
        if silent := fingerprints.unseen(found):
            raise LegFailedError(f"{silent[0]} gave no answer, or two that differ in status")
        if unread := fingerprints.unread(self.site, found):
            raise LegFailedError(f"{unread[0]} can't be read")
        kept = {"before" if leg is Leg.FINGERPRINT_BEFORE else "after": found.as_json()}
        await asyncio.to_thread(self.lease.note, self.attempt, **kept)
        return LegResult(leg, LegState.PASSED, detail=f"{_counted(found)}{_difference(self.seen, found)}")

    async def _fingerprint_back(self, leg: Leg) -> LegResult:
        found = self.seen[leg] = await fingerprint(self.site, self.now.running)
        before = self._wanted(self.before)
        assert before is not None  # noqa: S101 - its leg came before
        if changes := fingerprints.changes(before, found):
            raise LegFailedError(f"not as before: {'; '.join(changes)}")
        return LegResult(leg, LegState.PASSED, detail=f"as before: {_counted(found)}")

    async def _command(self, leg: Leg) -> LegResult:
        argv = self.release.deploy if leg in DEPLOYS else self.release.rollback
        ran = await self._supervised(argv)
        state = LegState.FAILED if ran.trouble else LegState.PASSED
        return LegResult(leg, state, ran.seconds, ran.exit_code, ran.trouble, ran.output)

    async def _end_by(self, leg: Leg) -> LegResult:
        step = await self._command(leg)
        wanted = self.before if leg is Leg.END_BY_ROLL_BACK else self.after
        self.now = await self._settled(lambda now: now.healthy and now.running == wanted)
        await self._look_closer()
        if self.now.healthy and wanted and self.now.running == wanted and not self.amiss:
            detail = f"it runs {wanted} and is healthy{step.detail and f', though: {step.detail}'}"
            return replace(step, state=LegState.PASSED, detail=detail)
        wrong = "; ".join(self.amiss) or _seen(self.now, wanted)
        return replace(step, state=LegState.FAILED, detail="; ".join(filter(None, (step.detail, wrong))))

    async def _verify_deploy(self, leg: Leg) -> LegResult:
        self.now = await self._settled(lambda now: now.healthy and now.running not in {"", self.before})
        if self.now.running == self.before:
            raise LegFailedError(
                f"the deploy changed nothing: it runs {self.before} as before; nothing to go back from"
            )
        if not self.now.running or not self.now.healthy:
            raise LegFailedError(_seen(self.now, "another version than before"))
        self.after = self.now.running
        await asyncio.to_thread(self.lease.note, self.attempt, after_version=self.after)
        return LegResult(leg, LegState.PASSED, detail=f"it runs {self.after} and is healthy")

    async def _verify(self, leg: Leg) -> LegResult:
        wanted = self.before if leg is Leg.VERIFY_ROLL_BACK else self.after
        self.now = await self._settled(lambda now: now.healthy and now.running == wanted)
        if self.now.running != wanted or not self.now.healthy:
            raise LegFailedError(_seen(self.now, wanted))
        if leg is Leg.VERIFY_DEPLOY_AGAIN:
            await self._look_closer()
            if self.amiss:
                raise LegFailedError(f"it runs {wanted}, not as after the first deploy: {'; '.join(self.amiss)}")
        return LegResult(leg, LegState.PASSED, detail=f"it runs {wanted} and is healthy")

    def _wanted(self, version: str) -> Fingerprint | None:
        """A version as it was seen to be good; None when it was not. What is declared to differ is as it should be."""
        before, after = (self.seen.get(leg) for leg in (Leg.FINGERPRINT_BEFORE, Leg.FINGERPRINT_DEPLOYED))
        if not version or version != self.before:
            return after if version and version == self.after else None
        if before and after and self.release.rehearsal.schema_stays:
            return replace(before, schema_head=after.schema_head)
        return before

    async def _look_closer(self) -> None:
        """Whether a version that was seen to be good is so now; its health path alone may not tell."""
        wanted = None if self.given_up else self._wanted(self.now.running)
        if wanted is None or not self.now.healthy:
            self.amiss = ()
            return
        self.amiss = fingerprints.broken(wanted, await fingerprint(self.site, self.now.running))

    async def _settled(self, good: Callable[[RunningRelease], bool]) -> RunningRelease:
        """Look until the site is as it should be, or has had its time; what was seen last."""
        end = time.monotonic() + self.release.rehearsal.settle
        while True:
            await asyncio.to_thread(self.lease.renew)
            now = await look(self.site)
            if good(now) or time.monotonic() >= end:
                return now
            await wait()

    async def _supervised(self, argv: tuple[str, ...]) -> CommandResult:
        """Run a command in a thread. When we are cancelled it is ended before anything else is done."""
        stop = threading.Event()
        bounds = CommandBounds(self.release.rehearsal.timeout, MAX_UNRENEWED_SECONDS, self.lease.renew, stop.is_set)
        running = asyncio.ensure_future(asyncio.to_thread(supervise, argv, self.plan.variables, bounds))
        try:
            return await asyncio.shield(running)
        finally:
            stop.set()
            while not running.done():
                await asyncio.wait([running])


def _seen(now: RunningRelease, wanted: str) -> str:
    runs = f"it runs {now.running}" if now.running else "its version can't be read"
    return f"{runs} and is {'healthy' if now.healthy else 'not healthy'}; wanted {wanted or 'the new release'}, healthy"


def _counted(found: Fingerprint) -> str:
    moving = len(fingerprints.volatile(found))
    pages = f"{len(found.pages)} pages" + (
        f", {moving} of them without their bodies, which never repeat" * bool(moving)
    )
    timed = f", first byte after {found.ms:.3g} ms" if found.ms else ""
    return f"version {found.version}, {f'schema {found.schema_head}, ' * bool(found.schema_head)}{pages}{timed}"


def _difference(seen: Mapping[Leg, Fingerprint], found: Fingerprint) -> str:
    before = seen.get(Leg.FINGERPRINT_BEFORE)
    return f"; {len(fingerprints.changes(before, found))} changes" if before and before is not found else ""


_ENDS: Mapping[Ending, Leg] = MappingProxyType(
    {Ending.ROLL_BACK: Leg.END_BY_ROLL_BACK, Ending.DEPLOY: Leg.END_BY_DEPLOY}
)
_LEGS: Mapping[Leg, Callable[[RehearsalRun, Leg], Awaitable[LegResult]]] = MappingProxyType(
    {
        Leg.PRECHECK: RehearsalRun._precheck,  # noqa: SLF001 - a table of this class's own
        Leg.FINGERPRINT_BEFORE: RehearsalRun._fingerprint,  # noqa: SLF001
        Leg.DEPLOY: RehearsalRun._command,  # noqa: SLF001
        Leg.VERIFY_DEPLOY: RehearsalRun._verify_deploy,  # noqa: SLF001
        Leg.FINGERPRINT_DEPLOYED: RehearsalRun._fingerprint,  # noqa: SLF001
        Leg.ROLL_BACK: RehearsalRun._command,  # noqa: SLF001
        Leg.VERIFY_ROLL_BACK: RehearsalRun._verify,  # noqa: SLF001
        Leg.FINGERPRINT_BACK: RehearsalRun._fingerprint_back,  # noqa: SLF001
        Leg.DEPLOY_AGAIN: RehearsalRun._command,  # noqa: SLF001
        Leg.VERIFY_DEPLOY_AGAIN: RehearsalRun._verify,  # noqa: SLF001
        Leg.END_BY_ROLL_BACK: RehearsalRun._end_by,  # noqa: SLF001
        Leg.END_BY_DEPLOY: RehearsalRun._end_by,  # noqa: SLF001
    }
)
