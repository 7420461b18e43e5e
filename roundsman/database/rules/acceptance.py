"""Known faults that a database file accepts: for a reason, and mostly until a day. After that day they count again."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from roundsman.report.rules.verdict import Claim, Finding, Outcome
from roundsman.site.rules.field_types import Model, Text

#: Days that a fault can be accepted for. Whoever wants longer looks at it again in between.
MAX_ACCEPTED_DAYS = 731


class Acceptance(Model):
    """Why something may be as it is, and until when."""

    because: Text
    until: date | None = None
    """The last day on which it is accepted; for ever when left out."""

    def is_over(self, today: date) -> bool:
        """Whether its last day has passed."""
        return self.until is not None and self.until < today

    def __str__(self) -> str:
        """As it is shown: the day, and the reason."""
        return f"until {self.until} ({self.because})" if self.until else f"({self.because})"


def _reason(written: object) -> object:
    return {"because": written} if isinstance(written, str) else written


#: A reason alone, or with the last day: `{because: ..., until: 2027-01-31}`.
Reason = Annotated[
    Acceptance,
    BeforeValidator(_reason),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, Acceptance.model_json_schema()]}),
]


class AcceptedClaim(Acceptance):
    """One claim that may be broken until a day, such as `{claim: db303, because: ..., until: 2027-01-31}`."""

    claim: Text
    """A claim's number for all of that number, such as db303, or one of them, such as db303-reads."""
    until: date
    """The last day on which it is accepted."""

    def covers(self, claim: str) -> bool:
        """Whether it speaks of the claim with this id."""
        return covers(self.claim, claim)


class AcceptedMigration(AcceptedClaim):
    """A claim that one migration may break."""

    revision: Text


class AcceptedQuery(AcceptedClaim):
    """A claim that one named query may break."""

    query: Text


def covers(written: str, claim: str) -> bool:
    """Whether `db303`, `db303-reads` or `migration-rehearsal/db303-reads` speaks of the claim with this id."""
    name, wanted = claim.rpartition("/")[2], written.lower().removeprefix(f"{claim.partition('/')[0]}/")
    return wanted in {name, name.partition("-")[0]}


def unknown_claim(written: str, known: Iterable[Claim]) -> str:
    """What to write instead of a claim that nobody knows; "" when it is known."""
    ids = [one.id for one in known]
    if any(covers(written, one) for one in ids):
        return ""
    return f"wanted one of {', '.join(dict.fromkeys(one.rpartition('/')[2] for one in ids))}"


def settled(finding: Finding, acceptance: Acceptance, today: date) -> Finding:
    """The finding as a pass that says why it is accepted; as it was, with a word, once the last day has passed."""
    if acceptance.is_over(today):
        return finding._replace(saw=f"{finding.saw}; it was accepted {acceptance}, which is over")
    return finding._replace(outcome=Outcome.PASS, saw=f"accepted {acceptance}: {finding.saw}", severity=None)


def useless(check: str, entries: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """A warning for each entry of `accept` that covers nothing: what it says, and why it covers nothing."""
    claim = Claim(f"{check}/accept", "What is accepted is still there.", breach=Outcome.WARN)
    for entry, why in entries:
        yield claim.against(f"`accept` has {entry}: {why}", "remove it from `accept`, or correct it", holds=False)
