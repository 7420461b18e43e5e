"""Looking at the indexes of a database and its standbys."""

import asyncio
from dataclasses import replace

from sqlalchemy import URL

from roundsman.database import indexes_postgresql as postgresql
from roundsman.database import indexes_sqlite as sqlite
from roundsman.database.copied_database import RehearsalError, address
from roundsman.database.read_only import reading
from roundsman.database.rules.index_facts import IndexFacts, IndexUses
from roundsman.database.rules.promise import Database


async def look_at_indexes(database: Database) -> IndexFacts:
    """Read the catalogue and the statistics of a database, and the counts of its standbys. Nothing is written.

    Raises:
        RehearsalError: the live database can't be reached or read.
    """
    return await asyncio.to_thread(look, database)


def look(database: Database) -> IndexFacts:
    """The same, in this thread."""
    url = address(database.url.env)
    if url.get_backend_name() == "sqlite":
        with reading(url) as connection:
            return sqlite.look(connection)
    with reading(url) as connection:
        facts, counts = postgresql.look(connection)
    nodes, unseen = {database.url.env: counts}, {}
    for node in database.nodes:
        try:
            nodes[node.env] = _counts(address(node.env))
        except RehearsalError as error:
            unseen[node.env] = str(error)
    return replace(facts, nodes=nodes, unseen=unseen)


def _counts(url: URL) -> dict[str, IndexUses]:
    if url.get_backend_name() != "postgresql":
        raise RehearsalError(f"saw a URL of {url.get_backend_name()}; wanted a standby of the same database")
    with reading(url) as connection:
        return postgresql.counts(connection)
