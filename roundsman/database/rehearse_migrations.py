"""The rehearsal of migrations: a copy, up, the old release, down, up, and up once more; then the copy is gone."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, inspect, make_url

from roundsman.database.copied_database import RehearsalError, address, connected, copied, drop_left_over
from roundsman.database.database_file import queries_of
from roundsman.database.look_at_queries import plans_on
from roundsman.database.migrate import RehearsalContext, drift, find_place, pending, run_migrations, smoke
from roundsman.database.read_only import analyzed, numbered
from roundsman.database.rules.migration_facts import NOT_CONNECTED, MigrationFacts, Migrations
from roundsman.database.rules.query_facts import ObservedQuery, Queries
from roundsman.database.snapshot import shown, snapshot

#: Seconds after which no rehearsal is under way any more.
MAX_REHEARSAL_SECONDS = 6 * 3600.0
#: Schema and name of the table in which Alembic keeps where a database is, unless env.py names another.
_REVISIONS = ("", "alembic_version")


async def rehearse_on_copy(
    name: str, plan: Migrations, live: str = "", folder: Path | None = None, queries: Queries | None = None
) -> MigrationFacts:
    """Rehearse what is pending, on a copy of the golden database that is dropped at the end.

    Args:
        name: The database's, as its file calls it.
        plan: What to rehearse.
        live: The environment variable with the live database's URL, which must not be the copy. Empty when there is
            none.
        folder: The project's folder, in which `plan.config` is; the current one when left out.
        queries: Named queries that are run on the copy before and after the upgrade; none when left out.

    Returns:
        What was found on the copy. Production is not asked: see `look_at_production`.

    Raises:
        RehearsalError: there is no copy to rehearse on, or the copy would be the live database.
    """
    stop = threading.Event()
    at_work = asyncio.create_task(asyncio.to_thread(_on_copy, name, plan, live, folder or Path.cwd(), stop, queries))
    try:
        return await asyncio.shield(at_work)
    except asyncio.CancelledError:
        stop.set()  # the thread ends its command and drops the copy
        await asyncio.wait({at_work})
        raise


async def look_at_production(facts: MigrationFacts, plan: Migrations, live: str = "") -> MigrationFacts:
    """The facts with production's revision and rows, as they are now; `live` is the variable with its URL."""
    return await asyncio.to_thread(_with_production, facts, plan, live)


async def drop_old_copies(name: str, plan: Migrations) -> list[str]:
    """Drop the copies that killed rehearsals of this database left behind. Returns their names.

    Raises:
        RehearsalError: the golden database can't be reached.
    """
    return await asyncio.to_thread(_drop_old_copies, name, plan)


def is_settled(facts: MigrationFacts) -> bool:
    """Whether the same rehearsal would find the same again: nothing went wrong that may be over by tomorrow."""
    runs = (facts.up, facts.down, facts.again, facts.once_more)
    went_wrong = facts.trouble or facts.smoke or facts.attempts or any(run and run.error for run in runs)
    not_run = any(query.trouble or query.not_run for query in (*facts.queries_before, *facts.queries_after))
    return not went_wrong and not not_run


def _drop_old_copies(name: str, plan: Migrations) -> list[str]:
    return drop_left_over(name, address(plan.golden), datetime.now(UTC), MAX_REHEARSAL_SECONDS)


def _rehearse(  # noqa: PLR0913, PLR0917 - as those that it calls
    name: str, plan: Migrations, live: str, folder: Path, stop: threading.Event, queries: Queries | None = None
) -> MigrationFacts:
    """A whole rehearsal, in this thread."""
    _drop_old_copies(name, plan)
    return _with_production(_on_copy(name, plan, live, folder, stop, queries), plan, live)


def _on_copy(  # noqa: PLR0913, PLR0917 - as `rehearse_on_copy`
    name: str, plan: Migrations, live: str, folder: Path, stop: threading.Event, queries: Queries | None
) -> MigrationFacts:
    named = queries_of(folder / queries.file) if queries else ()
    golden, production = address(plan.golden), address(live) if live else None
    with copied(name, golden, production, datetime.now(UTC), plan.guard) as copy:
        place = find_place(plan, copy, folder, live, [production] if production else [])
        at = RehearsalContext(plan, copy, folder, live, {"stop": stop.is_set}, place)

        def plan_queries() -> tuple[ObservedQuery, ...]:
            return plans_on(make_url(copy.url), queries, named) if queries else ()

        legs = _legs(at, plan_queries)
        legs["attempts"] = tuple(at.attempts)
        return MigrationFacts(dialect=golden.get_backend_name(), **legs)


