"""What could not be sent is on the board: out of the ledger, and out of the databases that batch jobs write to."""

import pytest
from sqlalchemy import create_engine

from roundsman.batch.rules import Outgoing
from roundsman.batch.target import prepare
from roundsman.ledger.rules.delivery import PURGE
from tests.alerts.test_outbox import change
from tests.alerts.test_outbox_machines import enqueue
from tests.deployments.boards import client, fresh, metrics_of, now, open_ledger, write_site

__all__ = ["fresh", "open_ledger", "write_site"]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """The database of an import, which this process may read."""
    address = f"sqlite:///{tmp_path}/shop.db"
    monkeypatch.setenv("ROUNDSMAN_CATALOGUE_URL", address)
    engine = create_engine(address)
    prepare(engine)
    yield engine
    engine.dispose()


def dies(engine, subject):
    enqueue(engine, Outgoing(PURGE, "varnish/shop", subject, subject=subject, site="shop"))
    change(engine, dead_at=now(), error="PurgeError: <b>405</b>", attempts=30)


async def test_each_outbox_with_something_dead_is_shown_with_the_command_that_sends_it_again(fresh, shop):
    dies(fresh, "purge of the round")
    dies(shop, "purge of the import")
    async with client() as board:
        page, metrics = (await board.get("/")).text, await metrics_of(board)
    for words in (
        "purge of the round",
        "purge of the import",
        "PurgeError: &lt;b&gt;405",
        "<code>roundsman outbox --replay all</code>",
        "<code>roundsman outbox --in ROUNDSMAN_CATALOGUE_URL --replay all</code>",
    ):
        assert 1 + (words.startswith("PurgeError")) == page.count(words), words
    assert [1, 1] == [
        metrics["roundsman_dead_letters", f'outbox="{name}"'] for name in ("ledger", "ROUNDSMAN_CATALOGUE_URL")
    ]


async def test_where_nothing_is_dead_nothing_is_said(fresh, shop):
    async with client() as board:
        page, metrics = (await board.get("/")).text, await metrics_of(board)
    assert "Could not be sent" not in page
    assert 0 == metrics["roundsman_dead_letters", 'outbox="ROUNDSMAN_CATALOGUE_URL"']


async def test_a_database_that_cannot_be_read_is_said_to_be_unknown_and_the_board_stands(fresh, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_CATALOGUE_URL", "postgresql://ada:hush-hush@127.0.0.1:9/shop")
    async with client() as board:
        answer, metrics = await board.get("/"), await metrics_of(board)
    assert 200 == answer.status_code
    assert "What could not be sent is unknown: ROUNDSMAN_CATALOGUE_URL" in answer.text
    assert "hush" not in answer.text
    assert [("roundsman_dead_letters", 'outbox="ledger"')] == [one for one in metrics if "dead" in one[0]]
