"""What a rehearsal finds on a copy: ways back that are none, values that are lost, and who is never touched."""

import importlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, make_url

import roundsman.database
from roundsman.database.copied_database import Copy, RehearsalError, copied, drop, drop_left_over, refuse_live
from roundsman.database.rehearse_migrations import MAX_REHEARSAL_SECONDS, _live, _rehearse
from roundsman.database.rules.judge_migrations import judge
from roundsman.database.rules.migration_advice import safer_statement, split
from roundsman.database.rules.migration_facts import MigrationFacts, MigrationRun, MigrationStatement
from roundsman.database.rules.query_facts import Queries
from roundsman.database.snapshot import snapshot
from tests.database.migrating import Project, fill, outcomes, plan, told

#: Each runs migrations in a guarded process of their own.
pytestmark = pytest.mark.slow

SHOP = {
    "postgresql": [
        "CREATE TABLE author (id integer PRIMARY KEY, name text)",
        "INSERT INTO author SELECT i, 'author ' || i FROM generate_series(1, 50) i",
        "CREATE TABLE page (id integer PRIMARY KEY, author_id integer, title text, views integer)",
        "INSERT INTO page SELECT i, i % 50 + 1, 'page ' || i, i % 10 FROM generate_series(1, 1000) i",
    ],
    "sqlite": [
        "CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name text)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) INSERT INTO author SELECT i, 'author ' || i FROM n",
        "CREATE TABLE page (id integer NOT NULL PRIMARY KEY, author_id integer, title text, views integer)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO page SELECT i, i % 50 + 1, 'page ' || i, i % 10 FROM n",
    ],
}  # fmt: skip


