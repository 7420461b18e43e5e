"""Named queries against real databases: each claim with a database that breaks it and one that does not."""

from datetime import timedelta

import psycopg
import pytest

from roundsman.database.look_at_queries import look
from roundsman.database.rules.judge_queries import judge
from roundsman.database.rules.named_queries import read_queries
from roundsman.database.rules.query_facts import Queries
from roundsman.database.store import write_plans
from roundsman.ledger.ledger import open_ledger
from tests.database.reviewing import NOW, database, file, run

PAGES = [
    "CREATE TABLE author (id integer PRIMARY KEY, name text)",
    "INSERT INTO author SELECT i, 'author ' || i FROM generate_series(1, 2000) i",
    "CREATE TABLE page (id integer PRIMARY KEY, author_id integer, views integer, title text)",
    "INSERT INTO page SELECT i, i % 2000 + 1, i % 1000, 'page ' || i FROM generate_series(1, 20000) i",
    "CREATE INDEX page_author ON page (author_id)",
    "CREATE INDEX author_name ON author (name)",
    "ANALYZE",
]
BY_AUTHOR = "-- name: by_author  params: {author: 42}  max_rows_examined: 50\nSELECT id, title FROM page WHERE author_id = :author"


@pytest.fixture(scope="module")
def pages(postgres_server):
    """20,000 pages that no test changes."""
    url = postgres_server.fresh()
    run(url, PAGES)
    return url


@pytest.fixture
def ledger(tmp_path):
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    yield engine
    engine.dispose()


@pytest.fixture
def asked(monkeypatch):
    """What is found of some queries in a database, and what is no pass of it."""

    def ask(url, text, ledger=None, now=NOW, run_on="SHOP_LIVE", **more):
        monkeypatch.setenv("SHOP_LIVE", url)
        promised = Queries(file="shop.sql", **{"top": 0, "run_on": run_on and {"env": run_on}, **more})
        facts = look(database(), promised, read_queries(text, "shop.sql"))
        history = write_plans(ledger, "shop", facts, now) if ledger is not None else {}
        verdicts = judge(database(), promised, facts, history, now)
        return [
            (verdict.subject, one.claim.partition("/")[2], str(one.outcome), one.saw, one.wanted)
            for verdict in verdicts
            for one in verdict.findings
        ]

    return ask


def wrong(found):
    return [one for one in found if one[2] != "pass"]


#: The claim, the outcome, a query that breaks it, words of what is seen.
BREAKS = [
    ("db200-planned", "fail", "-- name: gone\nSELECT * FROM pages", 'relation "pages" does not exist'),
    ("db200-planned", "fail", "-- name: typed  params: {a: 1}\nSELECT :a IS NULL", "could not determine data type"),
    ("db201-scan", "fail", "-- name: all  params: {v: 7}\nSELECT id FROM page WHERE views = :v", "Seq Scan on page: all 20000 rows"),
    ("db201-cost", "fail", BY_AUTHOR.replace("max_rows_examined: 50", "max_cost: 3"), "cost "),
    ("db201-rows", "fail", BY_AUTHOR.replace("50", "5"), "10 rows examined"),
    ("db201-rows", "fail", "-- name: all  params: {v: 7}  allow_scan: page  max_rows_examined: 19999\nSELECT id FROM page WHERE views = :v", "20000 rows examined"),
    ("db203-spill", "warn", "-- name: sorted  allow_scan: page\nSELECT repeat(title, 50) AS long FROM page ORDER BY long", "Sort wrote "),
    ("db204-estimate", "warn", "-- name: skew  allow_scan: page\nSELECT * FROM page WHERE views / 10 = 5 AND views / 5 = 10 AND title > ''", "rows expected, "),
]  # fmt: skip


def test_a_query_that_keeps_its_promises_is_a_pass(pages, asked):
    found = asked(pages, BY_AUTHOR)
    assert [] == wrong(found)
    assert {"db201-scan", "db201-rows", "db202-changed", "db203-spill", "db204-estimate"} == {one[1] for one in found}
    assert ("10 rows examined", "at most 50") == next(one[3:] for one in found if one[1] == "db201-rows")


@pytest.mark.parametrize(("claim", "outcome", "query", "saw"), BREAKS)
def test_a_query_that_breaks_a_promise_is_told(claim, outcome, query, saw, pages, asked):
    found = [one for one in wrong(asked(pages, query)) if one[1] == claim]
    assert [(outcome, True)] == [(one[2], saw in one[3]) for one in found], found


