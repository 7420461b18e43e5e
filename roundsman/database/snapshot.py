"""A database at rest: its schema in lines that can be compared, and a checksum of each column."""

from sqlalchemy import make_url

from roundsman.database import snapshot_postgresql as postgresql
from roundsman.database import snapshot_sqlite as sqlite
from roundsman.database.copied_database import Copy, connected
from roundsman.database.rules.migration_facts import Snapshot


def snapshot(copy: Copy, first: Snapshot | None = None) -> Snapshot:
    """Look at a copy. `first`: the look that this one will be held against; rows are told apart by its keys.

    Blocks, and reads every row; to be called in a thread.

    Raises:
        RehearsalError: it can't be read.
    """
    url = make_url(copy.url)
    with connected(url) as connection:
        look = sqlite.look if url.get_backend_name() == "sqlite" else postgresql.look
        return look(connection, first.keys if first else {})
