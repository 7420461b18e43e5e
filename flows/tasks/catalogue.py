"""A catalogue of articles, read from a feed into the shop's own database. A model of a batch job: copy it.

What is the shop's is in here: what a row of the feed is, what it does to the database, and what readers must no longer
be shown once it is done. That each row is applied once is the kit's part (`roundsman.batch`).
"""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Annotated

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run
from prefect.tasks import Task
from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from blocks import registry
from flows.tasks.alerts import deliver
from flows.tasks.progress import everywhere
from roundsman.alerts.outbox import Delivered, undelivered
from roundsman.batch import (
    Batch,
    BatchError,
    BatchOutcome,
    Csv,
    JsonLines,
    PagedApi,
    SourceError,
    TargetError,
    open_target,
    run,
)
from roundsman.batch.rules import Applied, Change, Outgoing
from roundsman.batch.sources import Source
from roundsman.ledger.rules.delivery import PURGE, PurgeMessage
from roundsman.report.rules.text import without_credentials
from roundsman.site.rules.site import Site
from roundsman.site.rules.written_secrets import what_is_secret

#: The environment variable that says where the shop's database is. A job's parameters are shown to everybody.
VARIABLE = "ROUNDSMAN_CATALOGUE_URL"
#: Routes of one message: edges take some at once, and a message that is refused takes no more along than these.
ROUTES_OF_A_MESSAGE = 30

#: The shop's table; the job expects it to be there.
ARTICLE = Table(
    "article",
    MetaData(),
    Column("route", String, primary_key=True),
    Column("title", String, nullable=False),
    Column("text", String, nullable=False),
)


class Article(BaseModel):
    """A row of the feed. One that is something else goes into quarantine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    route: Annotated[str, StringConstraints(pattern=r"^/[^\s?#*]*$", max_length=2000)]
    """The path at which readers find it, such as /articles/tomatoes."""
    title: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    text: str = ""


def catalogue(site: Site, feed: str, target: Engine, chunk: int = 1000) -> Batch:
    """The batch job: a feed tells how things are, so a newer edition of it overtakes an older one."""

    def upsert(connection: Connection, rows: Sequence[Article]) -> Applied:
        routes = sorted({row.route for row in rows})
        # Held until the commit, so that what is compared is what is overwritten; in one order, so that nobody waits
        # in a circle. SQLite knows one writer only.
        kept = select(ARTICLE).where(ARTICLE.c.route.in_(routes)).order_by(ARTICLE.c.route).with_for_update()
        # As it is: what stands in the shop need not be what a feed may say.
        known = {row["route"]: Article.model_construct(**row) for row in connection.execute(kept).mappings()}
        changed: dict[str, Article] = {}
        changes = []
        for row in rows:
            if (before := known.get(row.route)) != row:
                changes.append(Change(row.route, before.title if before else "", row.title))
                changed[row.route] = known[row.route] = row
        if changed:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            new = dialect.insert(ARTICLE)
            said = {"title": new.excluded.title, "text": new.excluded.text}
            values = [changed[route].model_dump() for route in sorted(changed)]
            connection.execute(new.on_conflict_do_update(index_elements=["route"], set_=said), values)
        return Applied(len(changes), len(rows) - len(changes), changes[:10], purges(site, list(changed)))

    name = {"site": site.site}
    return Batch(
        kind="catalogue",
        source=source(feed),
        target=target,
        apply=upsert,
        parse=Article.model_validate,
        params=name,
        snapshot=True,
        chunk=chunk,
    )


def purges(site: Site, routes: Sequence[str]) -> list[Outgoing]:
    """What the site's edge is to forget. New routes as well: a copy of their 404 may be kept."""
    if site.edge is None:
        return []
    kind = registry.edges().get(site.edge.partition("/")[0])
    # Where one variant of a page is purged at a time, 30 routes are hundreds of requests: no message waits for these.
    many = 1 if kind and kind.one_variant else ROUTES_OF_A_MESSAGE
    parts = [routes[start : start + many] for start in range(0, len(routes), many)]
    return [
        Outgoing(PURGE, site.edge, _key(part), PurgeMessage(tuple(part)).as_body(), _title(part), site.site)
        for part in parts
    ]


def _key(routes: Sequence[str]) -> str:
    """Two messages of a chunk with the same key have the same routes, so that one of them is enough."""
    return hashlib.sha256("\n".join(routes).encode()).hexdigest()[:16]


def _title(routes: Sequence[str]) -> str:
    more = f" and {len(routes) - 1} more" if len(routes) > 1 else ""
    return f"purge {routes[0][:100]}{more}"


def source(feed: str) -> Source:
    """A feed's rows: a paged API by its address, else a file of CSV or of JSON lines.

    Raises:
        BatchError: a secret is in the address, which Prefect shows to everybody among a run's parameters.
    """
    if feed.startswith(("http://", "https://")):
        if what := what_is_secret(feed):
            raise BatchError(
                f"{without_credentials(feed)}: saw {what}; wanted an address without it; rotate the secret"
            )
        return PagedApi(feed)
    return Csv(feed) if feed.endswith(".csv") else JsonLines(feed)


def _may_help(_: Task[..., object], __: TaskRun, state: State[object]) -> bool:
    """Whether the same may work later: the feed or the database is in trouble, and not what is in them."""
    return isinstance(state.data, SourceError | TargetError)


@task(
    task_run_name="import articles of {site.site}",
    retries=3,
    retry_delay_seconds=[1, 5, 20],
    retry_condition_fn=_may_help,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def import_articles(site: Site, feed: str, *, dry_run: bool, chunk: int = 1000) -> BatchOutcome:
    """Apply a feed to the shop's database. It goes on where it was stopped, so it may be retried.

    Raises:
        BatchError, SourceError, TargetError: as `roundsman.batch.run` has it, or nobody says where the database is.
    """
    engine = open_target(VARIABLE)
    try:
        async with everywhere(f"catalogue of {site.site}") as progress:
            batch = catalogue(site, feed, engine, chunk)
            return await run(batch, dry_run=dry_run, run_id=str(flow_run.get_id() or ""), progress=progress)
    finally:
        engine.dispose()


@task(task_run_name="purge what changed", cache_policy=NO_CACHE, persist_result=False)
async def send_purges(site: Site) -> tuple[Delivered, int, int]:
    """Send what waits in the outbox of the shop's database. Says what was sent, what still waits, and what is dead."""
    engine = open_target(VARIABLE)
    try:
        sent = await deliver.fn(limit=100_000, target=engine, site=site)
        return sent, *await asyncio.to_thread(undelivered, engine)
    finally:
        engine.dispose()
