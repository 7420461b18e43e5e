"""The review of a database: its command, its report in words, JSON and artifacts, and its exit codes."""

import json
import re

import pytest
import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from flows.__main__ import main
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.tables import RunRow
from tests.database.migrating import Project
from tests.database.reviewing import file, run

SHOP = {
    "postgresql": [
        "CREATE TABLE author (id integer PRIMARY KEY, name text)",
        "INSERT INTO author SELECT i, 'author ' || i FROM generate_series(1, 50) i",
        "CREATE TABLE page (id integer PRIMARY KEY, author_id integer NOT NULL REFERENCES author, title text)",
        "INSERT INTO page SELECT i, i % 50 + 1, 'page ' || i FROM generate_series(1, 2000) i",
        "CREATE INDEX page_author ON page (author_id)",
        "ANALYZE",
    ],
    "sqlite": [
        "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO author SELECT i, 'author ' || i FROM n",
        "CREATE TABLE page (id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES author, title TEXT)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO page SELECT i, i % 50 + 1, 'page ' || i FROM n",
        "CREATE INDEX page_author ON page (author_id)",
        "ANALYZE",
    ],
}  # fmt: skip


QUERIES = "-- name: by_author  params: {author: 7}\nSELECT id, title FROM page WHERE author_id = :author;"


@pytest.fixture(params=["postgresql", "sqlite"])
def shop(request, tmp_path, ledger, monkeypatch):
    """A database file, with a live and a golden database and one migration that is pending: its path, and the live's URL."""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        live, golden = server.fresh(), server.fresh()
        for url in (live, golden):
            run(url, SHOP["postgresql"])
    else:
        live, golden = (file(tmp_path / f"{name}.db", SHOP["sqlite"]) for name in ("live", "golden"))
    monkeypatch.setenv("SHOP_LIVE", live)
    monkeypatch.setenv("SHOP_GOLDEN", golden)
    project = Project(tmp_path / "project")
    project.add("adds a note", "ALTER TABLE page ADD note text", "ALTER TABLE page DROP COLUMN note")
    (project.folder / "queries.sql").write_text(QUERIES)
    told = {
        "database": "shop",
        "owner": "content <content-oncall@example.com>",
        "expected_result": "Every query is quick, and a release can go back.",
        "rollback": {"note": "the backup of last night", "command": ["make", "db-restore"]},
        "url": {"env": "SHOP_LIVE"},
        "folder": "project",
        "queries": {"file": "queries.sql", "large": 1000, "top": 0},
        "migrations": {"golden": "SHOP_GOLDEN", "url": "SHOP_URL", "smoke": ["true"]},
    }
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(told))
    return path, live


def review(path, tmp_path, *words):
    out = tmp_path / "report.json"
    return main(["review-database", str(path), "--json", str(out), *words]), json.loads(out.read_text())


def told(report):
    return {(one["subject"], finding["claim"]): finding for one in report["verdicts"] for finding in one["findings"]}


@pytest.mark.harness
@pytest.mark.slow
def test_a_review_is_reported_recorded_and_published(prefect, shop, tmp_path, ledger, capsys):
    path, live = shop
    code, report = review(path, tmp_path)
    said = capsys.readouterr().out
    assert (0, 1, "shop") == (code, report["schema"], report["site"]), said
    assert {"indexes", "query-plans", "migration-rehearsal"} == {one["check"] for one in report["verdicts"]}
    seen = told(report)
    assert "1 foreign key" == seen["shop", "indexes/db101-foreign-key"]["saw"]
    assert "pass" == seen["shop", "migration-rehearsal/db310-downgrade"]["outcome"]
    # Now it is broken: the finding has the statement that mends it, and what that costs.
    run(live, ["DROP INDEX page_author"])
    code, report = review(path, tmp_path, "--only", "queries")
    changed = told(report)["shop by_author", "query-plans/db202-changed"]
    assert (1, True, True) == (code, "on page" in changed["saw"] and " since " in changed["saw"], "page_author" in changed["wanted"])  # fmt: skip
    code, report = review(path, tmp_path, "--only", "indexes")
    said = capsys.readouterr().out
    assert 0 == code
    finding = told(report)["shop page", "indexes/db101-foreign-key"]
    assert ("warn", "content") == (finding["outcome"], report["verdicts"][1]["owner"])
    mend, _, cost = finding["wanted"].partition("; cost: ")
    assert f"wanted {mend}\n  cost   {cost}\n" in said
    assert "make db-restore" == report["verdicts"][0]["rollback"]
    assert {"indexes"} == {one["check"] for one in report["verdicts"]}
    run(live, [mend])
    assert 0 == review(path, tmp_path, "--only", "indexes")[0]
    engine = open_ledger(ledger)
    with Session(engine) as session:
        assert ["review-database"] * 4 == [row.job for row in session.scalars(select(RunRow))]
    engine.dispose()
    pages = artifacts()
    assert "CREATE INDEX" in "".join(pages["review-shop"])
    assert "![Locks of the migrations: when, on which table, and who waits](data:image/svg+xml" in "".join(pages["migrations-shop"])  # fmt: skip


def artifacts():
    """Every page that was published, by key."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        pages = {}
        for one in client.read_artifacts():
            pages.setdefault(one.key, []).append(str(one.data))
        return pages


@pytest.mark.harness
@pytest.mark.slow
def test_a_part_that_breaks_down_is_unknown_and_the_others_go_on(prefect, shop, tmp_path, monkeypatch):
    path, live = shop
    monkeypatch.setenv("SHOP_GOLDEN", re.sub(r"[^/]+$", "is_not_there", live))
    code, report = review(path, tmp_path)
    seen = told(report)
    assert (2, "unknown") == (code, seen["shop", "migration-rehearsal/looked"]["outcome"])
    assert "pass" == seen["shop", "indexes/db101-foreign-key"]["outcome"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["shopp"], "deployments/databases/shopp.yaml: file: saw no such file; known databases: "),
        (["FILE", "--only", "indices"], "--only: saw 'indices', wanted one of indexes, queries, migrations"),
        (["FILE", "--json", "/nowhere/at/all.json"], "whose folder is not there"),
        (["FILE"], "url: saw nothing in SHOP_LIVE; wanted postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE; set SHOP_LIVE"),
    ],
)  # fmt: skip
def test_wrong_input_is_told_and_nothing_is_run(words, says, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("flows.commands.review_database.review", lambda *_: pytest.fail("a review was run"))
    monkeypatch.delenv("SHOP_LIVE", raising=False)
    path = tmp_path / "shop.yaml"
    path.write_text("{database: shop, owner: a, expected_result: b, rollback: {note: c}, url: {env: SHOP_LIVE}}")
    assert 3 == main(["review-database", *(str(path) if word == "FILE" else word for word in words)])
    assert says in capsys.readouterr().err
