"""What whoever is woken up reads: at most twelve lines, and never a secret."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from flows.rules.alert import WINDOW, Alert, Kind, changes
from flows.rules.grouping import EXAMPLES, Group, group, held
from flows.rules.rehearsal import Rehearsal, ago, rehearsed
from flows.rules.report import seen
from flows.rules.runbook import Command, NothingToUndo, Runbook
from flows.rules.subject import summary
from flows.rules.text import WIDTH, clipped, plain, scrubbed
from flows.rules.verdict import Severity, Verdict

#: So many alerts that change alike in one round are told one by one; more of them are told together.
FEW = 3

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
    "purge-queue": "`python -m flows purges`, which says why; then the edge's status and its purge credentials",
    "ledger": "whether the database answers and its disk has room",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to people: one line to recognise it by, and the text."""

    subject: str
    body: str


class Source(StrEnum):
    """Who said that a release is out: the site's own version page, a call of the board, or a command."""

    SITE = "site"
    BOARD = "board"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Release:
    """A version that a site runs, and since when, as far as it was seen or told."""

    version: str
    seen_at: datetime
    source: Source = Source.SITE


@dataclass(frozen=True, slots=True)
class Change:
    """An alert of which a round has something to tell. No verdict: the round did not look at it any more."""

    kind: Kind
    alert: Alert
    verdict: Verdict | None


def bundled(found: Iterable[Change]) -> list[list[Change]]:
    """What is told in one message each: more than FEW changes of one kind, check and rule together, others alone."""
    alike: dict[tuple[Kind, str, str], list[Change]] = {}
    for change in found:
        alike.setdefault((change.kind, change.alert.check, change.alert.rule), []).append(change)
    return [part for every in alike.values() for part in ([every] if len(every) > FEW else [[one] for one in every])]


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


def alert_notice(
    told: Sequence[Change],
    *,
    now: datetime,
    release: Release | None,
    rehearsal: Rehearsal | None,
    link: str,
) -> Notice:
    """The message for what a round found about one subject, or about several of one kind, check and rule."""
    kind, alerts = told[0].kind, [change.alert for change in told]
    verdicts = [change.verdict for change in told if change.verdict]
    alert, many, faults = alerts[0], len(told) > 1, group(verdicts)
    state = "STILL FIRING" if kind is Kind.REMINDER else kind.upper()
    harm = ", CRITICAL" if faults and faults[0].severity is Severity.CRITICAL else ""
    look = "nothing to do" if kind is Kind.RESOLVED else FIRST_LOOK.get(alert.check, "the evidence in the run")
    subject = f"{len(told)} subjects" if many else alert.subject
    what = f"{state}{harm}: site {alert.site}, {alert.check}, {subject}"
    lines = [
        f"{what}{alert.rule and f' (rule {alert.rule})'}",
        f"where: {_where(alerts, faults)}" if many else "",
        f"since: {_since(alerts, kind, now)}",
        *(_wrong(faults, many=many) if faults else _right(alerts, verdicts)),
        f"last change: {_changed(release, now)}",
        f"owner: {alert.owner}",
        f"first look: {look}",
        f"rollback: {_command(verdicts[0].rollback, rehearsal, now)}" if verdicts else "",
    ]
    others = f" and {len(told) - 1} more" if many else ""
    return _notice(what, lines, link, f"key: {alert.dedup_key}{others}")


def _where(alerts: Sequence[Alert], faults: Sequence[Group]) -> str:
    """Three subjects, of the worst fault if there is one, and how many more there are."""
    shown = faults[0].examples if faults else sorted(alert.subject for alert in alerts)[:EXAMPLES]
    return f"{', '.join(shown)} and {len(alerts) - len(shown)} more"


def _since(alerts: Sequence[Alert], kind: Kind, now: datetime) -> str:
    """When the first of them began, how often it was seen again, and whether it goes to and fro."""
    many = len(alerts) > 1
    opened = min(alert.opened_at or now for alert in alerts)
    folded, flapping = max(alert.folded for alert in alerts), [alert for alert in alerts if alert.flapping]
    said = f"{_moment(opened)}, {ago(opened, now)}"
    if kind is Kind.REMINDER and folded:
        said += f", {'up to ' if many else ''}{folded} more round{'s' if folded > 1 else ''} said so"
    if flapping:
        one = f"it flaps: {changes(flapping[0].recent)} changes in {WINDOW} rounds"
        said += f"; {f'{len(flapping)} of them flap' if many else one}"
    return said


def _wrong(faults: Sequence[Group], *, many: bool) -> list[str]:
    """The worst fault in full, and how many findings there are beside it."""
    worst, *others = faults
    on = f" ({worst.subjects} of them)" if many else ""
    outcomes = [one.outcome for one in others for _ in range(one.count)]
    also = f"also: {summary(outcomes)} ({', '.join(dict.fromkeys(one.claim for one in others))})"
    return [
        f"expected: {worst.wanted} ({worst.claim}: {worst.says})",
        f"observed: {', '.join(filter(None, (worst.outcome, worst.severity)))}: {_seen(worst)}{on}",
        also if others else "",
    ]


def _right(alerts: Sequence[Alert], verdicts: Sequence[Verdict]) -> list[str]:
    """What holds again, and what nobody looks at any more."""
    gone = len(alerts) - len(verdicts)
    if not verdicts:
        by_site = alerts[0].subject == alerts[0].site
        why = "the check can look again" if by_site else "the last full round did not look at it"
        return [f"observed: no longer checked: {why}"]
    rest = f"; {gone} no longer checked" if gone else ""
    return [f"expected: {verdicts[0].expected_result}", f"observed: {held(verdicts[0])}{rest}"]


def _seen(fault: Group) -> str:
    """What was seen. Why nobody could look is an exception's text, and that can quote anything."""
    return scrubbed(seen(fault)) if fault.claim.endswith("/looked") else seen(fault)


def _notice(subject: str, lines: list[str], link: str, *rest: str) -> Notice:
    # Half an address leads nowhere.
    run = f"run: {link}" if 0 < len(link) <= WIDTH - len("run: ") else ""
    return Notice(clipped(subject, 120), "\n".join(clipped(line) for line in (*lines, run, *rest) if line))


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} {at.tzname()}"


def _changed(release: Release | None, now: datetime) -> str:
    if release is None:
        return "no release seen"
    said = f"version {release.version}, first seen" if release.version else "its version can't be read any more, since"
    return f"{said} {ago(release.seen_at, now)}"


def _way_back(rollback: Command | NothingToUndo, rehearsal: Rehearsal | None, now: datetime) -> str:
    if isinstance(rollback, NothingToUndo):
        return str(rollback)
    return _command(shlex.join(rollback.argv), rehearsal, now)


def _command(command: str, rehearsal: Rehearsal | None, now: datetime) -> str:
    """A command ready to paste. One that would be cut does something else, so it is not shown."""
    proof = rehearsed(rehearsal, now)
    if not command:
        return "none is written down"
    if len(command) > WIDTH - 60 or plain(command) != command:
        return f"its command does not fit a message, see the site file ({proof})"
    return f"{command} ({proof})"
