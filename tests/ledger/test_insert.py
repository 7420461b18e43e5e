"""Many rows at once: they are what single inserts would have written, and all or none."""

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from roundsman.batch.errors import transient
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.tables import PAGE
from roundsman.ledger.transaction import insert_many

COLUMNS = ["sweep_id", "shard", "position", "status", "outcome", "state", "first_byte", "size"]
#: What a text format would have to escape.
STATES = ["HIT", "", "a\tb\nc", "\\N", "\\.", "'; DROP TABLE sweep_page; --", "ü\U0001f600"]
ROWS = [(1, 2, place, 200, 0, state, 10**6, 10**12) for place, state in enumerate(STATES)]


def test_every_value_comes_back_as_it_was_given(ledger):
    with ledger.begin() as connection:
        insert_many(connection, PAGE, COLUMNS, iter(ROWS))
        insert_many(connection, PAGE, COLUMNS, [])
    with ledger.connect() as connection:
        assert ROWS == [tuple(row) for row in connection.execute(select(PAGE).order_by(PAGE.c.position))]


def test_when_one_row_can_not_be_written_none_is(ledger):
    with pytest.raises(IntegrityError, match=r"(?i)unique"), ledger.begin() as connection:
        insert_many(connection, PAGE, COLUMNS, [*ROWS, ROWS[0]])
    with ledger.connect() as connection:
        assert [] == connection.execute(select(PAGE)).all()


def test_a_connection_that_is_lost_is_trouble_and_no_bad_row(postgres_server):
    ledger = open_ledger(postgres_server.ledger())
    with ledger.connect() as connection, ledger.connect() as other:
        own = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        other.execute(text("SELECT pg_terminate_backend(:own)"), {"own": own})
        with pytest.raises(DBAPIError) as caught:
            insert_many(connection, PAGE, COLUMNS, ROWS)
    assert transient(caught.value)
    ledger.dispose()
