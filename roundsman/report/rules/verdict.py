"""What a check says: a claim against what was seen is a finding, and all findings on one subject are a verdict."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.quantiles import Series
from roundsman.report.rules.text import shortened, without_credentials

#: Characters of what a finding saw and wanted, each; a server may send a header of 90 kB.
MAX_OBSERVED_CHARACTERS = 4000


class Outcome(StrEnum):
    """How a claim came out. `unknown` means that nobody could look; it is never a pass."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    WARN = "warn"
    UNKNOWN = "unknown"
    FAIL = "fail"

    @property
    def weight(self) -> int:
        """Its place in the order pass, warn, unknown, fail."""
        return _ORDER.index(self)


class Severity(StrEnum):
    """How much harm a breach of privacy does: somebody saw it, a shared cache holds it, or nothing forbids it."""

    CRITICAL = "critical"
    STORED = "stored"
    POLICY = "policy"


_ORDER = (Outcome.PASS, Outcome.WARN, Outcome.UNKNOWN, Outcome.FAIL)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The heaviest of some outcomes; a pass when there are none."""
    return max(outcomes, key=lambda outcome: outcome.weight, default=Outcome.PASS)


# A plain tuple, since some are made for every exchange of a round.
class Finding(NamedTuple):
    """One claim against what was seen."""

    claim: str
    says: str
    outcome: Outcome
    saw: str
    wanted: str
    evidence: tuple[Exchange, ...] = ()
    severity: Severity | None = None
    """Of a breach; None when there is none, or when the claim is not about privacy."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence that should hold, with its name and its source."""

    id: str
    says: str
    see: str = ""
    breach: Outcome = Outcome.FAIL
    severity: Severity | None = None

    def against(self, saw: object, wanted: object, *, holds: bool | None, evidence: Sequence[Exchange] = ()) -> Finding:
        """Hold the claim against what was seen. `holds=None` says that it could not be told.

        What was seen is kept without the user, password and query of an address, and up to MAX_OBSERVED_CHARACTERS.
        """
        outcome = Outcome.UNKNOWN if holds is None else Outcome.PASS if holds else self.breach
        severity = self.severity if outcome is self.breach else None
        return Finding(self.id, self.says, outcome, _bounded(saw), _bounded(wanted), tuple(evidence), severity)


def _bounded(said: object) -> str:
    return without_credentials(shortened(str(said), MAX_OBSERVED_CHARACTERS))


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings about one subject, with whose it is and how to go back."""

    check: str
    subject: str
    rule: str
    owner: str
    expected_result: str
    rollback: str
    findings: tuple[Finding, ...] = field(default=())
    series: tuple[Series, ...] = ()
    by_rfc: str = ""
    """What a shared cache may do with the subject by the RFC, in a few words; empty where that is not the question."""
    observed: str = ""
    """What the edge was seen to do."""
    rollback_fault: str = ""
    """Why the rollback can't be run, when it was found to be missing; see `roundsman.rollback.rules.judge.warned`."""

    def __post_init__(self) -> None:
        if not self.findings:
            raise ValueError(f"a verdict needs at least one finding, and {self.check} on {self.subject} has none")

    @property
    def outcome(self) -> Outcome:
        """The worst of its findings."""
        return worst(finding.outcome for finding in self.findings)


def summary(outcomes: Sequence[Outcome]) -> str:
    """A count of outcomes, the heaviest first: `2 failed, 1 unknown, 9 passed`."""
    words = ((Outcome.FAIL, "failed"), (Outcome.UNKNOWN, "unknown"), (Outcome.WARN, "warned"), (Outcome.PASS, "passed"))
    said = [f"{outcomes.count(outcome)} {word}" for outcome, word in words if outcome in outcomes]
    return ", ".join(said) or "nothing to check"
