"""A catalogue is imported, killed half-way and imported again: nothing is doubled, and what changed is purged."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml
from sqlalchemy import insert, select

from flows.jobs.import_catalogue import import_catalogue
from flows.tasks.catalogue import ARTICLE, VARIABLE
from roundsman.alerts.outbox import replay
from roundsman.batch import open_target
from tests.batch.test_paged import Api
from tests.batch.work import asked, let_expire
from tests.edges.asking import ask, label
from tests.edges.lab import Origin, Varnish
from tests.hostile import serving
from tests.jobs.conftest import articles, site
from tests.ledger.rounds import python
from tests.ledgers import url

__all__ = ["url"]

pytestmark = [pytest.mark.harness, pytest.mark.slow]

PAGES = 25


@pytest.fixture
def shop(url, monkeypatch):
    """The shop's own database."""
    monkeypatch.setenv(VARIABLE, url)
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True)
    engine = open_target(VARIABLE)
    ARTICLE.metadata.create_all(engine)
    yield engine
    engine.dispose()


class Shelf:
    """A site file before a Varnish, the feeds of its shop, and which pages the Varnish has a copy of."""

    def __init__(self, folder, varnish, name):
        self.folder, self.varnish = folder, varnish
        self.routes = [f"/articles/{name}/{number}" for number in range(PAGES)]
        self.site = folder / "lab.yaml"
        self.site.write_text(yaml.safe_dump(site(varnish.url, [articles(name)])))

    def feed(self, changed=(), text="an old text", **more):
        rows = [
            {"route": route, "title": f"Title of {route}", "text": "new" if place in changed else text, **more}
            for place, route in enumerate(self.routes)
        ]
        path = self.folder / "feed.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
        return path

    def warm(self):
        for route in self.routes:
            ask(self.varnish, route)
        assert set() == self.missing()

    def missing(self):
        """The places of the pages that have no copy; afterwards they have one."""
        return {place for place, route in enumerate(self.routes) if label(ask(self.varnish, route)) == "MISS"}


@pytest.fixture
def shelf(tmp_path, varnish, request):
    return Shelf(tmp_path, varnish, "".join(filter(str.isalnum, request.node.name)))


async def imported(shelf, feed, **more):
    state = await import_catalogue(str(shelf.site), str(feed), **{"dry_run": False, **more}, return_state=True)
    return state, await state.aresult(raise_on_failure=False)


def texts(engine):
    with engine.connect() as connection:
        return dict(connection.execute(select(ARTICLE.c.route, ARTICLE.c.text)).tuples().all())


def purged(engine):
    """Every route that a message names, as often as it does."""
    return [
        route
        for (body,) in asked(engine, "SELECT body FROM outbox ORDER BY id")
        for route in json.loads(body)["routes"]
    ]


async def test_only_the_routes_that_changed_are_purged_and_an_unchanged_feed_purges_none(prefect, shop, shelf):
    shelf.warm()
    state, tried = await imported(shelf, shelf.feed(), dry_run=True)
    assert f"a dry run: {PAGES} rows, {PAGES} changed, 0 in quarantine" == state.message
    assert ({}, set(), 10) == (texts(shop), shelf.missing(), len(tried.outcome.changes))

    state, _ = await imported(shelf, shelf.feed())
    assert state.is_completed()
    assert (set(range(PAGES)), shelf.routes) == (shelf.missing(), purged(shop))

    for _ in range(2):
        _, again = await imported(shelf, shelf.feed())
        assert (True, 0, set()) == (again.outcome.again, again.delivered.sent, shelf.missing())
    _, same = await imported(shelf, shelf.feed(price=3))
    assert (False, 0, PAGES, 0) == (
        same.outcome.again, same.outcome.changed, same.outcome.unchanged, same.delivered.sent
    )  # fmt: skip
    assert set() == shelf.missing()

    state, _ = await imported(shelf, shelf.feed(changed={3, 17}))
    assert f"{PAGES} rows, 2 changed, 0 in quarantine; purges sent: 1" == state.message
    assert {3, 17} == shelf.missing()
    assert {3, 17} == {place for place, route in enumerate(shelf.routes) if texts(shop)[route] == "new"}


IMPORT = """
import asyncio, sys
from roundsman.batch import open_target, run
from flows.tasks.catalogue import VARIABLE, catalogue, send_purges
from roundsman.site.site_file import load
from tests.crashing import set_crash

set_crash(sys.argv[3])
site = load(sys.argv[1])
asyncio.run(run(catalogue(site, sys.argv[2], open_target(VARIABLE), chunk=10)))
asyncio.run(send_purges.fn(site))
"""