@pytest.fixture(params=["postgresql", "sqlite"])
def golden(request, tmp_path, monkeypatch):
    """A database with 1,000 pages, which the rehearsal finds under SHOP_GOLDEN."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_server").fresh()
        fill(url, SHOP["postgresql"])
    else:
        url = sqlite_database(tmp_path / "golden.db", SHOP["sqlite"])
    monkeypatch.setenv("SHOP_GOLDEN", url)
    return url


def sqlite_database(path, statements):
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()
    return f"sqlite:///{path}"


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


def rehearse(project, live="", queries=None, **more):
    promised = plan(**{"rows": {"author": 50, "page": 1000}, **more})
    facts = _rehearse("shop", promised, live, project.folder, threading.Event(), queries)
    return judge("shop", "content", promised, facts, queries), facts


def databases(url):
    """All copies beside a golden database."""
    if url.startswith("sqlite"):
        return {path.name for path in Path(make_url(url).database).parent.glob("rehearsal*")}
    with psycopg.connect(url) as server:
        return {name for (name,) in server.execute("SELECT datname FROM pg_database WHERE datname LIKE 'rehearsal%'")}


def state(url):
    """All that is in a database."""
    if url.startswith("sqlite"):
        return Path(make_url(url).database).read_bytes()
    with psycopg.connect(url) as server:
        tables = server.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1")
        sums = [server.execute(f"SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM {name} t").fetchone() for name in ("author", "page")]  # fmt: skip
        return tables.fetchall(), sums


#: What it does, how it is undone, and what is no pass of the verdict on all.
BOTH = [
    ("there and back", "ALTER TABLE page ADD note text", "ALTER TABLE page DROP COLUMN note", {}),
    ("loses a column", "ALTER TABLE page DROP COLUMN title", "ALTER TABLE page ADD title text", {"db311-data": "fail", "db311-data-after-downgrade": "fail"}),
    ("loses rows", "DELETE FROM page WHERE views = 0", "pass", {"db311-data": "fail", "db311-data-after-downgrade": "fail"}),
    ("changes values", "UPDATE page SET views = views + 1 WHERE id = 7", "UPDATE page SET views = views - 1 WHERE id = 7", {"db311-data": "fail"}),
    ("swaps values", "UPDATE page SET views = 10 - views WHERE views IN (4, 6)", "UPDATE page SET views = 10 - views WHERE views IN (4, 6)", {"db311-data": "fail"}),
    ("has no way back", "ALTER TABLE page ADD note text", "raise NotImplementedError('this can not be undone')", {"db310-downgrade": "fail", "db310-schema": "unknown", "db311-data-after-downgrade": "unknown"}),
    ("fails on the way back", "ALTER TABLE page ADD note text", "ALTER TABLE page DROP COLUMN notes", {"db310-downgrade": "fail", "db310-schema": "unknown", "db311-data-after-downgrade": "unknown"}),
    ("goes half the way back", "ALTER TABLE page ADD note text", "pass", {"db310-schema": "fail"}),
    ("needs a script that is gone", "ALTER TABLE page ADD note text", "op.execute(Path('sql/back.sql').read_text())", {"db310-downgrade": "fail", "db310-schema": "unknown", "db311-data-after-downgrade": "unknown"}),
    ("never came up", "ALTER TABLE pages ADD note text", "pass", {"db309-old-release": "unknown", "db310-downgrade": "unknown", "db311-data": "unknown"}),
]  # fmt: skip


@pytest.mark.parametrize(("says", "up", "down", "wanted"), BOTH, ids=[row[0] for row in BOTH])
def test_a_way_back_is_tried_and_what_it_loses_is_found(says, up, down, wanted, golden, project):
    project.add(says, up, down)
    before = state(golden)
    verdicts, _ = rehearse(project)
    assert wanted == {name: one for name, one in outcomes(verdicts[-1]).items() if name != "db308-statistics"}
    assert ("fail" if says == "never came up" else "pass") == told(verdicts[0])["db301-upgrade"][0]
    assert before == state(golden)
    assert set() == databases(golden)


#: A table of SQLite, the same one spelled otherwise, and others that are not the same.
SPELLED = [
    (
        ["CREATE TABLE t (a TEXT COLLATE NOCASE, b INTEGER DEFAULT (1), c INTEGER GENERATED ALWAYS AS (b + length(a)))", "CREATE INDEX i ON t (a) WHERE b > 3 AND a <> 'X'"],
        ['CREATE TABLE "t" (\n  "a" TEXT collate nocase, -- of no case (\n b INTEGER DEFAULT (1), c INTEGER AS ( b+LENGTH(a) )\n)', "create index if not exists i on t(a asc)\nwhere b>3 and \"a\"<>'X'"],
        [
            ("CREATE TABLE t (a TEXT, b INTEGER DEFAULT (1), c INTEGER AS (b + length(a)))", None),
            ("CREATE TABLE t (a TEXT COLLATE RTRIM, b INTEGER DEFAULT (1), c INTEGER AS (b + length(a)))", None),
            ("CREATE TABLE t (a TEXT, b INTEGER DEFAULT (1) COLLATE NOCASE, c INTEGER AS (b + length(a)))", None),
            ("CREATE TABLE t (a TEXT COLLATE NOCASE, b INTEGER DEFAULT (1), c INTEGER AS (b - length(a)))", None),
            (None, "CREATE INDEX i ON t (a) WHERE b > 4 AND a <> 'X'"),
            (None, "CREATE INDEX i ON t (a) WHERE b > 3 AND a <> 'x'"),
        ],
    ),
    (
        ["CREATE TABLE t (a TEXT, b TEXT DEFAULT 'COLLATE NOCASE', CHECK (a = b COLLATE NOCASE))", "CREATE INDEX i ON t (lower(a))"],
        ["CREATE TABLE t (a TEXT COLLATE BINARY, b TEXT DEFAULT 'COLLATE NOCASE', CHECK (a = b COLLATE NOCASE))", "CREATE INDEX i ON t (LOWER( a ))"],
        [(None, "CREATE INDEX i ON t (upper(a))")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("made", "same", "others"), SPELLED)
def test_a_schema_of_sqlite_differs_by_what_it_means_and_not_by_how_it_is_spelled(made, same, others, tmp_path):
    def schema(*statements):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.db"
        return snapshot(Copy(sqlite_database(path, statements), str(path))).schema

    assert schema(*made) == schema(*same)
    for table, index in others:
        assert schema(*made) != schema(table or made[0], index or made[1]), (table, index)


ASKS = 'op.get_bind().execute(sa.text("SELECT name FROM author WHERE id = 7")).scalar()'
VALUES = {
    "postgresql": [
        (f"int({ASKS})", "ValueError"),
        (f"{{}}[{ASKS}]", "KeyError"),
        ("ALTER TABLE author ALTER name TYPE integer USING name::integer", "InvalidTextRepresentation: invalid input syntax for type integer: ..."),
        ("ALTER TABLE author ADD CONSTRAINT one UNIQUE (notes)", 'UndefinedColumn: column "notes" named in key does not exist'),
    ],
    "sqlite": [
        (f"int({ASKS})", "ValueError"),
        (ASKS.replace("7", "8"), "OperationalError: Could not decode to UTF-8 column 'name' with text ..."),
    ],
}  # fmt: skip


def test_no_value_of_a_row_is_told(golden, project):
    dialect = golden.partition(":")[0]
    if dialect == "sqlite":
        sqlite_database(make_url(golden).database, ["UPDATE author SET name = 'author ' || CAST(x'e9' AS TEXT)"])
        sqlite_database(make_url(golden).database, ["UPDATE author SET name = 'author 7' WHERE id = 7"])
    for up, saw in VALUES[dialect]:
        written = project.add("fails", up)
        verdicts, _ = rehearse(project)
        assert ("fail", saw) == told(verdicts[0])["db301-upgrade"]
        assert "author 7" not in repr(verdicts)
        written.unlink()


def test_a_text_that_is_no_utf_8_is_compared_as_it_is(tmp_path, project, monkeypatch):
    old = ["UPDATE author SET name = CAST(x'e9' AS TEXT) WHERE id = 7"]
    monkeypatch.setenv("SHOP_GOLDEN", sqlite_database(tmp_path / "golden.db", [*SHOP["sqlite"], *old]))
    project.add("adds", "ALTER TABLE page ADD note text", "ALTER TABLE page DROP COLUMN note")
    assert {} == outcomes(rehearse(project)[0][-1])
    project.add("makes blobs of texts", "UPDATE author SET name = CAST(name AS BLOB)")
    assert "other values in author.name" == told(rehearse(project)[0][-1])["db311-data"][1]


def test_what_a_migration_may_change_is_written(golden, project):
    project.add("counts anew", "UPDATE page SET views = 0 WHERE id = 7")
    assert {} == outcomes(rehearse(project, lossy=("page.views",))[0][-1])
    assert "other values in page.views" == told(rehearse(project)[0][-1])["db311-data"][1]


def test_a_column_may_be_called_as_anything_of_ours(golden, project):
    """What a checksum is made with has a name beside those of a table's columns."""
    names = ("seed", "seed0", "rows", "count", "order")
    more = [f'ALTER TABLE page ADD "{name}" integer' for name in names]
    if golden.startswith("sqlite"):
        sqlite_database(make_url(golden).database, more)
    else:
        fill(golden, more)
    project.add("changes", 'UPDATE page SET "seed" = 1, "seed0" = 2 WHERE id = 7')
    saw = told(rehearse(project)[0][-1])["db311-data"][1]
    assert "other values in page.seed, page.seed0" == saw


#: Histories: each revision as (its name, the one before, labels, what it depends on); where the golden database is; what
#: `heads:` says; the way back that is shown; and what is no pass.
BRANCHED = [
    ("two branches, both ahead", [("a1", None), ("a2", "a1"), ("b1", None), ("b2", "b1")], ["a1", "b1"], 2,
     "alembic downgrade a1 && alembic downgrade b1", {}),
    ("a second base is new", [("a1", None), ("b1", None), ("b2", "b1")], ["a1"], 2,
     "alembic downgrade b1@base", {}),
    ("a second base is new, in a folder of its own", [("a1", None), ("a2", "a1"), ("b1", None, None, None, "others")], ["a1"], 2,
     "alembic downgrade a1 && alembic downgrade b1@base", {}),
    ("labels", [("a1", None, "shop"), ("a2", "a1"), ("b1", None, "blog")], ["a1"], None,
     "alembic downgrade a1 && alembic downgrade b1@base", {}),
    ("two heads, and one branch declared", [("a1", None, "shop"), ("a2", "a1"), ("b1", None, "blog")], ["a1"], ["shop"],
     "alembic downgrade a1 && alembic downgrade b1@base", {"db314-head": "fail"}),
    ("two heads by accident", [("a1", None), ("a2", "a1"), ("a3", "a1")], ["a1"], None,
     "alembic downgrade a1", {"db314-head": "fail"}),
    ("two heads by accident in a labelled branch", [("a1", None, "shop"), ("a2", "a1"), ("a3", "a1")], ["a1"], None,
     "alembic downgrade a1", {"db314-head": "fail"}),
    ("a merge is pending", [("a1", None), ("b1", None), ("m1", ("a1", "b1")), ("m2", "m1")], ["a1", "b1"], None,
     "alembic downgrade a1", {}),
    ("one depends on the other", [("a1", None), ("b1", None, None, "a1"), ("a2", "a1")], ["b1"], 2,
     "alembic downgrade a1", {}),
    ("one that is pending depends on the other", [("a1", None), ("a2", "a1"), ("b1", None, None, "a2")], ["a1"], 2,
     "alembic downgrade a1", {}),
    ("two bases, from nothing, with an empty alembic_version", [("a1", None), ("b1", None), ("m1", ("a1", "b1"))], [], None,
     "alembic downgrade base", {}),
]  # fmt: skip


