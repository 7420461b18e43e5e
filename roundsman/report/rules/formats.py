"""A report for other programs: JUnit's XML, SARIF, and the annotations of GitHub's workflows.

Sources: the schema of the JUnit XML that Jenkins reads (jenkinsci/xunit-plugin, junit-10.xsd), SARIF 2.1.0 (OASIS), and
"Workflow commands for GitHub Actions" (docs.github.com).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from roundsman.report.rules.report import Report
from roundsman.report.rules.text import plain
from roundsman.report.rules.verdict import Finding, Outcome, Verdict
from roundsman.version import VERSION

SARIF_SCHEMA_URL = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SARIF_LEVELS = {Outcome.FAIL: "error", Outcome.UNKNOWN: "warning", Outcome.WARN: "warning", Outcome.PASS: "none"}
_GITHUB_LEVELS = {Outcome.FAIL: "error", Outcome.UNKNOWN: "warning", Outcome.WARN: "warning"}
#: What XML 1.0 forbids in any text.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Format(StrEnum):
    """How a command writes its report to standard output."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    GITHUB = "github"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file something is wrong, such as in a site file."""

    file: str
    line: int = 0


def formatted(report: Report, kind: Format, places: Sequence[Place] = ()) -> str:
    """A report in one of the formats, with a newline at its end.

    Args:
        report: What to write.
        kind: JUnit, SARIF or GitHub.
        places: For each verdict, in their order, where in a file its subject is written; none when that is not known.

    Raises:
        ValueError: another format, which is the command's own.
    """
    found = list(zip(report.verdicts, [*places, *[Place("")] * len(report.verdicts)], strict=False))
    match kind:
        case Format.JUNIT:
            return _junit(report, found)
        case Format.SARIF:
            return json.dumps(_sarif(found), indent=1) + "\n"
        case Format.GITHUB:
            return "".join(f"{line}\n" for verdict, place in found for line in _github(verdict, place))
    raise ValueError(kind)


def _message(one: Finding) -> str:
    return plain(f"saw {one.saw}, wanted {one.wanted}")


def _junit(report: Report, found: Sequence[tuple[Verdict, Place]]) -> str:
    by_check: dict[str, list[tuple[Verdict, Place]]] = {}
    for verdict, place in found:
        by_check.setdefault(verdict.check, []).append((verdict, place))
    seconds = (report.ended - report.started).total_seconds()
    begun = f"{report.started:%Y-%m-%dT%H:%M:%S}"
    suites = "".join(_suite(check, each, begun) for check, each in by_check.items())
    counts, name = _counts(report.verdicts), _attribute(report.site)
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name={name} {counts} time="{seconds:.3f}">\n'
    return f"{head}{suites}</testsuites>\n"


def _suite(check: str, found: Sequence[tuple[Verdict, Place]], begun: str) -> str:
    counts = _counts([verdict for verdict, _ in found])
    cases = "".join(_case(verdict, place) for verdict, place in found)
    return f'<testsuite name={_attribute(check)} {counts} timestamp="{begun}">\n{cases}</testsuite>\n'


def _counts(verdicts: Sequence[Verdict]) -> str:
    outcomes = [one.outcome for one in verdicts]
    failures, errors = outcomes.count(Outcome.FAIL), outcomes.count(Outcome.UNKNOWN)
    return f'tests="{len(outcomes)}" failures="{failures}" errors="{errors}"'


def _case(verdict: Verdict, place: Place) -> str:
    """A test for each subject: what failed is its failure, what nobody could tell its error, a warning its output."""
    said: dict[Outcome, list[str]] = {outcome: [] for outcome in Outcome}
    for one in verdict.findings:
        said[one.outcome].append(f"{one.claim}: {_message(one)}")
    parts = [
        f"<{tag} message={_attribute(lines[0])} type={_attribute(outcome)}>{_text(chr(10).join(lines))}</{tag}>\n"
        for tag, outcome in (("failure", Outcome.FAIL), ("error", Outcome.UNKNOWN))
        if (lines := said[outcome])
    ]
    # The schema takes one of both: what failed says more.
    parts = parts[:1]
    if warned := said[Outcome.WARN]:
        parts.append(f"<system-out>{_text(chr(10).join(warned))}</system-out>\n")
    name = verdict.subject if not place.line else f"{verdict.subject}:{place.line}"
    whose = f"{verdict.check}.{verdict.rule}" if verdict.rule else verdict.check
    return f"<testcase classname={_attribute(whose)} name={_attribute(name)}>\n{''.join(parts)}</testcase>\n"


def _text(text: str) -> str:
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _attribute(text: str) -> str:
    return quoteattr(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", text))


def _sarif(found: Sequence[tuple[Verdict, Place]]) -> dict[str, Any]:
    faults = [
        (verdict, place, one) for verdict, place in found for one in verdict.findings if one.outcome is not Outcome.PASS
    ]
    rules = {one.claim: one.says for _, _, one in faults}
    driver = {
        "name": "roundsman",
        "version": VERSION,
        "rules": [{"id": claim, "shortDescription": {"text": says or claim}} for claim, says in rules.items()],
    }
    ids = list(rules)
    results = [_result(verdict, place, one, ids.index(one.claim)) for verdict, place, one in faults]
    return {"$schema": SARIF_SCHEMA_URL, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(verdict: Verdict, place: Place, one: Finding, rule: int) -> dict[str, Any]:
    where: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": verdict.subject, "kind": "resource"}]}
    if place.file:
        region = {"region": {"startLine": place.line}} if place.line else {}
        where["physicalLocation"] = {"artifactLocation": {"uri": quote(place.file)}, **region}
    return {
        "ruleId": one.claim,
        "ruleIndex": rule,
        "level": _SARIF_LEVELS[one.outcome],
        "message": {"text": f"{verdict.subject}: {_message(one)}"},
        "locations": [where],
        "properties": {"outcome": one.outcome.value, **({"owner": verdict.owner} if verdict.owner else {})},
    }


def _github(verdict: Verdict, place: Place) -> list[str]:
    where = "".join(
        f"{name}={_property(str(value))}," for name, value in (("file", place.file), ("line", place.line)) if value
    )
    lines = []
    for one in verdict.findings:
        if one.outcome is not Outcome.PASS:
            title = _property(f"{one.claim} {verdict.subject}")
            lines.append(f"::{_GITHUB_LEVELS[one.outcome]} {where}title={title}::{_data(_message(one))}")
    return lines


def _data(text: str) -> str:
    return plain(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
