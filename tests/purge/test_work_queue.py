"""A run of the purge queue: what is due is purged together, at the vendor's pace, and nothing is lost on the way."""

import asyncio
import threading
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from blocks.cloudfront import CloudFront
from blocks.registry import BlockError
from flows.tasks.blocks import edges_of
from roundsman.ledger.rules import delivery
from roundsman.purge import queue, work_queue
from roundsman.purge.rules.queue import ItemKind
from tests.make import RULE
from tests.purge.queueing import SlowApi, TimedApi, kept, ledger, let_be_due, publish, rows_of, shop, slow_edge
from tests.vendor_api import TOKEN, served

__all__ = ["kept", "ledger"]

BASE = "https://www.example.com"


@pytest.fixture
def api(monkeypatch):
    with answering(TimedApi(), monkeypatch) as api:
        yield api


@contextmanager
def answering(api, monkeypatch):
    monkeypatch.setenv("QUEUE_TOKEN", TOKEN)
    with served(api) as api.address:
        yield api


async def run(api, *, again=False, **more):
    site = shop(api.address, **more)
    return await work_queue.purge_due(site, await edges_of(site), again=again)


def names(*routes):
    return [BASE + route for route in routes]


def states(engine):
    return dict(rows_of(engine))


async def test_what_is_published_is_purged_twice_and_done(ledger, api):
    publish(ledger, "/articles/one", f"{BASE}/articles/two?page=2")
    done = await run(api, again=True)
    assert [names("/articles/one", "/articles/two?page=2")] * 2 == api.urls
    assert (2, 2, 0, "2 changes done with 2 purges") == (done.done, done.purged, done.waiting, str(done))
    assert {"done"} == set(states(ledger).values())
    assert 0 == (await run(api)).done
    assert len(api.asked) == 2


@pytest.mark.parametrize("item", ["/articles/one", f"{BASE}/articles/one"])
async def test_a_fetch_under_way_is_waited_for_as_its_rule_says_however_the_route_is_named(
    ledger, api, item, monkeypatch
):
    waited = []

    async def pause(seconds):
        waited.append(seconds)

    monkeypatch.setattr(work_queue, "pause", pause)
    publish(ledger, item)
    slow = {"name": "articles", "paths": ["/articles/**"], "response_time": {"miss": {"p95": "4s"}}}
    await run(api, again=True, rules=[{**RULE, **slow, "examples": {"not_cached": ["/articles/one"]}}])
    assert [4.0] == waited


async def test_changes_of_one_route_are_one_purge_whoever_wrote_them(ledger, api):
    publish(ledger, "/articles/one", "/articles/two", "/articles/one", "/articles/one")
    queue.add(ledger, "shop", [(ItemKind.ROUTE, "/articles/two"), (ItemKind.ROUTE, "/articles/one")], "save-4711")
    done = await run(api)
    assert [names("/articles/one", "/articles/two")] == api.urls
    assert (6, 2) == (done.done, done.purged)


async def test_keys_are_purged_as_keys(ledger, api):
    publish(ledger, "author-7", "author-8", kind="key")
    done = await run(api)
    assert [["author-7", "author-8"]] == [asked.json["tags"] for asked in api.asked]
    assert (2, ()) == (done.done, done.routes), "a key is no page that could be looked at"


async def test_a_long_queue_goes_in_requests_of_the_vendor_s_size(ledger, api):
    publish(ledger, *(f"/articles/{number}" for number in range(130)))
    done = await run(api, purge_at_most=1000)
    assert [100, 30] == list(map(len, api.urls))
    assert (130, 130, 0) == (done.done, done.purged, done.waiting)


async def test_a_refusal_is_narrowed_down_to_what_it_is_about(ledger, api):
    api.refused = ["/articles/3"]
    publish(ledger, *(f"/articles/{number}" for number in range(8)))
    done = await run(api)
    assert (7, 1, 1) == (done.done, done.quarantined, done.kept)
    [lost] = queue.quarantined(ledger)
    assert ("/articles/3", 1) == (lost.item, lost.attempts)
    assert "not in this zone" in lost.error
    assert len(api.asked) == 7, "each half that was refused, and its other half"
    assert sorted(names(*(f"/articles/{number}" for number in range(8) if number != 3))) == sorted(
        url for urls in api.urls if not any(url.endswith("/3") for url in urls) for url in urls
    )


