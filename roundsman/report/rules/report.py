"""A round in words, in JSON, and as an exit code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from roundsman.report.rules.grouping import Group, group, passed
from roundsman.report.rules.redaction import evidence_json, exchanges_left_out
from roundsman.report.rules.text import clipped, code_for_markdown, for_markdown, for_table, markdown_table, scrubbed
from roundsman.report.rules.verdict import Finding, Outcome, Verdict, summary, worst

#: The version of the JSON below; a change that breaks a reader raises it.
SCHEMA_VERSION = 1
#: Characters of the worst fault in a state's message.
MAX_FAULT_CHARACTERS = 300
#: Rows of one page or table, at most; a site can be wrong in as many ways as it has pages.
MAX_ROWS = 500
#: The two columns of what a shared cache may keep, and what it keeps.
COLUMNS = ("by the RFC", "as observed")


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
    def message(self) -> str:
        """The counts, and the worst fault if something failed or is unknown: what a run's state says."""
        return message_of(self.verdicts)

    @property
    def exit_code(self) -> int:
        """0 nothing failed, 1 something failed, 2 nothing failed but something is unknown."""
        return {Outcome.FAIL: 1, Outcome.UNKNOWN: 2}.get(self.outcome, 0)


def message_of(verdicts: Sequence[Verdict]) -> str:
    """How many verdicts came out how, and the worst fault: `1 failed, 12 passed; worst: CRITICAL ...`."""
    return "; ".join(filter(None, (summary([one.outcome for one in verdicts]), worst_of(group(verdicts)))))


def worst_of(groups: Sequence[Group]) -> str:
    """The first of some faults in one line for a run's state; empty when none failed or is unknown."""
    if not groups or not is_heavy(groups[0]):
        return ""
    one = groups[0]
    word = (one.severity or one.outcome).upper()
    return clipped(f"worst: {word} {one.claim} {one.where}: saw {seen(one)}, wanted {one.wanted}", MAX_FAULT_CHARACTERS)


def line(one: Group) -> str:
    """One fault as one line for an operator, wherever it was found."""
    rollback = f"  rollback: {rollback_of(one)}" if one.rollback and one.outcome is Outcome.FAIL else ""
    return f"{log_line(one)}{rollback}"


def log_line(one: Group) -> str:
    """One fault without its rollback, which a check that is still to come may find to be missing."""
    harm = f"  severity {one.severity}" if one.severity else ""
    said = f"{one.outcome.upper()} {one.where}  {one.claim}  saw {seen(one)}, wanted {one.wanted}"
    return f"{said}{harm}  owner {one.owner}"


def rollback_of(one: Group) -> str:
    """The command that goes back, or why it can't be run."""
    return cannot_go_back(one.rollback_fault) if one.rollback_fault else one.rollback


def cannot_go_back(fault: str) -> str:
    """What stands in the place of a rollback command that was found to be missing."""
    return f"cannot be run: {fault}"


def seen(one: Group) -> str:
    """What was seen of a group, in the words of its first example; `e.g.` where the others have other numbers.

    Why nobody could look is an exception's text, and that can quote a secret.
    """
    saw = scrubbed(one.saw) if one.claim.endswith("/looked") else one.saw
    if one.varied:
        return f"e.g. {saw}" if one.claim else "all claims hold"
    return saw


def columns(one: Group) -> dict[str, str]:
    """The two columns of a group by their heads, where they are known."""
    return {head: text for head, text in zip(COLUMNS, (one.by_rfc, one.observed), strict=True) if text}


def as_json(report: Report) -> Mapping[str, Any]:
    """The report as plain data, by the documented schema. Its evidence is bounded, that of the worst findings first."""
    evidence = evidence_json(report.verdicts)
    return {
        "schema": SCHEMA_VERSION,
        "site": report.site,
        "started_at": report.started.isoformat(),
        "outcome": report.outcome.value,
        "verdicts": [_verdict(verdict, evidence) for verdict in report.verdicts],
        "groups": [group_json(one) for one in group(report.verdicts)],
    }


