"""A vendor's rate is one for all workers, on the database's clock."""

import asyncio
import threading
import time

import pytest
from sqlalchemy import text

from blocks.cloudflare import Cloudflare
from blocks.varnish import Varnish
from roundsman.purge.prove import gate
from roundsman.purge.queue import VendorPace, paced
from roundsman.purge.rules.order import By, PurgeError, Rate
from tests.purge.queueing import above, kept, ledger

__all__ = ["kept", "ledger"]

NAME = "cloudflare/shop"


def edge(*rates):
    cloudflare = Cloudflare(zone="z1", token="hush")
    object.__setattr__(cloudflare, "rates", lambda: rates)
    return cloudflare


def rate(of="requests", per_second=10.0, burst=10.0, by=()):
    return Rate(of, per_second, burst, "https://example.com/limits", frozenset(by))


def left(engine):
    with engine.connect() as connection:
        return {row.name: row.tokens for row in connection.execute(text("SELECT name, tokens FROM purge_bucket"))}


async def test_requests_and_items_are_counted_apart_and_taken_together(ledger):
    both = edge(rate(), rate("items", 1.0, 100.0))
    await VendorPace(ledger).wait(NAME, both, 79)
    assert {f"{NAME} requests": 7.0, f"{NAME} items": 1.0} == left(ledger), "a fifth is left to others"
    # Where one of them has too few, none is taken of the other.
    assert await VendorPace(ledger)._missing(NAME, both, 40) > 30
    assert left(ledger)[f"{NAME} requests"] == 7.0


async def test_kinds_of_purge_that_are_counted_apart_wait_apart(ledger):
    """What a vendor asks for after too many tags does not hold up URLs."""
    apart = edge(rate("items", 5.0, 50.0, {By.URL}), rate(per_second=0.1, burst=2.5, by={By.KEY, By.HOST}))
    for _ in range(2):
        await VendorPace(ledger).wait(NAME, apart, 1, By.KEY)
    assert await VendorPace(ledger)._missing(NAME, apart, 1, By.HOST) > 5
    await VendorPace(ledger).wait(NAME, apart, 30, By.URL)
    assert {f"{NAME} items by url", f"{NAME} requests by host, surrogate key"} == set(left(ledger))
    await VendorPace(ledger).refused(NAME, apart, PurgeError("too many", retry_after=90), By.KEY)
    await VendorPace(ledger).wait(NAME, apart, 1, By.URL)
    with pytest.raises(PurgeError, match="left alone"):
        await VendorPace(ledger).wait(NAME, apart, 1, By.KEY)


async def test_one_s_own_caches_have_no_rate(ledger):
    await VendorPace(ledger).wait("varnish/shop", Varnish(nodes=["http://127.0.0.1:9"]), 1)
    await VendorPace(ledger).refused("varnish/shop", Varnish(), PurgeError("busy", retry_after=90))
    assert {} == left(ledger)


async def test_a_request_waits_for_its_turn(ledger):
    slow = edge(rate(per_second=25.0, burst=1.25))
    begun = time.monotonic()
    for _ in range(5):
        await VendorPace(ledger).wait(NAME, slow, 1)
    assert time.monotonic() - begun >= 4 / 25


async def test_who_would_wait_too_long_is_told_how_long_instead(ledger):
    slow = edge(rate(per_second=1 / 3600, burst=1.25))
    await VendorPace(ledger).wait(NAME, slow, 1)
    with pytest.raises(PurgeError, match="wants to be left alone") as error:
        await VendorPace(ledger).wait(NAME, slow, 1)
    assert not error.value.permanent
    assert 4000 < error.value.retry_after <= 4500


async def test_what_a_vendor_asks_for_holds_for_every_worker(ledger):
    quick = edge(rate(), rate("items", 100.0, 1000.0))
    await VendorPace(ledger).refused(NAME, quick, PurgeError("too many", retry_after=90))
    await VendorPace(ledger).refused(NAME, quick, PurgeError("broken"))
    with pytest.raises(PurgeError) as error:
        await VendorPace(ledger).wait(NAME, quick, 1)
    assert 85 < error.value.retry_after <= 91
    # Another account is another one.
    await VendorPace(ledger).wait("cloudflare/other", quick, 1)


async def test_no_vendor_is_left_alone_for_longer_than_an_hour(ledger):
    quick = edge(rate())
    await VendorPace(ledger).refused(NAME, quick, PurgeError("too many", retry_after=999_999_999))
    with pytest.raises(PurgeError) as error:
        await VendorPace(ledger).wait(NAME, quick, 1)
    assert 3590 < error.value.retry_after <= 3601


def test_workers_side_by_side_are_together_below_the_rate(ledger):
    one, at, ready = edge(rate(per_second=20.0, burst=10.0)), [], threading.Barrier(4)

    async def ask():
        for _ in range(10):
            await VendorPace(ledger).wait(NAME, one, 1)
            at.append(time.monotonic())

    def worker():
        ready.wait()
        asyncio.run(ask())

    workers = [threading.Thread(target=worker) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert (40, 0) == (len(at), above(sorted(at), 20.0, 10.0))


def test_only_what_is_within_the_block_is_paced(ledger):
    assert gate.get() is None
    with paced(ledger):
        assert isinstance(gate.get(), VendorPace)
    assert gate.get() is None
