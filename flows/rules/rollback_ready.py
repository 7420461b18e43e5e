"""Rollback ready: could we go back now, without searching through notes?"""

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime

from flows.rules.promises import Rule
from flows.rules.rehearsal import OTHER_COMMAND, Rehearsal, rehearsed, why_stale
from flows.rules.site import RELEASE, Site
from flows.rules.subject import could_not_look, verdict_on
from flows.rules.verdict import Claim, Finding, Outcome, Verdict

CHECK = "rollback-ready"

COMMAND = Claim(f"{CHECK}/command", "The rollback command is there and may be run.")
REHEARSED = Claim(
    f"{CHECK}/rehearsed", "The rollback was rehearsed in the last 14 days, with what runs now.", breach=Outcome.WARN
)
WORKED = Claim(f"{CHECK}/worked", "The last rehearsal went well.")


def judge(site: Site, rule: Rule, found: str, rehearsal: Rehearsal | None, now: datetime) -> Verdict:
    """Judge a rule's rollback. `found` is where its program is; empty when there is none that may be run."""
    return verdict_on(site, rule, CHECK, rule.name, _findings(rule.rollback.command, found, rehearsal, now))


def judge_release(
    site: Site, command: Sequence[str], found: str, rehearsal: Rehearsal | None, now: datetime
) -> Verdict:
    """Judge the rollback of the whole site's release."""
    plain = could_not_look(site, CHECK, "", RELEASE)
    findings = tuple(_findings(command, found, rehearsal, now))
    return Verdict(CHECK, RELEASE, "", plain.owner, "The previous release can be put back.", plain.rollback, findings)


def _findings(command: Sequence[str], found: str, rehearsal: Rehearsal | None, now: datetime) -> Iterator[Finding]:
    saw = found or f"no program {command[0]} (of `{shlex.join(command)}`)"
    yield COMMAND.against(saw, f"{command[0]} on the PATH or in the project, executable", holds=bool(found))
    if rehearsal is None:
        yield REHEARSED.against("never rehearsed", "a rehearsal", holds=False)
        return
    saw, current = rehearsed(rehearsal, now), not why_stale(rehearsal, now)
    yield REHEARSED.against(saw, "at most 14 days ago, of what runs now", holds=current)
    if rehearsal.stale != OTHER_COMMAND:
        yield WORKED.against("it went well" if rehearsal.ok else "it failed", "it went well", holds=rehearsal.ok)