def _verdict(verdict: Verdict, evidence: Mapping[int, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "check": verdict.check,
        "subject": verdict.subject,
        "rule": verdict.rule,
        "owner": verdict.owner,
        "outcome": verdict.outcome.value,
        "findings": [_finding(finding, evidence.get(id(finding), [])) for finding in verdict.findings],
        "expected_result": verdict.expected_result,
        "rollback": verdict.rollback,
        **_known(by_rfc=verdict.by_rfc, observed=verdict.observed, rollback_fault=verdict.rollback_fault),
    }


def _finding(finding: Finding, evidence: list[dict[str, Any]]) -> dict[str, Any]:
    more = exchanges_left_out(finding, evidence)
    return {
        "claim": finding.claim,
        "outcome": finding.outcome.value,
        "saw": finding.saw,
        "wanted": finding.wanted,
        "evidence": evidence,
        **({"evidence_left_out": more} if more else {}),
        **_known(severity=finding.severity and finding.severity.value),
    }


def group_json(one: Group) -> dict[str, Any]:
    """A group as plain data."""
    return {
        "check": one.check,
        "rule": one.rule,
        "owner": one.owner,
        "claim": one.claim,
        "outcome": one.outcome.value,
        "saw": one.saw,
        "wanted": one.wanted,
        "count": one.count,
        "subjects": one.subjects,
        "examples": list(one.examples),
        "rollback": one.rollback,
        **_known(
            severity=one.severity and one.severity.value,
            by_rfc=one.by_rfc,
            observed=one.observed,
            rollback_fault=one.rollback_fault,
        ),
    }


def _known(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def rows(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """A table artifact: a row for each fault, the worst first, then one for what holds of each rule.

    What no row has is no column. Of more than MAX_ROWS rows the last one counts the others.
    """
    found = _rows(verdicts)
    shown = [{name: for_table(text) for name, text in row.items()} for row in found[:MAX_ROWS]]
    if len(found) > MAX_ROWS:
        shown.append(dict.fromkeys(found[0], "") | {"subject": _more(found)})
    return shown


def _more(found: Sequence[Any]) -> str:
    return f"and {len(found) - MAX_ROWS:,} more; `--json` has all of them"


def _rows(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    groups = [*group(verdicts), *passed(verdicts)]
    beside = [head for head in COLUMNS if any(head in columns(one) for one in groups)]
    return [
        {
            "outcome": " ".join(filter(None, (one.outcome, one.severity))),
            "check": one.check,
            "subject": one.where,
            "claim": one.claim.partition("/")[2],
            "saw": seen(one),
            "wanted": one.wanted,
            **{head: columns(one).get(head, "") for head in beside},
            "owner": one.owner,
            "rollback": rollback_of(one),
        }
        for one in groups
    ]


def markdown(report: Report, picture: str, shows: str = "Time to first byte by route and cache state") -> str:
    """The report for Prefect's UI. `picture` is a data URI, or empty, and `shows` what is in it."""
    needing = [one for one in group(report.verdicts) if is_heavy(one)]
    needs = f"## What is wrong\n\n{items(needing)}" if needing else "Nothing needs anybody."
    found = _rows(report.verdicts)
    # Prefect's page has room for six narrow columns; the table beside it has everything.
    elsewhere = {"claim", "wanted", "owner", "rollback"}
    heads = [name for name in found[0] if name not in elsewhere] if found else ["outcome"]
    lines = [row | {"saw": _saw(row)} for row in found[:MAX_ROWS]]
    parts = [
        f"# {for_markdown(f'{report.site}: {report.summary}')}",
        needs,
        "## Verdicts",
        markdown_table(heads, ([for_markdown(row[name]) for name in heads] for row in lines)),
        _more(found) if len(found) > MAX_ROWS else "",
        f"![{shows}]({picture})" if picture else "",
        f"{report.started:%Y-%m-%d %H:%M:%S} UTC, {(report.ended - report.started).total_seconds():.1f} s",
    ]
    return "\n\n".join(filter(None, parts))


def _saw(row: Mapping[str, str]) -> str:
    return f"{row['saw']}; wanted {row['wanted']}" if row["wanted"] else row["saw"]


def is_heavy(one: Group) -> bool:
    """Whether somebody has to look: it failed, or nobody could tell."""
    return one.outcome in {Outcome.FAIL, Outcome.UNKNOWN}


def items(groups: Sequence[Group]) -> str:
    """Faults as a list in Markdown, to be read on a screen rather than in a log."""
    return "\n".join([*map(_item, groups[:MAX_ROWS]), *([f"- {_more(groups)}"] if len(groups) > MAX_ROWS else [])])


def _item(one: Group) -> str:
    way = for_markdown(rollback_of(one)) if one.rollback_fault else code_for_markdown(one.rollback)
    back = f" Rollback: {way}" if one.rollback and one.outcome is Outcome.FAIL else ""
    harm = f" Severity **{one.severity}**." if one.severity else ""
    said = for_markdown(f"saw {seen(one)}, wanted {one.wanted}.")
    what = f"**{one.outcome.upper()} {for_markdown(one.where)}** {code_for_markdown(one.claim)}"
    return f"- {what}: {said}{harm} {for_markdown(f'Owner {one.owner}.')}{back}"
