"""An old and a new release side by side, each behind a Varnish of its own."""

import asyncio
import json

import pytest
import yaml
from prefect.client.orchestration import get_client
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from flows.__main__ import main
from flows.jobs.compare_release import _telling
from roundsman.ledger.tables import FindingRow, RunRow
from roundsman.report.rules.verdict import Outcome
from tests.alerts.telling import a_report, verdict
from tests.edges.lab import Origin, Varnish
from tests.jobs.conftest import articles, inbox, site

pytestmark = [pytest.mark.harness, pytest.mark.slow]


@pytest.fixture(scope="module")
def releases():
    with Origin() as old, Origin() as new, Varnish("varnish.vcl", old) as before, Varnish("varnish.vcl", new) as after:
        yield old, new, before, after


@pytest.fixture
def compare(prefect, ledger, releases, tmp_path, capsys):
    """Compare the two releases of a page; what is told of each claim that is a speed or no pass, and the exit code."""
    _, _, before, after = releases

    def run(name, *words, candidate=""):
        one = articles(name, examples={"cached": [f"/articles/{name}/one"]})
        file, out = tmp_path / "lab.yaml", tmp_path / "report.json"
        file.write_text(yaml.safe_dump(site(before.url, [one, inbox(name)])))
        arms = ["--baseline", before.url, "--candidate", candidate or after.url]
        code = main(["compare", str(file), *arms, "--samples", "100", "--json", str(out), *words])
        said = json.loads(out.read_text())
        assert [f"/articles/{name}/one"] == [verdict["subject"] for verdict in said["verdicts"]]
        findings = said["verdicts"][0]["findings"]
        told = {one["claim"].removeprefix("compare-release/"): one for one in findings}
        return code, {
            claim: one["saw"] for claim, one in told.items() if claim.endswith("speed") or one["outcome"] != "pass"
        }

    return run


def test_nothing_changed_is_said_and_not_left_out(releases, compare, capsys):
    for origin in releases[:2]:
        origin.delay("/articles/same/one", 0.02)
    code, told = compare("same", "--margin", "15%")
    assert (0, {"hit-speed", "miss-speed"}) == (code, told.keys())
    assert all(saw.startswith("unchanged: x") for saw in told.values())
    out = capsys.readouterr().out
    assert "inbox is left out: a member's pages are not compared" in out
    assert "unchanged: x" in out.replace("\n", " ")


def test_misses_that_are_30_percent_slower_are_found_though_hits_are_not(releases, compare):
    releases[0].delay("/articles/slow/one", 0.03)
    releases[1].delay("/articles/slow/one", 0.039)
    code, told = compare("slow")
    assert (1, {"hit-speed", "miss-speed"}) == (code, told.keys())
    assert told["miss-speed"].startswith("slower: x1.2") or told["miss-speed"].startswith("slower: x1.3")
    assert told["hit-speed"].startswith("unchanged: x")


def test_a_comparison_is_kept_and_shown_and_the_owner_is_told(releases, compare, ledger, monkeypatch):
    told = []

    async def tell(site, report, *, full):
        told.append((site.site, report.site, full))

    monkeypatch.setattr("flows.jobs.compare_release.notify_now", tell)
    compare("kept", "--samples", "6")
    assert [("lab", "lab", False)] == told
    engine = create_engine(ledger)
    with Session(engine) as session:
        kept = [(run.site, run.job) for run in session.scalars(select(RunRow))]
        claims = {row.claim for row in session.scalars(select(FindingRow))}
    engine.dispose()
    assert [("lab", "compare-release")] == kept
    assert {"compare-release/hit-speed", "compare-release/miss-speed", "compare-release/hit-ratio"} <= claims
    page = asyncio.run(artifact("comparison-lab"))
    assert "![How much longer the new release takes, by route and cache state](data:image/svg+xml;base64," in page


def test_the_owner_is_not_told_that_nothing_can_be_told_yet():
    found = {outcome: verdict(outcome, check="compare-release") for outcome in Outcome}
    told = _telling(a_report(0, *found.values()))
    assert set(Outcome) - {Outcome.UNKNOWN} == {one.outcome for one in told.verdicts}


async def artifact(key):
    async with get_client() as client:
        found = [one for one in await client.read_artifacts() if one.key == key]
        return max(found, key=lambda one: one.created).data


def test_another_content_is_told(releases, compare):
    for origin in releases[:2]:
        origin.delay("/articles/new/one", 0.02)
    releases[1].bump("/articles/new/one")
    code, told = compare("new", "--margin", "15%")
    assert (0, {"hit-speed", "miss-speed", "headers", "body"}) == (code, told.keys())


def test_a_candidate_that_does_not_answer_fails(compare):
    code, told = compare("gone", candidate="http://127.0.0.1:1")
    assert 1 == code
    assert "0 of 200 before, 200 of 200 now" == told["errors"]
    assert "too few answers of one arm on an open connection" == told["speed"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--baseline", "http://a.test/x", "--candidate", "http://b.test"], "--baseline: saw 'http://a.test/x'"),
        (["--baseline", "http://a.test", "--candidate", "b.test"], "--candidate: saw 'b.test', wanted scheme and host"),
        (["--baseline", "http://a.test"], "--candidate: saw only the other address"),
        (["--samples", "5"], "--samples: before and after nothing is asked"),
        (
            ["--baseline", "http://a.test", "--candidate", "http://b.test", "--release", "1"],
            "--release, --control: side",
        ),
        (["--control", "/no/rule/speaks/of/it"], "--control: saw '/no/rule/speaks/of/it'"),
        (
            ["--baseline", "http://a.test", "--candidate", "http://b.test", "--margin", "5"],
            "--margin: saw '5', wanted a share",
        ),
        (["--baseline", "http://a.test", "--candidate", "http://b.test", "--margin", "0%"], "--margin: saw '0%'"),
        (["--baseline", "http://a.test", "--candidate", "http://b.test", "--samples", "0"], "--samples: saw 0"),
        (
            ["--baseline", "http://a.test", "--candidate", "http://b.test", "--json", "/no/where"],
            "--json: saw '/no/where'",
        ),
    ],
)
def test_wrong_input_is_told_and_nothing_is_run(words, says, capsys, monkeypatch):
    monkeypatch.setattr("flows.terminal.compare", lambda *_, **__: pytest.fail("something was run"))
    assert 3 == main(["compare", "demo", *words])
    assert says in capsys.readouterr().err
