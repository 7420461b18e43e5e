"""The rows of the queue: an application writes them by SQL, and one worker at a time holds each."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from roundsman.batch import points
from roundsman.ledger.rules.delivery import MOST_ATTEMPTS
from roundsman.purge import queue
from roundsman.purge.queue import FailedChange, KeyReusedError
from roundsman.purge.rules.queue import ChangeState, ItemKind
from tests.purge.queueing import kept, ledger, let_be_due, publish, rows_of

__all__ = ["kept", "ledger"]

ROUTE, KEY = ItemKind.ROUTE, ItemKind.KEY


def states(engine):
    return [state for _, state in rows_of(engine)]


def expire(engine):
    """As if the worker had died a lease ago."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE published_change SET lease_until_ms = 1 WHERE state = 'claimed'"))


def test_a_row_needs_no_more_than_a_site_and_an_item(ledger):
    before = queue.clock(ledger)
    with ledger.begin() as connection:
        connection.execute(text("INSERT INTO published_change (site, item) VALUES ('shop', '/articles/one')"))
    [(kind, state, created)] = rows_of(ledger, "kind, state, created_ms")
    assert ("route", "waiting") == (kind, state)
    assert before - 2000 <= created <= queue.clock(ledger) + 2000
    assert ("/articles/one",) == queue.claim(ledger, "shop").items


def test_what_the_documentation_says_to_write_is_taken_in(ledger, pytestconfig):
    documents = (pytestconfig.rootpath / "README.md").read_text().split("```")
    [written] = [block.removeprefix("sql\n") for block in documents if "INSERT INTO published_change" in block]
    for _ in range(2):
        for statement in filter(str.strip, written.split(";")):
            with ledger.begin() as connection:
                connection.execute(text(statement))
    claims = [queue.claim(ledger, "shop"), queue.claim(ledger, "shop")]
    assert [("/articles/tomatoes", "/news"), ("author-7",)] == [one.items for one in claims]
    assert [3, 2] == [len(one.changes) for one in claims], "the one with a key is there once"


def test_a_row_that_may_be_written_twice_is_there_once_by_its_key(ledger):
    again = text(
        "INSERT INTO published_change (site, item, request_key) VALUES ('shop', '/news', 'save-4711')"
        " ON CONFLICT DO NOTHING"
    )
    for _ in range(3):
        with ledger.begin() as connection:
            connection.execute(again)
    assert [("/news", "waiting")] == rows_of(ledger)


def test_a_kind_that_nobody_knows_is_not_taken_in(ledger):
    with pytest.raises(IntegrityError):
        publish(ledger, "/", kind="everything")


def test_changes_of_one_item_are_claimed_together_and_each_site_has_its_own(ledger):
    publish(ledger, "/a", "/b", "/a")
    publish(ledger, "/a", site="other")
    mine = queue.claim(ledger, "shop")
    assert (("/a", "/b"), 3) == (mine.items, len(mine.changes))
    assert queue.claim(ledger, "shop") is None
    assert ("/a",) == queue.claim(ledger, "other").items


def test_routes_and_keys_are_claimed_apart_the_oldest_first(ledger):
    publish(ledger, "author-7", kind="key")
    publish(ledger, "/a", "author-7")
    claims = [queue.claim(ledger, "shop"), queue.claim(ledger, "shop")]
    assert [(KEY, ("author-7",)), (ROUTE, ("/a", "author-7"))] == [(one.kind, one.items) for one in claims]


def test_a_claim_is_no_larger_than_its_worker_can_lose(ledger):
    publish(ledger, *(f"/{number}" for number in range(7)), "/0")
    sizes = [len(queue.claim(ledger, "shop", max_items=3).changes) for _ in range(3)]
    assert [4, 3, 1] == sizes, "two changes name /0"


def test_what_is_settled_is_done_once(ledger):
    publish(ledger, "/a", "/b")
    mine = queue.claim(ledger, "shop")
    assert 2 == queue.settle(ledger, mine, [], [])
    assert 0 == queue.settle(ledger, mine, [], [])
    assert ["done", "done"] == states(ledger)
    assert [(None, 0, 1)] * 2 == rows_of(ledger, "lease_token, lease_until_ms, attempts")


def test_each_change_gets_what_became_of_it(ledger):
    publish(ledger, "/done", "/rests", "/never", "/untried")
    mine = queue.claim(ledger, "shop")
    ids = {change.item: change.id for change in mine.changes}
    failed = [
        FailedChange(ids["/rests"], ChangeState.WAITING, 60_000, "busy"),
        FailedChange(ids["/never"], ChangeState.QUARANTINED, 0, "not here"),
    ]
    assert 1 == queue.settle(ledger, mine, failed, [ids["/untried"]])
    assert [
        ("/done", "done", None, 1),
        ("/rests", "waiting", "busy", 1),
        ("/never", "quarantined", "not here", 1),
        ("/untried", "waiting", None, 0),
    ] == rows_of(ledger, "item, state, error, attempts")
    assert ("/untried",) == queue.claim(ledger, "shop").items, "what failed rests"
    assert {"waiting": 1, "claimed": 1, "done": 1, "quarantined": 1, "dismissed": 0} == queue.counts(ledger, "shop")


