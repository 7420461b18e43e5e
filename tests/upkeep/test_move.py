"""Moving a ledger from SQLite to PostgreSQL: everything or nothing, and the new one goes on where the old one was."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from alembic import command
from sqlalchemy import select

from flows.__main__ import main
from roundsman.ledger.base import LedgerTable
from roundsman.ledger.ledger import VARIABLE, LedgerError, alembic_config, open_ledger
from roundsman.timing.rollup import roll_up
from roundsman.timing.samples import record_samples
from roundsman.upkeep.move import move
from tests.ledger.rounds import FULL, counted
from tests.ledger.test_days import in_default, many, named
from tests.timing.test_samples import NOW, samples
from tests.upkeep.aging import alert, batch_job, everything, message, write
from tests.watch.weeks import add, event, release

TODAY = datetime.now(UTC)


@pytest.fixture
def file(tmp_path):
    """Of a ledger with something of everything in it."""
    path = tmp_path / "ledger.db"
    engine = open_ledger(f"sqlite:///{path}")
    write(engine, "today", TODAY)
    write(engine, "old", NOW)
    add(engine, alert(), message(), release("1", NOW), event(NOW), *batch_job()[:1])
    add(engine, *batch_job()[1:])
    record_samples(engine, samples(many=20))
    roll_up(engine)
    engine.dispose()
    return path


@pytest.fixture
def url(postgres_server) -> str:
    return postgres_server.fresh()


def test_everything_is_there_in_its_day_and_the_file_keeps_its_rows(ledger, file):
    moved = move(file, ledger)
    source = open_ledger(f"sqlite:///{file}")
    before, after = contents(source), contents(ledger)
    source.dispose()
    assert before == after
    assert {name: len(rows) for name, rows in before.items()} == moved
    assert in_default() | named(TODAY) == many(ledger)


def contents(ledger) -> dict[str, list[str]]:
    """All rows of all tables, whatever order a database gives to what is within a value."""
    with ledger.connect() as connection:
        return {
            name: sorted(json.dumps(tuple(row), default=str, sort_keys=True) for row in connection.execute(select(one)))
            for name, one in LedgerTable.metadata.tables.items()
        }


def test_the_new_ledger_goes_on_with_its_own_numbers(ledger, file):
    move(file, ledger)
    write(ledger, "next", TODAY)
    add(ledger, alert("/b"), event(TODAY))
    assert {name: 3 * number for name, number in FULL.items()} == counted(ledger)


def test_a_ledger_that_holds_something_is_not_written_to(ledger, file):
    write(ledger, "mine", NOW)
    with pytest.raises(LedgerError, match=r"saw rows in run, .*wanted a database that no round was written to"):
        move(file, ledger)
    assert FULL == counted(ledger)


def test_a_row_that_can_not_be_taken_leaves_nothing_behind(ledger, file):
    source = open_ledger(f"sqlite:///{file}")
    add(source, event(TODAY, message="a\0b"))
    source.dispose()
    with pytest.raises(
        LedgerError, match=r"saw a row of job_event that PostgreSQL refuses \(.*NUL.*correct or delete it"
    ):
        move(file, ledger)
    assert not any(everything(ledger).values())


@pytest.mark.parametrize("made", ["CREATE TABLE orders (id INTEGER)", ""])
def test_a_file_that_is_no_ledger_is_refused_and_does_not_become_one(ledger, tmp_path, made):
    other = tmp_path / "100% other?.db"
    if made:
        with closing(sqlite3.connect(other)) as opened:
            opened.execute(made)
    else:
        other.write_text("no database, and long enough to be taken for none of them")
    before = other.read_bytes()
    with pytest.raises(LedgerError, match="which is no SQLite ledger; wanted the file of one; name it"):
        move(other, ledger)
    assert before == other.read_bytes()


def test_a_ledger_of_an_older_version_is_brought_up_to_date_and_keeps_its_rows(url, file, monkeypatch, capsys):
    source = open_ledger(f"sqlite:///{file}")
    command.downgrade(alembic_config(source), "0012")
    source.dispose()
    monkeypatch.setenv(VARIABLE, url)
    assert 0 == main(["move-ledger", str(file)])
    assert f"2 rounds among them; {file} keeps them\n" in capsys.readouterr().out
    with closing(sqlite3.connect(file)) as opened:
        assert [(2,)] == opened.execute("SELECT count(*) FROM run").fetchall()
        assert "0012" != opened.execute("SELECT version_num FROM alembic_version").fetchone()[0]


def test_a_ledger_of_any_name_is_moved(ledger, file):
    odd = file.rename(file.with_name("50% of?it #1.db"))
    assert 2 == move(odd, ledger)["run"]


def test_the_command_says_what_it_did_or_why_not(url, file, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv(VARIABLE, url)
    assert 3 == main(["move-ledger", str(tmp_path / "none.db")])
    assert 0 == main(["move-ledger", str(file)])
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path}/other.db")
    assert 3 == main(["move-ledger", str(file)])
    said = capsys.readouterr()
    assert "2 rounds among them" in said.out
    assert f"saw no file {tmp_path}/none.db" in said.err
    assert "saw no PostgreSQL behind ROUNDSMAN_LEDGER_URL" in said.err
