"""A round in words and in numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from flows.rules.report import Report, as_json, line, markdown
from flows.rules.verdict import Claim, Outcome, Verdict
from tests.rules.make import exchange

START = datetime(2026, 1, 1, tzinfo=UTC)


def report(*verdicts):
    return Report("run", "shop", START, START + timedelta(seconds=3), tuple(verdicts))


def verdict(outcome, *, saw="max-age=60", evidence=()):
    claim = Claim("cache-headers/private", "It is private.", breach=Outcome.WARN if outcome == "warn" else Outcome.FAIL)
    holds = {"pass": True, "unknown": None}.get(outcome, False)
    finding = claim.against(saw, "private or no-store", holds=holds, evidence=evidence)
    return Verdict(
        "cache-headers", "/inbox", "inbox", "web-platform", "Only she.", "make cdn-rollback RULE=inbox", (finding,)
    )


OUTCOMES = [
    ([], "unknown", 2, "nothing to check"),
    (["pass", "pass"], "pass", 0, "2 passed"),
    (["pass", "warn"], "warn", 0, "1 warned, 1 passed"),
    (["warn", "unknown"], "unknown", 2, "1 unknown, 1 warned"),
    (["unknown", "fail", "fail"], "fail", 1, "2 failed, 1 unknown"),
]


@pytest.mark.parametrize(("outcomes", "worst", "code", "summary"), OUTCOMES)
def test_the_worst_outcome_decides(outcomes, worst, code, summary):
    made = report(*map(verdict, outcomes))
    assert (worst, code, summary) == (made.outcome, made.exit_code, made.summary)


def test_a_failure_is_one_line_with_everything_that_helps():
    failed = verdict("fail")
    assert (
        "FAIL /inbox  cache-headers/private  saw max-age=60, wanted private or no-store  "
        "owner web-platform  rollback: make cdn-rollback RULE=inbox"
    ) == line(failed, failed.findings[0])


def test_the_json_holds_what_its_schema_says_and_no_secret():
    seen = exchange(
        "/inbox",
        "max-age=60",
        set_cookie=["sid=top-secret", "top-secret; Path=/"],
        authorization="Bearer top-secret",
        body=b"top-secret",
    )
    said = as_json(report(verdict("fail", evidence=[seen])))
    assert {"schema", "site", "started_at", "outcome", "verdicts"} == set(said)
    (one,) = said["verdicts"]
    assert {"check", "subject", "rule", "owner", "outcome", "findings", "expected_result", "rollback"} == set(one)
    assert {"claim", "outcome", "saw", "wanted", "evidence"} == set(one["findings"][0])
    assert "top-secret" not in str(said)
    assert "max-age=60" in str(one["findings"][0]["evidence"])
    assert "sid=sha256:" in str(said)


def test_the_page_shows_what_needs_somebody_and_survives_a_bar_in_a_value():
    page = markdown(report(verdict("fail", saw="a|b"), verdict("pass")), "data:image/svg+xml;base64,AAAA")
    assert page.startswith("# shop: 1 failed, 1 passed")
    assert "- **FAIL /inbox** `cache-headers/private`: saw a|b, wanted private or no-store. Owner web-platform." in page
    assert "a\\|b" in page
    assert "](data:image/svg+xml;base64,AAAA)" in page
    assert "Nothing needs anybody." in markdown(report(verdict("pass")), "")


def test_a_verdict_without_findings_is_refused():
    with pytest.raises(ValueError, match="needs at least one finding"):
        Verdict("c", "/", "r", "o", "e", "b")