def _with_production(facts: MigrationFacts, plan: Migrations, live: str) -> MigrationFacts:
    production = address(live) if live else None
    rows = facts.before.rows if facts.before else {}
    return replace(facts, **_live(production, address(plan.golden), rows, facts.version_table))


def _legs(at: RehearsalContext, plan_queries: Callable[[], tuple[ObservedQuery, ...]]) -> dict[str, Any]:
    state, trouble, remedy = pending(at)
    if not state:
        if not trouble:
            trouble, remedy = "Alembic ended well, and asked the copy nothing", NOT_CONNECTED
        return {"trouble": trouble, "remedy": remedy}
    facts = {
        "version_table": tuple(state["table"]),
        "start": tuple(state["current"]),
        "heads": tuple(state["heads"]),
        "labels": {head: tuple(labels) for head, labels in state["labels"].items()},
        "ends": tuple(state["ends"]),
        "back": tuple(state["back"]),
        "pending": state["pending"],
    }
    if not state["pending"]:
        return facts
    before, planned = snapshot(at.copy), plan_queries()
    facts |= {"before": before, "queries_before": planned}
    up = facts["up"] = run_migrations(at, "up")
    if up.error:
        return facts
    # Alembic's process is not believed in where the copy is.
    with connected(make_url(at.copy.url), reads_only=True) as connection:
        reached = _revisions(connection, state["table"])
    if reached == state["current"]:
        return facts | {"is_idle": True}
    facts |= {
        "upgraded": snapshot(at.copy, before),
        "queries_after": plan_queries(),
        "drift": drift(at),
        "smoke": smoke(at),
    }
    down = facts["down"] = run_migrations(at, "down", state["current"])
    if down.error:
        return facts
    facts["downgraded"] = snapshot(at.copy, before)
    again = facts["again"] = run_migrations(at, "up")
    if again.error:
        return facts
    facts["upgraded_again"] = snapshot(at.copy, before)
    facts["once_more"] = run_migrations(at, "up")
    return facts | {"after_all": snapshot(at.copy, before)}


def _revisions(connection: Connection, table: Sequence[str]) -> list[str]:
    """Where a database says that it is; nowhere when no migration was ever run on it. `table`: schema and name."""
    schema, name = table
    if not inspect(connection).has_table(name, schema=schema or None):
        return []
    quoted = connection.dialect.identifier_preparer.quote
    where = ".".join(quoted(word) for word in (schema, name) if word)
    return sorted(connection.exec_driver_sql(f"SELECT version_num FROM {where}").scalars())  # noqa: S608 - quoted


#: Rows that no ANALYZE and no VACUUM saw are counted by their writers; -1 stands for what nobody knows.
_ROWS = """
SELECT n.nspname, c.relname, CASE
    WHEN greatest(c.reltuples, s.n_live_tup) > 0 THEN greatest(c.reltuples, s.n_live_tup)::bigint
    WHEN c.reltuples = 0 OR pg_relation_size(c.oid) = 0 THEN 0 ELSE -1 END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)'
"""


def _live(
    url: URL | None, golden: URL, copied_rows: Mapping[str, int], table: Sequence[str] = _REVISIONS
) -> dict[str, Any]:
    """Production's revision and its rows by table, as its statistics have them: nothing is counted there.

    `table`: schema and name of the one with the revisions.
    """
    if url is None:
        return {}
    sqlite = url.get_backend_name() == "sqlite"
    try:
        with connected(url, reads_only=True) as connection:
            if sqlite:
                with connected(golden, reads_only=True) as other:
                    rows = dict(_larger(connection, other, copied_rows))
            else:
                rows = {
                    shown(space, name): count for space, name, count in connection.exec_driver_sql(_ROWS) if count >= 0
                }
            found = _revisions(connection, table)
    except RehearsalError as error:
        return {"live_trouble": str(error)}
    return {"live_revisions": tuple(found), "live_rows": rows}


def _larger(live: Connection, golden: Connection, copied_rows: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Rows of SQLite by table: as many times those of the copy as the live database has those of the golden one.

    Both by one means: what ANALYZE once counted and what numbers there are now tell nothing of each other.
    """
    counted, there = analyzed(live), analyzed(golden)
    for table, rows in copied_rows.items():
        both = table in counted and table in there
        many, was = (counted[table], there[table]) if both else (numbered(live, table), numbered(golden, table))
        if many is not None and was is not None:
            yield table, round(rows * many / was) if rows and was else many
