"""The outboxes of batch jobs' own databases are served and shown beside the ledger's."""

import logging
from types import SimpleNamespace

import pytest

from flows.jobs.watch_jobs import watch
from flows.tasks.alerts import deliver_targets
from roundsman.alerts.outbox import Delivered, target_outboxes, target_variables
from roundsman.batch import open_target
from tests.alerts.test_outbox_machines import a_purge, edge, enqueue, site, target

__all__ = ["edge", "site", "target"]

SECRET = "hush-hush"


@pytest.fixture
def shop(target, monkeypatch):
    """The catalogue's database, named as a worker's environment names it."""
    monkeypatch.setenv("ROUNDSMAN_CATALOGUE_URL", target.url.render_as_string(hide_password=False))
    return target


@pytest.mark.parametrize(
    ("targets", "catalogue", "names"),
    [
        ("", "", ()),
        ("", "sqlite:///shop.db", ("ROUNDSMAN_CATALOGUE_URL",)),
        ("SHOP_URL", "sqlite:///shop.db", ("SHOP_URL",)),
        ("SHOP_URL, BLOG_URL SHOP_URL", "", ("SHOP_URL", "BLOG_URL")),
    ],
)
def test_the_targets_are_those_that_are_named_and_else_the_catalogue_s(targets, catalogue, names, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_TARGETS", targets)
    monkeypatch.setenv("ROUNDSMAN_CATALOGUE_URL", catalogue)
    assert names == target_variables()


async def test_a_purge_that_an_import_left_is_sent_without_another_import(shop, site, edge):
    enqueue(shop, a_purge("/a"))
    assert Delivered(1, 0) == await deliver_targets.fn()
    assert Delivered(0, 0) == await deliver_targets.fn()
    assert [("PURGE", "/a")] == edge.seen()


async def test_the_watch_sends_what_imports_left_each_minute(shop, site, edge, monkeypatch, tmp_path):
    async def looked():
        return SimpleNamespace(detail="all is well", exit_code=0)

    monkeypatch.setattr("flows.jobs.watch_jobs.look", looked)
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", f"sqlite:///{tmp_path}/of-the-watch.db")
    enqueue(shop, a_purge("/a"))
    assert 0 == await watch()
    assert [("PURGE", "/a")] == edge.seen()


async def test_what_is_dead_is_told_with_the_variable_of_its_database(shop, site, edge):
    edge.status = 405
    enqueue(shop, a_purge("/a"))
    assert Delivered(0, 1) == await deliver_targets.fn()
    [box] = target_outboxes(20)
    assert ("ROUNDSMAN_CATALOGUE_URL", 1, "", ["purge key"]) == (
        box.variable, box.count, box.problem, [one.subject for one in box.dead]
    )  # fmt: skip


async def test_a_target_that_cannot_be_used_holds_up_no_other_and_is_named_without_its_address(
    shop, site, edge, monkeypatch, caplog, tmp_path
):
    monkeypatch.setenv("GONE_URL", f"postgresql://ada:{SECRET}@127.0.0.1:9/shop")
    monkeypatch.setenv("ABSENT_URL", f"sqlite:///{tmp_path}/absent.db")
    monkeypatch.setenv("EMPTY_URL", f"sqlite:///{tmp_path}/empty.db")
    with open_target("EMPTY_URL").connect() as connection:
        connection.exec_driver_sql("CREATE TABLE other (id INTEGER)")
    monkeypatch.setenv("ROUNDSMAN_TARGETS", "GONE_URL ABSENT_URL UNSET_URL EMPTY_URL ROUNDSMAN_CATALOGUE_URL")
    enqueue(shop, a_purge("/a"))
    with caplog.at_level(logging.WARNING, logger="roundsman"):
        assert Delivered(1, 0) == await deliver_targets.fn()
    assert ["GONE_URL", "ABSENT_URL", "UNSET_URL"] == [
        record.getMessage().partition(":")[0] for record in caplog.records
    ]
    problems = {box.variable: box.problem for box in target_outboxes(20)}
    assert "OperationalError" == problems["GONE_URL"]
    assert "a file that is not there" in problems["ABSENT_URL"]
    assert "saw nothing" in problems["UNSET_URL"]
    assert ("", "") == (problems["EMPTY_URL"], problems["ROUNDSMAN_CATALOGUE_URL"])
    assert SECRET not in caplog.text + str(problems)
    assert not (tmp_path / "absent.db").exists()
