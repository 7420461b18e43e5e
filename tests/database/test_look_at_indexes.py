"""Each claim on indexes against real databases: one that breaks it, one that does not, and the mend carried out."""

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import make_url

from roundsman.database.copied_database import RehearsalError
from roundsman.database.look_at_indexes import look
from roundsman.database.read_only import reading
from roundsman.database.rules.index_facts import IndexUses
from roundsman.database.rules.judge_indexes import judge
from roundsman.database.store import write_counts
from roundsman.ledger.ledger import open_ledger
from tests.database.reviewing import NOW, counted, database, file, review, run

ROWS = "SELECT i, i % 10 + 1, i % 7, 'page ' || i FROM generate_series(1, 200) i"
SHOP = [
    "CREATE TABLE author (id bigint PRIMARY KEY, name text NOT NULL)",
    "INSERT INTO author SELECT i, 'author ' || i FROM generate_series(1, 200) i",
    "CREATE TABLE page (id bigint PRIMARY KEY, author_id bigint NOT NULL, views integer, title text)",
    f"INSERT INTO page {ROWS}",
]
ADDS = "ALTER TABLE page ADD CONSTRAINT by_author FOREIGN KEY (author_id) REFERENCES author"

#: The claim; what makes a database that keeps it; what more it takes to break it; the outcome; and words of what is seen.
POSTGRESQL = [
    ("db101", [ADDS, "CREATE INDEX page_by ON page (author_id, views)"], ["DROP INDEX page_by"], "warn", "page (author_id) refers to author: no index for 200 rows of page"),
    ("db101", [ADDS, "CREATE INDEX page_by ON page (author_id)"], ["DROP INDEX page_by", "CREATE INDEX part ON page (author_id) WHERE views > 3"], "warn", "no index for"),
    ("db101", [ADDS, "CREATE INDEX part ON page (author_id, views) WHERE author_id IS NOT NULL"], ["DROP INDEX part", "CREATE INDEX part ON page (author_id, views) WHERE author_id IS NOT NULL AND views IS NOT NULL"], "warn", "no index for"),
    ("db101", [ADDS, "CREATE INDEX page_by ON page (author_id)"], ["DROP INDEX page_by", "CREATE INDEX second ON page (views, author_id)"], "warn", "no index for"),
    ("db102", ["CREATE INDEX one ON page (views)", "CREATE INDEX low ON page (lower(title))"], ["CREATE INDEX two ON page (views)"], "warn", "two is the same index as one on page (views)"),
    ("db102", ["CREATE INDEX one ON page (views)", "CREATE INDEX other ON page (views DESC)", "CREATE INDEX part ON page (views) WHERE views > 3", "CREATE INDEX hashed ON page USING hash (views)"], ["CREATE UNIQUE INDEX id_again ON page (id)"], "warn", "id_again is the same index as page_pkey"),
    ("db103", ["CREATE INDEX one ON page (title, views)", "CREATE INDEX op ON page (title text_pattern_ops)", "CREATE UNIQUE INDEX of_id ON page (id, views)"], ["CREATE INDEX two ON page (title)"], "warn", "two (title) is the beginning of one (title, views)"),
    ("db105", ["CREATE INDEX one ON page (views)"], ["CREATE INDEX one_ccnew ON page (title)"], "fail", "one_ccnew on page is left over from REINDEX CONCURRENTLY"),
    ("db107", [ADDS, "CREATE INDEX page_by ON page (author_id)"], ["ALTER TABLE page ADD CONSTRAINT sane CHECK (views >= 0) NOT VALID"], "warn", "sane of page was never held against old rows: CHECK ((views >= 0)) NOT VALID"),
    ("db108", ["CREATE TABLE tag (id serial PRIMARY KEY)", "SELECT setval('tag_id_seq', 1400000000)"], ["SELECT setval('tag_id_seq', 1600000000)"], "fail", "tag.id is at 1600000000 of 2147483647 (integer): 75% used"),
    ("db108", ["CREATE TABLE tag (id smallint PRIMARY KEY)", "INSERT INTO tag VALUES (20000)"], ["INSERT INTO tag VALUES (25000)"], "fail", "tag.id is at 25000 of 32767 (smallint): 76% used"),
    ("db108", ["CREATE SEQUENCE number AS smallint"], ["SELECT setval('number', 30000)"], "fail", "number is at 30000 of 32767"),
    ("db109", ["CREATE TABLE tag (id bigint PRIMARY KEY)"], ["CREATE TABLE note (id bigint)"], "warn", "note has no primary key"),
    ("db109", ["CREATE TABLE tag (id bigint PRIMARY KEY)"], ["CREATE TABLE note (id bigint NOT NULL)", "CREATE UNIQUE INDEX note_id ON note (id)"], "warn", "note has no primary key"),
    ("db110", [ADDS, "CREATE INDEX page_by ON page (author_id)"], ["ALTER TABLE page ALTER author_id TYPE integer"], "warn", "page.author_id is integer, and author.id, which it refers to, is bigint"),
    ("db111", ["UPDATE page SET views = 1 WHERE id = 7"], ["ALTER TABLE page ADD words integer DEFAULT 5"], "warn", "page: no statistics of words: a migration came after them"),
    ("db111", ["SELECT 1"], ["ALTER TABLE page ALTER views TYPE bigint"], "warn", "no statistics of views"),
    ("db111", ["SELECT 1"], ["CREATE TABLE fresh (id bigint PRIMARY KEY)", "INSERT INTO fresh SELECT generate_series(1, 100)"], "warn", "fresh: no statistics at all of 100 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "good", "bad", "outcome", "saw"), POSTGRESQL)
def test_postgresql_is_told_what_is_wrong_and_its_mend_mends_it(claim, good, bad, outcome, saw, postgres_server):
    url, promised = postgres_server.fresh(), {"indexes": {"small": 20}}
    run(url, [*SHOP, *good, "ANALYZE"])
    assert [] == review(url, **promised)
    run(url, bad)
    if "fresh" in saw:
        counted(url, "SELECT n_live_tup > 0 FROM pg_stat_all_tables WHERE relname = 'fresh'")
    (found,) = [one for one in review(url, **promised) if one[0] == claim]
    assert outcome == found[1]
    assert saw in found[2]
    mend, _, cost = found[3].partition("; cost: ")
    assert cost
    run(url, [mend, "ANALYZE"])
    assert [] == [one for one in review(url, **promised) if one[0] == claim], mend


#: An index without nulls, whether one serves a foreign key, and which plan PostgreSQL has for a parent that goes.
WITHOUT_NULLS = [
    ("author_id) WHERE author_id IS NOT NULL", True),
    ("author_id, views) WHERE author_id IS NOT NULL", True),
    ("author_id) WHERE views IS NOT NULL", False),
    ("author_id) WHERE author_id IS NOT NULL AND views > 3", False),
    ("author_id) WHERE author_id IS NULL", False),
]


@pytest.mark.parametrize(("columns", "serves"), WITHOUT_NULLS)
def test_an_index_without_nulls_serves_a_foreign_key_as_the_server_itself_does(columns, serves, postgres_server):
    url = postgres_server.fresh()
    nullable = "ALTER TABLE page ALTER author_id DROP NOT NULL"
    run(url, [*SHOP, nullable, ADDS, f"CREATE INDEX part ON page ({columns}", "ANALYZE"])
    with psycopg.connect(url) as connection:
        connection.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
        connection.execute("PREPARE gone (bigint) AS SELECT 1 FROM ONLY page x WHERE $1 = author_id FOR KEY SHARE OF x")
        plan = "\n".join(row[0] for row in connection.execute("EXPLAIN EXECUTE gone (7)"))
    assert serves is ("part" in plan), plan
    assert ([] if serves else ["db101"]) == [one[0] for one in review(url, indexes={"small": 20})]


def test_a_foreign_key_without_an_index_fails_once_its_parent_loses_rows(postgres_server):
    url = postgres_server.fresh()
    run(url, [*SHOP, ADDS, "ANALYZE", "DELETE FROM author WHERE id > 150"])
    counted(url, "SELECT n_tup_del > 0 FROM pg_stat_all_tables WHERE relname = 'author'")
    (found,) = [one for one in review(url, indexes={"small": 20}) if one[0] == "db101"]
    assert (
        "fail",
        "page (author_id) refers to author: 50 rows of author deleted, each read all 200 rows of page",
    ) == found[1:3]
    assert found[3].startswith("CREATE INDEX CONCURRENTLY ON page (author_id); cost: about ")
    assert [] == [one for one in review(url) if one[0] == "db101"], "200 rows need no index"


def test_an_index_that_failed_to_be_built_is_found(postgres_server):
    url = postgres_server.fresh()
    run(url, [*SHOP, "ANALYZE"])
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(url, ["CREATE UNIQUE INDEX CONCURRENTLY of_views ON page (views)"])
    (found,) = review(url)
    assert ("db105", "fail", "of_views on page is invalid: it failed to be built, or still is") == found[:3]
    assert "DROP INDEX CONCURRENTLY of_views" in found[3]


def test_statistics_are_old_once_a_tenth_of_the_rows_has_changed(postgres_server):
    url, promised = postgres_server.fresh(), {"indexes": {"small": 20}}
    run(url, [*SHOP, "ANALYZE", "UPDATE page SET views = 1 WHERE id <= 15"])
    counted(url, "SELECT n_mod_since_analyze = 15 FROM pg_stat_all_tables WHERE relname = 'page'")
    assert [] == review(url, **promised)
    run(url, ["UPDATE page SET views = 1 WHERE id <= 15"])
    counted(url, "SELECT n_mod_since_analyze = 30 FROM pg_stat_all_tables WHERE relname = 'page'")
    (found,) = review(url, **promised)
    assert ("db111", "warn", "page: 30 rows of 200 changed since its statistics were made") == found[:3]


def test_what_a_database_file_accepts_is_a_pass_that_names_it(postgres_server, monkeypatch):
    url = postgres_server.fresh()
    run(url, ["CREATE TABLE note (id bigint)"])
    assert ["db109"] == [one[0] for one in review(url)]
    monkeypatch.setenv("SHOP_LIVE", url)
    promised = database(indexes={"accept": {"note": "a log that is only appended to"}})
    (verdict,) = judge(promised, look(promised), {}, NOW)
    assert "1 table, accepted: note (a log that is only appended to)" in [one.saw for one in verdict.findings]


@pytest.mark.slow
def test_waste_is_found_among_500_000_rows_and_the_catalogue_is_all_that_is_read(postgres_server):
    url = postgres_server.fresh()
    wide = "INSERT INTO page SELECT i, i % 20000 + 1, repeat('x', 250) FROM generate_series(1, 500000) i"
    run(url, [
        "CREATE TABLE page (id integer PRIMARY KEY, author_id integer, body text)", wide,
        "CREATE INDEX page_author ON page (author_id)", "VACUUM ANALYZE page",
    ])  # fmt: skip
    assert [] == review(url)
    run(url, ["DELETE FROM page WHERE id % 10 > 2", "VACUUM (ANALYZE, TRUNCATE off) page"])
    counted(url, "SELECT n_live_tup BETWEEN 1 AND 200000 FROM pg_stat_all_tables WHERE relname = 'page'")
    before = read_of(url)
    found = {(one[2].split()[0], one[3].partition(";")[0]) for one in review(url)}
    assert {("page", "VACUUM (FULL, ANALYZE) page")} == found, "an index's waste of a few MB is not worth a word"
    found = {(one[2].split()[0], one[3].partition(";")[0]) for one in review(url, indexes={"bloat_bytes": 2_000_000})}
    assert ("page_pkey", "REINDEX INDEX CONCURRENTLY page_pkey") in found
    assert read_of(url) == before, "no row of the table was read"
    run(url, ["VACUUM (FULL, ANALYZE) page"])
    assert [] == review(url, indexes={"bloat_bytes": 2_000_000})


def read_of(url):
    with psycopg.connect(url) as connection:
        asked = "SELECT pg_stat_force_next_flush(), seq_tup_read FROM pg_stat_all_tables WHERE relname = 'page'"
        return connection.execute(asked).fetchone()[1]


ROW_BY_ROW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO {} FROM n"
FILE = [
    "CREATE TABLE author (id INTEGER PRIMARY KEY, name TEXT)",
    ROW_BY_ROW.format("author SELECT i, 'author ' || i"),
    "CREATE TABLE page (id INTEGER PRIMARY KEY, author_id INTEGER REFERENCES author, views INTEGER, title TEXT)",
    ROW_BY_ROW.format("page SELECT i, i % 10 + 1, i % 7, 'page ' || i"),
    "CREATE INDEX page_author ON page (author_id)",
    "ANALYZE",
]
SQLITE = [
    ("db101", ["DROP INDEX page_author"], "page (author_id) refers to author: no index for 200 rows of page"),
    ("db101", ["DROP INDEX page_author", "CREATE INDEX part ON page (author_id) WHERE views > 3"], "no index for"),
    ("db101", ["DROP INDEX page_author", "CREATE INDEX part ON page (author_id) WHERE views is not null"], "no index for"),
    ("db102", ["CREATE INDEX again ON page (author_id)"], "page_author is the same index as again on page (author_id)"),
    ("db103", ["CREATE INDEX longer ON page (author_id, views)"], "page_author (author_id) is the beginning of longer"),
    ("db109", ["CREATE TABLE note (id INTEGER)"], "note has no primary key"),
    ("db110", ["CREATE TABLE note (id INTEGER PRIMARY KEY, page TEXT REFERENCES page)"], "note.page is text, and page.id, which it refers to, is integer"),
    ("db111", ["DELETE FROM sqlite_stat1 WHERE tbl = 'page'"], "page: no statistics at all of 200 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("claim", "bad", "saw"), SQLITE)
def test_sqlite_is_told_what_is_wrong_and_its_mend_mends_it(claim, bad, saw, tmp_path):
    url, promised = file(tmp_path / "shop.db", FILE), {"indexes": {"small": 20}}
    assert [] == review(url, **promised)
    run(url, bad)
    (found,) = [one for one in review(url, **promised) if one[0] == claim]
    assert ("warn", True) == (found[1], saw in found[2]), found
    mend = found[3].partition("; cost: ")[0]
    if not mend.startswith("make "):
        run(url, [mend, "ANALYZE"])
        assert [] == [one for one in review(url, **promised) if one[0] == claim], mend


def test_an_index_without_nulls_serves_a_foreign_key_of_sqlite_as_sqlite_itself_does(tmp_path):
    anew = "CREATE INDEX part ON page (author_id) where (author_id  is NOT null)"
    url = file(tmp_path / "shop.db", [*FILE, "DROP INDEX page_author", anew, "ANALYZE"])
    assert [] == review(url, indexes={"small": 20})
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        (row,) = connection.execute("EXPLAIN QUERY PLAN SELECT rowid FROM page WHERE author_id = :id", {"id": 7})
    assert "USING COVERING INDEX part" in row[3]


def test_numbers_that_were_left_out_are_no_rows_of_an_sqlite_table(tmp_path):
    """Sessions of yesterday are gone, and events are numbered by a clock."""
    kept = ["CREATE TABLE session (id INTEGER PRIMARY KEY, page_id INTEGER REFERENCES page)", ROW_BY_ROW.format("session SELECT i + 20000, i")]  # fmt: skip
    clocked = ["CREATE TABLE event (id INTEGER PRIMARY KEY, at INTEGER)", "CREATE INDEX event_at ON event (at)", ROW_BY_ROW.format("event SELECT i * 1000000000, i")]  # fmt: skip
    url = file(tmp_path / "shop.db", [*FILE, *kept, *clocked, "ANALYZE"])
    assert [] == review(url, indexes={"small": 500})
    run(url, ["DELETE FROM sqlite_stat1 WHERE tbl = 'session'"])
    assert [] == review(url, indexes={"small": 500})
    saw = ["session (page_id) refers to page: no index for 200 rows of session", "session: no statistics at all of 200 rows"]  # fmt: skip
    assert saw == [one[2] for one in review(url, indexes={"small": 150})]


def test_a_part_of_an_sqlite_table_is_read_however_its_index_is_laid_out(tmp_path):
    """An index of the whole table does what that of a part does, and not the other way round."""
    part = "CREATE INDEX recent ON page (views)\nWHERE views > 5"
    also = "CREATE INDEX early ON page (views)\n\tWHERE\n views < 5"
    url = file(tmp_path / "shop.db", [*FILE, part, also, "ANALYZE"])
    assert [] == review(url, indexes={"small": 20})


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_a_fresh_database_of_many_tables_is_a_few_lines(dialect, postgres_server, tmp_path, ledger):
    """Twelve tables, each with an index that nobody has used, one that is there twice, and rows that nobody counted."""
    url = postgres_server.fresh() if dialect == "postgresql" else file(tmp_path / "shop.db")
    many = "SELECT i, i FROM generate_series(1, 30) i" if dialect == "postgresql" else "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) SELECT i, i FROM n"  # fmt: skip
    empty = [[f"CREATE TABLE e{number} (id integer PRIMARY KEY, a integer)", f"CREATE INDEX e{number}_one ON e{number} (a)", f"CREATE INDEX e{number}_two ON e{number} (a)"] for number in range(12)]  # fmt: skip
    full = [[f"CREATE TABLE f{number} (id integer PRIMARY KEY, a integer)", f"CREATE INDEX f{number}_one ON f{number} (a)", f"INSERT INTO f{number} {many}"] for number in range(12)]  # fmt: skip
    run(url, [statement for one in (*empty, *full) for statement in one])
    for day in (0, 20):
        at = NOW + timedelta(days=day)
        counts = {name: IndexUses(0, None) for number in range(12) for name in (f"e{number}_one", f"e{number}_two")}
        nodes = write_counts(ledger, "shop", {"SHOP_LIVE": counts}, at)
    if dialect == "postgresql":
        counted(url, "SELECT count(*) = 12 FROM pg_stat_all_tables WHERE relname ~ '^f[0-9]' AND n_live_tup > 0")
    found = review(url, nodes if dialect == "postgresql" else None, at, indexes={"small": 20})
    assert {"db102": 1, "db111": 1} == Counter(one[0] for one in found), found
    run(url, [statement for one in found for statement in one[3].partition("; cost: ")[0].split("; ")])
    assert [] == review(url, nodes if dialect == "postgresql" else None, at, indexes={"small": 20})


def test_the_waste_of_an_sqlite_file_is_found(tmp_path):
    url = file(tmp_path / "shop.db", [*FILE, "CREATE TABLE junk (id INTEGER PRIMARY KEY, body)", ROW_BY_ROW.format("junk SELECT i, zeroblob(10000)")])  # fmt: skip
    promised = {"indexes": {"bloat_bytes": 1_000_000, "accept": {"junk": "of the test"}}}
    assert [] == review(url, **promised)
    run(url, ["DELETE FROM junk"])
    (found,) = review(url, **promised)
    assert ("db106", "VACUUM") == (found[0], found[3].partition(";")[0])
    run(url, ["VACUUM"])
    assert [] == review(url, **promised)


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_a_review_can_not_write_and_does_not_wait(dialect, postgres_server, tmp_path):
    url = postgres_server.fresh() if dialect == "postgresql" else file(tmp_path / "shop.db")
    run(url, ["CREATE TABLE page (id integer PRIMARY KEY)"])
    refused = r"read-only transaction|readonly database"
    with pytest.raises(RehearsalError, match=refused), reading(make_url(url)) as connection:
        connection.exec_driver_sql("INSERT INTO page VALUES (1)")
    endless = "SELECT pg_sleep(60)" if dialect == "postgresql" else "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"  # fmt: skip
    with (
        pytest.raises(RehearsalError, match=r"statement timeout|interrupted"),
        reading(make_url(url), 0.2) as connection,
    ):
        connection.exec_driver_sql(endless).all()
    if dialect == "postgresql":
        with psycopg.connect(url) as holder:
            holder.execute("LOCK TABLE page IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(RehearsalError, match="lock timeout"), reading(make_url(url)) as connection:
                connection.exec_driver_sql("SELECT * FROM page")


@pytest.fixture
def ledger(tmp_path):
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    yield engine
    engine.dispose()


#: Days of looks; by node the count of an index and when its counts were reset; whether it is called unused on day 20.
WATCHED = [
    ("never used for 20 days", {0: (0, None), 20: (0, None)}, True),
    ("watched for 13 days only", {7: (0, None), 20: (0, None)}, False),
    ("never used, looked at each night", dict.fromkeys(range(21), (0, None)), True),
    ("used once", {0: (0, None), 10: (1, None), 20: (1, None)}, False),
    ("used before we came, and not since", {0: (5, None), 20: (5, None)}, False),
    ("counts were reset on the way", {0: (0, None), 10: (0, NOW + timedelta(days=9)), 20: (0, NOW + timedelta(days=9))}, False),
    ("counts were lost with a crash", {0: (5, None), 10: (0, None), 20: (0, None)}, False),
]  # fmt: skip


@pytest.mark.parametrize(("says", "looks", "is_unused"), WATCHED, ids=[row[0] for row in WATCHED])
@pytest.mark.parametrize("standby", [False, True])
def test_an_index_is_unused_only_when_every_node_was_watched_for_long(
    says, looks, is_unused, standby, ledger, postgres_server
):
    url = postgres_server.fresh()
    run(url, [*SHOP, "CREATE INDEX page_views ON page (views)", "ANALYZE"])
    for day, seen in looks.items():
        at = NOW + timedelta(days=day)
        counts = {"page_views": IndexUses(*seen), "page_pkey": IndexUses(0, None)}
        nodes = write_counts(ledger, "shop", {"SHOP_LIVE": counts, **({"SHOP_STANDBY": counts} if standby else {})}, at)
    found = [one[2] for one in review(url, nodes, at, indexes={"small": 20})]
    where = " on any of 2 nodes" if standby else ""
    saw = f"page_views on page was never used{where} since its counts began, which were watched for 20 days"
    assert ([saw] if is_unused else []) == found


def test_an_index_that_only_a_standby_uses_is_used(ledger, postgres_server):
    url = postgres_server.fresh()
    run(url, [*SHOP, "CREATE INDEX page_views ON page (views)", "ANALYZE"])
    for day in (0, 20):
        at = NOW + timedelta(days=day)
        nodes = write_counts(ledger, "shop", {"SHOP_LIVE": {"page_views": IndexUses(0, None)}, "SHOP_STANDBY": {"page_views": IndexUses(9, None)}}, at)  # fmt: skip
    assert [] == review(url, nodes, at)


def test_a_standby_that_can_not_be_asked_makes_unused_unknown(postgres_server, monkeypatch):
    url = postgres_server.fresh()
    run(url, [*SHOP, "ANALYZE"])
    monkeypatch.setenv("SHOP_LIVE", url)
    monkeypatch.setenv("SHOP_STANDBY", url.replace(f":{postgres_server.port}/", ":1/"))
    promised = database(nodes=({"env": "SHOP_STANDBY"},))
    (verdict,) = judge(promised, look(promised), {}, NOW)
    (found,) = [one for one in verdict.findings if one.outcome != "pass"]
    assert ("unknown", True) == (found.outcome, found.saw.startswith("a node could not be asked: SHOP_STANDBY: saw "))
    monkeypatch.setenv("SHOP_STANDBY", url)
    assert {"SHOP_LIVE", "SHOP_STANDBY"} == set(look(promised).nodes)


def test_an_index_that_is_gone_is_forgotten(ledger):
    for names in (("one", "two"), ("two",)):
        seen = write_counts(ledger, "shop", {"SHOP_LIVE": {name: IndexUses(0, None) for name in names}}, NOW)
    assert {"SHOP_LIVE": {"two"}} == {node: set(indexes) for node, indexes in seen.items()}
    again = write_counts(ledger, "shop", {"SHOP_LIVE": {"one": IndexUses(0, None)}}, NOW + timedelta(days=20))
    assert NOW + timedelta(days=20) == again["SHOP_LIVE"]["one"].since


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "shop.db").write_text("no database, but text that is long enough for a header")
    with pytest.raises(RehearsalError, match="file is not a database"):
        review(f"sqlite:///{tmp_path}/shop.db")
    with pytest.raises(RehearsalError, match="unable to open"):
        review(f"sqlite:///{tmp_path}/none.db")


def test_a_role_that_may_read_no_table_blames_nobody_for_what_it_can_not_see(postgres_server):
    url = postgres_server.fresh()
    run(url, [*SHOP, "CREATE TABLE tag (id serial PRIMARY KEY)", "SELECT setval('tag_id_seq', 2000000000)", "CREATE TABLE kind (id integer PRIMARY KEY)", "CREATE SEQUENCE number", "ANALYZE", "CREATE ROLE looker LOGIN PASSWORD 'looks'"])  # fmt: skip
    mine = make_url(url).set(username="looker", password="looks").render_as_string(hide_password=False)
    hidden = "3 keys and sequences that this role may not read: number, tag.id, kind.id"
    assert [("db108", "unknown", hidden, "GRANT pg_read_all_data to it")] == review(mine, indexes={"small": 20})
    accept = dict.fromkeys(("number", "tag.id", "kind.id"), "of the test")
    assert [] == review(mine, indexes={"small": 20, "accept": accept})
    run(url, ["GRANT SELECT ON number, tag_id_seq TO looker"])
    found = {one[1]: one[2] for one in review(mine, indexes={"small": 20})}
    assert {"fail", "unknown"} == set(found)
    assert found["fail"].startswith("tag.id is at 2000000000 of 2147483647")
    assert "1 key or sequence that this role may not read: kind.id" == found["unknown"]
    run(url, ["GRANT pg_read_all_data TO looker"])
    assert [("db108", "fail")] == [one[:2] for one in review(mine, indexes={"small": 20})]