@pytest.mark.parametrize("point", ["chunk.applied:2", "chunk.sent:2", "chunk.counted:2", "chunk.committed:2"])
async def test_killed_half_way_and_run_again_nothing_is_doubled_and_nothing_is_lost(prefect, shop, shelf, point):
    with shop.begin() as connection:
        old = [{"route": route, "title": f"Title of {route}", "text": "an old text"} for route in shelf.routes]
        connection.execute(insert(ARTICLE), old)
    shelf.warm()
    changed = {1, 2, 11, 19, 24}
    feed = shelf.feed(changed)
    with python(IMPORT, str(shelf.site), str(feed), point) as worker:
        assert -9 == await asyncio.to_thread(worker.wait, 180)
    assert set() == shelf.missing()
    let_expire(shop)
    state, done = await imported(shelf, feed)
    assert state.is_completed()
    behind = 20 if point.startswith("chunk.committed") else 10
    assert (behind, 5, PAGES) == (done.outcome.resumed_at, done.outcome.changed, done.outcome.rows)
    assert changed == shelf.missing()
    assert [shelf.routes[place] for place in sorted(changed)] == purged(shop)
    assert changed == {place for place, route in enumerate(shelf.routes) if texts(shop)[route] == "new"}


async def test_an_older_edition_is_the_way_back_from_one_that_broke_off(prefect, shop, shelf):
    await imported(shelf, shelf.feed())
    with python(IMPORT, str(shelf.site), str(shelf.feed(changed=range(PAGES))), "chunk.committed:1") as worker:
        assert -9 == await asyncio.to_thread(worker.wait, 180)
    assert 10 == list(texts(shop).values()).count("new")
    _, done = await imported(shelf, shelf.feed())
    assert (False, 10, PAGES) == (done.outcome.again, done.outcome.changed, done.outcome.rows)
    assert {"an old text"} == set(texts(shop).values())


async def test_an_edge_that_is_down_makes_the_run_red_and_the_next_one_purges(prefect, shop, tmp_path):
    with Origin() as origin:
        with Varnish("varnish.vcl", origin) as varnish:
            shelf = Shelf(tmp_path, varnish, "down")
        state, left = await imported(shelf, shelf.feed())
        assert ("NotDelivered", 1, 0) == (state.name, left.waiting, left.dead)
        assert "waiting: 1, dead: 0; readers may get old copies" in state.message
        with Varnish("varnish.vcl", origin) as varnish:
            # Back at another address: what is sent goes where the site file says now.
            shelf = Shelf(tmp_path, varnish, "down")
            shelf.warm()
            with shop.begin() as connection:
                connection.exec_driver_sql("UPDATE outbox SET due_at = created_at")
            state, done = await imported(shelf, shelf.feed())
            assert (True, 1, set(range(PAGES))) == (state.is_completed(), done.delivered.sent, shelf.missing())
    assert 0 == replay(shop)


async def test_a_row_that_is_no_article_is_kept_and_the_others_are_imported(prefect, shop, shelf):
    feed = shelf.feed()
    feed.write_text(feed.read_text() + '{"route": "no path", "title": "x"}\n{"route": "/ok", "title": ""}\n{torn\n')
    state, _ = await imported(shelf, feed)
    assert f"{PAGES + 3} rows, {PAGES} changed, 3 in quarantine; purges sent: 1" == state.message
    assert set(shelf.routes) == set(texts(shop))


async def test_an_article_of_the_shop_that_no_feed_may_say_is_mended_by_the_feed(prefect, shop, shelf):
    with shop.begin() as connection:
        connection.execute(insert(ARTICLE), {"route": shelf.routes[0], "title": "", "text": ""})
    state, _ = await imported(shelf, shelf.feed())
    assert f"{PAGES} rows, {PAGES} changed, 0 in quarantine; purges sent: 1" == state.message


async def test_a_feed_in_pages_that_stumbles_is_read_again_by_the_task(prefect, shop, shelf, feeding, monkeypatch):
    """The source asks four times; after that the task is tried again."""
    rows, address = feeding
    rows.rows = [{"route": route, "title": route} for route in shelf.routes[:10]]
    monkeypatch.chdir(shelf.folder)
    monkeypatch.setattr("roundsman.batch.paged.pause", lambda *_: 0.0)
    rows.trouble = lambda offset, asked: (500, [], b"") if offset and asked < 8 else None
    state, done = await imported(shelf, address)
    assert (True, 10, 1) == (state.is_completed(), done.outcome.changed, done.delivered.sent)


@pytest.fixture
def feeding():
    api = Api(0)
    with serving(api) as server:
        yield api, f"{server.url}feed"


async def test_without_the_shop_s_database_the_run_says_what_is_wanted(prefect, shelf, monkeypatch):
    monkeypatch.setenv(VARIABLE, "mysql://ada:hush-hush@db/shop")
    state, _ = await imported(shelf, shelf.feed())
    assert "wanted postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE" in state.message
    assert "hush" not in state.message