def test_what_rests_is_taken_along_by_a_new_change_of_its_item(ledger):
    publish(ledger, "/a")
    mine = queue.claim(ledger, "shop")
    queue.settle(ledger, mine, [FailedChange(mine.changes[0].id, ChangeState.WAITING, 3_600_000, "busy")], [])
    assert queue.claim(ledger, "shop") is None
    publish(ledger, "/a")
    assert 2 == len(queue.claim(ledger, "shop").changes)


def test_what_a_dead_worker_held_is_taken_over_and_the_dead_one_changes_nothing_more(ledger):
    publish(ledger, "/a", "/b")
    dead = queue.claim(ledger, "shop")
    assert queue.claim(ledger, "shop") is None
    assert queue.renew(ledger, dead)
    expire(ledger)
    heir = queue.claim(ledger, "shop")
    assert ([2, 2], ["/a", "/b"]) == ([one.attempts for one in heir.changes], [*heir.items])
    assert not queue.renew(ledger, dead)
    assert 0 == queue.settle(ledger, dead, [FailedChange(1, ChangeState.QUARANTINED, 0, "late")], [2])
    queue.release(ledger, dead)
    assert ["claimed", "claimed"] == states(ledger)
    assert 2 == queue.settle(ledger, heir, [], [])


def test_what_kills_its_workers_goes_into_quarantine_in_the_end(ledger):
    publish(ledger, "/a")
    for _ in range(MOST_ATTEMPTS):
        assert queue.claim(ledger, "shop")
        expire(ledger)
    assert queue.claim(ledger, "shop") is None
    [kept] = queue.quarantined(ledger)
    assert (queue.DIED, MOST_ATTEMPTS) == (kept.error, kept.attempts)


def test_what_is_given_back_was_never_claimed(ledger):
    publish(ledger, "/a")
    queue.release(ledger, queue.claim(ledger, "shop"))
    assert [("waiting", 0, None)] == rows_of(ledger, "state, attempts, lease_token")


@pytest.mark.parametrize("point", ["claim.begun", "claim.written", "claim.committed"])
def test_a_claim_that_breaks_off_is_made_again_whole(ledger, monkeypatch, point):
    publish(ledger, "/a", "/b")
    monkeypatch.setattr(points, "hook", _dies_at(point))
    with pytest.raises(_Power):
        queue.claim(ledger, "shop")
    monkeypatch.setattr(points, "hook", None)
    expire(ledger)
    assert 2 == queue.settle(ledger, queue.claim(ledger, "shop"), [], [])


@pytest.mark.parametrize(
    ("point", "after"),
    [("settle.begun", "claimed"), ("settle.written", "claimed"), ("settle.committed", "done")],
)
def test_a_claim_is_settled_whole_or_not_at_all(ledger, monkeypatch, point, after):
    publish(ledger, "/a", "/b", "/c")
    mine = queue.claim(ledger, "shop")
    monkeypatch.setattr(points, "hook", _dies_at(point))
    ends = [FailedChange(mine.changes[0].id, ChangeState.QUARANTINED, 0, "no")], [mine.changes[1].id]
    with pytest.raises(_Power):
        queue.settle(ledger, mine, *ends)
    monkeypatch.setattr(points, "hook", None)
    assert ["quarantined", "waiting", "done"] == states(ledger) if after == "done" else {after} == set(states(ledger))


class _Power(BaseException):
    """The power is cut."""


def _dies_at(point):
    def hook(name):
        if name == point:
            raise _Power

    return hook


