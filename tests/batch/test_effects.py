"""No row is lost without a word: each one that is applied is counted, and one that did nothing is in quarantine."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import bindparam, column, create_engine, insert, table, text, update

from roundsman.batch import Applied, Batch, BatchError, JsonLines, LimitError, UnmatchedError, each_matched, replay, run
from tests.batch.work import asked, opened

STOCK = table("stock", column("sku"), column("amount"))


@pytest.fixture
def stock(url):
    """Twins are there twice."""
    engine = opened(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE stock (sku TEXT NOT NULL, amount INTEGER NOT NULL)"))
        there = [{"sku": sku} for sku in ("spade", "rake", "hoe", "twin", "twin")]
        connection.execute(text("INSERT INTO stock VALUES (:sku, 0)"), there)
        connection.execute(text("CREATE UNIQUE INDEX once ON stock (sku) WHERE sku != 'twin'"))
    yield engine
    engine.dispose()


def amounts(engine) -> dict[str, int]:
    return dict(asked(engine, "SELECT sku, amount FROM stock WHERE amount != 0"))


ADD = text("UPDATE stock SET amount = amount + :amount WHERE sku = :sku")
SET = update(STOCK).where(STOCK.c.sku == bindparam("which")).values(amount=1)
NEW = text("INSERT INTO stock VALUES (:sku, :amount) ON CONFLICT DO NOTHING")


@pytest.mark.parametrize(
    ("statement", "skus", "fits"),
    [
        (ADD, ["spade", "rake", "spade"], True),
        (ADD, ["spade"], True),
        (ADD, [], True),
        (ADD, ["fork"], False),
        (ADD, ["spade", "fork", "rake"], False),
        (ADD, ["twin"], False),
        (ADD, ["twin", "fork"], False),
        (SET, ["spade", "rake"], True),
        (SET, ["spade", "fork"], False),
        (text("DELETE FROM stock WHERE sku = :sku AND :amount > 0"), ["spade", "rake"], True),
        (text("DELETE FROM stock WHERE sku = :sku AND :amount > 0"), ["spade", "spade"], False),
        (NEW, ["fork", "broom"], True),
        (NEW, ["fork", "spade"], False),
        (insert(STOCK), ["fork", "broom"], True),
    ],
)
def test_each_row_has_to_match_exactly_one(stock, statement, skus, fits):
    """By the sum of all, one that matched two would hide one that matched none."""
    rows = [{"which": sku} if statement is SET else {"sku": sku, "amount": 1} for sku in skus]
    with stock.connect() as connection:
        if fits:
            assert len(skus) == each_matched(connection, statement, rows)
        else:
            with pytest.raises(UnmatchedError, match=r"the statement matched (no|2) rows of the table"):
                each_matched(connection, statement, rows)
        # Others are executed as before.
        assert 2 * len(skus) == 2 * connection.execute(text("SELECT :a"), {"a": len(skus)}).scalar_one()


@pytest.mark.parametrize(
    "statement",
    ["SELECT amount FROM stock WHERE sku = :sku", "UPDATE stock SET amount = 1 WHERE sku = :sku RETURNING sku"],
)
def test_a_statement_that_counts_no_rows_is_refused(stock, statement):
    with stock.connect() as connection, pytest.raises(BatchError, match="wanted an UPDATE, DELETE or INSERT"):
        each_matched(connection, text(statement), [{"sku": "spade"}])


def deliveries(engine, folder, skus, apply) -> Batch:
    lines = [json.dumps({"sku": sku, "amount": 2**place}) for place, sku in enumerate(skus)]
    (folder / "deliveries.jsonl").write_text("\n".join(lines) + "\n")
    return Batch(kind="deliveries", source=JsonLines(folder / "deliveries.jsonl"), target=engine, apply=apply, chunk=4)


def receive(connection, rows):
    return Applied(changed=each_matched(connection, ADD, rows))


def receive_and_count(connection, rows):
    return Applied(changed=connection.execute(ADD, rows).rowcount)


SKUS = ["spade", "fork", "rake", "spade", "hoe", "hoe", "broom", "spade", "rake"]


@pytest.mark.parametrize("apply", [receive, receive_and_count])
async def test_a_delivery_of_something_unknown_is_in_quarantine_and_all_others_are_received(stock, tmp_path, apply):
    batch = deliveries(stock, tmp_path, SKUS, apply)
    dry = await run(batch, dry_run=True)
    outcome = await run(batch)
    assert (9, 7, 2) == (outcome.rows, outcome.changed, outcome.quarantined) == (dry.rows, dry.changed, dry.quarantined)
    assert {"spade": 1 + 8 + 128, "rake": 4 + 256, "hoe": 16 + 32} == amounts(stock)
    assert [(1, "UnmatchedError"), (6, "UnmatchedError")] == asked(
        stock, "SELECT position, error_class FROM import_row_error ORDER BY position"
    )
    assert (0, 2) == ((done := await replay(batch)).applied, done.left)
    with stock.begin() as connection:
        connection.execute(text("INSERT INTO stock VALUES ('fork', 0)"))
    assert (1, 1) == ((done := await replay(batch)).applied, done.left)
    assert 2 == amounts(stock)["fork"]


async def test_what_matches_twice_hides_nothing_and_is_received_nowhere(stock, tmp_path):
    outcome = await run(deliveries(stock, tmp_path, ["twin", "fork", "spade"], receive))
    assert (1, 2) == (outcome.changed, outcome.quarantined)
    assert {"spade": 4} == amounts(stock)


@pytest.fixture
def small(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/stock.db")
    yield engine
    engine.dispose()


@pytest.mark.parametrize(
    ("done", "met", "why"),
    [
        (None, BatchError, "apply returned NoneType; wanted Applied"),
        (3, BatchError, "apply returned int; wanted Applied"),
        (Applied(changed=4), BatchError, "was given 3 rows and counted 4 changed and 0 unchanged"),
        (Applied(changed=2, unchanged=2), BatchError, "was given 3 rows and counted 2 changed and 2 unchanged"),
        (Applied(changed=-1, unchanged=4), BatchError, "changed=-1, unchanged=4; wanted numbers of rows"),
        (Applied(changed=3.0), BatchError, "changed=3.0, unchanged=0; wanted numbers of rows"),
        (Applied(changed=True, unchanged=2), BatchError, "changed=True, unchanged=2; wanted numbers of rows"),
        (Applied(), LimitError, "no row that can be applied.*UnmatchedError"),
    ],
)
async def test_what_apply_counts_is_held_against_the_rows(small, tmp_path, done, met, why):
    batch = deliveries(small, tmp_path, ["spade", "rake", "hoe"], lambda *_: done)
    for dry_run in (True, False):
        with pytest.raises(met, match=why):
            await run(batch, dry_run=dry_run)


async def test_who_counts_nothing_at_all_is_stopped_at_the_limit_and_hears_why(small, tmp_path):
    batch = replace(deliveries(small, tmp_path, SKUS, lambda *_: Applied()), max_bad_rows=2)
    with pytest.raises(
        LimitError, match=r"max_bad_rows\); the last at row 2: UnmatchedError: apply counted the row neither"
    ):
        await run(batch)
