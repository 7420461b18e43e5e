"""What a rehearsal proved: a finding for each leg, where the site was left, and what else differs from production.

Do staging and production have the same settings? Told by name and keyed hash; a value is never shown.
"""

import hmac
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from roundsman.report.rules.durations import spoken
from roundsman.report.rules.report import Report, as_json
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.rollback.rules.output import shown
from roundsman.rollback.rules.plan import (
    COURSE,
    DEPLOYS,
    ROLLS_BACK,
    Ending,
    Leg,
    LegResult,
    LegState,
    RehearsalPlan,
    RehearsalState,
    is_safe,
    where,
)
from roundsman.site.rules.site import RELEASE, Site

#: Shown of a hash. It is keyed with a random key that lives as long as one comparison, so that a short value can't be
#: found by trying all of them, and so that hashes of two reports tell nothing together.
SHOWN_HASH_DIGITS = 10
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class SettingsError(ValueError):
    """An output is no list of settings. Its words say where, and nothing of what was there."""


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """One setting that is not the same. A hash is empty where the setting is not there."""

    name: str
    staging: str
    production: str

    def __str__(self) -> str:
        if not self.staging:
            return f"{self.name} only in production"
        if not self.production:
            return f"{self.name} only in staging"
        return f"{self.name} ({self.staging} in staging, {self.production} in production)"


def hashed(output: bytes, key: bytes) -> dict[str, str]:
    """Settings by name, each value as HMAC-SHA256 with `key`, in hexadecimal.

    NAME=VALUE, one a line, or each ended by a zero byte where a value may have several lines.

    Raises:
        SettingsError: a line is none of these. It may be a part of a secret, so nothing of it is shown.
    """
    parts = output.split(b"\0") if b"\0" in output else output.splitlines()
    found: dict[str, str] = {}
    for place, part in enumerate(parts, 1):
        if not part.strip():
            continue
        name, equals, value = part.decode("latin-1").partition("=")
        if not equals or not _NAME.fullmatch(name):
            wanted = "NAME=VALUE, with a zero byte after each where a value has several lines"
            raise SettingsError(f"part {place} of its output is no setting; wanted {wanted}")
        if name in found:
            raise SettingsError(f"it names {name} twice; wanted each setting once")
        found[name] = hmac.new(key, value.encode("latin-1"), "sha256").hexdigest()
    if not found:
        raise SettingsError("it printed no setting; wanted NAME=VALUE, one a line")
    return found


def differences(
    staging: Mapping[str, str], production: Mapping[str, str], meant: Collection[str]
) -> tuple[SettingDifference, ...]:
    """Settings that are not the same, by name, without those that are meant to differ."""
    names = sorted((staging.keys() | production.keys()) - set(meant))
    return tuple(
        SettingDifference(name, staging.get(name, "")[:SHOWN_HASH_DIGITS], production.get(name, "")[:SHOWN_HASH_DIGITS])
        for name in names
        if staging.get(name) != production.get(name)
    )


CHECK = "rehearse-release"

LEG_CLAIMS = {
    Leg.PRECHECK: "Before a rehearsal the site is healthy, says its version, and both commands are there.",
    Leg.FINGERPRINT_BEFORE: "The pages that are compared answer before the deploy.",
    Leg.DEPLOY: "The deploy command ends well.",
    Leg.VERIFY_DEPLOY: "After the deploy the site is healthy and runs another version.",
    Leg.FINGERPRINT_DEPLOYED: "The pages that are compared answer after the deploy.",
    Leg.ROLL_BACK: "The rollback command ends well.",
    Leg.VERIFY_ROLL_BACK: "After the rollback the site is healthy and runs the version from before.",
    Leg.FINGERPRINT_BACK: "After the rollback everything is as it was before the deploy.",
    Leg.DEPLOY_AGAIN: "The deploy command ends well after a rollback.",
    Leg.VERIFY_DEPLOY_AGAIN: "After the second deploy the site is healthy and runs the new version.",
    Leg.END_BY_ROLL_BACK: "A rehearsal that went wrong is ended by the rollback.",
    Leg.END_BY_DEPLOY: "A rehearsal that went wrong is ended by the deploy.",
}
PROVEN = Claim(f"{CHECK}/proven", "The rollback was executed, and brought back what was there before.")
STANDS = Claim(f"{CHECK}/stands", "The site is left in a version that was seen to be good.")
SETTINGS = Claim(f"{CHECK}/settings", "Staging has the settings of production.", breach=Outcome.WARN)


@dataclass(frozen=True, slots=True)
class SettingsComparison:
    """How the settings of staging and production compare. `trouble` says why nobody knows."""

    differences: tuple[SettingDifference, ...] = ()
    compared: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class RehearsalOutcome:
    """One rehearsal at its end."""

    state: RehearsalState
    ending: Ending = Ending.NOTHING
    """How it was ended, when it went wrong."""
    is_resumed: bool = False
    """It was begun by an earlier run, and this one only ended it."""
    interrupted_in: Leg | None = None
    """The leg in which the earlier run was cut off."""
    schema_heads: tuple[str, str] = ("", "")
    """The migrations that the database was at: with the old version, and with the new one."""
    settings: SettingsComparison | None = None

    @property
    def ok(self) -> bool:
        """Whether every leg was run, and passed."""
        passed = [step.leg for step in self.state.steps if step.state is LegState.PASSED]
        return passed == list(COURSE)

    @property
    def seconds(self) -> float:
        """How long readers would have waited: the rollback, and until the old version answered."""
        legs = {Leg.ROLL_BACK, Leg.VERIFY_ROLL_BACK}
        return sum(step.seconds for step in self.state.steps if step.leg in legs)


