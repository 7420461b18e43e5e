"""When a run takes the listing of an earlier one, by a real Prefect server: never another one's, nor a failure."""

from datetime import timedelta

import pytest
from prefect import flow
from sqlalchemy import delete

from flows.tasks import sweep
from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.tables import SHARD, SWEEP
from roundsman.sweep import sitemaps
from roundsman.sweep.sitemaps import RobotsError
from tests.database.shop import serving
from tests.sweep.test_shards import articles, site_of

pytestmark = [pytest.mark.slow, pytest.mark.harness]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.setattr(sitemaps, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(sitemaps, "RETRY_PAUSES_SECONDS", ())
    monkeypatch.chdir(tmp_path)
    with serving() as server:
        articles(server, 30)
        yield server


@flow(persist_result=False)
async def listed(site, edition):
    return await sweep.list_pages(site, await sweep.begin_sweep(site, edition))


def sitemaps_read(shop):
    return shop.asked.count("/sitemap.xml")


async def test_a_second_run_takes_the_listing_and_says_how_old_it_is(prefect, shop):
    first, second = await listed(site_of(shop), "today"), await listed(site_of(shop), "today")
    assert (False, True) == (first.cached, second.cached)
    assert (first.sweep, 30, first.read_at) == (second.sweep, second.pages, second.read_at)
    assert not first.described(first.read_at)
    assert "the listing of 30 pages is 25m old (cached)" == second.described(first.read_at + timedelta(minutes=25))
    assert 1 == sitemaps_read(shop)


async def test_another_edition_another_site_and_another_ledger_are_listed_anew(prefect, shop, tmp_path, monkeypatch):
    await listed(site_of(shop), "today")
    assert not (await listed(site_of(shop), "tomorrow")).cached
    assert not (await listed(site_of(shop).model_copy(update={"site": "other"}), "today")).cached
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", f"sqlite:///{tmp_path}/another.db")
    assert not (await listed(site_of(shop), "today")).cached
    assert 4 == sitemaps_read(shop)


async def test_an_expired_listing_is_not_taken(prefect, shop, monkeypatch):
    soon = sweep.read_listing.with_options(cache_expiration=timedelta(microseconds=1))
    monkeypatch.setattr(sweep, "read_listing", soon)
    assert [False, False] == [(await listed(site_of(shop), "today")).cached for _ in range(2)]


async def test_a_listing_whose_pages_are_gone_from_the_ledger_is_made_anew(prefect, shop):
    await listed(site_of(shop), "today")
    with use_ledger() as engine, engine.begin() as connection:
        connection.execute(delete(SHARD))
        connection.execute(delete(SWEEP))
    again = await listed(site_of(shop), "today")
    assert (False, 30, 2) == (again.cached, again.pages, sitemaps_read(shop))
    assert (await listed(site_of(shop), "today")).cached


async def test_a_failure_is_never_cached(prefect, shop):
    shop.pages["/robots.txt"] = (503, {}, b"")
    with pytest.raises(RobotsError):
        await listed(site_of(shop), "today")
    del shop.pages["/robots.txt"]
    after = await listed(site_of(shop), "today")
    assert (False, 30) == (after.cached, after.pages)
