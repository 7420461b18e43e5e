"""Before and after a release in production, on a real Varnish: rounds are walked, and nothing else is asked."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from flows.__main__ import main
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.releases import keep_release
from roundsman.ledger.tables import ComparisonRow, LatencyRow, RunRow
from roundsman.site.rules.release import Release, ReleaseSource
from tests.edges.lab import Origin, Varnish
from tests.jobs.conftest import articles, site
from tests.jobs.test_compare_release import artifact

pytestmark = [pytest.mark.harness, pytest.mark.slow]

ROUNDS = 30
#: So many rounds that are slower are no spikes any more.
SINCE = 6


@pytest.fixture(scope="module")
def edge():
    with Origin() as origin, Varnish("varnish.vcl", origin) as varnish:
        yield origin, varnish


@pytest.fixture
def lab(prefect, ledger, edge, tmp_path, capsys):
    """One real round, its like thirty times over before it, and what comes after a release."""
    return Lab(edge, ledger, tmp_path)


class Lab:
    def __init__(self, edge, ledger, folder):
        self.origin, self.varnish = edge
        self.engine, self.folder = open_ledger(ledger), folder

    def begin(self, name, *others):
        self.page, self.file = f"/articles/{name}/one", self.folder / "lab.yaml"
        # Not hits: within less than a millisecond a busy machine is as unlike itself as two releases are.
        budget = {"miss": {"p50": "1s"}}
        rule = articles(name, examples={"cached": [self.page]}, response_time=budget)
        # Few at a time, and slow: the test's own load, and what else the machine does, are small beside it.
        manners = {"rate": 40, "timeout": "5s", "samples": 40}
        self.file.write_text(yaml.safe_dump(site(self.varnish.url, [rule, *others], manners=manners)))
        self.origin.delay(self.page, 0.2)
        self.walk()
        self.repeat(ROUNDS, -timedelta(hours=1))

    def walk(self, rounds=1):
        """One real round, and then others like it."""
        assert 0 == main(["inspect", str(self.file), "--only", "response-time"])
        self.repeat(rounds, timedelta(milliseconds=1))

    def repeat(self, rounds, apart):
        """The last round as so many rounds, each a little off, as rounds are."""
        with Session(self.engine.execution_options(writes=True)) as session, session.begin():
            run = session.scalars(select(RunRow).order_by(RunRow.started_at.desc())).first()
            taken = session.scalars(select(LatencyRow).filter_by(run_id=run.id)).all()
            for number in range(1, rounds):
                off = 1 + 0.04 * ((number * 7) % 5 - 2) / 2
                like = f"{run.id}-{number}"
                times = {name: getattr(run, name) + number * apart for name in ("started_at", "ended_at")}
                session.add(RunRow(**run.model_dump() | {"id": like} | times))
                session.flush()
                for one in taken:
                    own = one.model_dump(exclude={"id"}) | {"run_id": like}
                    session.add(LatencyRow(**own | {"p50_ms": one.p50_ms * off, "p95_ms": one.p95_ms * off}))

    def release(self, version):
        with Session(self.engine.execution_options(writes=True)) as session, session.begin():
            assert keep_release(session, "lab", Release(version, datetime.now(UTC), ReleaseSource.BOARD))

    def compare(self, *words, margin="25%"):
        out = self.folder / "report.json"
        code = main(["compare", str(self.file), "--margin", margin, "--json", str(out), *words])
        said = json.loads(out.read_text())["verdicts"]
        self.said = [one["saw"] for verdict in said for one in verdict["findings"]]
        found = [one for verdict in said if verdict["subject"] == self.page for one in verdict["findings"]]
        return code, {one["claim"].removeprefix("compare-release/"): (one["outcome"], one["saw"]) for one in found}


def test_misses_that_became_slower_are_found(lab, capsys):
    lab.begin("since")
    lab.release("1.8")
    lab.origin.delay(lab.page, 0.32)
    lab.walk()
    code, told = lab.compare()
    assert (2, "unknown") == (code, told["miss-speed"][0]), "one round alone could be a spike"
    lab.walk(SINCE)
    code, told = lab.compare()
    assert 1 == code
    outcome, saw = told["miss-speed"]
    assert "fail" == outcome
    assert saw.startswith("slower: x1.")
    assert "lab: comparing the rounds around 1.8" in capsys.readouterr().out
    with Session(lab.engine) as session:
        rows = session.scalars(select(ComparisonRow)).all()
        assert {("1.8", "not enough data"), ("1.8", "slower")} == {
            (row.version, row.word) for row in rows if row.cache_state == "miss"
        }
    page = asyncio.run(artifact("comparison-lab"))
    assert "![How much longer the new release takes, by route and cache state](data:image/svg+xml;base64," in page
    assert f"## {lab.page}\n\n![Median and p95 of each round, with releases](data:image/svg+xml;base64," in page


def test_misses_that_are_30_percent_slower_are_found_though_nine_in_ten_answers_are_hits(lab):
    pages = [f"/articles/stored/{number}" for number in range(9)]
    stored = articles("stored", examples={"cached": pages}, response_time={"hit": {"p50": "1s"}}) | {"name": "stored"}
    lab.begin("rare", stored)
    lab.release("1.8")
    lab.origin.delay(lab.page, 0.26)
    lab.walk(SINCE)
    with Session(lab.engine) as session:
        taken = select(LatencyRow.cache_state, func.sum(LatencyRow.samples)).group_by(LatencyRow.cache_state)
        many = dict(session.execute(taken).all())
    assert many["hit"] == 9 * many["miss"]
    _, told = lab.compare(margin="10%")
    assert "fail" == told["miss-speed"][0], told
    assert told["miss-speed"][1].startswith("slower: x1."), told


def test_a_purge_without_a_change_of_code_is_not_called_slower(lab):
    """The copies are gone, so that the next visits are misses: as slow as misses are, and no slower."""
    import httpx

    lab.begin("purged")
    lab.release("1.9")
    httpx.request("PURGE", lab.varnish.url + lab.page)
    lab.walk()
    _, told = lab.compare()
    assert "pass" == told["miss-speed"][0], told
    assert told["miss-speed"][1].startswith("unchanged: x")


def test_a_release_without_rounds_is_unknown_and_says_how_many_it_takes(lab):
    lab.begin("fresh")
    lab.release("2.0")
    code, told = lab.compare("--release", "2.0")
    assert 2 == code
    assert {"miss-speed"} == told.keys()
    assert all(saw.startswith("not enough data: timed in 0 rounds since and 30 before") for _, saw in told.values())


def test_a_release_that_nobody_knows_is_told_with_those_that_are_known(lab):
    lab.begin("unheard")
    lab.release("2.1")
    assert (2, {}) == lab.compare("--release", "9.9")
    assert ["no release 9.9 is known (known: 2.1)"] == lab.said