async def test_what_no_plan_allows_is_quarantined_unasked(ledger, api):
    publish(ledger, "/articles/one", "/else", "/articles/*")
    assert (1, 2) == ((await run(api)).done, len(queue.quarantined(ledger)))
    assert [names("/articles/one")] == api.urls
    wild, other = (one.error for one in queue.quarantined(ledger))
    assert "wanted a route without `*`" in wild
    assert "a route that a rule of the site speaks of" in other


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
async def test_where_the_edge_is_in_trouble_everything_waits_and_it_is_asked_once(ledger, api, status):
    publish(ledger, *(f"/articles/{number}" for number in range(70)))
    api.refuse = status
    held_up = await run(api, purge_at_most=30)
    assert (0, 0, 30, 70, 1) == (held_up.done, held_up.quarantined, held_up.retried, held_up.waiting, len(api.asked))
    assert f"answered {status}" in held_up.troubles[0]
    assert [("waiting", 1)] * 30 + [("waiting", 0)] * 40 == rows_of(ledger, "state, attempts"), "the rest was not tried"
    api.refuse = 0
    let_be_due(ledger)
    assert 70 == (await run(api, purge_at_most=1000)).done


async def test_a_vendor_that_wants_to_be_left_alone_is_left_alone_by_everyone(ledger, api):
    api.limited = ["90"]
    publish(ledger, "/articles/one")
    assert 1 == (await run(api)).retried
    [(due, now)] = [(due, queue.clock(ledger)) for (due,) in rows_of(ledger, "due_ms")]
    assert 80_000 < due - now <= 90_000
    publish(ledger, "/articles/two")
    other = await run(api)
    assert ("wants to be left alone" in other.troubles[0], other.retried, len(api.asked)) == (True, 1, 1)
    assert {"waiting"} == set(states(ledger).values())


async def test_what_never_succeeds_is_quarantined_in_the_end_and_purged_again_when_somebody_says_so(
    ledger, api, monkeypatch
):
    monkeypatch.setattr(delivery, "MOST_ATTEMPTS", 3)
    publish(ledger, "/articles/one")
    api.refuse = 503
    for _ in range(3):
        assert {"waiting"} == set(states(ledger).values())
        let_be_due(ledger)
        with ledger.begin() as connection:  # as if the pace were no matter
            connection.execute(text("DELETE FROM purge_bucket"))
        last = await run(api)
    assert (1, 1) == (last.quarantined, last.kept)
    api.refuse = 0
    assert 0 == (await run(api)).done
    assert 1 == queue.replay(ledger)
    assert 1 == (await run(api)).done


async def test_a_change_that_comes_while_its_like_is_purged_is_purged_again(ledger, api):
    publish(ledger, "/articles/one")
    api.on_request = lambda _: publish(ledger, "/articles/one") if len(api.asked) < 1 else None
    done = await run(api)
    assert ([names("/articles/one")] * 2, 2) == (api.urls, done.done)


