"""What the person on call reads: one incident, the cause first, in at most sixteen lines, and never a secret."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from roundsman.alerts.rules.alert import WINDOW, Alert, IncidentLevel, MessageKind, changes, is_bad
from roundsman.alerts.rules.runbook import Command, NothingToUndo, Runbook
from roundsman.report.rules.grouping import EXAMPLES, Group, group, held
from roundsman.report.rules.rehearsed import Rehearsal, ago, rehearsed
from roundsman.report.rules.report import cannot_go_back, is_heavy, seen
from roundsman.report.rules.text import LINE_CHARACTERS, clipped, for_message, plain, scrubbed
from roundsman.report.rules.verdict import Outcome, Severity, Verdict, summary
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import RELEASE

#: So many further faults of an incident have a line of their own each; the others are counted.
MAX_FAULT_LINES = 3
#: Lines of a message, at most.
MAX_LINES = 16

#: A check and a subject, by which an incident is known.
Lead = tuple[str, str]
NO_REHEARSALS: Mapping[str, Rehearsal | None] = MappingProxyType({})

#: Where to look first, by check.
FIRST_LOOK = {
    "cache-headers": "ask the route twice and read Cache-Status and Age; then what changed last at the edge",
    "logged-in-traffic": "ask the route as a stranger; if a member's page comes, purge it and stop caching it at once",
    "targeted-purge": "the edge's status and its purge credentials; then the evidence in the run",
    "response-time": "the edge's hit ratio and the origin's load; then the last release",
    "rollback-ready": "whether the command still exists where this runs, then rehearse it",
    "rehearse-release": "where the site was left, in the run; then what the command of the failed leg said",
    "compare-release": "the run's artifact, which names the routes; then what the release changed there",
    "purge-sample": "the edge's status and its purge credentials; then the evidence in the run",
    "purge-queue": "`roundsman purges`, which says why; then the edge's status and its purge credentials",
    "ledger": "whether the database answers and its disk has room",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to people: one line to recognise it by, and the text."""

    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert that a message is about, and what was found. No verdict: the round did not look at it."""

    kind: MessageKind
    alert: Alert
    verdict: Verdict | None


def job_notice(  # noqa: PLR0913 - a message has as many lines
    *,
    deployment: str,
    site: str,
    kind: str,
    message: str,
    at: datetime,
    runbook: Runbook,
    owner: str,
    link: str,
    release: Release | None = None,
    rehearsal: Rehearsal | None = None,
) -> Notice:
    """The message for a job that could not speak for itself. `kind` is its trouble, such as crashed or not_started."""
    state = kind.replace("_", " ")
    means, _, look = runbook.on_fail.rpartition("First look:")
    lines = [
        f"{state.upper()}: job {deployment}{site and f', site {site}'}",
        f"since: {_moment(at)}",
        f"expected: {runbook.expects}",
        f"observed: {state}: {scrubbed(message) or 'it left no message'}",
        f"last change: {_changed(release, at)}",
        f"owner: {owner}",
        f"means: {means}" if means else "",
        f"first look: {look}",
        f"rollback: {_way_back(runbook.rollback, rehearsal, at)}",
    ]
    return _notice(f"{state.upper()}: job {deployment}", lines, link)


def job_is_well_notice(deployment: str, site: str, kind: str, *, opened: datetime, now: datetime) -> Notice:
    """The message for a job that runs well again."""
    what = f"RESOLVED: job {deployment}"
    lines = [
        f"{what}{site and f', site {site}'}",
        f"since: {_moment(opened)}, {ago(opened, now)}",
        f"observed: it was {kind.replace('_', ' ')}, and all is well since {_moment(now)}",
        "first look: nothing to do",
    ]
    return _notice(what, lines, "")


def services_notice(site: str, faults: Sequence[Group], *, now: datetime, link: str) -> Notice:
    """The message to Roundsman's operators: its own services kept a round from looking at a site."""
    what = f"COULD NOT LOOK: Roundsman's own services failed in a round of site {site}"
    lines = [
        what,
        f"since: {_moment(now)}",
        "expected: Prefect's API and the ledger answer for as long as a round takes.",
        *(f"observed: {one.check}: {scrubbed(one.saw)}" for one in faults[: MAX_FAULT_LINES + 1]),
        "means: nothing is known against the site; the next round looks again. Told once an hour at most.",
        "first look: whether the databases of Prefect and of the ledger answer, and their logs.",
    ]
    return _notice(what, lines, link)