@pytest.fixture(scope="session")
def child():
    """The program that takes a leg, as a module; it takes its own folder off the path."""
    sys.path.insert(0, str(Path(roundsman.database.__file__).parent))
    return importlib.import_module("migration_child")


@pytest.mark.parametrize(
    ("history", "start", "heads", "back", "wanted"), [row[1:] for row in BRANCHED], ids=[row[0] for row in BRANCHED]
)
def test_every_branch_is_taken_back_to_where_it_was(history, start, heads, back, wanted, project, child):
    branched(project, history)
    script = ScriptDirectory.from_config(Config(project.folder / "alembic.ini"))
    names = {name for name, *_ in history}
    with create_engine("sqlite://").connect() as connection:
        at = lambda steps: walked(connection, steps)  # noqa: E731 - where it is afterwards
        for name in start:
            at(lambda current, name=name: script._upgrade_revs(name, current))
        assert sorted(start) == at(lambda _: [])
        seen = child._pending(script, tuple(start))
        assert seen["ends"] == at(lambda current: child._upward(script, current))
        assert {f"of_{name}" for name in names} == set(inspect(connection).get_table_names()) - {"alembic_version"}
        assert sorted(start) == at(lambda _: child._downward(script, tuple(start)))
        kept = {f"of_{name}" for name in names - set(seen["pending"])}
        assert kept == set(inspect(connection).get_table_names()) - {"alembic_version"}
        at(lambda current: child._upward(script, current))
        for command in back.split(" && "):
            target = command.removeprefix("alembic downgrade ")
            at(lambda current, target=target: script._downgrade_revs(target, current))
        assert sorted(start) == at(lambda _: []), "what is shown leads back as well"
    facts = MigrationFacts("sqlite", tuple(start), tuple(seen["heads"]), seen["labels"], back=tuple(seen["back"]))
    (verdict,) = judge("shop", "content", plan(heads=heads), facts)
    assert (wanted, back) == (outcomes(verdict), verdict.rollback)


def branched(project, history):
    """Write the migrations of a history, each with a table of its own."""
    for name, before, *more in history:
        labels, needs, folder = [*more, None, None, None][:3]
        up, down = f"CREATE TABLE of_{name} (id integer PRIMARY KEY)", f"DROP TABLE of_{name}"
        project.write(name, before, up, down, labels=labels, needs=needs, folder=folder or "versions")
    ini = project.folder / "alembic.ini"
    ini.write_text(
        ini.read_text()
        + "path_separator = space\nversion_locations = %(here)s/migrations/versions %(here)s/migrations/others\n"
    )
    (project.folder / "migrations/others").mkdir(exist_ok=True)


def walked(connection, steps):
    """Take some steps, and say which revisions the database is at then."""
    context = MigrationContext.configure(connection, opts={"fn": lambda current, _: steps(current)})
    with Operations.context(context), context.begin_transaction():
        context.run_migrations()
    connection.commit()
    return sorted(context.get_current_heads())


def test_a_rehearsal_takes_all_branches_back(golden, project):
    branched(project, [("a1", None), ("a2", "a1"), ("b1", None, None, None, "others"), ("b2", "b1")])
    made = ["CREATE TABLE of_a1 (id integer PRIMARY KEY)", "CREATE TABLE of_b1 (id integer PRIMARY KEY)", "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)", "INSERT INTO alembic_version VALUES ('a1'), ('b1')"]  # fmt: skip
    (fill if golden.startswith("postgresql") else lambda url, done: sqlite_database(make_url(url).database, done))(
        golden, made
    )
    verdicts, facts = rehearse(project, heads=2)
    assert {} == outcomes(verdicts[-1])
    assert facts.before.schema == facts.downgraded.schema
    assert "alembic downgrade a1 && alembic downgrade b1" == verdicts[-1].rollback


@pytest.mark.parametrize(("applied", "outcome"), [(["b1"], "pass"), (["a1"], "pass"), (["a1", "b1"], "fail")])
def test_production_holds_no_revision_that_another_one_depends_on(applied, outcome, tmp_path):
    """Alembic leaves it out of its table, though it is a head of the scripts."""
    url = make_url(sqlite_database(tmp_path / "live.db", ["CREATE TABLE alembic_version (version_num text)", *(f"INSERT INTO alembic_version VALUES ('{name}')" for name in applied)]))  # fmt: skip
    facts = MigrationFacts("sqlite", ("a1",), ("a1", "b1"), ends=("b1",), **_live(url, url, {}))
    assert outcome == told(judge("shop", "content", plan(heads=2), facts)[-1])["db315-production"][0]


def test_the_table_with_the_revisions_may_have_another_name(golden, project, tmp_path, monkeypatch, postgres_server):
    env = project.folder / "migrations/env.py"
    env.write_text(
        env.read_text().replace("target_metadata=None", 'target_metadata=None, version_table="our versions"')
    )
    project.add("first", "ALTER TABLE page ADD note text")
    project.add("second", "ALTER TABLE page ADD more text", "ALTER TABLE page DROP COLUMN more")
    versions = ['CREATE TABLE "our versions" (version_num text)', "INSERT INTO \"our versions\" VALUES ('0001')"]
    if golden.startswith("sqlite"):
        live = sqlite_database(tmp_path / "live.db", versions)
        sqlite_database(make_url(golden).database, versions)
    else:
        live = postgres_server.fresh()
        fill(live, versions)
        fill(golden, versions)
    monkeypatch.setenv("SHOP_LIVE", live)
    verdicts, _ = rehearse(project, live="SHOP_LIVE")
    found = told(verdicts[-1])
    assert ("pass", "0001") == found["db315-production"]
    assert "pass" == found["db310-downgrade"][0]


