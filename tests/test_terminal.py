"""What a round looks like on terminals of several widths."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from flows.terminal import show
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Claim, Outcome, Severity, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
LEAK = Claim("logged-in-traffic/leak", "Nobody sees another's page.", severity=Severity.CRITICAL)
TTL = Claim("cache-headers/edge-ttl", "It is fresh.")


def verdict(check, subject, finding, **columns):
    return Verdict(check, subject, "articles", "web", "A copy.", "make back", (finding,), **columns)


SHORT = [
    verdict("cache-headers", f"/articles/{number}", TTL.against(f"{60 + number}s", "10m..24h", holds=False))
    for number in range(300)
]
LEAKED = verdict(
    "logged-in-traffic",
    "/inbox",
    LEAK.against("a stranger got a page of ada", "none", holds=False),
    by_rfc="not storable: private",
    observed="MISS, HIT",
)
LONG = replace(LEAKED, subject="/a/path/that/is/long" * 2, by_rfc="words " * 20, observed="letters " * 20)
FINE = verdict("cache-headers", "/[bold]news", TTL.against("10m", "10m..24h", holds=True))


def shown(width, *verdicts):
    out = io.StringIO()
    report = Report("run", "shop", START, START + timedelta(seconds=3), verdicts)
    show(report, Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 119, 120, 200])
def test_a_round_fits_its_terminal_and_is_told_once(width):
    said = shown(width, *SHORT, LEAKED, FINE)
    table = said.partition("\nFAIL")[0]
    assert max(map(len, table.splitlines())) <= width
    words = " ".join(said.split())
    assert words.startswith("shop: 301 failed, 1 passed")
    assert words.index("critical") < words.index("e.g. 60s")
    assert 2 == words.count("and 297 more")
    assert "/articles/299" not in words
    assert "/[bold]news" in words
    assert 40 == sum(shown(width, LONG).count(word) for word in ("words", "letters"))
    assert 2 == sum(one.startswith("FAIL ") for one in said.splitlines())


def test_the_two_columns_stand_beside_each_other_where_there_is_room():
    head, _, row = shown(160, LEAKED).partition("by the RFC")
    assert "outcome" in head
    assert "MISS, HIT" in row
    assert "not storable: private" in row
    assert "by the RFC: not storable: private; as observed: MISS, HIT" in shown(80, LEAKED)
    assert "by the RFC" not in shown(160, FINE)


@pytest.mark.parametrize(
    ("breach", "holds", "begins"),
    [(Outcome.FAIL, False, "FAIL"), (Outcome.WARN, False, "WARN"), (Outcome.FAIL, None, "UNKNOWN")],
)
def test_whatever_is_wrong_is_shown_with_what_was_wanted(breach, holds, begins):
    claim = replace(TTL, breach=breach)
    said = shown(80, verdict("cache-headers", "/a", claim.against("5s", "10m..24h", holds=holds)))
    [line] = [one for one in said.splitlines() if one.startswith(begins)]
    assert line.startswith(f"{begins} /a  cache-headers/edge-ttl  saw 5s, wanted 10m..24h")
