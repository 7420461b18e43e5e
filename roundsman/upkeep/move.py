"""Moving a ledger from an SQLite file into an empty PostgreSQL database: all rows, or none."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, select, text
from sqlalchemy.exc import DataError
from sqlmodel import col

from roundsman.ledger.days import DAYS_AHEAD, make_days
from roundsman.ledger.ledger import VARIABLE, LedgerError, use_ledger
from roundsman.ledger.rules.retention import EXCHANGES
from roundsman.ledger.tables import CATALOGUE, EvidenceLink, ExchangeRow, RunRow
from roundsman.ledger.transaction import insert_values

#: Rows that are in memory at a time.
BATCH_ROWS = 5000


def move(file: Path, target: Engine) -> dict[str, int]:
    """Copy all that a ledger's file holds into another ledger; the file keeps its rows, and nobody writes meanwhile.

    A file of an older version is brought up to date first, as whenever a ledger is opened.

    Returns:
        Rows by table.

    Raises:
        LedgerError: there is no such file, it is no ledger, the other one is no PostgreSQL or not empty, or refuses a
            row.
    """
    check(file, target.dialect.name)
    with use_ledger(URL.create("sqlite", database=str(file))) as source:
        make_days(target, datetime.now(UTC).date() - EXCHANGES.age, EXCHANGES.age.days + DAYS_AHEAD + 1)
        with source.connect().execution_options(writes=True) as old, target.begin() as new, old.begin():
            return _copied(old, new)


def check(file: Path, into: str) -> None:
    """Refuse what can't be moved, or has nowhere to go, before anything is opened or made.

    Raises:
        LedgerError: there is no such file, it is no ledger, or the other one is no PostgreSQL.
    """
    try:
        is_there = file.exists()
    except (OSError, ValueError):
        is_there = False
    if not is_there or not _is_ledger(file):
        kind = "a folder" if is_there and file.is_dir() else "no SQLite ledger"
        saw = f"{file}, which is {kind}" if is_there else f"no file {file}"
        raise _refusal(saw, "the file of one", "name it, such as .roundsman/ledger.db")
    if into != "postgresql":
        raise _refusal(f"no PostgreSQL behind {VARIABLE}", "an empty database of it", f"name that in {VARIABLE}")


def _copied(old: Connection, new: Connection) -> dict[str, int]:
    order = CATALOGUE.sorted_tables
    if full := [table.name for table in order if new.execute(select(table).limit(1)).first()]:
        wanted = "a database that no round was written to"
        raise _refusal(f"rows in {', '.join(full)}", wanted, f"make an empty one and name it in {VARIABLE}")
    days = {run: _day(at) for run, at in old.execute(select(col(RunRow.id), col(RunRow.started_at))).tuples()}
    many = {}
    for table in order:
        columns, rows = _rows(old, table, days)
        counted = _Counted(rows)
        try:
            insert_values(new, table, columns, counted)
        except DataError as error:
            saw = f"a row of {table.name} that PostgreSQL refuses ({str(error.orig).partition(chr(10))[0]})"
            raise _refusal(saw, "rows that it takes", "correct or delete it in the file") from None
        many[table.name] = counted.many
        number = table.autoincrement_column
        if number is not None and counted.many:
            last = f"SELECT setval(pg_get_serial_sequence(:name, :column), max({number.name})) FROM {table.name}"  # noqa: S608
            new.execute(text(last), {"name": table.name, "column": number.name})
    return many


def _rows(old: Connection, table: Table, days: dict[str, date]) -> tuple[Sequence[str], Iterator[Sequence[Any]]]:
    """A table's columns and rows, with the day where the other database asks for it."""
    names, wanted = [column.name for column in table.columns], select(table)
    by_day = table.name in {ExchangeRow.__tablename__, EvidenceLink.__tablename__}
    if by_day:
        wanted = wanted.add_columns(col(ExchangeRow.run_id).label("of_run"))
    if table.name == EvidenceLink.__tablename__:
        wanted = wanted.join(ExchangeRow, col(ExchangeRow.id) == col(EvidenceLink.exchange_id))
    found = old.execution_options(yield_per=BATCH_ROWS).execute(wanted)
    if not by_day:
        return names, iter(found)
    return [*names, "day"], ((*row[:-1], days[row[-1]]) for row in found)


class _Counted:
    """Rows on their way, counted."""

    def __init__(self, rows: Iterator[Sequence[Any]]) -> None:
        self._rows = rows
        self.many = 0

    def __iter__(self) -> Iterator[Sequence[Any]]:
        for row in self._rows:
            self.many += 1
            yield row


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _is_ledger(file: Path) -> bool:
    """Whether it is one already: opening anything else as a ledger would make it one."""
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as opened:
            return bool(opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone())
    except sqlite3.Error:
        return False


def _refusal(observed: str, wanted: str, remedy: str) -> LedgerError:
    return LedgerError(f"the ledger can't be moved: saw {observed}; wanted {wanted}; {remedy}; nothing was copied")
