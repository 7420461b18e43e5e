"""How Alembic reaches the ledger. It is only ever started by `flows.tasks.ledger`, which hands its engine over.

A new migration, once a table is changed and a ledger is open:
    alembic.command.revision(alembic_config(engine), "what it does", autogenerate=True, rev_id="0005")
"""

from alembic import context
from sqlalchemy import Connection, text

from flows.tasks import (  # noqa: F401 - their tables are of the same catalogue
    database_tables,
    migration_tables,
    purge_queue_tables,
    rehearsal_tables,
    samples_tables,
    service_tables,
    sweep_tables,
)
from flows.tasks.batch import tables  # noqa: F401 - so are these
from flows.tasks.ledger_days import compared
from flows.tasks.ledger_tables import LedgerTable

#: Any number that nothing else in the database locks.
LOCK = 0x726F756E64


def migrate(connection: Connection) -> None:
    sqlite = connection.dialect.name == "sqlite"
    if sqlite:
        # SQLite changes a table by dropping the old one, and with foreign keys on, a drop takes all children along.
        # The pragma is of no effect inside a transaction, and a detached connection does not go back to the pool.
        connection.detach()
        connection.connection.dbapi_connection.execute("PRAGMA foreign_keys=OFF")
    # On SQLite Alembic by itself ends a transaction after each migration, and another worker gets between.
    with connection.begin():
        told = compared(connection.dialect.name)
        context.configure(connection, target_metadata=LedgerTable.metadata, render_as_batch=sqlite, include_object=told)
        if not sqlite:
            # Workers that start at once wait here; Alembic reads the version only after that.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        context.run_migrations()


# On SQLite `writes` begins the transaction with the write lock, which does what the advisory lock does.
with context.config.attributes["engine"].connect().execution_options(writes=True) as opened:
    migrate(opened)