def test_workers_that_claim_at_once_get_different_changes(ledger):
    publish(ledger, *(f"/{number}" for number in range(60)))
    ready, claims = threading.Barrier(6), []

    def claim_all():
        ready.wait()
        while mine := queue.claim(ledger, "shop", max_items=4):
            claims.append(mine)

    workers = [threading.Thread(target=claim_all) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    taken = [change.id for mine in claims for change in mine.changes]
    assert list(range(1, 61)) == sorted(taken)


def test_items_that_wait_already_are_not_written_again_unless_they_are_claimed(ledger):
    assert [1, 2] == queue.add(ledger, "shop", [(ROUTE, "/a"), (KEY, "/a"), (ROUTE, "/a")])
    assert [1, 3] == queue.add(ledger, "shop", [(ROUTE, "/a"), (ROUTE, "/b")])
    queue.claim(ledger, "shop")
    # Its purge may have been sent before this change.
    assert [4] == queue.add(ledger, "shop", [(ROUTE, "/a")])


def test_a_new_change_does_not_wait_for_one_that_rests(ledger):
    queue.add(ledger, "shop", [(ROUTE, "/a")])
    mine = queue.claim(ledger, "shop")
    queue.settle(ledger, mine, [FailedChange(1, ChangeState.WAITING, 3_600_000, "busy")], [])
    assert [2] == queue.add(ledger, "shop", [(ROUTE, "/a")])
    assert ("/a",) == queue.claim(ledger, "shop").items


def test_a_request_is_there_once_by_its_key_also_when_it_is_done(ledger):
    items = [(ROUTE, "/a"), (KEY, "author-7"), (ROUTE, "/a")]
    assert [1, 2] == queue.add(ledger, "shop", items, "save-1") == queue.add(ledger, "shop", items, "save-1")
    queue.settle(ledger, queue.claim(ledger, "shop"), [], [])
    assert [1, 2] == queue.add(ledger, "shop", items, "save-1")
    assert len(rows_of(ledger)) == 2
    # Another site's requests have keys of their own.
    assert 2 == len(queue.add(ledger, "other", items, "save-1"))


@pytest.mark.parametrize("items", [[(ROUTE, "/b")], [(ROUTE, "/a"), (ROUTE, "/b")], [(KEY, "/a")]])
def test_a_key_that_says_something_else_is_refused_and_nothing_is_written(ledger, items):
    queue.add(ledger, "shop", [(ROUTE, "/a")], "save-1")
    with pytest.raises(KeyReusedError, match="use a new one"):
        queue.add(ledger, "shop", items, "save-1")
    assert [("/a", "waiting")] == rows_of(ledger)


def test_what_is_quarantined_is_shown_the_newest_first_and_purged_again_or_given_up(ledger):
    publish(ledger, "/a", "/b", "/c")
    mine = queue.claim(ledger, "shop")
    queue.settle(ledger, mine, [FailedChange(one.id, ChangeState.QUARANTINED, 0, "no") for one in mine.changes], [])
    assert [(3, "/c"), (2, "/b"), (1, "/a")] == [(one.id, one.item) for one in queue.quarantined(ledger)]
    assert (1, 0) == (queue.replay(ledger, 2), queue.replay(ledger, 2))
    assert (1, 0, 0) == (queue.dismiss(ledger, 3), queue.dismiss(ledger, 3), queue.dismiss(ledger, 99))
    assert ["quarantined", "waiting", "dismissed"] == states(ledger)
    assert [1] == [one.attempts for one in queue.claim(ledger, "shop").changes], "all its attempts are before it"
    assert 1 == queue.replay(ledger)
    assert [] == queue.quarantined(ledger)


def test_what_waits_longest_is_told(ledger):
    assert 0 == queue.oldest(ledger)
    publish(ledger, "/a", "/b")
    with ledger.begin() as connection:
        connection.execute(text("UPDATE published_change SET created_ms = created_ms - 90000 WHERE item = '/a'"))
    assert queue.oldest(ledger, "shop") >= 90
    queue.settle(ledger, queue.claim(ledger, "shop"), [], [])
    assert 0 == queue.oldest(ledger, "shop")


def test_it_is_known_whether_anything_else_was_purged_since(ledger):
    since = queue.clock(ledger)
    publish(ledger, "/a")
    assert not queue.purged_since(ledger, "shop", since)
    mine = queue.claim(ledger, "shop")
    assert queue.purged_since(ledger, "shop", since)
    queue.settle(ledger, mine, [], [])
    assert queue.purged_since(ledger, "shop", since)
    assert not queue.purged_since(ledger, "other", since)
    assert not queue.purged_since(ledger, "shop", since + 3_600_000)


def test_only_what_is_over_is_forgotten(ledger):
    publish(ledger, "/done", "/never", "/waits")
    mine = queue.claim(ledger, "shop")
    failed = [FailedChange(2, ChangeState.QUARANTINED, 0, "no"), FailedChange(3, ChangeState.WAITING, 0, "busy")]
    queue.settle(ledger, mine, failed, [])
    assert 0 == queue.forget(ledger, 1)
    with ledger.begin() as connection:
        connection.execute(text("UPDATE published_change SET ended_ms = 1, created_ms = 1"))
    assert 1 == queue.forget(ledger, 1)
    assert ["/never", "/waits"] == [item for item, _ in rows_of(ledger)]


def test_everything_can_be_made_due(ledger):
    publish(ledger, "/a")
    mine = queue.claim(ledger, "shop")
    queue.settle(ledger, mine, [FailedChange(1, ChangeState.WAITING, 3_600_000, "busy")], [])
    let_be_due(ledger)
    assert queue.claim(ledger, "shop")
