"""Rollback ready: could we go back now, without searching through notes?"""

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from roundsman.report.rules.rehearsed import OTHER_COMMAND, Rehearsal, rehearsed, why_stale
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import RELEASE, Site
from roundsman.site.rules.wording import could_not_look, verdict_on

CHECK = "rollback-ready"

COMMAND = Claim(f"{CHECK}/command", "The rollback command is there, with its target, and may be run.")
REHEARSED = Claim(
    f"{CHECK}/rehearsed", "The rollback was rehearsed in the last 14 days, with what runs now.", breach=Outcome.WARN
)
WORKED = Claim(f"{CHECK}/worked", "The last rehearsal went well.")


NOTHING_KNOWN: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FoundCommand:
    """What there is of a command."""

    program: str = ""
    """Where its program is; empty when there is none that may be run."""
    missing: tuple[str, ...] = ()
    """What it wants of make, and the makefile has no rule for."""
    unread: str = ""
    """Why nobody could tell what the makefile has."""


def judge(site: Site, rule: Rule, found: FoundCommand, rehearsal: Rehearsal | None, now: datetime) -> Verdict:
    """Judge a rule's rollback."""
    return verdict_on(site, rule, CHECK, rule.name, _findings(rule.rollback.command, found, rehearsal, now))


def judge_release(
    site: Site, command: Sequence[str], found: FoundCommand, rehearsal: Rehearsal | None, now: datetime
) -> Verdict:
    """Judge the rollback of the whole site's release."""
    plain = could_not_look(site, CHECK, "", RELEASE)
    findings = tuple(_findings(command, found, rehearsal, now))
    return Verdict(CHECK, RELEASE, "", plain.owner, "The previous release can be put back.", plain.rollback, findings)


def faults(verdicts: Iterable[Verdict]) -> dict[str, str]:
    """What was found to be missing of each rollback command that can't be run, by the command as it is quoted."""
    return {
        verdict.rollback: finding.saw
        for verdict in verdicts
        for finding in verdict.findings
        if finding.claim == COMMAND.id and finding.outcome is Outcome.FAIL
    }


def warned(verdicts: Sequence[Verdict], known: Mapping[str, str] = NOTHING_KNOWN) -> tuple[Verdict, ...]:
    """The verdicts, each with what is wrong with its rollback, so that no message quotes one that can't be run.

    What these verdicts themselves say of a rollback counts; `known` says what earlier ones found, as `faults` has it.
    """
    looked = {verdict.rollback for verdict in verdicts if any(one.claim == COMMAND.id for one in verdict.findings)}
    wrong = {command: saw for command, saw in known.items() if command not in looked} | faults(verdicts)
    return tuple(replace(one, rollback_fault=wrong[one.rollback]) if one.rollback in wrong else one for one in verdicts)


def _findings(
    command: Sequence[str], found: FoundCommand, rehearsal: Rehearsal | None, now: datetime
) -> Iterator[Finding]:
    yield _command(command, found)
    if rehearsal is None:
        yield REHEARSED.against("never rehearsed", "a rehearsal", holds=False)
        return
    saw, current = rehearsed(rehearsal, now), not why_stale(rehearsal, now)
    yield REHEARSED.against(saw, "at most 14 days ago, of what runs now", holds=current)
    if rehearsal.stale != OTHER_COMMAND:
        yield WORKED.against("it went well" if rehearsal.ok else "it failed", "it went well", holds=rehearsal.ok)


def _command(command: Sequence[str], found: FoundCommand) -> Finding:
    written = f"(of `{shlex.join(command)}`)"
    if not found.program:
        wanted = f"{command[0]} on the PATH or in the project, executable"
        return COMMAND.against(f"no program {command[0]} {written}", wanted, holds=False)
    if found.missing:
        return COMMAND.against(f"no target {', '.join(found.missing)} {written}", "a rule in its makefile", holds=False)
    if found.unread:
        return COMMAND.against(found.unread, "the targets that make knows", holds=None)
    return COMMAND.against(found.program, "a program that may be run, and that has what is asked of it", holds=True)