def test_a_revision_whose_script_is_gone_is_named(golden, project):
    project.add("first", "ALTER TABLE page ADD note text")
    if golden.startswith("sqlite"):
        sqlite_database(make_url(golden).database, ["CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('0000')"])  # fmt: skip
    else:
        fill(golden, [], "0000")
    [verdict], _ = rehearse(project)
    assert ("fail", "CommandError: Can't locate revision identified by '0000'") == told(verdict)["db301-upgrade"]


def test_nothing_pending_is_no_trouble_and_two_heads_are(golden, project):
    [verdict], _ = rehearse(project)
    assert {"db314-head": "fail"} == outcomes(verdict)
    for place in (1, 2):
        written = project.add("head", "pass")
        written.write_text(written.read_text().replace("'0001'\n", "None\n") if place == 2 else written.read_text())
    written.write_text(written.read_text().replace("= '0002', '0001'", "= '0002', None"))
    assert ("fail", "0001, 0002") == told(rehearse(project)[0][-1])["db314-head"]


SMOKE = """
import os, sys
url = os.environ["SHOP_URL"]
assert {url} == {os.environ[name] for name in ("SHOP_GOLDEN", "SHOP_LIVE")}, "only the copy is to be found"
if url.startswith("sqlite"):
    import sqlite3
    sqlite3.connect(url.removeprefix("sqlite:///")).execute("SELECT title FROM page").fetchall()
else:
    import psycopg
    psycopg.connect(url).execute("SELECT title FROM page").fetchall()
"""


@pytest.mark.parametrize(
    ("change", "outcome"), [("ADD note text", "pass"), ("RENAME COLUMN title TO headline", "fail")]
)
def test_the_old_release_is_tried_on_the_new_schema_and_finds_only_the_copy(
    change, outcome, golden, project, monkeypatch, tmp_path
):
    live = f"sqlite:///{tmp_path}/live.db" if golden.startswith("sqlite") else golden.rpartition("/")[0] + "/postgres"
    monkeypatch.setenv("SHOP_LIVE", live)
    project.add("changes pages", f"ALTER TABLE page {change}", "pass")
    (tmp_path / "smoke.py").write_text(SMOKE)
    verdicts, _ = rehearse(project, live="SHOP_LIVE", smoke=("python", "-W", "ignore", str(tmp_path / "smoke.py")))
    assert outcome == told(verdicts[-1])["db309-old-release"][0], told(verdicts[-1])["db309-old-release"]


def test_an_old_release_that_was_never_tried_is_told(golden, project):
    project.add("adds", "ALTER TABLE page ADD note text", "ALTER TABLE page DROP COLUMN note")
    assert {"db309-old-release": "warn"} == outcomes(rehearse(project, smoke=())[0][-1])


def test_a_migration_that_runs_at_each_start_is_found(golden, project):
    project.add("adds", "ALTER TABLE page ADD note text", "ALTER TABLE page DROP COLUMN note")
    env = project.folder / "migrations/env.py"
    again = (
        "context.run_migrations()\n        connection.exec_driver_sql('UPDATE page SET views = views + 1 WHERE id = 1')"
    )
    env.write_text(env.read_text().replace("context.run_migrations()", again))
    outcome, saw = told(rehearse(project)[0][-1])["db312-second-upgrade"]
    assert ("fail", "it ran UPDATE page SET views = views + 1 WHERE id = 1") == (outcome, saw)


def test_who_connects_elsewhere_is_refused(golden, project, postgres_server, tmp_path, monkeypatch):
    """Its env.py has the live database's address written in it."""
    project.add("adds", "ALTER TABLE page ADD note text")
    live = postgres_server.fresh() if golden.startswith("postgresql") else sqlite_database(tmp_path / "live.db", SHOP["sqlite"])  # fmt: skip
    if golden.startswith("postgresql"):
        fill(live, SHOP["postgresql"])
    before = state(live)
    env = project.folder / "migrations/env.py"
    env.write_text(env.read_text().replace('os.environ["SHOP_URL"]', repr(live)))
    for guard, saw in (("full", "rehearsal reaches its copy only"), ("environment", "and not to the copy")):
        verdict = rehearse(project, guard=guard)[0][-1]
        assert "unknown" == told(verdict)["db301-upgrade"][0]
        if golden.startswith("postgresql") or guard == "environment":
            assert saw in told(verdict)["db301-upgrade"][1]
        [wanted] = [one.wanted for one in verdict.findings if one.claim.endswith("db301-upgrade")]
        assert "`env:`" in wanted
        assert before == state(live)


def test_the_live_database_is_no_golden_one_and_no_copy(postgres_server, project, monkeypatch):
    live = postgres_server.fresh()
    fill(live, SHOP["postgresql"])
    monkeypatch.setenv("SHOP_GOLDEN", live)
    monkeypatch.setenv("SHOP_LIVE", live.replace("127.0.0.1", "localhost"))
    with pytest.raises(RehearsalError, match=r"saw the live database as golden; .* physical backup can't be told"):
        rehearse(project, live="SHOP_LIVE")
    assert set() == databases(live)


@pytest.mark.parametrize(("mode", "refused"), [("DELETE", True), ("WAL", False)])
def test_a_live_file_is_golden_only_where_its_writers_need_not_wait(mode, refused, tmp_path):
    url = make_url(sqlite_database(tmp_path / "live.db", SHOP["sqlite"]))
    sqlite_database(tmp_path / "live.db", [f"PRAGMA journal_mode = {mode}"])
    (tmp_path / "link.db").symlink_to(tmp_path / "live.db")
    live = url.set(database=str(tmp_path / "link.db"))
    if refused:
        with pytest.raises(RehearsalError, match=r"mode delete: nobody can write .* restore a golden one"):
            copied("shop", url, live, datetime.now(UTC)).__enter__()
        assert set() == databases(str(url))
        return
    with copied("shop", url, live, datetime.now(UTC)) as copy:
        assert {"author": 50, "page": 1000} == snapshot(copy).rows