@dataclass(frozen=True, slots=True)
class ReleaseRehearsal:
    """A rehearsal as its command shows it: the plan, and what came of it unless it was refused or only planned."""

    site: str
    started: datetime
    plan: RehearsalPlan
    rehearsed: RehearsalOutcome | None = None
    report: Report | None = None
    refused: tuple[str, ...] = field(default=())
    """Why it was refused after the plan was made, such as that another one is under way."""

    @property
    def exit_code(self) -> int:
        """As of every command; 3 when it was refused."""
        if self.plan.refusals or self.refused:
            return 3
        return self.report.exit_code if self.report else 0


def judge(site: Site, rehearsed: RehearsalOutcome) -> Verdict:
    """Judge one rehearsal."""
    release = site.release
    rollback = shlex.join(release.rollback) if release else ""
    owner = site.owner.partition("<")[0].strip()
    expected = "The release comes, goes back to what was there before, and comes again."
    return Verdict(CHECK, RELEASE, "", owner, expected, rollback, tuple(_findings(rehearsed)))


def _findings(one: RehearsalOutcome) -> Iterator[Finding]:
    for step in one.state.steps:
        holds = {LegState.PASSED: True, LegState.FAILED: False}.get(step.state)
        yield Claim(f"{CHECK}/{step.leg}", LEG_CLAIMS[step.leg]).against(
            leg_message(step), LEG_CLAIMS[step.leg], holds=holds
        )
    yield PROVEN.against(_proof(one), "every leg of a rehearsal, passed", holds=_proven(one))
    by_hand = "; it has to be ended by hand" if one.ending is Ending.BY_HAND else ""
    yield STANDS.against(f"{where(one.state)}{by_hand}", "a version that was seen to be good", holds=is_safe(one.state))
    if one.settings is not None:
        yield _settings(one.settings)


def leg_message(step: LegResult) -> str:
    """A leg as a sentence: what came of it and how long it took."""
    if step.state is LegState.BEGUN:
        return "it was begun and cut off"
    return f"{step.detail or 'done'} ({took(step)})"


def took(step: LegResult) -> str:
    """How long a leg took, in words."""
    return spoken(round(step.seconds, 1) if step.seconds >= 1 else round(step.seconds, 3))


def _proven(one: RehearsalOutcome) -> bool | None:
    """None when nothing was found out about the rollback itself."""
    if one.ok:
        return True
    judged = {Leg.ROLL_BACK, Leg.VERIFY_ROLL_BACK, Leg.FINGERPRINT_BACK, Leg.DEPLOY_AGAIN, Leg.VERIFY_DEPLOY_AGAIN}
    failed = any(step.leg in judged and step.state is LegState.FAILED for step in one.state.steps)
    return False if failed else None


def proves(one: RehearsalOutcome) -> bool:
    """Whether it says anything about the rollback, good or bad, that is worth keeping."""
    return _proven(one) is not None


def _proof(one: RehearsalOutcome) -> str:
    versions = f"{one.state.after or 'the new release'} to {one.state.before or 'the one before'}"
    if one.ok:
        return f"rehearsed, {spoken(max(round(one.seconds), 1))}, {versions}"
    if one.is_resumed:
        leg = f" in {one.interrupted_in}" if one.interrupted_in else ""
        return f"an earlier rehearsal was cut off{leg} and is ended now; run it again to prove the rollback"
    failed = next((step for step in one.state.steps if step.state is LegState.FAILED), None)
    return f"it failed in {failed.leg}" if failed else "it did not run to its end"


def _settings(settings: SettingsComparison) -> Finding:
    wanted = "the same names and values, those apart that are meant to differ"
    if settings.trouble:
        return SETTINGS.against(settings.trouble, wanted, holds=None)
    differing = "; ".join(map(str, settings.differences))
    saw = f"{len(settings.differences)} of {settings.compared} differ: {differing}" if differing else "the same"
    return SETTINGS.against(saw, wanted, holds=not settings.differences)


def legs(steps: Sequence[LegResult]) -> list[dict[str, Any]]:
    """The legs as plain data; seconds are of the clock on the wall."""
    return [
        {
            "leg": step.leg.value,
            "state": step.state.value,
            "seconds": round(step.seconds, 3),
            "exit_code": step.exit_code,
            "saw": leg_message(step),
        }
        for step in steps
    ]


def rehearsal_json(one: ReleaseRehearsal) -> dict[str, Any]:
    """The report as plain data, by the documented schema, with plan and legs."""
    release, done = one.plan.release, one.rehearsed
    base: dict[str, Any] = {
        "schema": 1,
        "site": one.site,
        "started_at": one.started.isoformat(),
        "outcome": (Outcome.UNKNOWN if one.exit_code else Outcome.PASS).value,
        "verdicts": [],
    }
    plan = {
        "environment": one.plan.environment,
        "base_url": one.plan.site.base_url,
        "deploy": list(release.deploy),
        "rollback": list(release.rollback),
        "variables": shown(one.plan.variables),
        "refusals": [*one.plan.refusals, *one.refused],
    }
    found = {} if done is None else {"rehearsal": _as_json(done)}
    return {**base, **(as_json(one.report) if one.report else {}), "applied": done is not None, "plan": plan, **found}


def _as_json(done: RehearsalOutcome) -> dict[str, Any]:
    return {
        "ok": done.ok,
        "from_version": done.state.after,
        "to_version": done.state.before,
        "running": done.state.running,
        "healthy": done.state.healthy,
        "stands": where(done.state),
        "ended_by": done.ending.value,
        "seconds_deploy": round(sum(step.seconds for step in done.state.steps if step.leg in DEPLOYS), 3),
        "seconds_rollback": round(sum(step.seconds for step in done.state.steps if step.leg in ROLLS_BACK), 3),
        "legs": legs(done.state.steps),
    }
