"""Rollback ready: could we go back now, without searching through notes?"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from flows.rules.promises import Rule
from flows.rules.rehearsal import OTHER_COMMAND, Rehearsal, rehearsed, why_stale
from flows.rules.site import RELEASE, Site
from flows.rules.subject import could_not_look, verdict_on
from flows.rules.verdict import Claim, Finding, Outcome, Verdict

CHECK = "rollback-ready"

COMMAND = Claim(f"{CHECK}/command", "The rollback command is there, with its target, and may be run.")
REHEARSED = Claim(
    f"{CHECK}/rehearsed", "The rollback was rehearsed in the last 14 days, with what runs now.", breach=Outcome.WARN
)
WORKED = Claim(f"{CHECK}/worked", "The last rehearsal went well.")


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a command."""

    program: str = ""
    """Where its program is; empty when there is none that may be run."""
    missing: tuple[str, ...] = ()
    """What it wants of make, and the makefile has no rule for."""
    unread: str = ""
    """Why nobody could tell what the makefile has."""


def judge(site: Site, rule: Rule, found: Found, rehearsal: Rehearsal | None, now: datetime) -> Verdict:
    """Judge a rule's rollback."""
    return verdict_on(site, rule, CHECK, rule.name, _findings(rule.rollback.command, found, rehearsal, now))


def judge_release(
    site: Site, command: Sequence[str], found: Found, rehearsal: Rehearsal | None, now: datetime
) -> Verdict:
    """Judge the rollback of the whole site's release."""
    plain = could_not_look(site, CHECK, "", RELEASE)
    findings = tuple(_findings(command, found, rehearsal, now))
    return Verdict(CHECK, RELEASE, "", plain.owner, "The previous release can be put back.", plain.rollback, findings)


def _findings(command: Sequence[str], found: Found, rehearsal: Rehearsal | None, now: datetime) -> Iterator[Finding]:
    yield _command(command, found)
    if rehearsal is None:
        yield REHEARSED.against("never rehearsed", "a rehearsal", holds=False)
        return
    saw, current = rehearsed(rehearsal, now), not why_stale(rehearsal, now)
    yield REHEARSED.against(saw, "at most 14 days ago, of what runs now", holds=current)
    if rehearsal.stale != OTHER_COMMAND:
        yield WORKED.against("it went well" if rehearsal.ok else "it failed", "it went well", holds=rehearsal.ok)


def _command(command: Sequence[str], found: Found) -> Finding:
    written = f"(of `{shlex.join(command)}`)"
    if not found.program:
        wanted = f"{command[0]} on the PATH or in the project, executable"
        return COMMAND.against(f"no program {command[0]} {written}", wanted, holds=False)
    if found.missing:
        return COMMAND.against(f"no target {', '.join(found.missing)} {written}", "a rule in its makefile", holds=False)
    if found.unread:
        return COMMAND.against(found.unread, "the targets that make knows", holds=None)
    return COMMAND.against(found.program, "a program that may be run, and that has what is asked of it", holds=True)