def alert_notice(  # noqa: PLR0913 - a message has as many lines
    alert_changes: Sequence[AlertChange],
    *,
    now: datetime,
    release: Release | None,
    rehearsals: Mapping[str, Rehearsal | None] = NO_REHEARSALS,
    link: str,
    lead: Lead | None = None,
) -> Notice:
    """The message about an incident: its worst fault in full, and below it the others in a line each.

    Args:
        alert_changes: What it consists of, all of one kind. The first one is the lead where there is no fault.
        now: The end of the round.
        release: The last one that was seen.
        rehearsals: The last one of each rule's rollback, and of the release's.
        link: The run in Prefect's UI, or empty.
        lead: The check and subject by which the incident is known; those of its worst fault when left out.
    """
    kind, alerts = alert_changes[0].kind, [change.alert for change in alert_changes]
    verdicts = [change.verdict for change in alert_changes if change.verdict]
    faults = group(verdicts)
    check, subject = lead or lead_of(alert_changes)
    first = next((one for one in alerts if (one.check, one.subject) == (check, subject)), alerts[0])
    rule, owner = (faults[0].rule, faults[0].owner) if faults else (first.rule, first.owner)
    state = "STILL FIRING" if kind is MessageKind.REMINDER else kind.upper()
    harm = ", CRITICAL" if faults and level_of(faults) is IncidentLevel.CRITICAL else ""
    look = "nothing to do" if kind is MessageKind.RESOLVED else FIRST_LOOK.get(check, "the evidence in the run")
    others = f" and {len(alert_changes) - 1} more" if len(alert_changes) > 1 else ""
    what = f"{state}{harm}: site {first.site}, {check}, {subject}{others}"
    lines = [
        f"{what}{rule and f' (rule {rule})'}",
        _where(alerts, faults),
        f"since: {_since(alerts, kind, now)}",
        *(_wrong(faults) if faults else _right(alert_changes)),
        f"last change: {_changed(release, now)}",
        f"owner: {owner}",
        f"first look: {look}",
        f"rollback: {_rollback(faults, verdicts, rehearsals, now)}" if verdicts else "",
    ]
    return _notice(what, lines, link, f"key: {first.incident or first.dedup_key}")


def lead_of(alert_changes: Sequence[AlertChange]) -> Lead:
    """The check and subject of the worst fault; of the first alert where there is none."""
    faults = group(change.verdict for change in alert_changes if change.verdict)
    return (
        (faults[0].check, plain(faults[0].examples[0]))
        if faults
        else (alert_changes[0].alert.check, alert_changes[0].alert.subject)
    )


def level_of(faults: Iterable[Group]) -> IncidentLevel:
    """How grave an incident with these faults is."""
    known = list(faults)
    if any(one.severity is Severity.CRITICAL and one.outcome is Outcome.FAIL for one in known):
        return IncidentLevel.CRITICAL
    return IncidentLevel.ERROR if any(one.outcome is Outcome.FAIL for one in known) else IncidentLevel.WARNING


def _where(alerts: Sequence[Alert], faults: Sequence[Group]) -> str:
    """The subjects of the worst fault, or of all that is well again, where they are more than one."""
    if faults:
        return f"where: {faults[0].where}" if faults[0].subjects > 1 else ""
    shown = ", ".join(f"{one.check} {one.subject}" for one in alerts[:EXAMPLES])
    more = f" and {len(alerts) - EXAMPLES} more" if len(alerts) > EXAMPLES else ""
    return f"where: {shown}{more}" if len(alerts) > 1 else ""


def _since(alerts: Sequence[Alert], kind: MessageKind, now: datetime) -> str:
    """When the first of them began, how often it was seen again, and whether it goes to and fro."""
    many = len(alerts) > 1
    opened = min(alert.opened_at or now for alert in alerts)
    folded, flapping = max(alert.folded for alert in alerts), [alert for alert in alerts if alert.flapping]
    text = f"{_moment(opened)}, {ago(opened, now)}"
    if kind is MessageKind.REMINDER and folded:
        text += f", {'up to ' if many else ''}{folded} more round{'s' if folded > 1 else ''} said so"
    if flapping:
        one = f"it flaps: {changes(flapping[0].recent)} changes in {WINDOW} rounds"
        text += f"; {f'{len(flapping)} of them flap' if many else one}"
    return text


