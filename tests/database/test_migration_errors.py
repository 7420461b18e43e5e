"""Errors of databases, told without the values of rows."""

import sqlite3
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from psycopg.errors import RaiseException

import roundsman.database
from roundsman.database.migration_errors import without_values


class ServerError(Exception):
    """An error of PostgreSQL, whose first line is told apart."""

    def __init__(self, primary):
        super().__init__(f"{primary}\nDETAIL:  Key (email)=(ada@example.com) is there already.")
        self.diag = SimpleNamespace(message_primary=primary)


#: An error, and what is told of it.
ERRORS = [
    (ServerError('duplicate key value violates unique constraint "page_pkey"'), 'duplicate key value violates unique constraint "page_pkey"'),
    (ServerError('column "notes" of relation "page" does not exist'), 'column "notes" of relation "page" does not exist'),
    (ServerError('invalid input syntax for type integer: "ada"'), "invalid input syntax for type integer: ..."),
    (ServerError('invalid input syntax for type integer: "ada "of" Turin"'), "invalid input syntax for type integer: ..."),
    (ServerError('invalid input syntax for type integer: "column "ada""'), "invalid input syntax for type integer: ..."),
    (ServerError('invalid input syntax for type integer: "ada\nlovelace"'), "invalid input syntax for type integer: ..."),
    (ServerError('value "4111111111111111" is out of range for type bigint'), "value ... is out of range for type bigint"),
    (ServerError("ung\u00fcltige Eingabesyntax f\u00fcr Typ integer: \u00bbada\u00ab"), "ung\u00fcltige Eingabesyntax f\u00fcr Typ integer: ..."),
    (RaiseException("ada may not do that"), "RaiseException"),
    (sqlite3.OperationalError("no such table: pages"), "no such table: pages"),
    (sqlite3.OperationalError("Could not decode to UTF-8 column 'email' with text 'ada\\xe9 'of' Turin'"), "Could not decode to UTF-8 column 'email' with text ..."),
    (sqlite3.OperationalError("Could not decode to UTF-8 column 'email' with text 'ada\nlovelace'"), "Could not decode to UTF-8 column 'email' with text ..."),
    (sqlite3.OperationalError("it can't be that ada's \"word\" is told"), "it can't be that ada... is told"),
    (sqlite3.OperationalError(), "OperationalError"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "told"), ERRORS)
def test_names_are_told_and_values_are_not(error, told):
    assert told == without_values(error)


def test_no_file_beside_the_child_hides_a_module_of_the_standard_library():
    """The process that runs Alembic finds this folder first: a `copy.py` in it would be everybody's `copy`."""
    folder = Path(roundsman.database.__file__).parent
    assert set() == {path.stem for path in folder.glob("*.py")} & sys.stdlib_module_names
