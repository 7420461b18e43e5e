"""The board shows what could not be purged, and how long the queue is."""

import html

import pytest

from roundsman.purge import queue
from roundsman.purge.queue import FailedChange
from roundsman.purge.rules.queue import ChangeState
from tests.deployments.boards import client, fresh, metrics_of, open_ledger, write_site
from tests.purge.queueing import publish

__all__ = ["fresh", "open_ledger", "write_site"]

HOSTILE = "\"'><script>alert(1)</script>{{ 7*7919 }}"


@pytest.fixture
def kept(fresh):
    """Many changes in quarantine; one that waits."""
    publish(fresh, *(f"/{number}" for number in range(24)), f"/{HOSTILE}")
    mine = queue.claim(fresh, "shop")
    failed = [FailedChange(change.id, ChangeState.QUARANTINED, 0, f"no {HOSTILE}") for change in mine.changes]
    queue.settle(fresh, mine, failed, [])
    publish(fresh, "/waits")
    return fresh


async def test_what_could_not_be_purged_is_shown_with_the_way_out(kept):
    async with client() as board:
        page = (await board.get("/")).text
    assert "Could not be purged: 25" in page
    assert "roundsman purges --replay all" in page
    assert 20 == page.count("<td>route /"), "no more than fit, the newest first"
    assert "<td>route /5<" in page
    assert "<td>route /4<" not in page
    assert f"route /{html.escape(HOSTILE).replace('&#x27;', '&#39;').replace('&quot;', '&#34;')}" in page
    assert "<script>" not in page
    assert "55433" not in page
    queue.replay(kept)
    async with client() as board:
        assert "Could not be purged" not in (await board.get("/")).text


async def test_how_long_the_queue_is_can_be_alerted_on(kept):
    async with client() as board:
        found = await metrics_of(board)
    states = {"waiting": 1, "claimed": 0, "done": 0, "quarantined": 25, "dismissed": 0}
    assert states == {state: found["roundsman_purge_queue", f'state="{state}"'] for state in states}
    assert 0 <= found["roundsman_purge_queue_oldest_seconds", ""] < 600