def test_a_copy_is_open_to_nobody_else(golden, tmp_path, postgres_server):
    """What is done to the golden database for that, such as a mode or REVOKE, does not come along by itself."""
    url = make_url(golden)
    if url.host:
        with psycopg.connect(golden, autocommit=True) as server:
            server.execute("DROP ROLE IF EXISTS other")
            server.execute("CREATE ROLE other LOGIN PASSWORD 'looks'")
            server.execute(f"REVOKE CONNECT ON DATABASE {url.database} FROM PUBLIC")
    with copied("shop", url, None, datetime.now(UTC)) as copy:
        if not url.host:
            assert 0o600 == Path(copy.name).stat().st_mode & 0o777
            return
        with psycopg.connect(copy.url) as connection:
            assert 1000 == connection.execute("SELECT count(*) FROM page").fetchone()[0]
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(
                make_url(copy.url).set(username="other", password="looks").render_as_string(hide_password=False)
            )


def test_a_copy_that_is_the_live_database_is_refused(golden, tmp_path):
    now = datetime.now(UTC)
    with copied("shop", make_url(golden), None, now) as copy:
        url = make_url(copy.url)
        other = url.set(host="localhost") if url.host else url
        if not url.host:
            (tmp_path / "link.db").symlink_to(url.database)
            other = url.set(database=str(tmp_path / "link.db"))
        with pytest.raises(RehearsalError, match="saw the live database as the copy"):
            refuse_live(url, other)
        with pytest.raises(RehearsalError, match="not named as a copy"):
            refuse_live(make_url(golden), None)
        with pytest.raises(RehearsalError, match="not named as a copy"):
            drop(make_url(golden), "golden")
    assert set() == databases(golden)


KILLED = """
import sys, threading
from pathlib import Path
from roundsman.database.rehearse_migrations import _rehearse
from roundsman.database.snapshot import snapshot
from tests.database.migrating import plan
_rehearse("shop", plan(), "", Path(sys.argv[1]), threading.Event())
"""


@pytest.mark.slow
def test_a_copy_left_by_a_killed_rehearsal_is_dropped_by_the_next(golden, project, tmp_path):
    mark = project.folder / "under way"
    slow = project.add("waits", f"Path({str(mark)!r}).touch(); import time; time.sleep(300)")
    with subprocess.Popen([sys.executable, "-c", KILLED, str(project.folder)]) as process:
        until(mark.exists)
        os.kill(process.pid, signal.SIGKILL)
    left = databases(golden)
    assert left
    now = datetime.now(UTC)
    url = make_url(golden)
    assert [] == drop_left_over("shop", url, now, MAX_REHEARSAL_SECONDS), "somebody could still be at work on it"
    later = now + timedelta(seconds=MAX_REHEARSAL_SECONDS + 5)
    assert [] == drop_left_over("another", url, later, MAX_REHEARSAL_SECONDS)
    slow.write_text(slow.read_text().replace("time.sleep(300)", "pass"))
    assert {name.partition(".")[0] for name in left} == set(drop_left_over("shop", url, later, MAX_REHEARSAL_SECONDS))
    assert set() == databases(golden)
    assert {} == outcomes(rehearse(project)[0][-1])


def until(holds):
    for _ in range(600):
        if holds():
            return
        threading.Event().wait(0.05)
    pytest.fail("it did not come so far")


def test_a_rehearsal_that_breaks_down_leaves_no_copy(golden, project, monkeypatch):
    def breaks(*_):
        raise KeyError("whatever")

    monkeypatch.setattr("roundsman.database.rehearse_migrations.snapshot", breaks)
    project.add("adds", "ALTER TABLE page ADD note text")
    with pytest.raises(KeyError):
        rehearse(project)
    assert set() == databases(golden)


@pytest.mark.parametrize(
    ("revision", "outcome", "saw"),
    [(None, "pass", "before the first"), ("0001", "pass", "0001"), ("0007", "fail", "0007")],
)
def test_production_is_where_the_rehearsal_began_or_ended(revision, outcome, saw, url):
    """What is rehearsed leads from before the first migration to 0001."""
    if url.startswith("postgresql"):
        fill(url, [], revision)
    else:
        Path(make_url(url).database).parent.mkdir()
        version = ["CREATE TABLE alembic_version (version_num text)", f"INSERT INTO alembic_version VALUES ('{revision}')"]  # fmt: skip
        sqlite_database(make_url(url).database, version if revision else [])
    facts = MigrationFacts("any", heads=("0001",), **_live(make_url(url), make_url(url), {}))
    assert (outcome, saw) == told(judge("shop", "content", plan(), facts)[-1])["db315-production"]


ODD = {
    "postgresql": ['CREATE TABLE "Order" (id integer PRIMARY KEY, age integer)', "CREATE TABLE vacant (id integer PRIMARY KEY, age integer)", 'INSERT INTO "Order" SELECT id, 1 FROM page WHERE id <= 100', "ANALYZE"],
    "sqlite": ['CREATE TABLE "Order" (id INTEGER PRIMARY KEY, age INTEGER)', "CREATE TABLE vacant (id INTEGER PRIMARY KEY, age INTEGER)", 'INSERT INTO "Order" SELECT id, 1 FROM page WHERE id <= 100', "ANALYZE"],
}  # fmt: skip
MORE = "INSERT INTO {} SELECT 1000 * a.id + b.id, 1 FROM page a, page b WHERE a.id <= 200"


