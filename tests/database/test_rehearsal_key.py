"""What a rehearsal depends on: each part of it, changed, makes another key; where it can't be known there is none."""

import os
import sqlite3
import sys

import psycopg
import pytest

from roundsman.database import rehearsal_key
from roundsman.database.rehearsal_key import key_of
from roundsman.database.rehearse_migrations import is_settled
from roundsman.database.rules.migration_facts import MigrationFacts, MigrationRun
from roundsman.database.rules.migration_reach import ReachAttempt
from roundsman.database.rules.query_facts import Queries
from tests.database.migrating import Project, fill, plan


@pytest.fixture
def python(tmp_path):
    """A virtual environment of the project's own, with nothing in it."""
    site = tmp_path / "environment/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    (tmp_path / "environment/pyvenv.cfg").write_text("include-system-site-packages = false\n")
    (tmp_path / "environment/bin").mkdir()
    (tmp_path / "environment/bin/python").symlink_to(os.path.realpath(sys.executable))
    return tmp_path / "environment"


@pytest.fixture
def project(tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "golden.db") as database:
        database.execute("CREATE TABLE page (id integer PRIMARY KEY, title text)")
    database.close()
    monkeypatch.setenv("SHOP_GOLDEN", f"sqlite:///{tmp_path}/golden.db")
    project = Project(tmp_path / "project")
    project.add("adds a note", "ALTER TABLE page ADD note text", "ALTER TABLE page DROP COLUMN note")
    (project.folder / "queries.sql").write_text("-- name: one\nSELECT 1;")
    return project


def keyed(project, python, name="shop", live="", queries=None, **more):
    return key_of(name, plan(python=str(python / "bin/python"), **more), live, project.folder, queries)


def test_it_is_the_same_as_long_as_nothing_changes(project, python, monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "hush-4711")
    first, why = keyed(project, python)
    assert ("", True) == (why, first.startswith("migration-rehearsal-"))
    with sqlite3.connect(project.folder.parent / "golden.db") as database:
        database.execute("SELECT * FROM page").fetchall()
    database.close()
    (project.folder / "migrations/__pycache__").mkdir()
    (project.folder / "migrations/__pycache__/env.pyc").write_text("compiled")
    for name, value in (("PREFECT__FLOW_RUN_ID", "another"), ("ROUNDSMAN_X", "1"), ("SHOP_PASSWORD", "hush-4712")):
        monkeypatch.setenv(name, value)
    assert first == keyed(project, python)[0]


def a_migration(project, python, patch):
    project.add("adds another", "ALTER TABLE page ADD more text")


def a_migrations_text(project, python, patch):
    path = project.folder / "migrations/versions/0001.py"
    path.write_text(path.read_text().replace("ADD note", "ADD nota"))


def a_module_that_it_imports(project, python, patch):
    (project.folder / "models.py").write_text("x = 1")


def the_named_queries(project, python, patch):
    (project.folder / "queries.sql").write_text("-- name: one\nSELECT 2;")


def a_package(project, python, patch):
    (python / "lib/python3.11/site-packages/alembic-9.9.dist-info").mkdir()


def an_editable_packages_code(project, python, patch):
    (project.folder.parent / "beside").mkdir(exist_ok=True)
    (project.folder.parent / "beside/shared.py").write_text("x = 2")


def the_golden_databases_rows(project, python, patch):
    with sqlite3.connect(project.folder.parent / "golden.db") as database:
        database.execute("INSERT INTO page VALUES (1, 'one')")
    database.close()


def a_variable(project, python, patch):
    patch.setenv("SHOP_FEATURES", "new")


def our_version(project, python, patch):
    patch.setattr(rehearsal_key, "VERSION", "9.9.9")


def our_code(project, python, patch):
    patch.setattr(rehearsal_key, "own_code", lambda: "another")


CHANGES = [
    a_migration,
    a_migrations_text,
    a_module_that_it_imports,
    the_named_queries,
    a_package,
    an_editable_packages_code,
    the_golden_databases_rows,
    a_variable,
    our_version,
    our_code,
]


