"""A purge queue before a vendor that notes when it was asked; and workers that can be killed."""

import asyncio
import multiprocessing
import os
import time

import pytest
from sqlalchemy import text

from flows.tasks.blocks import edges_of
from roundsman.ledger.ledger import open_ledger
from roundsman.purge import queue as purge_queue
from roundsman.purge import work_queue
from roundsman.site.rules.site import Site
from tests.crashing import set_crash
from tests.vendor_api import TOKEN, Said, VendorApi

RULE = {
    "name": "articles",
    "paths": ["/articles/**"],
    "cache": {"by": "everyone"},
    "examples": {"cached": ["/articles/one"]},
    "expected_result": "A reader gets a copy at most an hour old.",
    "rollback": {"note": "kept beside it", "command": ["true"]},
}
#: Its rate at Cloudflare for keys: requests a second, and at once.
PLAN, PER_SECOND, BURST = "pro", 5, 25

#: Children are forked from a process that has all of this imported: starting Python anew takes a second each.
children = multiprocessing.get_context("forkserver")
children.set_forkserver_preload(["tests.purge.queueing"])


class TimedApi(VendorApi):
    """A vendor that notes when each request came in, and can be told what to do then."""

    def __init__(self):
        super().__init__()
        self.at: list[float] = []
        self.refused: list[str] = []
        self.on_request = lambda _: None

    async def answer(self, asked):
        self.at.append(time.monotonic())
        self.on_request(asked)
        if bad := [url for url in asked.json.get("files", []) if url.endswith(tuple(self.refused))]:
            self.asked.append(asked)
            return Said(400, {"success": False, "errors": [{"code": 1, "message": f"not in this zone: {bad[0]}"}]})
        return await super().answer(asked)

    @property
    def urls(self) -> list[list[str]]:
        """What each request named."""
        return [asked.json["files"] for asked in self.asked]

    @property
    def keys(self) -> list[list[str]]:
        """The same of requests that named keys."""
        return [asked.json["tags"] for asked in self.asked]


class SlowApi(VendorApi):
    """A vendor that takes a purge, and says later that it is done; never of one that names `never_done`."""

    never_done = b""

    async def answer(self, asked):
        if self.never_done:
            self.polls = 1000 if self.never_done in asked.body else 0
        return await super().answer(asked)

    @property
    def methods(self) -> list[str]:
        return [asked.method for asked in self.asked]


def slow_edge(api: str) -> dict:
    """What a site's file says otherwise where its edge is this one."""
    keys = {name: {"env": "QUEUE_TOKEN"} for name in ("access_key_id", "secret_access_key")}
    return {"edge": "cloudfront/shop", "blocks": {"cloudfront/shop": {"distribution": "E1", "api": api, **keys}}}


def shop(api: str, **more) -> Site:
    """A site whose edge is this vendor."""
    return Site.model_validate(written(api) | more)


def written(api: str) -> dict:
    """The same as it stands in a file."""
    edge = {"zone": "z1", "token": {"env": "QUEUE_TOKEN"}, "plan": PLAN, "api": f"{api}/client/v4"}
    return {
        "site": "shop",
        "base_url": "https://www.example.com",
        "owner": "web <w@example.com>",
        "edge": "cloudflare/shop",
        "blocks": {"cloudflare/shop": edge},
        "rules": [RULE],
    }


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request, tmp_path_factory):
    """A ledger for all tests of a module: making one takes longer than most of them, and its address."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('kept')}/ledger.db"
    else:
        url = request.getfixturevalue("postgres_server").ledger()
    engine = open_ledger(url)
    yield engine, url
    engine.dispose()


@pytest.fixture
def ledger(kept, monkeypatch):
    """The same with an empty queue, whose numbers begin at 1; it is the one that every task opens."""
    engine, url = kept
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    empty = "TRUNCATE {} RESTART IDENTITY" if engine.dialect.name == "postgresql" else "DELETE FROM {}"
    with engine.begin() as connection:
        for table in ("published_change", "purge_bucket"):
            connection.execute(text(empty.format(table)))
    return engine


def publish(engine, *items, site="shop", kind="route") -> None:
    """As an application does: by SQL, with no more than it has to say."""
    rows = [{"site": site, "kind": kind, "item": item} for item in items]
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO published_change (site, kind, item) VALUES (:site, :kind, :item)"), rows)


def rows_of(engine, columns="item, state") -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM published_change ORDER BY id"))]


def let_be_due(engine) -> None:
    """What rests is due, and every lease is over, as if the time had passed."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE published_change SET due_ms = 0, lease_until_ms = 0"))


def count_ends(engine) -> None:
    """From now on the database itself notes each time that a row becomes done."""
    noted = "INSERT INTO ended VALUES (NEW.id);"
    changed = "CREATE TRIGGER noted AFTER UPDATE OF state ON published_change"
    sqlite = [f"{changed} WHEN NEW.state = 'done' BEGIN {noted} END"]
    postgresql = [
        f"CREATE FUNCTION note() RETURNS trigger AS $$ BEGIN {noted} RETURN NEW; END $$ LANGUAGE plpgsql",
        f"{changed} FOR EACH ROW WHEN (NEW.state = 'done') EXECUTE FUNCTION note()",
    ]
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE ended (id INTEGER)"))
        for statement in sqlite if engine.dialect.name == "sqlite" else postgresql:
            connection.execute(text(statement))


def above(at, per_second, burst) -> float:
    """By how many requests a log is above a rate at its worst moment."""
    tokens, last, worst = float(burst), at[0], 0.0
    for moment in at:
        tokens = min(float(burst), tokens + (moment - last) * per_second) - 1
        last, worst = moment, max(worst, -tokens)
    return worst


def work(url: str, api: str, lease: float, crash: str = "") -> None:
    """A worker's process: it goes on for as long as anything waits or is claimed, or until it is killed at a point."""
    set_crash(crash)
    os.environ |= {"ROUNDSMAN_LEDGER_URL": url, "QUEUE_TOKEN": TOKEN}
    purge_queue.LEASE_SECONDS = work_queue.LEASE_SECONDS = lease
    site, engine = shop(api), open_ledger(url)
    while any(purge_queue.counts(engine)[state] for state in ("waiting", "claimed")):
        asyncio.run(purge_once(site))
        time.sleep(0.05)
    engine.dispose()


async def purge_once(site: Site) -> None:
    await work_queue.purge_due(site, await edges_of(site), again=False)


def started(*args):
    process = children.Process(target=work, args=args)
    process.start()
    return process
