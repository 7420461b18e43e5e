"""How Alembic reaches the ledger. It is only ever started by `roundsman.ledger.ledger`, which hands its engine over.

A new migration, once a table is changed and a ledger is open:
    alembic.command.revision(alembic_config(engine), "what it does", autogenerate=True, rev_id="0005")
"""

from alembic import context
from sqlalchemy import Connection, text

from roundsman.ledger.days import compared
from roundsman.ledger.tables import CATALOGUE

#: Any number that nothing else in the database locks.
LOCK = 0x726F756E64


def migrate(connection: Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        # SQLite changes a table by dropping the old one, and with foreign keys on, a drop takes all children along.
        # The pragma is of no effect inside a transaction, and a detached connection does not go back to the pool.
        connection.detach()
        connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
    # On SQLite Alembic by itself ends a transaction after each migration, and another worker gets between.
    with connection.begin():
        told = compared(connection.dialect.name)
        context.configure(connection, target_metadata=CATALOGUE, render_as_batch=sqlite, include_object=told)
        if not sqlite:
            # Workers that start at once wait here; Alembic reads the version only after that.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        context.run_migrations()


# On SQLite `writes` begins the transaction with the write lock, which does what the advisory lock does.
with context.config.attributes["engine"].connect().execution_options(writes=True) as opened:
    migrate(opened)