def _wrong(faults: Sequence[Group]) -> list[str]:
    """The worst fault in full, others of which somebody has to know in a line each, and how many there are beside."""
    worst, *others = faults
    on = f" ({worst.subjects} subjects)" if worst.subjects > 1 else ""
    shown = [one for one in others if is_heavy(one)][:MAX_FAULT_LINES]
    outcomes = [one.outcome for one in others if one not in shown for _ in range(one.count)]
    claims = ", ".join(dict.fromkeys(one.claim for one in others if one not in shown))
    return [
        f"expected: {worst.wanted} ({worst.claim}: {worst.says})",
        f"observed: {', '.join(filter(None, (worst.outcome, worst.severity)))}: {seen(worst)}{on}",
        *(f"also: {_also(one, worst.owner)}" for one in shown),
        f"also: {summary(outcomes)} ({claims})" if outcomes else "",
    ]


def _also(fault: Group, owner: str) -> str:
    """A fault beside the worst one: which claim, where, what was seen, and whose it is if it is somebody else's."""
    whose = f" (owner {fault.owner})" if fault.owner != owner else ""
    harm = ", ".join(filter(None, (fault.outcome, fault.severity)))
    return f"{harm}: {fault.claim} at {fault.where}: {seen(fault)}{whose}"


def _rollback(
    faults: Sequence[Group], verdicts: Sequence[Verdict], rehearsals: Mapping[str, Rehearsal | None], now: datetime
) -> str:
    """The way back from the worst fault, with what it is worth."""
    worst = faults[0] if faults else verdicts[0]
    if worst.rollback_fault:
        return cannot_go_back(scrubbed(worst.rollback_fault))
    return _command(worst.rollback, rehearsals.get(worst.rule or RELEASE), now)


def _right(alert_changes: Sequence[AlertChange]) -> list[str]:
    """What holds again, and what nobody looks at any more."""
    verdicts = [change.verdict for change in alert_changes if change.verdict]
    gone = [one.alert for one in alert_changes if one.verdict is None and _is_out_of_sight(one.alert)]
    if len(gone) == len(alert_changes):
        by_site = gone[0].subject == gone[0].site
        why = "the check can look again" if by_site else "the last full round did not look at it"
        return [f"observed: no longer checked: {why}"]
    rest = f"; {len(gone)} no longer checked" if gone else ""
    expected = [f"expected: {verdicts[0].expected_result}"] if verdicts else []
    return [*expected, f"observed: {held(verdicts[0]) if verdicts else 'it holds again'}{rest}"]


def _is_out_of_sight(alert: Alert) -> bool:
    """Whether an alert was closed because nobody looks at its subject any more, and not by a good round."""
    return not alert.recent or is_bad(alert.recent[-1])


def _notice(subject: str, lines: list[str], link: str, *rest: str) -> Notice:
    # Half an address leads nowhere.
    run = f"run: {link}" if 0 < len(link) <= LINE_CHARACTERS - len("run: ") else ""
    body = [clipped(for_message(line)) for line in filter(None, lines)]
    return Notice(clipped(for_message(subject), 120), "\n".join([*body, *filter(None, [run, *map(clipped, rest)])]))


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} {at.tzname()}"


def _changed(release: Release | None, now: datetime) -> str:
    if release is None:
        return "no release seen"
    text = f"version {release.version}, first seen" if release.version else "its version can't be read any more, since"
    return f"{text} {ago(release.seen_at, now)}"


def _way_back(rollback: Command | NothingToUndo, rehearsal: Rehearsal | None, now: datetime) -> str:
    if isinstance(rollback, NothingToUndo):
        return str(rollback)
    return _command(shlex.join(rollback.argv), rehearsal, now)


def _command(command: str, rehearsal: Rehearsal | None, now: datetime) -> str:
    """A command ready to paste. One that would be cut does something else, so it is not shown."""
    proof = rehearsed(rehearsal, now)
    if not command:
        return "none is written down"
    # Between quotes the backslashes that disarm a message would be part of the command.
    is_changed = plain(command) != command or ("'" in command and for_message(command) != command)
    if len(command) > LINE_CHARACTERS - 60 or is_changed:
        return f"its command does not fit a message, see the site file ({proof})"
    return f"{command} ({proof})"
