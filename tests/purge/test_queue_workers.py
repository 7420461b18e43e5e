"""Workers that are killed: each change is done once, none is lost, and the vendor is asked gently."""

import random
import signal
import threading
import time
from collections import Counter

import pytest
from sqlalchemy import text

from tests.purge.queueing import BURST, PER_SECOND, TimedApi, above, count_ends, let_be_due, publish, rows_of, started
from tests.vendor_api import served

CHANGES, KEYS, KILLS = 10_000, 1600, 12


@pytest.mark.slow
def test_of_ten_thousand_changes_each_is_done_once_whoever_is_killed(ledger, url):
    chance = random.Random(7)
    keys = [f"article-{number % KEYS}" for number in range(CHANGES)]
    chance.shuffle(keys)
    publish(ledger, *keys, kind="key")
    count_ends(ledger)
    api, kills = TimedApi(), 0
    with served(api) as address:
        workers = [started(url, address, 1.5) for _ in range(3)]
        late = time.monotonic() + 300
        while any(worker.exitcode is None for worker in workers):
            assert time.monotonic() < late, Counter(state for _, state in rows_of(ledger))
            threading.Event().wait(chance.uniform(0.3, 1.5))
            victim = chance.randrange(3)
            if workers[victim].exitcode is None and kills < KILLS:
                workers[victim].kill()
                workers[victim].join()
                workers[victim] = started(url, address, 1.5)
                kills += 1
    assert [0, 0, 0] == [worker.exitcode for worker in workers]
    assert KILLS // 2 <= kills
    assert {("done", None)} == set(rows_of(ledger, "state, error"))
    with ledger.connect() as connection:
        ended = Counter(connection.execute(text("SELECT id FROM ended")).scalars())
    assert {number: 1 for (number,) in rows_of(ledger, "id")} == ended
    assert set(keys) == {key for keys in api.keys for key in keys}
    assert 0 == above(api.at, PER_SECOND, BURST)
    assert len(api.at) > 3 * BURST, "so few may be asked at once"
    assert sum(map(len, api.keys)) < CHANGES / 2, "changes of one key are purged together"


#: Where a worker is killed, and how often its change is purged then: once more when nobody knows that it was.
POINTS = {
    "claim.begun": 1,
    "claim.written": 1,
    "claim.committed": 1,
    "settle.begun": 2,
    "settle.written": 2,
    "settle.committed": 1,
}


@pytest.mark.slow
def test_killed_at_any_point_a_change_is_done_once_and_purged_once_more_at_most(ledger, url):
    count_ends(ledger)
    api = TimedApi()
    with served(api) as address:
        for place, point in enumerate(POINTS):
            publish(ledger, f"/articles/{place}")
            victim = started(url, address, 60.0, point)
            victim.join(180)
            assert -signal.SIGKILL == victim.exitcode, point
        assert ["claimed"] * 5 + ["done"] == [state for _, state in rows_of(ledger)]
        let_be_due(ledger)
        heir = started(url, address, 60.0)
        heir.join(180)
    assert 0 == heir.exitcode
    assert {"done"} == {state for _, state in rows_of(ledger)}
    with ledger.connect() as connection:
        assert list(range(1, 7)) == sorted(connection.execute(text("SELECT id FROM ended")).scalars())
    purges = Counter(url.rpartition("/")[2] for urls in api.urls for url in urls)
    assert {str(place): many for place, many in enumerate(POINTS.values())} == purges
