"""A round in words and in numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from roundsman.report.rules.grouping import group
from roundsman.report.rules.report import Report, as_json, line, log_line, markdown, rows
from roundsman.report.rules.text import for_table
from roundsman.report.rules.verdict import Claim, Outcome, Severity, Verdict
from tests.make import exchange

START = datetime(2026, 1, 1, tzinfo=UTC)


def report(*verdicts):
    return Report("run", "shop", START, START + timedelta(seconds=3), tuple(verdicts))


def verdict(outcome, *, saw="max-age=60", evidence=(), subject="/inbox", severity=None, **columns):
    claim = Claim(
        "cache-headers/private",
        "It is private.",
        breach=Outcome.WARN if outcome == "warn" else Outcome.FAIL,
        severity=severity,
    )
    holds = {"pass": True, "unknown": None}.get(outcome, False)
    finding = claim.against(saw, "private or no-store", holds=holds, evidence=evidence)
    return Verdict(
        "cache-headers",
        subject,
        "inbox",
        "web-platform",
        "Only she.",
        "make cdn-rollback RULE=inbox",
        (finding,),
        **columns,
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


MESSAGES = [
    ([], "nothing to check"),
    ([verdict("pass"), verdict("warn")], "1 warned, 1 passed"),
    ([verdict("unknown", saw="no answer")], "1 unknown; worst: UNKNOWN cache-headers/private /inbox: saw no answer, wanted private or no-store"),
    ([verdict("fail", subject="/a"), verdict("fail", subject="/m", severity=Severity.CRITICAL)], "2 failed; worst: CRITICAL cache-headers/private /m: saw max-age=60, wanted private or no-store"),
    ([verdict("unknown", severity=None), verdict("fail")], "1 failed, 1 unknown; worst: FAIL cache-headers/private /inbox: saw max-age=60, wanted private or no-store"),
]  # fmt: skip


@pytest.mark.parametrize(("verdicts", "message"), MESSAGES)
def test_a_runs_state_names_the_worst_fault(verdicts, message):
    assert message == report(*verdicts).message


def test_why_nobody_could_look_is_told_without_a_secret():
    finding = Claim("cache-headers/looked", "").against(
        "no answer: token=hunter2 at http://a.test/?k=1", "x", holds=None
    )
    lost = Verdict("cache-headers", "shop", "", "web", "", "", (finding,))
    [one] = group([lost])
    for text in (line(one), log_line(one), report(lost).message, markdown(report(lost), ""), str(rows([lost]))):
        assert "no answer" in text
        assert "hunter2" not in text
        assert "k=1" not in text


def test_a_runs_state_is_bounded_whatever_a_server_sends():
    message = report(verdict("fail", saw="x" * 90_000 + "\n\x1b[31m")).message
    assert len(message) < 400
    assert message.isprintable()


def test_a_failure_is_one_line_with_everything_that_helps():
    [failed] = group([verdict("fail")])
    assert (
        "FAIL /inbox  cache-headers/private  saw max-age=60, wanted private or no-store  "
        "owner web-platform  rollback: make cdn-rollback RULE=inbox"
    ) == line(failed)


def test_three_hundred_failures_are_one_line_too():
    many = [verdict("fail", subject=f"/{number:03}", saw=f"max-age={60 + number}") for number in range(300)]
    [failed] = group(many)
    assert line(failed).startswith(
        "FAIL /000, /001, /002 and 297 more  cache-headers/private  saw e.g. max-age=60, wanted private or no-store  owner"
    )
    [row] = rows(many)
    assert ("/000, /001, /002 and 297 more", "e.g. max-age=60") == (row["subject"], row["saw"])
    page = markdown(report(*many), "")
    assert 2 == page.count("and 297 more")
    assert "/003" not in page


def test_whom_it_harms_is_said_of_a_failure_and_of_nothing_else():
    leak = verdict("fail", severity=Severity.CRITICAL)
    assert "no-store  severity critical  owner web-platform  rollback: " in line(*group([leak]))
    assert "Severity **critical**. Owner web-platform." in markdown(report(leak), "")
    fine = verdict("pass", severity=Severity.CRITICAL)
    assert ["fail critical", "pass"] == [row["outcome"] for row in rows([fine, leak])]
    assert "critical" not in str(as_json(report(fine)))
    assert "critical" == as_json(report(leak))["verdicts"][0]["findings"][0]["severity"]


def test_the_two_columns_are_shown_where_they_are_known():
    both = verdict("fail", by_rfc="storable for 60s", observed="MISS, HIT, HIT")
    neither = verdict("pass", subject="/health")
    bad, good = rows([neither, both])
    assert ("storable for 60s", "MISS, HIT, HIT") == (bad["by the RFC"], bad["as observed"])
    assert ("", "") == (good["by the RFC"], good["as observed"])
    assert "by the RFC" not in rows([neither])[0]
    page = markdown(report(both, neither), "")
    assert "| outcome | check | subject | saw | by the RFC | as observed |" in page
    assert "wanted private or no-store | storable for 60s | MISS, HIT, HIT |" in page
    assert "| outcome | check | subject | saw |" in markdown(report(neither), "")


def test_the_json_keeps_each_verdict_whole_beside_the_groups():
    many = [verdict("fail", subject=f"/{number}", saw=f"max-age={60 + number}") for number in range(9)]
    said = as_json(report(*many, verdict("fail", by_rfc="storable", observed="HIT", severity=Severity.POLICY)))
    assert 10 == len(said["verdicts"])
    harmful, other = said["groups"]
    assert {
        "check": "cache-headers", "rule": "inbox", "owner": "web-platform", "claim": "cache-headers/private",
        "outcome": "fail", "saw": "max-age=60", "wanted": "private or no-store", "count": 9, "subjects": 9,
        "examples": ["/0", "/1", "/2"], "rollback": "make cdn-rollback RULE=inbox",
    } == other  # fmt: skip
    assert {"severity": "policy", "by_rfc": "storable", "observed": "HIT"}.items() <= harmful.items()
    whole, plain = said["verdicts"][-1], said["verdicts"][0]
    assert ("storable", "HIT") == (whole["by_rfc"], whole["observed"])
    assert {"by_rfc", "observed"}.isdisjoint(plain)


def test_the_json_holds_what_its_schema_says_and_no_secret():
    seen = exchange(
        "/inbox",
        "max-age=60",
        set_cookie=["sid=top-secret", "top-secret; Path=/"],
        authorization="Bearer top-secret",
        body=b"top-secret",
    )
    said = as_json(report(verdict("fail", evidence=[seen])))
    assert {"schema", "site", "started_at", "outcome", "verdicts", "groups"} == set(said)
    (one,) = said["verdicts"]
    assert {"check", "subject", "rule", "owner", "outcome", "findings", "expected_result", "rollback"} == set(one)
    assert {"claim", "outcome", "saw", "wanted", "evidence"} == set(one["findings"][0])
    assert "top-secret" not in str(said)
    assert "max-age=60" in str(one["findings"][0]["evidence"])
    assert "sid=sha256:" in str(said)


def test_the_page_shows_what_needs_somebody_and_survives_a_bar_in_a_value():
    page = markdown(report(verdict("fail", saw="a|b"), verdict("pass")), "data:image/svg+xml;base64,AAAA")
    assert page.startswith("# shop: 1 failed, 1 passed\n\n## What is wrong\n\n- **FAIL ")
    assert page.index("## Verdicts") < page.index("![")
    assert (
        "- **FAIL /inbox** `cache-headers/private`: saw a\\|b, wanted private or no-store. Owner web-platform." in page
    )
    assert "a\\|b" in page
    assert "](data:image/svg+xml;base64,AAAA)" in page
    assert "Nothing needs anybody." in markdown(report(verdict("pass")), "")


def test_a_verdict_without_findings_is_refused():
    with pytest.raises(ValueError, match="needs at least one finding"):
        Verdict("c", "/", "r", "o", "e", "b")


MISSING = "no target cdn-rollback (of `make cdn-rollback RULE=inbox`)"


def test_no_sink_quotes_a_rollback_that_was_found_missing_as_if_it_worked():
    """Data stay data: the command as it is written, and beside it what is wrong with it."""
    broken = verdict("fail", rollback_fault=MISSING)
    [one] = group([broken])
    assert line(one).endswith(f"  rollback: cannot be run: {MISSING}")
    assert [for_table(f"cannot be run: {MISSING}")] == [row["rollback"] for row in rows([broken])]
    page = markdown(report(broken), "")
    assert "`make cdn-rollback RULE=inbox`" not in page
    assert "cannot be run: no target cdn-rollback" in page
    data = as_json(report(broken))
    for found in (data["verdicts"][0], data["groups"][0]):
        assert ("make cdn-rollback RULE=inbox", MISSING) == (found["rollback"], found["rollback_fault"])
