"""Does the site keep its promises? By the last look at each claim, whichever round that was."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from roundsman.report.rules.grouping import Group
from roundsman.report.rules.rehearsed import Rehearsal, ago, rehearsed
from roundsman.report.rules.report import cannot_go_back, seen
from roundsman.report.rules.text import clipped, shortened
from roundsman.report.rules.verdict import Outcome, Severity
from roundsman.site.rules.site import RELEASE
from roundsman.status.rules.facts import Answer
from roundsman.status.rules.standing import Promises, StandingFault

#: Characters of what was seen, and of what was wanted, in a sentence.
_SHORT_CHARACTERS = 160


class Judgement(NamedTuple):
    """What can be said of promises: an outcome, a sentence, and the worst fault that stands."""

    outcome: Outcome
    says: str
    since: datetime | None = None
    worst: StandingFault | None = None
    others: tuple[str, ...] = ()
    """A line for each other fault."""


def judge(known: Promises, now: datetime) -> Judgement:
    """Whether promises are kept. A broken one outranks that nobody has looked lately, and both outrank a warning."""
    worst = known.faults[0] if known.faults else None
    others = tuple(_line(one, now) for one in known.faults[1:])
    old = _too_old(known, now)
    if worst and worst.group.outcome is Outcome.FAIL:
        more = _more(known.faults, Outcome.FAIL)
        says = f"No: {_sentence(worst.group)}{more}.{f' {old}' if old else ''}"
        return Judgement(Outcome.FAIL, says, worst.since, worst, others)
    if old:
        return Judgement(Outcome.UNKNOWN, f"Unknown: {old[0].lower()}{old[1:]}", known.whole_at, worst, others)
    if worst and worst.group.outcome is Outcome.UNKNOWN:
        says = f"Unknown: {_sentence(worst.group)}{_more(known.faults, Outcome.UNKNOWN)}."
        return Judgement(Outcome.UNKNOWN, says, worst.since, worst, others)
    if not known.counts:
        return Judgement(Outcome.UNKNOWN, "Unknown: the last round found nothing to check.", known.whole_at)
    oldest = _oldest(known)
    when = "when last looked at" + (f", {ago(oldest, now)}" if oldest else "")
    if worst:
        says = f"Yes, with a warning: {_sentence(worst.group)}{_more(known.faults, Outcome.WARN)}."
        return Judgement(Outcome.WARN, says, worst.since, worst, others)
    held = known.count(Outcome.PASS)
    return Judgement(Outcome.PASS, f"Yes: {'all ' * (held > 1)}{claims(held)} held {when}.", known.whole_at)


def claims(count: int) -> str:
    """A number of claims in words."""
    return "1 claim" if count == 1 else f"{count:,} claims"


def rollback_of(
    command: str, rule: str, faults: Mapping[str, str], proofs: Mapping[str, Rehearsal | None], now: datetime
) -> tuple[str, str]:
    """A rollback command and when it was rehearsed; for one that was found to be missing, why it can't be run."""
    if not command:
        return "", ""
    if fault := faults.get(command):
        return cannot_go_back(fault), ""
    return command, rehearsed(proofs.get(rule or RELEASE), now)


def named(group: Group) -> str:
    """A fault by claim and place, behind its harm if that is the worst: `CRITICAL logged-in-traffic/leak on /inbox`."""
    harm = f"{group.severity.upper()} " if group.severity is Severity.CRITICAL else ""
    return f"{harm}{group.claim} on {group.where}"


def is_alarming(outcome: Outcome, worst: StandingFault | None) -> bool:
    """Whether somebody who only asks for yes or no has to hear no: something is broken, or could not be judged.

    That nobody has looked for long is not: where rounds are scheduled, that they are late is told by itself.
    """
    return outcome is Outcome.FAIL or (worst is not None and worst.group.outcome is Outcome.UNKNOWN)


def as_json(site: str, answer: Answer, known: Promises, *, in_full: bool) -> dict[str, Any]:
    """The answer as plain data. Only `in_full` with what not everybody may read: routes, and what was seen there."""
    data: dict[str, Any] = {"site": site, "outcome": answer.outcome.value}
    data["claims"] = {one.value: known.count(one) for one in reversed(Outcome)}
    if answer.since:
        data["since"] = answer.since.isoformat()
    if fault := answer.fault:
        one = fault.group
        harm = one.severity and one.severity.value
        data["worst"] = {"check": one.check, "claim": one.claim, "outcome": one.outcome.value, "severity": harm}
        if in_full:
            data["worst"] |= {
                "where": one.where,
                "saw": shortened(seen(one), _SHORT_CHARACTERS),
                "wanted": shortened(one.wanted, _SHORT_CHARACTERS),
            }
    if in_full:
        data["says"] = answer.says
        data |= {"owner": answer.owner, "rollback": answer.rollback, "rehearsed": answer.rehearsed, "run": answer.link}
    return data


def _sentence(group: Group) -> str:
    saw, wanted = (clipped(text, _SHORT_CHARACTERS) for text in (seen(group), group.wanted))
    return f"{named(group)}: saw {saw}, wanted {wanted}"


def _more(faults: Sequence[StandingFault], outcome: Outcome) -> str:
    others = sum(one.group.outcome is outcome for one in faults) - 1
    word = {Outcome.FAIL: "failed", Outcome.UNKNOWN: "could not be judged", Outcome.WARN: "warned"}[outcome]
    return f"; {others} more {'claim' if others == 1 else 'claims'} {word}" if others > 0 else ""


def _line(fault: StandingFault, now: datetime) -> str:
    one = fault.group
    harm = f", severity {one.severity}" if one.severity else ""
    since = f"since {fault.since:%Y-%m-%d %H:%M} UTC, seen {ago(fault.seen, now)}"
    saw, wanted = (clipped(text, _SHORT_CHARACTERS) for text in (seen(one), one.wanted))
    observed = f"saw {saw}, wanted {wanted}"
    return f"{one.outcome.upper()} {one.claim} on {one.where}: {observed}{harm}, {since}, owner {one.owner}"


def _too_old(known: Promises, now: datetime) -> str:
    """Why what is known says little of now; empty when it says enough."""
    if known.whole_at is None and not known.looked:
        return "No round has looked yet."
    if known.whole_at is None:
        return f"No round has made every check yet, only {', '.join(sorted(known.looked))}."
    oldest = _oldest(known)
    if known.stale_at is None or oldest is None or now <= known.stale_at:
        return ""
    late = sorted(name for name, at in known.looked.items() if at == oldest)
    if len(late) == len(known.looked):
        return f"The last round began {ago(oldest, now)}."
    return f"{', '.join(late)} {'was' if len(late) == 1 else 'were'} last looked at {ago(oldest, now)}."


def _oldest(known: Promises) -> datetime | None:
    return min(known.looked.values(), default=known.whole_at)