@pytest.mark.parametrize("change", CHANGES, ids=[one.__name__ for one in CHANGES])
def test_whatever_changes_makes_another_key(change, project, python, monkeypatch):
    (project.folder.parent / "beside").mkdir()
    (project.folder.parent / "beside/shared.py").write_text("x = 1")
    (python / "lib/python3.11/site-packages/shared.pth").write_text(f"{project.folder.parent}/beside\n")
    first, why = keyed(project, python)
    assert "" == why
    change(project, python, monkeypatch)
    second, why = keyed(project, python)
    assert ("", True) == (why, first != second)


def test_so_does_another_promise(project, python):
    keys = {
        keyed(project, python)[0],
        keyed(project, python, name="stock")[0],
        keyed(project, python, timeout="1m")[0],
        keyed(project, python, budget={"reads_blocked": "3s"})[0],
        keyed(project, python, smoke=("false",))[0],
        keyed(project, python, queries=Queries(file="queries.sql"))[0],
        keyed(project, python, live="SHOP_GOLDEN")[0],
    }
    assert (7, False) == (len(keys), "" in keys)


UNKNOWABLE = [
    ({"smoke": ("sh", "/opt/old-release/smoke")}, "the smoke test uses /opt/old-release/smoke"),
    ({"smoke": ("sh", "../old/smoke")}, "the smoke test leaves the project by way of .."),
    ({"smoke": ("is-not-there",)}, "there is no program is-not-there"),
]


@pytest.mark.parametrize(("more", "says"), UNKNOWABLE)
def test_there_is_none_where_something_can_not_be_known(more, says, project, python):
    key, why = keyed(project, python, **more)
    assert ("", says) == (key, why[: len(says)])


def test_nor_for_a_project_that_is_too_large_or_leads_out(project, python, monkeypatch):
    (project.folder / "out").symlink_to("/usr")
    assert "leads out of the project" in keyed(project, python)[1]
    (project.folder / "out").unlink()
    monkeypatch.setattr(rehearsal_key, "_MAX_FILES", 2)
    assert "has more than 2 files" in keyed(project, python)[1]


SHOP = [
    "CREATE TABLE page (id integer PRIMARY KEY, title text)",
    "INSERT INTO page VALUES (1, 'one')",
    "CREATE SEQUENCE s",
]
WRITES = [
    "INSERT INTO page VALUES (2, 'two')",
    "UPDATE page SET title = 'eins' WHERE id = 1",
    "ALTER TABLE page ADD note text",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT nextval('s')",
    "TRUNCATE page",
    "COMMENT ON TABLE page IS 'changed'",
]


def test_a_golden_database_on_a_server_is_known_by_what_was_written_to_it(
    postgres_server, project, python, monkeypatch
):
    url = postgres_server.fresh()
    fill(url, SHOP)
    monkeypatch.setenv("SHOP_GOLDEN", url)
    assert "" == keyed(project, python)[1]
    with psycopg.connect(url) as reader:
        reader.execute("SELECT * FROM page").fetchall()
        assert "somebody is connected" in keyed(project, python)[1]
    seen = {keyed(project, python)[0]}
    for statement in WRITES:
        with psycopg.connect(url, autocommit=True) as writer:
            writer.execute(statement)
        key, why = keyed(project, python)
        assert ("", False) == (why, key in seen), statement
        seen.add(key)


def test_no_secret_and_no_guess_at_one_is_in_it(project, python, monkeypatch):
    """A password is in no part of what is digested, so that nobody can try words against the key."""
    parts = []
    monkeypatch.setattr(rehearsal_key, "_digest", lambda said: parts.append(repr(said)) or "x")
    monkeypatch.setenv("SHOP_TOKEN", "hush-4711")
    monkeypatch.setenv("OTHER_DATABASE", "postgresql://u:hush-4712@h/d")
    keyed(project, python)
    assert "SHOP_TOKEN" in parts[-1]
    assert "hush" not in parts[-1]


WENT_WRONG = [
    {"trouble": "no"},
    {"smoke": "exit 1"},
    {"up": MigrationRun(error="disk full")},
    {"down": MigrationRun(error="no")},
    {"again": MigrationRun(error="no")},
    {"attempts": (ReachAttempt("looked up", "a"),)},
]


def test_only_what_went_well_is_settled():
    assert is_settled(MigrationFacts("sqlite", up=MigrationRun(), smoke=""))
    for wrong in WENT_WRONG:
        assert not is_settled(MigrationFacts("sqlite", **wrong)), wrong
