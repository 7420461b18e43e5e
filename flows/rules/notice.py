"""What whoever is woken up reads: at most twelve lines, and never a secret."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flows.rules.alert import WINDOW, Alert, Kind, changes
from flows.rules.rehearsal import Rehearsal
from flows.rules.report import held, notable
from flows.rules.runbook import Command, NothingToUndo, Runbook
from flows.rules.subject import summary
from flows.rules.verdict import Finding, Verdict

#: Characters of one line, at most; a longer one is cut.
WIDTH = 200

_SECRET = re.compile(
    r"(?i)\b([\w-]*(?:passw(?:or)?d|secret|token|api[-_]?key|cookie|session)[\w-]*)(['\"]?\s*[=:]\s*)[^\s,;&]+"
)
_BEARER = re.compile(r"(?i)\b(authorization|bearer|basic)(\s*:?\s+)(?:(?:bearer|basic)\s+)?[\w+/=.~-]{6,}")
_URL = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*)://(\S*)")
_END = re.compile(r"[/\"'<>)\],;]*")
_HOST = re.compile(r"[A-Za-z0-9.-]+(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?")


#: Where to look first, by check.
FIRST_LOOK = {
    "cache-headers": "ask the route twice and read Cache-Status and Age; then what changed last at the edge",
    "logged-in-traffic": "ask the route as a stranger; if a member's page comes, purge it and stop caching it at once",
    "targeted-purge": "the edge's status and its purge credentials; then the evidence in the run",
    "response-time": "the edge's hit ratio and the origin's load; then the last release",
    "rollback-ready": "whether the command still exists where this runs, then rehearse it",
    "ledger": "whether the database answers and its disk has room",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to people: one line to recognise it by, and the text."""

    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Release:
    """A version that a site was seen to run, and since when."""

    version: str
    seen_at: datetime


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


def alert_notice(  # noqa: PLR0913 - a message has as many lines
    kind: Kind,
    alert: Alert,
    verdict: Verdict | None,
    *,
    now: datetime,
    release: Release | None,
    rehearsal: Rehearsal | None,
    link: str,
) -> Notice:
    """The message for what rounds found about one subject. No verdict: a round did not look at it any more."""
    state = "STILL FIRING" if kind is Kind.REMINDER else kind.upper()
    what = f"{state}: site {alert.site}, {alert.check}, {alert.subject}"
    opened = alert.opened_at or now
    folded = (
        f", {alert.folded} more round{'s' if alert.folded > 1 else ''} said so"
        if kind is Kind.REMINDER and alert.folded
        else ""
    )
    flaps = f"; it flaps: {changes(alert.recent)} changes in {WINDOW} rounds" if alert.flapping else ""
    resolved = kind is Kind.RESOLVED
    lines = [
        f"{what}{alert.rule and f' (rule {alert.rule})'}",
        f"since: {_moment(opened)}, {ago(opened, now)}{folded}{flaps}",
        *_expected_and_observed(alert, verdict),
        f"last change: {_changed(release, now)}",
        f"owner: {alert.owner}",
        f"first look: {'nothing to do' if resolved else FIRST_LOOK.get(alert.check, 'the evidence in the run')}",
        f"rollback: {_command(verdict.rollback, rehearsal, now)}" if verdict else "",
    ]
    return _notice(what, lines, link, f"key: {alert.dedup_key}")


def plain(text: str) -> str:
    """A text as one line that every channel and database takes: without control characters and half characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def scrubbed(text: str, secrets: Iterable[str] = ()) -> str:
    """A text from somebody else's exception without what is, or may be, a secret: a URL keeps its host only."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "...")
    text = _URL.sub(_only_host, plain(text))
    return _SECRET.sub(r"\1\2...", _BEARER.sub(r"\1\2...", text))


def rehearsed(rehearsal: Rehearsal | None, now: datetime) -> str:
    """When a rollback was last tried, and how long it took: `rehearsed 2 days ago, 47 s`."""
    if rehearsal is None:
        return "never rehearsed"
    when = f"{ago(rehearsal.finished_at, now)}, {rehearsal.seconds:.0f} s"
    return f"rehearsed {when}" if rehearsal.ok else f"its rehearsal failed {when}"


def ago(then: datetime, now: datetime) -> str:
    """How long ago something was, in one unit: `2 days ago`."""
    seconds = max((now - then).total_seconds(), 0.0)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def clipped(text: str, most: int = WIDTH) -> str:
    """A text as one line of at most `most` characters."""
    line = plain(text)
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _expected_and_observed(alert: Alert, verdict: Verdict | None) -> list[str]:
    """The heaviest finding in full, and how many there are beside it."""
    if verdict is None:
        why = "the check can look again" if alert.subject == alert.site else "the last full round did not look at it"
        return [f"observed: no longer checked: {why}"]
    found = notable(verdict)
    if not found:
        return [f"expected: {verdict.expected_result}", f"observed: {held(verdict)}"]
    more = f"also: {summary([one.outcome for one in found[1:]])} ({', '.join(one.claim for one in found[1:])})"
    return [
        f"expected: {found[0].wanted} ({found[0].claim}: {found[0].says})",
        f"observed: {found[0].outcome}: {_seen(found[0])}",
        more if found[1:] else "",
    ]


def _seen(finding: Finding) -> str:
    """What was seen. Why nobody could look is an exception's text, and that can quote anything."""
    return scrubbed(finding.saw) if finding.claim.endswith("/looked") else finding.saw


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


def _only_host(found: re.Match[str]) -> str:
    """Scheme and host of a web address; of others the scheme, as in Apprise's a token can stand in the host's place."""
    scheme, rest = found[1], found[2]
    host = re.split(r"[/?#\"'<>)\],;]", rest, maxsplit=1)[0]
    if scheme.lower() not in {"http", "https"} or "@" in rest or not _HOST.fullmatch(host):
        return f"{scheme}://..."
    tail = rest.removeprefix(host)
    return f"{scheme}://{host}{tail if _END.fullmatch(tail) else '/...'}"
