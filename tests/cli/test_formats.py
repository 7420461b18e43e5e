"""Reports for other programs: JUnit, SARIF and GitHub's annotations say what the terminal says."""

import json
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.cli.command_line import main
from roundsman.cli.output import FORMATS
from roundsman.report.rules.formats import Format, Place, formatted
from roundsman.report.rules.grouping import group
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Claim, Outcome, Verdict
from roundsman.sweep.rules.judge import Swept, as_report

START = datetime(2026, 12, 1, 10, tzinfo=UTC)
HOSTILE = "<b>&\x00\x1b[31m ::error::x\r\n]]>, 50%"


def verdict(subject, *findings, check="cache-headers", rule="articles"):
    return Verdict(check, subject, rule, "web-platform", "", "", findings)


def finding(*, holds, breach=Outcome.FAIL, saw="5s", claim="cache-headers/edge-ttl"):
    return Claim(claim, "It is kept.", breach=breach).against(saw, "10m", holds=holds)


REPORT = Report(
    "run",
    "shop",
    START,
    START + timedelta(seconds=2.5),
    (
        verdict("/fine", finding(holds=True)),
        verdict(
            "/wrong",
            finding(holds=False, saw=HOSTILE),
            finding(holds=False, breach=Outcome.WARN, claim="cache-headers/vary"),
        ),
        verdict("/unseen", finding(holds=None), check="response-time", rule=""),
    ),
)


def test_junit_has_a_suite_for_each_check_and_a_test_for_each_subject():
    suites = ET.fromstring(formatted(REPORT, Format.JUNIT))
    assert {"name": "shop", "tests": "3", "failures": "1", "errors": "1", "time": "2.500"} == suites.attrib
    assert [("cache-headers", "2", "1", "0"), ("response-time", "1", "0", "1")] == [
        tuple(suite.attrib[name] for name in ("name", "tests", "failures", "errors")) for suite in suites
    ]
    cases = {case.get("name"): case for case in suites.iter("testcase")}
    assert [] == list(cases["/fine"])
    assert ["failure", "system-out"] == [one.tag for one in cases["/wrong"]]
    assert ["error"] == [one.tag for one in cases["/unseen"]]
    assert "cache-headers.articles" == cases["/wrong"].get("classname")
    assert "<b>&" in cases["/wrong"].find("failure").get("message")


def test_sarif_names_each_claim_once_and_each_fault_where_it_is():
    places = [Place("sites/shop.yaml", line) for line in (3, 7, 9)]
    log = json.loads(formatted(REPORT, Format.SARIF, places))
    assert "2.1.0" == log["version"]
    [run] = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert ["cache-headers/edge-ttl", "cache-headers/vary"] == rules
    shown = [
        (rules[one["ruleIndex"]] == one["ruleId"], one["level"], one["properties"]["outcome"], *where(one))
        for one in run["results"]
    ]
    assert [
        (True, "error", "fail", "sites/shop.yaml", 7),
        (True, "warning", "warn", "sites/shop.yaml", 7),
        (True, "warning", "unknown", "sites/shop.yaml", 9),
    ] == shown


def where(result):
    physical = result["locations"][0]["physicalLocation"]
    return physical["artifactLocation"]["uri"], physical["region"]["startLine"]


def test_an_annotation_is_one_line_that_no_text_from_outside_can_break_out_of():
    lines = formatted(REPORT, Format.GITHUB).splitlines()
    assert ["::error title=", "::warning title=", "::warning title="] == [line[: line.index("=") + 1] for line in lines]
    title, _, message = lines[0].removeprefix("::error ").partition("::")
    assert "title=cache-headers/edge-ttl /wrong" == title
    assert "50%25" in message
    assert "\x1b" not in message


def test_every_format_can_be_asked_for():
    assert tuple(Format) == FORMATS


@pytest.mark.parametrize("form", ["json", "junit", "sarif", "github"])
def test_what_a_command_writes_for_a_program_stands_alone_on_standard_output(form, tmp_path, capsys):
    path = tmp_path / "shop.yaml"
    path.write_text("site: shop\n", encoding="utf-8")
    assert 3 == main(["lint", str(path), "--format", form])
    said = capsys.readouterr()
    assert f"{path}:1:1: owner: saw nothing" in said.err
    assert "owner" in said.out
    match form:
        case "json":
            assert "fail" == json.loads(said.out)["outcome"]
        case "junit":
            assert "testsuites" == ET.fromstring(said.out).tag
        case "sarif":
            assert (
                1
                == json.loads(said.out)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"][
                    "startLine"
                ]
            )
        case "github":
            assert said.out.startswith(f"::error file={path},line=1,")


@pytest.mark.parametrize(("pages", "listed"), [(9, 9), (8, 9), (0, 0)])
def test_a_sweep_is_a_verdict_for_each_fault_and_one_on_whether_all_was_looked_at(pages, listed):
    groups = group([verdict("/a", finding(holds=False)), verdict("/b", finding(holds=False))])
    report = as_report(Swept("shop", "one", pages, listed, groups=groups, seconds=2.0), START)
    assert ("shop", START - timedelta(seconds=2), "fail") == (report.site, report.started, report.outcome)
    fault, whole = report.verdicts
    assert ("/a, /b", "cache-headers/edge-ttl", "fail") == (fault.subject, fault.findings[0].claim, fault.outcome)
    wanted = "pass" if pages == listed > 0 else "unknown"
    assert ("sweep/whole", f"{pages} of {listed} pages", wanted) == (
        whole.findings[0].claim,
        whole.findings[0].saw,
        whole.outcome,
    )
