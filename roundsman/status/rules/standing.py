"""What stands of each claim now: what came out when somebody last looked at it, whichever round that was."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from roundsman.report.rules.grouping import Group, group, urgency
from roundsman.report.rules.verdict import Outcome, Verdict

#: Rounds behind a whole one in which is looked for what a check found last that can't look now.
LOOK_BACK_ROUNDS = 10

#: Site, check and subject are known where it is used; a claim of one subject of one check.
ClaimKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One round as the ledger has it. `whole` says that it made every check of its job."""

    started: datetime
    verdicts: tuple[Verdict, ...]
    whole: bool = True
    partial: bool = False
    """Whether it looks at some subjects of a check only, and so says nothing of the others."""
    flow_run: str = ""
    job: str = ""


@dataclass(frozen=True, slots=True)
class LastLook:
    """What one round found out about one subject of one check, and nobody looked at it since."""

    recorded: Recorded
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class StandingFault:
    """A fault that stands, wherever it was found."""

    group: Group
    since: datetime
    """When the first round began that found it, without one in between that found it well."""
    seen: datetime
    """When the last round began that found it."""
    expected: str = ""
    flow_run: str = ""
    """The run in Prefect of the round that found it last."""


@dataclass(frozen=True, slots=True)
class Promises:
    """What is known of the promises of a site, or of a database."""

    faults: tuple[StandingFault, ...] = ()
    """The worst first."""
    counts: Mapping[tuple[str, Outcome, str], int] = field(default_factory=dict)
    """Claims at their last look by check, outcome and severity, which is empty where there is none."""
    looked: Mapping[str, datetime] = field(default_factory=dict)
    """When the round began that last made each check; checks of other jobs than the round are left out."""
    whole_at: datetime | None = None
    """When the last round began that made every check; None when there is none."""
    stale_at: datetime | None = None
    """When what was looked at longest ago is too old to speak for now."""
    outcome: Outcome | None = None
    """Of the last round; None when there is none."""

    def count(self, outcome: Outcome) -> int:
        """How many claims came out so at their last look."""
        return sum(many for (_, one, _), many in self.counts.items() if one is outcome)


def is_blind(verdict: Verdict) -> bool:
    """Whether it says that a check could not look at all."""
    return any(one.claim == f"{verdict.check}/looked" and one.outcome is Outcome.UNKNOWN for one in verdict.findings)


@dataclass(slots=True)
class _Standing:
    """What newer rounds have left open of one check."""

    looked: bool = False
    """Whether one of them made the whole check."""
    met: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    """Subjects that nobody could judge: a failure that an older round found there is not refuted."""
    blind: bool = False
    """The check itself could not look, at the subjects that newer rounds have not met."""

    @property
    def is_open(self) -> bool:
        return bool(self.unsure) or self.blind


def last_looks(rounds: Iterable[Recorded]) -> list[LastLook]:
    """The last look at each subject of each check; `rounds` are the newest first, and read as far as needed.

    A round that made a check has looked at all its subjects: of one that it does not speak of nothing is promised any
    more. Where a check could not judge, a failure that was found before stands beside that until somebody can.
    """
    found: list[LastLook] = []
    checks: dict[str, _Standing] = {}
    settled: set[str] = set()
    left = LOOK_BACK_ROUNDS + 1
    whole = False
    for one in rounds:
        for check, verdicts in _by_check(one.verdicts).items():
            if check in settled or (whole and check not in checks):
                continue
            standing = checks.setdefault(check, _Standing())
            found += [LastLook(one, verdict) for verdict in _new(standing, verdicts)]
            if not one.partial:
                standing.blind = (standing.blind or not standing.looked) and any(map(is_blind, verdicts))
                standing.looked = True
                if not standing.is_open:
                    settled.add(check)
        whole = whole or (one.whole and not one.partial)
        left -= whole
        if whole and (not left or settled.issuperset(checks)):
            break
    return found


def _new(standing: _Standing, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """What a round says that newer ones did not; behind a look that could not judge only what failed."""
    news = []
    for verdict in verdicts:
        subject = verdict.subject
        if subject in standing.met and subject not in standing.unsure:
            continue
        if not standing.looked and subject not in standing.met:
            news.append(verdict)
        elif failed := tuple(one for one in verdict.findings if one.outcome is Outcome.FAIL):
            news.append(replace(verdict, findings=failed))
        standing.met.add(subject)
        if verdict.outcome is Outcome.UNKNOWN and not is_blind(verdict):
            standing.unsure.add(subject)
        else:
            standing.unsure.discard(subject)
    return news


def _by_check(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.check, []).append(verdict)
    return found


def counted(looks: Iterable[LastLook]) -> dict[tuple[str, Outcome, str], int]:
    """How many claims came out how, by check, outcome and severity."""
    found: dict[tuple[str, Outcome, str], int] = {}
    for look in looks:
        for one in look.verdict.findings:
            key = look.verdict.check, one.outcome, one.severity.value if one.severity else ""
            found[key] = found.get(key, 0) + 1
    return found


def faults(looks: Sequence[LastLook], since: Mapping[ClaimKey, datetime]) -> list[StandingFault]:
    """The faults that stand, grouped as a report groups them, the worst first.

    `since` says when each failing claim of a subject began to fail; one that is left out began with its last look.
    """
    found = []
    for one in group([look.verdict for look in looks]):
        behind = [look for look in looks if _has(look, one)]
        began = [since.get((one.check, look.verdict.subject, one.claim), look.recorded.started) for look in behind]
        newest = max(behind, key=lambda look: look.recorded.started)
        expected = newest.verdict.expected_result
        found.append(StandingFault(one, min(began), newest.recorded.started, expected, newest.recorded.flow_run))
    return sorted(found, key=lambda fault: urgency(fault.group))


def _has(look: LastLook, one: Group) -> bool:
    """Whether a look is one of those behind a group."""
    verdict = look.verdict
    return (verdict.check, verdict.rule) == (one.check, one.rule) and any(
        (finding.claim, finding.outcome, finding.severity) == (one.claim, one.outcome, one.severity)
        for finding in verdict.findings
    )


def began(keys: Iterable[ClaimKey], rounds: Iterable[Recorded]) -> dict[ClaimKey, datetime]:
    """When each of some failing claims began to fail; `rounds` are the newest first, and of what is well say nothing.

    A round that looked at a check and does not speak of the claim found it well; one that could not judge says neither.
    """
    open_, found = set(keys), {}
    for one in rounds:
        outcomes = {(v.check, v.subject, f.claim): f.outcome for v in one.verdicts for f in v.findings}
        blind = {verdict.check for verdict in one.verdicts if is_blind(verdict)}
        unsure = {(v.check, v.subject) for v in one.verdicts if v.outcome is Outcome.UNKNOWN}
        looked = {verdict.check for verdict in one.verdicts}
        for key in list(open_):
            if outcomes.get(key) is Outcome.FAIL:
                found[key] = one.started
            elif key in found and key[0] not in blind and key[:2] not in unsure and (one.whole or key[0] in looked):
                open_.discard(key)
        if not open_:
            break
    return found


def failing(looks: Iterable[LastLook]) -> set[ClaimKey]:
    """The claims that failed at their last look."""
    return {
        (look.verdict.check, look.verdict.subject, one.claim)
        for look in looks
        for one in look.verdict.findings
        if one.outcome is Outcome.FAIL
    }
