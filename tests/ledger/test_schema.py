"""Opening the ledger: where it is, how its tables come about, and what is said when it can't be used."""

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

from roundsman.ledger.base import LedgerTable
from roundsman.ledger.days import compared
from roundsman.ledger.ledger import LedgerError, alembic_config, ledger_url, open_ledger, write_round
from tests import postgres
from tests.ledger.rounds import FULL, a_round, counted, python

MIGRATIONS = Path(alembic_config(create_engine("sqlite://")).get_main_option("script_location"))


def test_models_and_migrations_agree(ledger):
    with ledger.connect() as connection:
        told = compared(connection.dialect.name)
        options = {"compare_type": True, "compare_server_default": True, "include_object": told}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, LedgerTable.metadata) == []


def test_there_is_one_newest_migration(ledger):
    newest = ScriptDirectory.from_config(alembic_config(ledger)).get_heads()
    with ledger.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == newest


def test_upgrading_twice_changes_nothing(ledger):
    write_round(ledger, **a_round())
    before = schema(ledger)
    command.upgrade(alembic_config(ledger), "head")
    assert (schema(ledger), counted(ledger)) == (before, FULL)


def test_down_to_nothing_and_up_again_gives_the_same_schema(ledger):
    before = schema(ledger)
    command.downgrade(alembic_config(ledger), "base")
    bare = schema(ledger)
    for table in LedgerTable.metadata.tables:
        assert f"TABLE {table} " not in bare.replace("public.", "")
    command.upgrade(alembic_config(ledger), "head")
    assert schema(ledger) == before


def schema(engine: Engine) -> str:
    """The whole schema as the database itself tells it."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            told = connection.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name"))
            return "\n".join(told.scalars())
    address = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    dump = [postgres.program("pg_dump"), "--schema-only", address]
    lines = subprocess.run(dump, capture_output=True, check=True, text=True).stdout.splitlines()
    return "\n".join(line for line in lines if not line.startswith("\\"))  # its \restrict differs each time


STOPS = """
revision, down_revision = "9999", "{newest}"

def upgrade():
    raise RuntimeError("stopped here")
"""


def test_an_upgrade_over_many_versions_that_stops_half_way_leaves_nothing_of_itself(ledger, tmp_path):
    before = schema(ledger)
    command.downgrade(alembic_config(ledger), "base")
    bare = schema(ledger)
    folder = shutil.copytree(MIGRATIONS, tmp_path / "stops")
    newest = ScriptDirectory.from_config(alembic_config(ledger)).get_current_head()
    (folder / "versions" / "9999_stops.py").write_text(STOPS.format(newest=newest))
    with pytest.raises(RuntimeError, match="stopped here"):
        command.upgrade(alembic_config(ledger, folder), "head")
    assert schema(ledger) == bare
    command.upgrade(alembic_config(ledger), "head")
    assert schema(ledger) == before


OPEN_TOGETHER = """
import sys
import alembic.command
from roundsman.ledger.ledger import open_ledger, write_round
from tests.ledger.rounds import a_round
print("ready", flush=True)
sys.stdin.readline()
engine = open_ledger(sys.argv[1])
write_round(engine, **a_round(sys.argv[2]))
engine.dispose()
"""


@pytest.mark.slow
def test_workers_that_start_at_once_on_an_empty_database_do_not_race(url):
    workers = [python(OPEN_TOGETHER, url, f"run-{number}") for number in range(3)]
    for worker in workers:
        assert worker.stdout.readline() == b"ready\n"
    for worker in workers:
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=180)
    assert [worker.returncode for worker in workers] == [0] * 3
    engine = open_ledger(url)
    assert counted(engine) == {name: 3 * number for name, number in FULL.items()}
    engine.dispose()


NEXT = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9999", "{newest}"

def upgrade():
    with op.batch_alter_table("run", recreate="auto") as table:
        table.alter_column("job", type_=sa.Text(), existing_type=sa.String())
    with op.batch_alter_table("run") as table:
        table.add_column(sa.Column("note", sa.String()))
"""


@pytest.fixture
def newer(ledger, tmp_path: Path) -> Engine:
    """A ledger with a round in it that a newer version of this project has changed."""
    folder = shutil.copytree(MIGRATIONS, tmp_path / "100% newer")
    newest = ScriptDirectory.from_config(alembic_config(ledger)).get_current_head()
    (folder / "versions" / "9999_next.py").write_text(NEXT.format(newest=newest))
    write_round(ledger, **a_round())
    command.upgrade(alembic_config(ledger, folder), "head")
    return ledger


def test_a_migration_that_rebuilds_a_table_takes_no_row_along(newer):
    with newer.connect() as connection:
        assert connection.execute(text("SELECT note FROM run")).all() == [(None,)]
    assert counted(newer) == FULL