@pytest.mark.parametrize(
    ("up", "large", "rows", "outcome"),
    [
        ('UPDATE "Order" SET age = 2', '"Order"', {}, "warn"),
        ('UPDATE "Order" SET age = 2', "not asked", {}, "unknown"),
        ("UPDATE vacant SET age = 2", "vacant", {}, "unknown"),
        ("UPDATE vacant SET age = 2", "", {}, "pass"),
        ("ALTER TABLE vacant ADD note text", "vacant", {"vacant": 50_000_000, "Order": 100}, "pass on postgresql"),
    ],
)
def test_production_is_asked_how_large_its_tables_are_whatever_they_are_called(
    up, large, rows, outcome, golden, project, monkeypatch, tmp_path, postgres_server
):
    """What is not known, and what an empty table can't tell, is no pass; what reads no row is."""
    dialect = golden.partition(":")[0]
    more = [MORE.format(large), "ANALYZE"] if large in up and large else []
    if dialect == "postgresql":
        live = postgres_server.fresh()
        fill(golden, ODD[dialect])
        fill(live, [*SHOP[dialect], *ODD[dialect], *more])
    else:
        sqlite_database(tmp_path / "golden.db", ODD[dialect])
        live = sqlite_database(tmp_path / "live.db", [*SHOP[dialect], *ODD[dialect], *more])
    monkeypatch.setenv("SHOP_LIVE", live)
    project.add("fills in", up)
    # What is asked is which table the time grows with, and not how long it takes on this machine.
    slow = {"time": "1000h", "reads_blocked": "1000h", "writes_blocked": "1000h"}
    verdicts, _ = rehearse(project, live="SHOP_LIVE" if large != "not asked" else "", rows=rows, budget=slow)
    wanted = {"pass on postgresql": "pass" if dialect == "postgresql" else "unknown"}.get(outcome, outcome)
    assert wanted == told(verdicts[0])["db305-rows"][0], told(verdicts[0])
    assert ("unknown" if wanted == "unknown" else "pass") == told(verdicts[-1])["db302-time"][0]


