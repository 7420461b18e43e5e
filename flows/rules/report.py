"""A round in words, in JSON, and as an exit code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.rules.exchange import told
from flows.rules.subject import summary
from flows.rules.verdict import Finding, Outcome, Verdict, worst

#: The version of the JSON below; a change that breaks a reader raises it.
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Report:
    """One round of one site and what it concluded. `looking` is the part of its seconds spent on the outside."""

    run: str
    site: str
    started: datetime
    ended: datetime
    verdicts: tuple[Verdict, ...]
    looking: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """The worst of all; a round without a verdict has proven nothing."""
        return worst(verdict.outcome for verdict in self.verdicts) if self.verdicts else Outcome.UNKNOWN

    @property
    def summary(self) -> str:
        """How many verdicts came out how."""
        return summary([verdict.outcome for verdict in self.verdicts])

    @property
    def exit_code(self) -> int:
        """0 nothing failed, 1 something failed, 2 nothing failed but something is unknown."""
        return {Outcome.FAIL: 1, Outcome.UNKNOWN: 2}.get(self.outcome, 0)


def notable(verdict: Verdict) -> tuple[Finding, ...]:
    """The findings to show first: all that are not a pass, the heaviest first."""
    found = [finding for finding in verdict.findings if finding.outcome is not Outcome.PASS]
    return tuple(sorted(found, key=lambda finding: -finding.outcome.weight))


def line(verdict: Verdict, finding: Finding) -> str:
    """One finding as one line for an operator."""
    said = f"{finding.outcome.upper()} {verdict.subject}  {finding.claim}  saw {finding.saw}, wanted {finding.wanted}"
    rollback = f"  rollback: {verdict.rollback}" if verdict.rollback and finding.outcome is Outcome.FAIL else ""
    return f"{said}  owner {verdict.owner}{rollback}"


def as_json(report: Report) -> Mapping[str, Any]:
    """The report as plain data, by the documented schema."""
    return {
        "schema": SCHEMA,
        "site": report.site,
        "started_at": report.started.isoformat(),
        "outcome": report.outcome.value,
        "verdicts": [
            {
                "check": verdict.check,
                "subject": verdict.subject,
                "rule": verdict.rule,
                "owner": verdict.owner,
                "outcome": verdict.outcome.value,
                "findings": [
                    {
                        "claim": finding.claim,
                        "outcome": finding.outcome.value,
                        "saw": finding.saw,
                        "wanted": finding.wanted,
                        "evidence": [told(exchange) for exchange in finding.evidence],
                    }
                    for finding in verdict.findings
                ],
                "expected_result": verdict.expected_result,
                "rollback": verdict.rollback,
            }
            for verdict in report.verdicts
        ],
    }


def held(verdict: Verdict) -> str:
    """What to say of a verdict in which nothing is wrong."""
    count = len(verdict.findings)
    return f"{count} claims hold" if count > 1 else f"1 claim holds: {verdict.findings[0].saw}"


def rows(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """A row for each finding that is not a pass, and one for each verdict that is."""
    return [
        {
            "outcome": (finding or verdict).outcome.value,
            "check": verdict.check,
            "subject": verdict.subject,
            "claim": finding.claim.partition("/")[2] if finding else "",
            "saw": finding.saw if finding else held(verdict),
            "wanted": finding.wanted if finding else "",
            "owner": verdict.owner,
            "rollback": verdict.rollback,
        }
        for verdict in sorted(verdicts, key=lambda verdict: -verdict.outcome.weight)
        for finding in notable(verdict) or [None]
    ]


def markdown(report: Report, picture: str) -> str:
    """The report for Prefect's UI. `picture` is a data URI, or empty."""
    heavy = {Outcome.FAIL, Outcome.UNKNOWN}
    needing = [_item(v, finding) for v in report.verdicts for finding in notable(v) if finding.outcome in heavy]
    needs = "## What needs somebody\n\n" + "\n".join(needing) if needing else "Nothing needs anybody."
    columns = ("outcome", "check", "subject", "saw", "wanted", "owner")
    table = [columns, ["---"] * len(columns), *([row[key] for key in columns] for row in rows(report.verdicts))]
    parts = [
        f"# {report.site}: {report.summary}",
        f"{report.started:%Y-%m-%d %H:%M:%S} UTC, {(report.ended - report.started).total_seconds():.1f} s",
        f"![Time to first byte by route and cache state]({picture})" if picture else "",
        needs,
        "## Verdicts",
        "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in table),
    ]
    return "\n\n".join(filter(None, parts))


def _item(verdict: Verdict, finding: Finding) -> str:
    """A finding as an item of a list, to be read on a screen rather than in a log."""
    back = f" Rollback: `{verdict.rollback}`" if verdict.rollback and finding.outcome is Outcome.FAIL else ""
    said = f"saw {finding.saw}, wanted {finding.wanted}. Owner {verdict.owner}.{back}"
    return f"- **{finding.outcome.upper()} {verdict.subject}** `{finding.claim}`: {said}".replace("\n", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