#: Steps that stopped early, never ran, or count nothing: what PostgreSQL's manual calls no estimation error.
NO_ERRORS = {
    "Limit": "SELECT id FROM page ORDER BY id LIMIT 20",
    "never ran": "SELECT a.id FROM author a JOIN page p ON p.views = a.id WHERE a.name = 'nobody'",
    "BitmapOr": "SELECT id FROM page WHERE author_id BETWEEN 1 AND 15 OR id < 200",
    "SubPlan": "SELECT id, EXISTS (SELECT FROM page WHERE views >= author.id - 1000) FROM author",
    "Merge Join": "SELECT p.title FROM author a JOIN page p ON p.id = a.id WHERE a.id <= 50",
}


@pytest.mark.parametrize("sql", NO_ERRORS.values(), ids=NO_ERRORS)
def test_a_step_that_stopped_early_is_no_wrong_estimate(sql, pages, asked):
    found = asked(pages, f"-- name: some  allow_scan: [page, author]\n{sql}")
    assert ["pass"] == [one[2] for one in found if one[1] == "db204-estimate"], found


def test_the_others_are_looked_at_when_one_can_not_be_planned(pages, asked):
    found = asked(pages, f"{BREAKS[0][2]};\n{BY_AUTHOR};\n{BREAKS[1][2]}")
    assert ["shop gone", "shop typed"] == [one[0] for one in wrong(found)]
    assert "shop by_author" in {one[0] for one in found}


def test_the_plan_is_that_for_any_value_and_not_for_the_one_of_the_file(pages, asked):
    """For one value the planner may read all; what it does for any is what the application gets in the long run."""
    query = "-- name: some  params: {least: 0}  allow_scan: page\nSELECT * FROM page WHERE author_id > :least AND author_id < :least + 3"
    (found,) = [one for one in asked(pages, query, run_on=None) if one[1] == "db202-changed"]
    assert "page_author" in found[3]


def test_what_would_write_is_planned_and_never_run(pages, asked):
    query = "-- name: rename  params: {id: 7, title: new}\nUPDATE page SET title = :title WHERE id = :id"
    found = asked(pages, query)
    assert ["unknown"] == [one[2] for one in wrong(found)]
    assert "cannot execute UPDATE in a read-only transaction" in wrong(found)[0][3]
    sneaky = "-- name: sneaky\nSELECT E'\\'' ; COMMIT; SET default_transaction_read_only = off; DROP TABLE page; --'"
    (found,) = wrong(asked(pages, sneaky))
    assert ("db200-planned", "cannot insert multiple commands into a prepared statement") == (found[1], found[3])
    with psycopg.connect(pages) as connection:
        kept = "SELECT title, (SELECT count(*) FROM page) FROM page WHERE id = 7"
        assert ("page 7", 20000) == connection.execute(kept).fetchone()


def test_a_query_that_takes_too_long_is_unknown(pages, asked):
    query = (
        "-- name: slow  allow_scan: page\nSELECT count(*) FROM page a, page b, page c WHERE a.views + b.views > c.views"
    )
    found = wrong(asked(pages, query, timeout="2s"))
    assert ("db203-spill", "unknown", True) == (*found[0][1:3], "statement timeout" in found[0][3])


def test_a_place_to_run_on_that_is_gone_makes_it_unknown(pages, asked, monkeypatch):
    monkeypatch.setenv("SHOP_GOLDEN", "postgresql://keeper@127.0.0.1:1/none")
    found = wrong(asked(pages, BY_AUTHOR, run_on="SHOP_GOLDEN"))
    assert [("db201-rows", "unknown")] == [one[1:3] for one in found]


def changed(found):
    (one,) = [one for one in found if one[1] == "db202-changed"]
    return one[2:]


def test_a_changed_plan_is_told_beside_the_one_before_for_a_week(postgres_server, asked, ledger):
    url = postgres_server.fresh()
    run(url, PAGES)
    query = BY_AUTHOR.replace("max_rows", "allow_scan: page  max_rows")
    days = [NOW + timedelta(days=day) for day in range(12)]
    assert "pass" == changed(asked(url, query, ledger, days[0]))[0]
    assert "pass" == changed(asked(url, query, ledger, days[1]))[0]
    run(url, ["DROP INDEX page_author"])
    outcome, saw, wanted = changed(asked(url, query, ledger, days[2]))
    assert "fail" == outcome
    assert saw.startswith("Seq Scan on page, cost ")
    assert "since 2026-03-03 03:00 (cost " in saw
    assert wanted.startswith("Bitmap Heap Scan on page > Bitmap Index Scan using page_author, cost ")
    assert wanted.endswith(" as before")
    assert "fail" == changed(asked(url, query, ledger, days[8]))[0]
    assert "pass" == changed(asked(url, query, ledger, days[10]))[0], "by then it is how things are"
    run(url, ["CREATE INDEX page_by ON page (author_id)"])
    assert "warn" == changed(asked(url, query, ledger, days[11]))[0], "another plan, and no dearer one"