def test_rows_of_production_are_told_by_the_means_that_tell_the_golden_ones(tmp_path, monkeypatch, project):
    """Numbers that were given out of order or by a clock are no count of rows."""
    clocked = ["CREATE TABLE event (id INTEGER PRIMARY KEY, age INTEGER)", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO event SELECT i * 1000000000, 1 FROM n"]  # fmt: skip
    monkeypatch.setenv("SHOP_GOLDEN", sqlite_database(tmp_path / "golden.db", [*clocked, "ANALYZE"]))
    monkeypatch.setenv("SHOP_LIVE", sqlite_database(tmp_path / "live.db", clocked))
    project.add("fills in", "UPDATE event SET age = 2")
    verdicts, facts = rehearse(project, live="SHOP_LIVE", rows={})
    assert ({"event": 100}, "pass") == (facts.live_rows, told(verdicts[0])["db305-rows"][0])


TAKES = {
    "postgresql": [
        "CREATE TYPE mood AS ENUM ('calm', 'glad')",
        "CREATE TABLE note (id integer PRIMARY KEY, slug text UNIQUE, kind varchar(20), mood mood, body text NOT NULL DEFAULT '', size integer, empty text)",
        "INSERT INTO note SELECT i, 'note ' || i, 'kind ' || i, 'calm', 'body ' || i, i FROM generate_series(1, 9) i",
        "CREATE VIEW titles AS SELECT title FROM page", "CREATE SEQUENCE number",
        "CREATE FUNCTION twice(n integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * n'",
        "CREATE SCHEMA shop", "CREATE TABLE shop.cart (id integer PRIMARY KEY, sum numeric(10, 2))", "INSERT INTO shop.cart VALUES (1, 2)",
        "CREATE TABLE vacant (id integer PRIMARY KEY, age integer)",
    ],
    "sqlite": [
        "CREATE TABLE note (id integer NOT NULL PRIMARY KEY, slug text UNIQUE, kind varchar(20), mood text, body text NOT NULL DEFAULT '', size integer, empty text)",
        "INSERT INTO note SELECT id, 'note ' || id, 'kind ' || id, 'calm', 'body ' || id, id, NULL FROM page WHERE id < 10",
        "CREATE VIEW titles AS SELECT title FROM page", "CREATE TABLE vacant (id integer NOT NULL PRIMARY KEY, age integer)",
    ],
}  # fmt: skip
#: The statements of a release by dialect, or of both; what is gone of the values; what breaks the release before, or may
#: ("may: ..."); and what to do instead.
TAKEN = [
    ("both", ["DROP TABLE note"], "note is gone with 9 rows, by DROP TABLE note in 1", "note is gone, by DROP TABLE note in 1", "drop it one release after"),
    ("both", ["DROP TABLE vacant"], "", "vacant is gone", ""),
    ("both", ["DROP VIEW titles", "ALTER TABLE page DROP COLUMN title"], "page.title is gone with the values of 1000 rows, by ALTER TABLE page DROP COLUMN title", "page.title is gone, by ALTER TABLE page DROP", ""),
    ("both", ["ALTER TABLE note DROP COLUMN empty"], "", "note.empty is gone", ""),
    ("both", ["DROP VIEW titles"], "", "titles is gone, by DROP VIEW titles", ""),
    ("both", ["ALTER TABLE note RENAME TO remark"], "", "note is called remark now", "ALTER TABLE note RENAME TO remark; CREATE VIEW note AS SELECT * FROM remark"),
    ("postgresql", ["ALTER TABLE note RENAME TO remark", "CREATE VIEW note AS SELECT * FROM remark"], "", "", ""),
    ("sqlite", ["ALTER TABLE note RENAME TO remark", "CREATE VIEW note AS SELECT * FROM remark"], "", "may: note is a view now, which takes no rows", ""),
    ("both", ["ALTER TABLE note RENAME COLUMN kind TO sort"], "", "note.kind is called sort now", "ALTER TABLE note ADD COLUMN sort "),
    ("both", ["ALTER TABLE note RENAME COLUMN id TO number"], "", "note.id is called number now", ""),
    ("both", ["DELETE FROM note"], "note has 0 rows, had 9, by DELETE FROM note in 1", "", ""),
    ("both", ["ALTER TABLE note ADD colour text"], "", "", ""),
    ("both", ["ALTER TABLE note ADD colour text NOT NULL DEFAULT 'red'"], "", "", ""),
    ("both", ["CREATE UNIQUE INDEX of_size ON note (size)"], "", "may: unique key note (size) is new", "add it once no release"),
    ("postgresql", ["ALTER TABLE note ADD colour text UNIQUE"], "", "", ""),
    ("postgresql", ["TRUNCATE note"], "note has 0 rows, had 9, by TRUNCATE note in 1", "", ""),
    ("postgresql", ["DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'no' || 'te'; END $$"], "note is gone with 9 rows", "note is gone", ""),
    ("postgresql", ["CREATE FUNCTION away() RETURNS void LANGUAGE sql AS 'ALTER TABLE note DROP COLUMN kind'", "SELECT away()"], "note.kind is gone with the values of 9 rows", "note.kind is gone", ""),
    ("postgresql", ["ALTER TABLE note ADD colour text", "UPDATE note SET colour = 'red'", "ALTER TABLE note ALTER colour SET NOT NULL"], "", "note.colour is new, NOT NULL and without a default", "ALTER TABLE note ADD COLUMN colour text"),
    ("postgresql", ["ALTER TABLE note ALTER size SET NOT NULL"], "", "note.size takes no NULL any more: a row without it can't be written", ""),
    ("postgresql", ["ALTER TABLE note ALTER size SET DEFAULT 1", "ALTER TABLE note ALTER size SET NOT NULL"], "", "may: note.size takes no NULL any more", ""),
    ("postgresql", ["ALTER TABLE note ALTER body DROP DEFAULT"], "", "note.body has no default any more", ""),
    ("postgresql", ["ALTER TABLE note ALTER size TYPE bigint", "ALTER TABLE note ALTER kind TYPE text"], "", "", ""),
    ("postgresql", ["ALTER TABLE note ALTER size TYPE text"], "", "note.size is text and was integer", "ALTER TABLE note ADD COLUMN size_new text"),
    ("postgresql", ["ALTER TABLE note ALTER kind TYPE varchar(10)"], "", "may: note.kind is character varying(10) and was character varying(20)", ""),
    ("postgresql", ["ALTER TABLE shop.cart ALTER sum TYPE numeric(12, 2)"], "", "", ""),
    ("postgresql", ["DROP FUNCTION twice"], "", "function twice(integer) is gone", ""),
    ("postgresql", ["DROP SEQUENCE number"], "", "may: sequence number is gone", ""),
    ("postgresql", ["DROP SCHEMA shop CASCADE"], "shop.cart is gone with 1 row", "shop.cart is gone", ""),
    ("postgresql", ["ALTER TYPE mood RENAME TO old_mood", "CREATE TYPE mood AS ENUM ('calm')", "ALTER TABLE note ALTER mood TYPE mood USING mood::text::mood", "DROP TYPE old_mood"], "", "value 'glad' of mood is gone", ""),
    ("postgresql", ["ALTER TYPE mood ADD VALUE 'sad'"], "", "", ""),
    ("postgresql", ["ALTER TABLE note DROP CONSTRAINT note_slug_key"], "", "may: unique key note (slug) is gone", ""),
    ("postgresql", ["ALTER TABLE note ADD CHECK (size < 99)"], "", "may: CHECK ((size < 99)) of note is new", ""),
    ("postgresql", ["ALTER TABLE note ADD CONSTRAINT of FOREIGN KEY (size) REFERENCES author NOT VALID", "ALTER TABLE note VALIDATE CONSTRAINT of"], "", "may: FOREIGN KEY (size) REFERENCES author(id) of note is new", ""),
    ("sqlite", ["CREATE TABLE _alembic_tmp_note (id integer NOT NULL PRIMARY KEY, slug text UNIQUE, kind varchar(20), mood text, body text NOT NULL DEFAULT '', size integer)", "INSERT INTO _alembic_tmp_note SELECT id, slug, kind, mood, body, size FROM note", "DROP TABLE note", "ALTER TABLE _alembic_tmp_note RENAME TO note"], "", "note.empty is gone", ""),
    ("sqlite", ["CREATE TABLE _alembic_tmp_note (id integer NOT NULL PRIMARY KEY, slug text UNIQUE, kind text NOT NULL, mood text, body text NOT NULL DEFAULT '', empty text)", "INSERT INTO _alembic_tmp_note SELECT id, slug, kind, mood, body, empty FROM note", "DROP TABLE note", "ALTER TABLE _alembic_tmp_note RENAME TO note"], "note.size is gone with the values of 9 rows", "note.kind takes no NULL any more: a row without it can't be written", ""),
]  # fmt: skip


@pytest.fixture(scope="session")
def takes(postgres_server, tmp_path_factory):
    """A database of each dialect, to be copied for each row."""
    template = postgres_server.fresh()
    fill(template, [*SHOP["postgresql"], *TAKES["postgresql"]])
    path = tmp_path_factory.mktemp("takes") / "golden.db"
    return {"postgresql": template, "sqlite": sqlite_database(path, [*SHOP["sqlite"], *TAKES["sqlite"]])}


@pytest.mark.parametrize(
    ("dialect", "statements", "lost", "broken", "instead"),
    [(dialect, *row[1:]) for row in TAKEN for dialect in ("postgresql", "sqlite") if row[0] in {"both", dialect}],
)
def test_what_is_gone_and_what_breaks_the_old_release_is_named_by_what_the_catalogue_shows(
    dialect, statements, lost, broken, instead, takes
):
    with copied("shop", make_url(takes[dialect]), None, datetime.now(UTC)) as copy:
        before = snapshot(copy)
        if dialect == "sqlite":
            sqlite_database(make_url(copy.url).database, statements)
        else:
            with psycopg.connect(copy.url, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement)
        after = snapshot(copy, before)
    up = MigrationRun(tuple(MigrationStatement(sql, 0, 0, "1") for sql in statements), revisions=("1",))

    def found(smoke, **more):
        facts = MigrationFacts(dialect, pending={"1": ""}, before=before, up=up, upgraded=after, smoke=smoke)
        return {one.claim.partition("/")[2]: one for one in judge("shop", "content", plan(**more), facts)[-1].findings}

    untried = found(None)
    assert ("fail" if lost else "pass", True) == (untried["db311-data"].outcome, lost in untried["db311-data"].saw), (
        untried["db311-data"]
    )
    release = untried["db309-old-release"]
    sure = bool(broken) and not broken.startswith("may: ")
    assert ("fail" if sure else "warn", True) == (release.outcome, broken.removeprefix("may: ") in release.saw), release
    assert broken or release.saw == "no smoke test is written"
    assert (instead in release.wanted, "`smoke:`" in release.wanted) == (True, True)
    assert "pass" == found("")["db309-old-release"].outcome, "a smoke test shows that it works"
    failed = found("exit 1")["db309-old-release"]
    assert ("fail", True) == (failed.outcome, broken.removeprefix("may: ") in failed.saw)
    accepted = found(None, lossy=("note.*", "page.title", "note.kind", "note.size", "shop.cart.*"))
    assert ("pass", release.outcome) == (accepted["db311-data"].outcome, accepted["db309-old-release"].outcome)


#: Statements that keep others waiting, none of which hinders the next.
HEAVY = [
    "ALTER TABLE page ALTER views TYPE bigint", "CREATE INDEX page_title ON page (title)", "CREATE UNIQUE INDEX of_title ON page (lower(title))", "DROP INDEX author_name", 'ALTER TABLE author ALTER name TYPE varchar COLLATE "C"',
    "ALTER TABLE page ADD CONSTRAINT by_author FOREIGN KEY (author_id) REFERENCES author (id) ON DELETE CASCADE",
    "ALTER TABLE page ADD FOREIGN KEY (author_id) REFERENCES author", "ALTER TABLE page ADD CHECK (views >= 0)", "ALTER TABLE page ADD CHECK (views > 0 OR title <> 'a b')",
    "ALTER TABLE page ALTER title SET NOT NULL", "ALTER TABLE page ADD UNIQUE (author_id, title)",
    "ALTER TABLE author ADD CONSTRAINT of_name UNIQUE (name)", "ALTER TABLE tag ADD PRIMARY KEY (id)",
    "ALTER TABLE page ADD token uuid DEFAULT gen_random_uuid()",
    "ALTER TABLE page ADD editor integer REFERENCES author (id)", "ALTER TABLE page ADD slug text UNIQUE, ADD CONSTRAINT sane CHECK (views < 99)",
    "ALTER TABLE page ADD code uuid DEFAULT gen_random_uuid() NOT NULL", "ALTER TABLE page ADD age integer DEFAULT 1 CHECK (age > 0)",
    "REINDEX TABLE page", "VACUUM FULL page", "DO $$ BEGIN ALTER TABLE author ALTER name SET NOT NULL; END $$",
]  # fmt: skip


def test_the_safer_statement_leads_to_the_same_schema(postgres_server):
    made = [*SHOP["postgresql"], "CREATE TABLE tag (id integer NOT NULL)", "CREATE INDEX author_name ON author (name)"]
    schemas = []
    for statements in (HEAVY, [safer_statement(one, "postgresql").sql for one in HEAVY]):
        url = postgres_server.fresh()
        fill(url, [*made, *(part.removesuffix(", in batches") for one in statements for part in split(one, ";"))])
        schemas.append(snapshot(Copy(url, make_url(url).database)).schema)
    assert schemas[0] == schemas[1]


BY_AUTHOR = "-- name: by_author  params: {author: 7}\nSELECT id, author_id FROM page WHERE author_id = :author"


@pytest.mark.parametrize(
    ("up", "down", "outcome", "saw"),
    [
        ("DROP INDEX page_author", "CREATE INDEX page_author ON page (author_id)", {"postgresql": "fail", "sqlite": "warn"}, {"postgresql": "by_author: Seq Scan on page, cost ", "sqlite": "by_author: SCAN on page"}),
        ("CREATE INDEX page_views ON page (views)", "DROP INDEX page_views", {}, {"postgresql": "1 query no dearer", "sqlite": "1 query no dearer"}),
        ("ALTER TABLE page RENAME COLUMN author_id TO writer_id", "ALTER TABLE page RENAME COLUMN writer_id TO author_id", {"postgresql": "warn", "sqlite": "warn"}, {"postgresql": 'by_author: column "author_id" does not exist', "sqlite": "by_author: no such column: author_id"}),
    ],
)  # fmt: skip
def test_queries_are_tried_before_and_after_the_upgrade(up, down, outcome, saw, golden, project):
    dialect = golden.partition(":")[0]
    index = ["CREATE INDEX page_author ON page (author_id)", "ANALYZE"]
    (fill if dialect == "postgresql" else lambda url, done: sqlite_database(make_url(url).database, done))(
        golden, index
    )
    (project.folder / "queries.sql").write_text(BY_AUTHOR)
    project.add("changes what leads there", up, down)
    verdicts, _ = rehearse(project, queries=Queries(file="queries.sql"))
    found = told(verdicts[-1])["db202-plans"]
    assert (outcome.get(dialect, "pass"), True) == (found[0], found[1].startswith(saw[dialect])), found
    assert set() == databases(golden)


MODELS = """
import sqlalchemy as sa
metadata = sa.MetaData()
sa.Table("author", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
sa.Table("page", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("author_id", sa.Integer),
         sa.Column("title", sa.Text), sa.Column("views", sa.Integer), sa.Column("note", sa.Text))
"""


@pytest.fixture
def modelled(project):
    """The project has models, whose pages have a note."""
    env = project.folder / "migrations/env.py"
    env.write_text(MODELS + env.read_text().replace("target_metadata=None", "target_metadata=metadata"))
    return project


def test_what_migrations_make_and_cost_is_held_against_models_and_budget(golden, modelled):
    fill_in = "UPDATE page SET note = title || title || title || title || title"
    modelled.add("adds a note", ["ALTER TABLE page ADD note text", fill_in], "ALTER TABLE page DROP COLUMN note")
    verdicts, facts = rehearse(modelled)
    names = ("db302-time", "db313-growth", "db314-check")
    assert ["pass", "pass", "pass"] == [told(verdicts[-1])[name][0] for name in names], verdicts[-1]
    tight = judge("shop", "content", plan(budget={"time": "0.001ms", "growth": 1}), facts)
    assert ["fail", "warn", "pass"] == [told(tight[-1])[name][0] for name in names]


@pytest.mark.parametrize(("more", "outcome"), [([], "warn"), (["ANALYZE page"], "pass")])
def test_statistics_are_made_anew_after_many_rows_were_changed(more, outcome, golden, modelled):
    modelled.add("changes rows", ["UPDATE page SET views = 1 WHERE id < 500", *more])
    found = told(rehearse(modelled)[0][-1])
    assert outcome == found["db308-statistics"][0]
    assert ("fail", True) == (found["db314-check"][0], "note" in found["db314-check"][1])