def test_a_ledger_of_a_newer_version_is_refused(newer, url):
    with pytest.raises(LedgerError, match=r"version 9999, which this code does not know.*update this project"):
        open_ledger(url)


OPEN_AGAIN = """
import sys
from roundsman.ledger.ledger import open_ledger
open_ledger(sys.argv[1]).dispose()
print("alembic" in sys.modules)
"""


@pytest.mark.slow
def test_a_ledger_that_is_up_to_date_opens_without_alembic(ledger, url):
    with python(OPEN_AGAIN, url) as opener:
        assert opener.communicate(timeout=180)[0] == b"False\n"


def test_sqlite_waits_for_other_writers_and_keeps_what_belongs_together(tmp_path):
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    with engine.connect() as connection:
        told = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in SETTINGS]
    engine.dispose()
    assert dict(zip(SETTINGS, told, strict=True)) == SETTINGS


SETTINGS = {"journal_mode": "wal", "busy_timeout": 30_000, "foreign_keys": 1}


def test_without_a_word_the_ledger_is_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for unset in (lambda: monkeypatch.delenv("ROUNDSMAN_LEDGER_URL", False), lambda: say(monkeypatch, "")):  # noqa: FBT003 - its second argument
        unset()
        assert ledger_url().database == str(tmp_path / ".roundsman" / "ledger.db")
    open_ledger().dispose()
    assert (tmp_path / ".roundsman" / "ledger.db").is_file()


def say(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_postgresql_means_psycopg(monkeypatch, scheme):
    say(monkeypatch, f"{scheme}://keeper:hidden@db.example.com/ledger")
    assert ledger_url().drivername == "postgresql+psycopg"
    assert "hidden" not in f"{ledger_url()} {ledger_url()!r}"


@pytest.mark.parametrize(
    ("url", "saw"),
    [
        ("hidden", "text that is no database URL"),
        ("postgresql//keeper:hidden@host/name", "text that is no database URL"),
        ("postgresql://keeper:hid@den:hidden@host/name", "text that is no database URL"),
        ("mysql://keeper:hidden@host/name", "a URL of mysql"),
        ("sqlite+aiosqlite:///ledger.db", "a URL of sqlite+aiosqlite"),
        ("postgresql+asyncpg://keeper:hidden@host/name", "a URL of postgresql+asyncpg"),
        ("sqlite://", "a database in memory"),
        ("sqlite:///:memory:", "a database in memory"),
        ("postgresql://keeper:un@hidden@host/name", "more than one @"),
        ("postgresql://keeper:un@s/hidden@host/name", "more than one @"),
    ],
)
def test_a_url_that_can_not_be_used_is_refused_without_a_word_of_its_password(monkeypatch, url, saw):
    say(monkeypatch, url)
    with pytest.raises(LedgerError) as refused:
        ledger_url()
    assert f"saw {saw}" in str(refused.value)
    assert "wanted " in str(refused.value)
    assert "hidden" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    "url", ["postgresql://keeper:{}@127.0.0.1:{}/none", "postgresql://127.0.0.1:{1}/none?user=keeper&password={0}"]
)
def test_a_password_that_is_not_let_in_is_not_shown(postgres_server, url):
    with pytest.raises(LedgerError, match="password authentication failed") as refused:
        open_ledger(url.format("hidden", postgres_server.port))
    assert "127.0.0.1/none" in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_an_error_that_repeats_the_password_is_left_out(postgres_server):
    """The driver names the user that was refused, and here that is the password as well."""
    with pytest.raises(LedgerError, match="OperationalError") as refused:
        open_ledger(f"postgresql://hidden:hidden@127.0.0.1:{postgres_server.port}/none")
    assert "hidden" not in str(refused.value)


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "ledger.db").write_text("a shopping list, which is long enough to be taken for a header")
    with pytest.raises(LedgerError, match="file is not a database"):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db")


def test_a_folder_that_can_not_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="wanted a folder for the ledger"):
        open_ledger(f"sqlite:///{tmp_path}/file/ledger.db")


def test_a_database_of_something_else_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE alembic_version (version_num)")
        other.execute("INSERT INTO alembic_version VALUES ('a1b2c3')")
    other.close()
    with pytest.raises(LedgerError, match="not a ledger"):
        open_ledger(f"sqlite:///{tmp_path}/other.db")


WITHOUT_DRIVER = """
import sys
sys.modules["psycopg"] = None
from roundsman.ledger.ledger import LedgerError, open_ledger
try:
    open_ledger("postgresql://keeper:hidden@127.0.0.1/none")
except LedgerError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_missing_driver_is_named_with_how_to_get_it():
    with python(WITHOUT_DRIVER) as opener:
        assert b"pip install roundsman[postgres]" in opener.communicate(timeout=180)[0]
