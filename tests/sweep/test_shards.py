"""A sweep on a real server and both databases: every page once, whatever happens to the workers."""

import asyncio
import gc
import multiprocessing
import os
import random
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from roundsman.batch.sources import digest
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.tables import PAGE, SHARD
from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.site import Site
from roundsman.sweep import shards, sitemaps
from roundsman.sweep.listing import enlist
from roundsman.sweep.rules import judge as rules
from roundsman.sweep.shards import conclude, seldom_collected, standing, sweep_pages
from tests.database.shop import serving

RULE = {
    "name": "articles",
    "paths": ["/articles/**"],
    "cache": {"by": "everyone", "edge_ttl": "5m..1h"},
    "examples": {"cached": ["/articles/1"]},
    "expected_result": "A copy at most an hour old.",
    "rollback": {"note": "kept", "command": ["make", "back"]},
}


@pytest.fixture
def shop():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Shards of some hundred pages, and nothing kept in the project's own folder."""
    monkeypatch.setattr(shards, "CHUNK_PAGES", 50)
    monkeypatch.setattr(rules, "TURN", 25)
    monkeypatch.setattr(sitemaps, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(sitemaps, "RETRY_PAUSES_SECONDS", (0.01, 0.02, 0.03))
    monkeypatch.chdir(tmp_path)


def site_of(shop, timeout="10s", **more):
    return Site(
        site="shop",
        manners={"timeout": timeout},
        base_url=shop.url,
        owner="web <web@shop.test>",
        rules=[RULE],
        sweep={"rate": 100_000, "shard": 200, **more},
    )


def articles(shop, count):
    paths = [f"/articles/{number}" for number in range(count)]
    shop.urls("/sitemap.xml", *paths)
    return set(paths)


def looked_at(engine, number):
    """Each page that was written down, by its path."""
    with engine.connect() as connection:
        rows = connection.execute(select(PAGE.c.shard, PAGE.c.position).where(PAGE.c.sweep_id == number)).all()
        paths = {
            row.number: shards.unpacked(row.paths)
            for row in connection.execute(select(SHARD).filter_by(sweep_id=number))
        }
    return sorted(paths[shard][position] for shard, position in rows)


async def swept(engine, url, site, number):
    for shard in standing(engine, number):
        await sweep_pages(site, number, shard.number, 100_000)


async def test_every_page_is_looked_at_once_and_the_faults_are_grouped(shop, ledger, url, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    wanted = articles(shop, 600)
    shop.pages["/articles/7"] = (404, {}, b"")
    shop.pages["/articles/9"] = (200, {"Cache-Control": "private"}, b"")
    number = enlist(ledger, site_of(shop), "today")
    assert (3, 600) <= (len(standing(ledger, number)), sum(one.pages for one in standing(ledger, number)))
    before = conclude(ledger, number)
    assert (Outcome.UNKNOWN, 0, 600) == (before.outcome, before.pages, before.listed)
    await swept(ledger, url, site_of(shop), number)
    assert sorted(wanted) == looked_at(ledger, number)
    after = conclude(ledger, number)
    assert "600 pages: 2 failed, 598 passed" == after.summary
    assert [("/articles/7",), ("/articles/9",)] == sorted(one.examples for one in after.groups)


async def test_a_sweep_that_is_run_again_lists_and_asks_nothing_anew(shop, ledger, url, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    articles(shop, 300)
    number = enlist(ledger, site_of(shop), "today")
    await swept(ledger, url, site_of(shop), number)
    first, asked = conclude(ledger, number), len(shop.asked)
    assert number == enlist(ledger, site_of(shop), "today")
    await swept(ledger, url, site_of(shop), number)
    assert (asked, first) == (len(shop.asked), conclude(ledger, number))


async def test_the_next_sweep_of_the_same_pages_looks_at_them_again(shop, ledger, url, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    articles(shop, 30)
    for edition, summary in (("today", "30 pages: 30 passed"), ("tomorrow", "30 pages: 1 failed, 29 passed")):
        number = enlist(ledger, site_of(shop), edition)
        await swept(ledger, url, site_of(shop), number)
        assert summary == conclude(ledger, number).summary
        assert all(one.ended for one in standing(ledger, number))
        shop.pages["/articles/3"] = (404, {}, b"")


async def test_without_a_name_a_sweep_is_gone_on_with_until_it_is_done_and_then_a_new_one_looks_again(
    shop, ledger, url, monkeypatch
):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    articles(shop, 30)
    morning, noon = (datetime.now(UTC) - timedelta(hours=number) for number in (12, 6))
    first = enlist(ledger, site_of(shop), due=morning)
    conclude(ledger, first)
    assert first == enlist(ledger, site_of(shop), due=noon)
    await swept(ledger, url, site_of(shop), first)
    done = conclude(ledger, first)
    assert f"{morning:%Y-%m-%dT%H:%M:%SZ}" == done.edition
    assert [first, first] == [enlist(ledger, site_of(shop), due=due) for due in (morning, noon)]
    shop.pages["/articles/3"] = (404, {}, b"")
    second = enlist(ledger, site_of(shop))
    assert first != second
    await swept(ledger, url, site_of(shop), second)
    assert ("30 pages: 30 passed", "30 pages: 1 failed, 29 passed") == (done.summary, conclude(ledger, second).summary)


def test_a_sample_and_what_was_left_out_are_said(shop, ledger):
    shop.robots("User-agent: *", "Disallow: /articles/1", "Sitemap: /sitemap.xml", "Sitemap: /gone.xml")
    articles(shop, 600)
    number = enlist(ledger, site_of(shop, share=0.5), "today")
    found = conclude(ledger, number)
    assert 200 < found.listed < 300
    assert ["/gone.xml: saw 404, wanted 200", "111 pages that robots.txt does not allow"] == list(found.notes)


async def test_a_sitemap_that_could_not_be_read_leaves_the_sweep_unknown_and_one_that_came_back_does_not(
    shop, ledger, url, monkeypatch
):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    shop.index("/sitemap.xml", "/a.xml", "/b.xml")
    shop.urls("/a.xml", "/articles/1")
    shop.urls("/b.xml", "/articles/2")
    shop.first("/a.xml", (503, {}, b""))
    shop.first("/b.xml", *[(503, {}, b"")] * 4)
    for edition, outcome, summary in (
        ("first", Outcome.UNKNOWN, "1 pages: 1 passed; 1 sitemaps could not be read"),
        ("second", Outcome.PASS, "2 pages: 2 passed"),
    ):
        number = enlist(ledger, site_of(shop), edition)
        await swept(ledger, url, site_of(shop), number)
        found = conclude(ledger, number)
        assert (outcome, summary) == (found.outcome, found.summary)
        assert ["/b.xml: saw 503, wanted 200"][: found.unread] == list(found.notes)
        assert [("sweep/sitemap", "503", ("/b.xml",))][: found.unread] == [
            (one.claim, one.saw, one.examples) for one in found.groups
        ]


def test_of_many_sitemaps_that_could_not_be_read_the_first_are_told(shop, ledger):
    shop.index("/sitemap.xml", *(f"/{number}.xml" for number in range(60)))
    found = conclude(ledger, enlist(ledger, site_of(shop), "today"))
    assert (51, "10 more sitemaps that could not be read", 60) == (len(found.notes), found.notes[-1], found.unread)


def test_a_shard_that_goes_on_asks_no_page_again_though_the_site_is_slower_now(shop, ledger, monkeypatch):
    """A chunk of a slow site ends by the clock, so what was applied must not be read again to be known."""
    articles(shop, 100)
    engine = open_ledger()
    number = enlist(engine, site_of(shop), "e")
    pages = shards.shard_job(engine, site_of(shop), number, 0, rate=1000.0).source
    first = pages.read("", 50)
    asked = len(shop.asked)
    pages.pace = pages.pace._replace(long=0.0)
    assert first.digest == digest(pages, "", 50)
    assert asked == len(shop.asked)
    engine.dispose()


class Hanging:
    """A body that does not come."""

    def __iter__(self):
        time.sleep(6)
        yield b""


async def test_the_lease_of_a_shard_does_not_end_while_its_pages_hang(shop, ledger, url, monkeypatch):
    """Its sweep would give it up, and the next worker as well: none would write down that the pages are unknown."""
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    monkeypatch.setattr(rules, "TURN", 250)
    monkeypatch.setattr(shards, "CHUNK_PAGES", 2000)
    monkeypatch.setattr(shards, "LEASE_SECONDS", 3.0)
    shop.pages.update({path: (200, {}, Hanging()) for path in articles(shop, 96)})
    site = site_of(shop, timeout="1500ms")
    number = enlist(ledger, site, "today")
    work = asyncio.create_task(sweep_pages(site, number, 0, 100_000))
    left = False
    while not work.done():
        await asyncio.sleep(0.1)
        left = left or any(one.left for one in await asyncio.to_thread(standing, ledger, number))
    assert (96, False) == (await work, left)
    assert "96 pages: 96 unknown" == conclude(ledger, number).summary


def test_pythons_garbage_is_collected_as_before_also_after_a_sweep_that_broke_down():
    before = (gc.get_threshold(), gc.get_freeze_count())
    meanwhile = []

    def break_down():
        with seldom_collected():
            meanwhile.append((gc.get_threshold(), gc.get_freeze_count()))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_down()
    assert meanwhile[0] > before
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_two_that_list_at_once_make_one_sweep(shop, ledger):
    articles(shop, 300)

    async def both():
        return await asyncio.gather(*(asyncio.to_thread(enlist, ledger, site_of(shop), "today") for _ in range(2)))

    first, second = asyncio.run(both())
    assert first == second
    assert 300 == sum(one.pages for one in standing(ledger, first))


async def test_the_rate_of_a_shard_is_kept(shop, ledger, url, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    articles(shop, 40)
    number = enlist(ledger, site_of(shop), "today")
    begun = datetime.now(UTC)
    await sweep_pages(site_of(shop), number, 0, 40)
    assert (datetime.now(UTC) - begun).total_seconds() > 39 / 40


def worker(url, site, number):
    """What a worker does until it is killed: the shards that have not ended, one after another."""
    os.environ["ROUNDSMAN_LEDGER_URL"] = url
    engine = open_ledger(url)

    async def work():
        while open_ := [one for one in standing(engine, number) if not one.ended]:
            await sweep_pages(site, number, random.choice(open_).number, 100_000, lease=2.0)

    asyncio.run(work())


@pytest.mark.slow
def test_three_workers_that_are_killed_at_random_lose_and_double_no_page(shop, ledger, url):
    wanted = articles(shop, 4000)
    number = enlist(ledger, site_of(shop), "today")
    context, chance = multiprocessing.get_context("fork"), random.Random(7)
    workers, kills = [], 0
    while not all(one.ended for one in standing(ledger, number)):
        workers = [one for one in workers if one.is_alive()]
        while len(workers) < 3:
            workers.append(context.Process(target=worker, args=(url, site_of(shop), number)))
            workers[-1].start()
        before = sum(one.done for one in standing(ledger, number))
        workers[0].join(chance.uniform(0.1, 0.5))
        if kills < 12 and workers[0].is_alive() and before < 4000:
            os.kill(workers[0].pid, signal.SIGKILL)
            workers[0].join()
            kills += 1
    for one in workers:
        one.join(30)
    assert kills > 3
    with ledger.connect() as connection:
        assert 4000 == connection.execute(select(func.count()).select_from(PAGE)).scalar_one()
    assert sorted(wanted) == looked_at(ledger, number)
    assert "4,000 pages: 4,000 passed" == conclude(ledger, number).summary
