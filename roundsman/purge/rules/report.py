"""What came of a purge, in lines, in JSON and as an exit code."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roundsman.purge.rules.plan import PurgePlan
from roundsman.report.rules.report import SCHEMA_VERSION, Report, as_json
from roundsman.report.rules.verdict import Outcome, Verdict

#: The exit code of a purge that was refused, so that nothing was done.
REFUSED = 3


@dataclass(frozen=True, slots=True)
class Purging:
    """A plan, and the report of what it did; no report when nothing was done, as in a dry run."""

    site: str
    started: datetime
    plan: PurgePlan
    report: Report | None = None

    @property
    def exit_code(self) -> int:
        """3 refused and nothing done, else the report's: 0 nothing failed, 1 something failed, 2 unknown."""
        if self.plan.refusals:
            return REFUSED
        return self.report.exit_code if self.report else 0


def planned(plan: PurgePlan) -> Iterator[str]:
    """The plan as lines: each request as it is sent, what goes as well, and what to know."""
    for refusal in plan.refusals:
        yield f"refused: {refusal}"
    yield from map(str, plan.orders)
    if plan.expected:
        yield f"goes as well: {', '.join(plan.expected)}"
    yield from (f"note: {note}" for note in plan.notes)


def proven(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """One line for each target: what was proven, and how strongly."""
    for verdict in verdicts:
        yield f"{verdict.outcome} {verdict.subject}: {verdict.observed or verdict.findings[0].saw}"


def purge_json(purging: Purging) -> Mapping[str, Any]:
    """The same as plain data: a report's schema, and the plan. `applied` says whether anything was sent."""
    plan = purging.plan
    outcome = Outcome.UNKNOWN if plan.refusals else Outcome.PASS
    nothing = {
        "schema": SCHEMA_VERSION,
        "site": purging.site,
        "started_at": purging.started.isoformat(),
        "outcome": outcome.value,
        "verdicts": [],
        "groups": [],
    }
    return {
        **(as_json(purging.report) if purging.report else nothing),
        "applied": purging.report is not None,
        "plan": {
            "urls": list(plan.urls),
            "requests": [str(order) for order in plan.orders],
            "refusals": [str(refusal) for refusal in plan.refusals],
            "expected": list(plan.expected),
            "notes": list(plan.notes),
        },
    }