def test_a_query_that_was_written_anew_has_no_plan_before(pages, asked, ledger):
    assert "pass" == changed(asked(pages, BY_AUTHOR, ledger))[0]
    anew = BY_AUTHOR.replace("author_id = :author", "author_id = :author OR title = 'x'")
    assert "pass" == changed(asked(pages, anew, ledger, NOW + timedelta(days=1)))[0]


def test_what_takes_the_most_time_should_have_a_name(postgres_server, asked):
    url = postgres_server.fresh()
    run(url, PAGES)
    (found,) = wrong(asked(url, BY_AUTHOR, top=20))
    assert ("db205-covered", "warn") == found[1:3]
    assert "pg_stat_statements is not installed" in found[3]
    run(url, ["CREATE EXTENSION pg_stat_statements"])
    with psycopg.connect(url, autocommit=True) as application:
        application.execute("SELECT pg_stat_statements_reset()")
        for number in range(30):
            application.execute("SELECT sum(views) FROM page WHERE title LIKE %s", (f"%{number}%",))
        application.execute("SELECT id,  title FROM page\nWHERE author_id = %s", (7,))
        application.execute("SELECT id, title FROM page WHERE author_id = 8")
    found = [one for one in wrong(asked(url, BY_AUTHOR, top=20, share=0)) if one[1] == "db205-covered"]
    texts = " ".join(one[3] for one in found)
    assert "in 30 calls of SELECT sum(views) FROM page WHERE title LIKE $1" in texts
    assert "author_id" not in texts, "it is named, with its values written in or not"
    summed = (
        "-- name: summed  params: {like: '%7%'}  allow_scan: page\nSELECT sum(views) FROM page WHERE title LIKE :like"
    )
    assert "LIKE" not in " ".join(one[3] for one in wrong(asked(url, f"{BY_AUTHOR};\n{summed}", top=20, share=0)))


ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) INSERT INTO {} FROM n"
FILE = [
    "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)",
    ROWS.format(20000, "author SELECT i, 'author ' || i"),
    "CREATE TABLE page (id INTEGER PRIMARY KEY, author_id INTEGER, views INTEGER)",
    ROWS.format(20000, "page SELECT i, i % 2000 + 1, i % 1000"),
    "CREATE INDEX page_author ON page (author_id)",
    "ANALYZE",
]


@pytest.mark.parametrize(
    ("query", "claim", "outcome", "saw"),
    [
        ("-- name: a  params: {x: 3}\nSELECT id FROM page WHERE author_id = :x", "db201-scan", "pass", "indexes lead to its rows"),
        ("-- name: a  params: {x: 3}\nSELECT id FROM page WHERE id = :x", "db201-scan", "pass", "indexes lead to its rows"),
        ("-- name: a  params: {x: 3}\nSELECT id FROM page AS p WHERE p.views = :x", "db201-scan", "fail", "SCAN on page: all 20000 rows"),
        ("-- name: a  params: {x: 3}  allow_scan: page\nSELECT id FROM page WHERE views = :x", "db201-scan", "pass", "indexes lead"),
        ("-- name: a  allow_scan: author\nSELECT 1 FROM page JOIN author ON author.name = page.views", "db201-scan", "fail", "an index on page (20000 rows) is built anew for each run"),
        ("-- name: a\nSELECT * FROM pages", "db200-planned", "fail", "no such table: pages"),
        ("-- name: a  params: {x: 3}  max_rows_examined: 5\nSELECT id FROM page WHERE id = :x", "db201-rows", "unknown", "SQLite does not count rows"),
    ],
)  # fmt: skip
def test_sqlite_tells_how_it_would_go(query, claim, outcome, saw, tmp_path, asked):
    found = asked(file(tmp_path / "shop.db", FILE), query, run_on=None)
    assert [(outcome, True)] == [(one[2], saw in one[3]) for one in found if one[1] == claim], found


def test_a_table_of_sqlite_is_as_large_as_it_was_counted_and_not_as_its_last_number(tmp_path, asked):
    url = file(tmp_path / "shop.db", [*FILE, "DELETE FROM page WHERE id <= 19950", "ANALYZE"])
    query = "-- name: a  params: {x: 3}\nSELECT id FROM page WHERE views = :x"
    assert [] == wrong(asked(url, query, run_on=None))


def test_sqlite_has_another_plan_without_the_index(tmp_path, asked, ledger):
    url, query = (
        file(tmp_path / "shop.db", FILE),
        "-- name: a  params: {x: 3}\nSELECT id FROM page WHERE author_id = :x",
    )
    assert "pass" == changed(asked(url, query, ledger, run_on=None))[0]
    run(url, ["DROP INDEX page_author"])
    assert ("warn", "SCAN on page since 2026-03-02 03:00", "SEARCH using page_author on page as before") == changed(
        asked(url, query, ledger, NOW + timedelta(days=1), run_on=None)
    )
