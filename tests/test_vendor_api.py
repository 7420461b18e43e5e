"""The vendor API that the tests play, and what it does to a real Varnish behind it."""

from contextlib import asynccontextmanager

import httpx
import pytest

from roundsman.purge.rules.order import By, PurgeError
from tests.blocks.vendors import hosted, slug
from tests.edges import lab
from tests.edges.asking import ask, told
from tests.vendor_api import VendorApi, served

KEYED = [vendor for vendor in hosted() if By.KEY in vendor.limits]
SPARE = "/articles/spare"


@pytest.fixture(scope="module")
def origin():
    with lab.Origin() as site:
        yield site


@pytest.fixture(scope="module")
def varnish(origin):
    with lab.Varnish("varnish.vcl", origin) as edge:
        yield edge


@pytest.fixture(scope="module")
def second(origin):
    with lab.Varnish("varnish.vcl", origin) as edge:
        yield edge


@asynccontextmanager
async def behind(*caches, **wrong):
    """An API for these caches, as a client of it finds it."""
    api = VendorApi([cache.url for cache in caches], site=caches[0].url)
    for name, value in wrong.items():
        setattr(api, name, value)
    async with api.client() as client:
        yield api, client


def warm(cache, *paths):
    return [told([ask(cache, path), ask(cache, path)][1]) for path in paths]


@pytest.mark.parametrize("vendor", hosted(), ids=slug)
async def test_a_purge_through_each_vendor_empties_a_real_varnish_of_this_page(vendor, varnish, origin):
    path, neighbour = f"/articles/{slug(vendor)}", f"/articles/{slug(vendor)}?x=1"
    assert [("HIT", 1), ("HIT", 1)] == warm(varnish, path, neighbour)
    origin.bump(path)
    async with behind(varnish) as (_, client):
        [receipt] = await vendor.purge([varnish.url + path], client=client)
        assert await vendor.settled(receipt, client) in {True, None}
    assert ("MISS", 2) == told(ask(varnish, path))
    assert ("HIT", 1) == told(ask(varnish, neighbour))


@pytest.mark.parametrize("vendor", KEYED, ids=slug)
async def test_a_purge_by_key_reaches_varnish_as_one(vendor, varnish):
    async with behind(varnish) as (api, client):
        assert await vendor.purge(["article-1"], By.KEY, client)
    assert "article-1" in str(api.asked[0].body)


async def test_a_purge_that_the_vendor_drops_leaves_the_old_page(varnish, origin):
    """All that a vendor says is then the same."""
    warm(varnish, "/articles/dropped")
    origin.bump("/articles/dropped")
    async with behind(varnish, drop=True) as (_, client):
        assert await hosted()[0].purge([f"{varnish.url}/articles/dropped"], client=client)
    assert ("HIT", 1) == told(ask(varnish, "/articles/dropped"))


async def test_a_purge_that_takes_more_empties_a_neighbour_as_well(varnish):
    warm(varnish, "/articles/more", SPARE)
    async with behind(varnish, also=(varnish.url + SPARE,)) as (_, client):
        await hosted()[0].purge([f"{varnish.url}/articles/more"], client=client)
    assert "MISS" == told(ask(varnish, SPARE))[0]


async def test_a_purge_that_reaches_one_node_leaves_the_other(varnish, second, origin):
    """Both are one site: the same Host in front of two caches."""
    path, host = "/articles/half", varnish.url.removeprefix("http://")
    for cache in (varnish, second):
        for _ in range(2):
            ask(cache, path, extra={"host": host}.items())
    origin.bump(path)
    async with behind(varnish, second, only=1) as (_, client):
        await hosted()[0].purge([varnish.url + path], client=client)
    assert ("HIT", 1) == told(ask(varnish, path, extra={"host": host}.items()))
    assert ("MISS", 2) == told(ask(second, path, extra={"host": host}.items()))


@pytest.mark.parametrize(
    "vendor", [vendor for vendor in hosted() if slug(vendor) in {"cloudfront", "google-cdn"}], ids=slug
)
async def test_a_purge_that_comes_late_is_done_when_it_says_so(vendor, varnish, origin):
    """And not when it was accepted."""
    path = f"/articles/late-{slug(vendor)}"
    warm(varnish, path)
    origin.bump(path)
    async with behind(varnish, polls=1) as (_, client):
        [receipt] = await vendor.purge([varnish.url + path], client=client)
        assert await vendor.settled(receipt, client) is False
        assert ("HIT", 1) == told(ask(varnish, path))
        assert await vendor.settled(receipt, client) is True
    assert ("MISS", 2) == told(ask(varnish, path))


async def test_a_purge_that_comes_late_without_a_word_is_done_when_it_catches_up(varnish):
    warm(varnish, "/articles/later")
    async with behind(varnish, polls=1) as (api, client):
        await hosted()[0].purge([f"{varnish.url}/articles/later"], client=client)
        assert "HIT" == told(ask(varnish, "/articles/later"))[0]
        await api.catch_up()
    assert "MISS" == told(ask(varnish, "/articles/later"))[0]


@pytest.mark.parametrize(
    "wrong", [{"refuse": 403}, {"refuse": 500}, {"limited": ["60"]}, {"unsuccessful": True}], ids=str
)
async def test_a_refusal_purges_nothing(wrong, varnish):
    warm(varnish, "/articles/refused")
    async with behind(varnish, **wrong) as (_, client):
        with pytest.raises(PurgeError):
            await hosted()[0].purge([f"{varnish.url}/articles/refused"], client=client)
    assert "HIT" == told(ask(varnish, "/articles/refused"))[0]


@pytest.mark.parametrize("place", range(len(hosted())), ids=[slug(vendor) for vendor in hosted()])
async def test_the_api_is_served_to_other_processes_too(place):
    """With requests byte for byte: a fast path or a query does not get tidied up on the way."""
    api = VendorApi(site="http://shop.test")
    with served(api) as address:
        vendor = hosted(address)[place]
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            [receipt] = await vendor.purge(["http://shop.test/a/../b"], client=client)
    assert receipt.status in {200, 201, 202}
    assert len(api.asked) == 1


async def test_a_stranger_is_refused():
    api = VendorApi()
    async with api.client() as client:
        response = await client.post("https://api.bunny.net/purge?url=x", headers={"AccessKey": "wrong"})
    assert response.status_code == 403
