"""When to tell people of what rounds found, and when to leave them in peace.

An alert is the state of one subject of one check. What begins to fire in one round is one incident: one message per
channel when it opens, one when all of its alerts are well again, and a reminder of all of it in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.promises import KEPT_ROUNDS, AlertPolicy

#: So many changes between good and bad in so many rounds are flapping: a recovery then takes STEADY good rounds.
FLAPS, WINDOW, STEADY = 5, 10, 5


class AlertState(StrEnum):
    """Where a subject's alert stands."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"
    RESOLVED = "resolved"


class IncidentLevel(StrEnum):
    """How grave an incident is, in the words of pagers, the gravest first."""

    CRITICAL = "critical"
    """Somebody got what is not theirs."""
    ERROR = "error"
    """A promise is broken."""
    WARNING = "warning"
    """Nobody could look."""

    def exceeds(self, other: str) -> bool:
        """Whether it is graver than another one."""
        return list(IncidentLevel).index(self) < list(IncidentLevel).index(IncidentLevel(other))


class MessageKind(StrEnum):
    """What people are told."""

    FIRING = "firing"
    REMINDER = "reminder"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """What is known, and was told, of one subject of one check."""

    site: str
    check: str
    subject: str
    rule: str = ""
    owner: str = ""
    state: AlertState = AlertState.OK
    since: datetime | None = None
    """When it came into this state; None before its first round."""
    recent: tuple[Outcome, ...] = ()
    """The last outcomes, the newest at the end."""
    opened_at: datetime | None = None
    """When the trouble began that is told under `dedup_key`."""
    dedup_key: str = ""
    """The same from open to resolved; empty while nothing is open."""
    told_at: datetime | None = None
    """When a message about it was last put into the outbox; None while nobody was sent one."""
    folded: int = 0
    """Bad rounds since it was last told."""
    run_id: str = ""
    """The round that brought it here; applied again it changes nothing."""
    incident: str = ""
    """Key of the last incident that it was a part of; a relapse while that is open is no new one."""

    @property
    def flapping(self) -> bool:
        """Whether it went to and fro in the last rounds."""
        return changes(self.recent) >= FLAPS


def is_bad(outcome: Outcome) -> bool:
    """Whether an outcome is trouble. That nobody could look is; a warning is for the report only."""
    return outcome in {Outcome.FAIL, Outcome.UNKNOWN}


def changes(recent: Sequence[Outcome]) -> int:
    """How often the last rounds went from good to bad or back."""
    bad = [is_bad(outcome) for outcome in recent[-WINDOW:]]
    return sum(one != other for one, other in pairwise(bad))


def advance(
    alert: Alert, outcome: Outcome, at: datetime, run_id: str, policy: AlertPolicy
) -> tuple[Alert, MessageKind | None]:
    """Apply one round to an alert, and say what there is to tell of it. A round that it has seen changes nothing.

    Firing and recovery are told once each. Between them the same trouble is folded until the reminder is due; only a
    first `fail` after rounds in which nobody could look is told at once, as a reminder. What was put into the outbox
    is kept by `notified`.
    """
    if alert.run_id == run_id:
        return alert, None
    worse = outcome is Outcome.FAIL and Outcome.FAIL not in alert.recent[-WINDOW:]
    alert = replace(alert, recent=(*alert.recent, outcome)[-KEPT_ROUNDS:], run_id=run_id, since=alert.since or at)
    if alert.state in {AlertState.FIRING, AlertState.RECOVERING}:
        return _trouble(alert, at, policy, worse=worse) if is_bad(outcome) else _recovery(alert, at, policy)
    return _calm(alert, at, policy)


def notified(alert: Alert, at: datetime) -> Alert:
    """An alert about which a message was put into the outbox."""
    return replace(alert, told_at=at, folded=0)


def let_go(alert: Alert, at: datetime, run_id: str) -> tuple[Alert, MessageKind | None]:
    """Close an alert whose subject a full round did not look at any more: its rule is gone, or the check is well again.

    Its trouble, if it was told, is told as resolved; nobody will ever see the subject recover.
    """
    if alert.run_id == run_id:
        return alert, None
    alert = replace(alert, run_id=run_id, recent=())
    if alert.state in {AlertState.FIRING, AlertState.RECOVERING}:
        return _resolved(alert, at), MessageKind.RESOLVED
    return _closed(alert, at), None


def _calm(alert: Alert, at: datetime, policy: AlertPolicy) -> tuple[Alert, MessageKind | None]:
    """Nothing was told, or all of it was resolved."""
    bad = is_bad(alert.recent[-1])
    # These will stand beside the next round; with a window of one, none does.
    kept = alert.recent[1 - policy.rounds :] if policy.rounds > 1 else ()
    if not bad and not (alert.state is AlertState.PENDING and any(map(is_bad, kept))):
        return _closed(alert, at), None
    if alert.state is not AlertState.PENDING:
        key = f"{alert.site}|{alert.check}|{alert.subject}|{at.isoformat()}"
        alert = replace(alert, state=AlertState.PENDING, since=at, opened_at=at, dedup_key=key, told_at=None, folded=0)
    if bad and sum(map(is_bad, alert.recent[-policy.rounds :])) >= policy.bad:
        return replace(alert, state=AlertState.FIRING, since=at), MessageKind.FIRING
    return alert, None


def _trouble(alert: Alert, at: datetime, policy: AlertPolicy, *, worse: bool) -> tuple[Alert, MessageKind | None]:
    """It was told, and is still or again bad."""
    if alert.state is AlertState.RECOVERING:
        alert = replace(alert, state=AlertState.FIRING, since=at)
    due = alert.told_at is not None and (at - alert.told_at).total_seconds() >= policy.remind
    return replace(alert, folded=alert.folded + 1), MessageKind.REMINDER if due or worse else None


def _recovery(alert: Alert, at: datetime, policy: AlertPolicy) -> tuple[Alert, MessageKind | None]:
    """It was told, and is good for now."""
    needed = max(policy.recover, STEADY) if alert.flapping else policy.recover
    if not any(map(is_bad, alert.recent[-needed:])) and len(alert.recent) >= needed:
        return _resolved(alert, at), MessageKind.RESOLVED
    if alert.state is AlertState.FIRING:
        alert = replace(alert, state=AlertState.RECOVERING, since=at)
    return alert, None


def _resolved(alert: Alert, at: datetime) -> Alert:
    return replace(alert, state=AlertState.RESOLVED, since=at)


def _closed(alert: Alert, at: datetime) -> Alert:
    since = alert.since if alert.state is AlertState.OK else at
    return replace(alert, state=AlertState.OK, since=since, opened_at=None, dedup_key="", told_at=None, folded=0)
