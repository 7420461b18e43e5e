"""Looking at the indexes of a database and its standbys."""

import asyncio
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import URL

from flows.rules.database import Database
from flows.rules.index_facts import Count, IndexFacts
from flows.tasks import index_look_postgresql as postgresql
from flows.tasks import index_look_sqlite as sqlite
from flows.tasks.database_read import reading
from flows.tasks.migration_copy import RehearsalError, address


@task(
    task_run_name="look at the indexes of {database.database}",
    retries=2,
    retry_delay_seconds=[1, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
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


def _counts(url: URL) -> dict[str, Count]:
    if url.get_backend_name() != "postgresql":
        raise RehearsalError(f"saw a URL of {url.get_backend_name()}; wanted a standby of the same database")
    with reading(url) as connection:
        return postgresql.counts(connection)