async def test_a_run_that_is_stopped_gives_back_what_it_holds(ledger, api):
    publish(ledger, "/articles/one")
    asked, go_on = threading.Event(), threading.Event()
    api.on_request = lambda _: (asked.set(), go_on.wait(30))
    running = asyncio.create_task(run(api))
    await asyncio.to_thread(asked.wait, 30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    go_on.set()
    assert [("waiting", 1)] == rows_of(ledger, "state, attempts")
    publish(ledger, "/articles/one")
    assert 2 == len(rows_of(ledger)), "the purge that was sent is none of what was published later"
    api.on_request = lambda _: None
    assert 2 == (await run(api)).done


@pytest.fixture
def slow(monkeypatch):
    with answering(SlowApi(), monkeypatch) as api:
        yield api


async def run_slowly(slow, *, again=False, **more):
    return await run(slow, again=again, **slow_edge(slow.address), **more)


async def test_a_purge_is_waited_for_as_long_as_the_edge_promises(ledger, slow, monkeypatch):
    """Else it would be purged again and again, and quarantined in the end."""
    monkeypatch.setattr("roundsman.purge.prove.MAX_WAIT_SECONDS", 0.1)
    slow.polls = 2
    publish(ledger, "/articles/one")
    assert 1 == (await run_slowly(slow)).done
    assert ["POST", "GET", "GET", "GET"] == slow.methods


async def test_a_purge_that_is_not_done_in_the_promised_time_is_purged_again_later(ledger, slow, monkeypatch):
    monkeypatch.setattr(CloudFront, "settles_within", 0.1)
    slow.polls = 1000
    publish(ledger, "/articles/one")
    held_up = await run_slowly(slow)
    assert (0, 1) == (held_up.done, held_up.retried)
    assert "CloudFront took the purge, and had not done it after" in held_up.troubles[0]


async def test_all_parts_are_sent_before_any_is_waited_for(ledger, slow):
    """One after another they would take longer than a run may."""
    slow.polls = 1
    publish(ledger, *(f"/articles/{number}" for number in range(5)))
    assert 5 == (await run_slowly(slow, again=True, purge_at_most=1)).done
    once = ["POST"] * 5 + ["GET"] * 10
    assert once * 2 == slow.methods


async def test_a_run_that_is_stopped_gives_back_only_what_is_not_done(ledger, slow):
    slow.never_done = b"two"
    publish(ledger, "/articles/one", "/articles/two", "/articles/three")
    running = asyncio.create_task(run_slowly(slow, purge_at_most=1))
    async with asyncio.timeout(30):
        while slow.methods.count("GET") < 4:  # noqa: ASYNC110 - the API is in another thread
            await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [("done", 1), ("waiting", 1), ("done", 1)] == rows_of(ledger, "state, attempts")


async def test_a_worker_that_takes_long_keeps_what_it_holds(ledger, api, monkeypatch):
    monkeypatch.setattr(work_queue, "LEASE_SECONDS", 0.2)
    publish(ledger, "/articles/one")
    renewed, renew = threading.Semaphore(0), queue.renew
    monkeypatch.setattr(queue, "renew", lambda *args: (renew(*args), renewed.release()))
    api.on_request = lambda _: [renewed.acquire(timeout=30) for _ in range(3)]
    assert 1 == (await run(api)).done
    assert [("done", 1)] == rows_of(ledger, "state, attempts")


async def test_a_worker_that_was_held_for_dead_settles_nothing(ledger, api):
    publish(ledger, "/articles/one")
    heirs = []

    def take_over(_):
        with ledger.begin() as connection:
            connection.execute(text("UPDATE published_change SET lease_until_ms = 1"))
        heirs.append(queue.claim(ledger, "shop"))

    api.on_request = take_over
    assert 0 == (await run(api)).done
    assert [("claimed", heirs[0].token)] == rows_of(ledger, "state, lease_token")
    assert 1 == queue.settle(ledger, heirs[0], [], [])


async def test_without_a_token_nothing_is_claimed(ledger, api, monkeypatch):
    monkeypatch.delenv("QUEUE_TOKEN")
    publish(ledger, "/articles/one")
    with pytest.raises(BlockError, match="QUEUE_TOKEN"):
        await run(api)
    assert [("waiting", 0)] == rows_of(ledger, "state, attempts")


async def test_a_dry_run_plans_what_is_next_and_leaves_everything_where_it_is(ledger, api):
    publish(ledger, "/articles/one", "/else")
    plans = await work_queue.plan_published(shop(api.address), await edges_of(shop(api.address)))
    assert [["/else"]] == [[refusal.observed.strip("'") for refusal in one.refusals] for one in plans]
    assert ([("waiting", 0)] * 2, []) == (rows_of(ledger, "state, attempts"), api.asked)
    assert [] == await work_queue.plan_published(shop(api.address, site="other"), {})


async def test_no_secret_is_kept_with_what_failed(ledger, api, caplog):
    publish(ledger, "/articles/one")
    api.refuse = 400
    with caplog.at_level("DEBUG"):
        await run(api)
    [lost] = queue.quarantined(ledger)
    assert TOKEN not in lost.error + caplog.text


async def test_there_is_no_sample_where_nothing_could_be_looked_at(ledger, api):
    assert work_queue.QueueRun() == await work_queue.prove_sample(shop(api.address), {}, ())
    assert not api.asked
