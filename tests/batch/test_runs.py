"""What a run promises, without anybody dying."""

import json
import logging
from dataclasses import replace

import pytest
from sqlalchemy import text

from roundsman.batch import (
    Applied,
    BatchError,
    Change,
    LimitError,
    Outgoing,
    SourceChangedError,
    dismiss,
    give_up,
    quarantine,
    replay,
    run,
)
from roundsman.ledger.ledger import open_ledger
from tests.batch.work import ACCOUNTS, add, asked, balances, contiguous, expected, feed, mended, transfers


async def test_each_row_is_applied_once_however_often_it_is_run(engine, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 23)
    first = await run(transfers(engine, path))
    assert (23, 23, 0, 5, 1, False) == (
        first.rows,
        first.changed,
        first.quarantined,
        first.chunks,
        first.attempts,
        first.again,
    )
    again = await run(transfers(engine, path))
    assert (23, 1, True) == (again.rows, again.attempts, again.again)
    path.rename(tmp_path / "of another name.jsonl")
    assert (await run(transfers(engine, tmp_path / "of another name.jsonl"))).again
    assert expected(23) == balances(engine)


async def test_other_parameters_are_another_job(engine, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 5)
    for site in ("shop", "blog"):
        assert not (await run(transfers(engine, path, params={"site": site}))).again
    assert [(2,)] == asked(engine, "SELECT count(*) FROM import_job")


async def test_a_job_that_broke_its_limit_goes_on_where_it_was_once_the_limit_is_raised(engine, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 30, bad=(7, 16, 17, 18), unreadable=(2,))
    with pytest.raises(
        LimitError, match=r"saw 3 bad rows; wanted at most 2 \(max_bad_rows\); the last at row 16: IntegrityError"
    ):
        await run(transfers(engine, path, max_bad_rows=2))
    assert [("failed", 15, 2)] == asked(engine, "SELECT status, position, quarantined FROM import_job")
    outcome = await run(transfers(engine, path, max_bad_rows=5))
    assert (30, 25, 5, 15, 2) == (
        outcome.rows,
        outcome.changed,
        outcome.quarantined,
        outcome.resumed_at,
        outcome.attempts,
    )
    assert expected(30, without=(2, 7, 16, 17, 18)) == balances(engine)
    contiguous(engine)


async def test_a_share_of_bad_rows_is_judged_in_the_end(engine, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 10, bad=(1, 2))
    with pytest.raises(LimitError, match=r"saw 2 bad rows of 10; wanted at most 10.00% \(max_bad_share\)"):
        await run(transfers(engine, path, max_bad_share=0.1))


async def test_a_file_that_changed_between_two_attempts_is_not_gone_on_with(engine, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 20, bad=(11,))
    old = path.read_bytes()
    with pytest.raises(LimitError):
        await run(transfers(engine, path, max_bad_rows=0))
    before = balances(engine)
    feed(path, 21)
    with pytest.raises(
        SourceChangedError,
        match=r"feed.jsonl has changed: job 1 has 10 rows behind it of another edition .*give_up\(target, 1",
    ):
        await run(transfers(engine, path))
    assert before == balances(engine)
    path.write_bytes(old)
    assert 20 == (await run(transfers(engine, path))).rows
    assert expected(20, without=(11,)) == balances(engine)


async def test_a_job_that_was_given_up_makes_room_for_the_changed_file(engine, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 20, bad=(11,))
    with pytest.raises(LimitError):
        await run(transfers(engine, path, max_bad_rows=0))
    feed(path, 21)
    assert give_up(engine, 1, "ada")
    assert not give_up(engine, 1, "ada")
    assert 21 == (await run(transfers(engine, path))).rows
    assert [("cancelled", "given up by ada"), ("succeeded", "")] == asked(
        engine, "SELECT status, last_error FROM import_job ORDER BY id"
    )


async def test_a_snapshot_that_comes_back_is_applied_again_and_a_newer_one_overtakes(engine, tmp_path):
    path = tmp_path / "feed.jsonl"
    runs = [(3, False), (3, True), (4, False), (3, False), (3, True), (4, False)]
    assert runs == [(rows, (await run(transfers(engine, feed(path, rows), snapshot=True))).again) for rows, _ in runs]
    with pytest.raises(LimitError):
        await run(transfers(engine, feed(path, 9, bad=(7,)), snapshot=True, max_bad_rows=0))
    assert 10 == (await run(transfers(engine, feed(path, 10), snapshot=True))).rows
    assert [("cancelled",), ("succeeded",)] == asked(engine, "SELECT status FROM import_job ORDER BY id")[-2:]


def edition(path, value, *, bad=()):
    """How the accounts are: each holds the same."""
    held = [{"id": number, "v": None if number in bad else value} for number in range(ACCOUNTS)]
    path.write_text("".join(f"{json.dumps(one)}\n" for one in held))
    return path


def put(connection, rows) -> Applied:
    connection.execute(text("UPDATE account SET balance = :v WHERE id = :id"), rows)
    return Applied(changed=len(rows))


def put_until(row):
    def stopping(connection, rows):
        if rows[-1]["id"] >= row:
            raise BatchError("it was stopped")
        return put(connection, rows)

    return stopping


APPLIED, AGAIN, WHOLE = "applied", "again", ACCOUNTS


@pytest.mark.parametrize(
    "runs",
    [
        [(1, WHOLE, APPLIED), (1, WHOLE, AGAIN)],
        [(1, WHOLE, APPLIED), (2, 4, ""), (1, WHOLE, APPLIED), (1, WHOLE, AGAIN)],
        [(1, WHOLE, APPLIED), (2, 0, ""), (1, WHOLE, AGAIN), (2, WHOLE, APPLIED), (1, WHOLE, APPLIED)],
        [(1, 4, ""), (2, 0, ""), (1, WHOLE, APPLIED), (1, WHOLE, AGAIN)],
        [(1, 0, ""), (2, 0, ""), (1, WHOLE, APPLIED), (1, WHOLE, AGAIN), (2, WHOLE, APPLIED)],
        [(1, WHOLE, APPLIED), (2, 4, ""), (3, 0, ""), (1, WHOLE, APPLIED), (2, 4, ""), (1, 4, ""), (2, WHOLE, APPLIED)],
        [(1, 4, ""), (2, 0, ""), (1, 4, ""), (2, 4, ""), (1, WHOLE, APPLIED), (2, WHOLE, APPLIED)],
    ],
    ids=["once", "half of another", "nothing of another", "back to its half", "both at nothing", "three", "in turn"],
)
async def test_whatever_editions_came_and_broke_off_the_one_that_succeeds_is_there_as_a_whole(engine, tmp_path, runs):
    for value, row, outcome in runs:
        batch = transfers(engine, edition(tmp_path / "feed.jsonl", value), chunk=2, snapshot=True)
        if not outcome:
            with pytest.raises(BatchError, match="it was stopped"):
                await run(replace(batch, apply=put_until(row)))
            continue
        assert (outcome == AGAIN) is (await run(replace(batch, apply=put))).again
        assert {value} == set(balances(engine).values())
    contiguous(engine)


async def test_an_edition_that_was_overtaken_in_vain_goes_on_where_it_was(engine, tmp_path):
    path = tmp_path / "feed.jsonl"
    for value, row in ((1, 4), (2, 0)):
        with pytest.raises(BatchError):
            await run(transfers(engine, edition(path, value), chunk=2, snapshot=True, apply=put_until(row)))
    outcome = await run(transfers(engine, edition(path, 1), chunk=2, snapshot=True, apply=put))
    assert (1, 4, WHOLE) == (outcome.job, outcome.resumed_at, outcome.rows)
    assert [("succeeded", ""), ("cancelled", "overtaken by a newer edition of its source")] == asked(
        engine, "SELECT status, last_error FROM import_job ORDER BY id"
    )


async def test_editions_of_a_feed_may_have_names_of_their_own(engine, tmp_path):
    for name, value, again in (
        ("01", 1, False),
        ("02", 2, False),
        ("02", 2, True),
        ("01", 1, False),
        ("copy", 1, True),
    ):
        batch = transfers(engine, edition(tmp_path / f"feed-{name}.jsonl", value), snapshot=True, apply=put)
        assert again is (await run(batch)).again
        assert {value} == set(balances(engine).values())


async def test_a_bad_row_of_an_edition_of_another_name_does_not_come_back_over_a_newer_one(engine, tmp_path):
    old = transfers(engine, edition(tmp_path / "feed-01.jsonl", 1, bad=(2,)), snapshot=True, apply=put)
    await run(old)
    await run(transfers(engine, edition(tmp_path / "feed-02.jsonl", 2), snapshot=True, apply=put))
    done = await replay(old, mend=lambda row: row.replace("null", "1"))
    assert (0, 1) == (done.applied, done.overtaken)
    assert {2} == set(balances(engine).values())


async def test_after_half_an_edition_of_another_name_all_is_applied_and_no_older_job_is_left(engine, tmp_path):
    halves = [
        transfers(engine, edition(tmp_path / f"feed-{value}.jsonl", value), chunk=2, snapshot=True) for value in (1, 2)
    ]
    for half in halves:
        with pytest.raises(BatchError):
            await run(replace(half, apply=put_until(4)))
    await run(replace(halves[0], apply=put))
    assert {1} == set(balances(engine).values())
    found = asked(engine, "SELECT status FROM import_job ORDER BY id")
    assert [("cancelled",), ("failed",), ("succeeded",)] == found


async def test_a_job_that_was_overtaken_is_begun_anew_under_another_name(engine, tmp_path):
    for value in (1, 2):
        batch = transfers(engine, edition(tmp_path / "feed.jsonl", value), chunk=2, snapshot=True)
        with pytest.raises(BatchError):
            await run(replace(batch, apply=put_until(4)))
    await run(transfers(engine, edition(tmp_path / "old.jsonl", 1), chunk=2, snapshot=True, apply=put))
    assert {1} == set(balances(engine).values())


async def test_a_snapshot_that_was_given_up_stays_so(engine, tmp_path):
    batch = transfers(engine, edition(tmp_path / "feed.jsonl", 1), snapshot=True)
    with pytest.raises(BatchError):
        await run(replace(batch, apply=put_until(0)))
    give_up(engine, 1, "ada")
    with pytest.raises(SourceChangedError, match="job 1 is cancelled: given up by ada"):
        await run(batch)


async def test_without_being_a_snapshot_the_same_content_is_never_applied_again(engine, tmp_path):
    path = tmp_path / "feed.jsonl"
    runs = [(3, False), (4, False), (3, True)]
    assert runs == [(rows, (await run(transfers(engine, feed(path, rows)))).again) for rows, _ in runs]


def add_and_tell(connection, rows) -> Applied:
    applied = add(connection, rows)
    changes = [Change(str(row["n"]), "", str(row["v"])) for row in rows]
    return Applied(applied.changed, 0, changes, applied.outbox)


async def test_a_dry_run_shows_the_first_differences_and_changes_nothing(engine, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 40, bad=(12,), unreadable=(3,))
    before = tables(engine)
    outcome = await run(transfers(engine, path, apply=add_and_tell), dry_run=True)
    assert (40, 38, 2, 38, True) == (
        outcome.rows,
        outcome.changed,
        outcome.quarantined,
        outcome.outgoing,
        outcome.dry_run,
    )
    assert [str(number) for number in range(22) if number not in {3, 12}] == [one.key for one in outcome.changes]
    assert [(3, "Unreadable"), (12, "IntegrityError")] == [row[:2] for row in outcome.bad]
    assert before == tables(engine)
    assert expected(0) == balances(engine)
    assert 40 == (await run(transfers(engine, path))).rows


def tables(engine) -> list:
    from sqlalchemy import inspect

    return sorted(inspect(engine).get_table_names())


async def test_a_dry_run_breaks_the_same_limits(engine, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 20, bad=(1, 12))
    with pytest.raises(LimitError, match="saw 2 bad rows; wanted at most 1"):
        await run(transfers(engine, path, max_bad_rows=1), dry_run=True)


async def test_bad_rows_can_be_mended_replayed_and_dismissed_each_once(engine, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 20, bad=(4, 11), unreadable=(13,))
    batch = transfers(engine, path)
    await run(batch)
    as_it_was = await replay(batch)
    assert (0, 3) == (as_it_was.applied, as_it_was.left)
    assert dismiss(engine, 1, 4, by="ada")
    assert not dismiss(engine, 1, 4, by="ben")
    through = await replay(batch, mend=mended, by="ada")
    assert (2, 0) == (through.applied, through.left)
    assert (0, 0) == ((await replay(batch, mend=mended)).applied, (await replay(batch, mend=mended)).left)
    assert expected(20, without=(4,), mended=(11, 13)) == balances(engine)
    assert [(19, 1)] == asked(engine, "SELECT changed, quarantined FROM import_job")
    assert [(19,)] == asked(engine, "SELECT count(*) FROM outbox")


@pytest.mark.parametrize("mend", [lambda raw: raw.replace("null", "9"), str], ids=["mended", "as it was"])
async def test_a_row_of_an_older_edition_is_not_put_over_a_newer_one_and_stays_as_it_was(engine, tmp_path, mend):
    path = tmp_path / "feed.jsonl"
    for value, bad in ((1, (0, 3)), (2, (3,))):
        await run(transfers(engine, edition(path, value, bad=bad), snapshot=True, apply=put))
    kept = "SELECT position, error FROM import_row_error WHERE job_id = 1 AND resolved_ms IS NULL ORDER BY position"
    before = asked(engine, kept)
    done = await replay(transfers(engine, path, snapshot=True, apply=put), mend=mend)
    good = mend is not str
    assert (good, not good, 2) == (done.applied, done.left, done.overtaken)
    assert [0, 3] == [position for position, _ in before]
    assert before == asked(engine, kept)
    assert dict.fromkeys(range(ACCOUNTS), 2) | {3: 9 if good else 0} == balances(engine)


async def test_while_a_newer_edition_has_applied_nothing_rows_of_the_older_one_are_replayed(engine, tmp_path):
    path = tmp_path / "feed.jsonl"
    await run(transfers(engine, edition(path, 1, bad=(0,)), snapshot=True, apply=put))
    with pytest.raises(BatchError):
        await run(transfers(engine, edition(path, 2), snapshot=True, apply=put_until(0)))
    done = await replay(transfers(engine, path, snapshot=True, apply=put), mend=lambda raw: raw.replace("null", "1"))
    assert (1, 0, 0) == (done.applied, done.left, done.overtaken)
    assert {1} == set(balances(engine).values())


async def test_what_is_no_snapshot_is_replayed_whatever_came_after_it(engine, tmp_path):
    path = tmp_path / "feed.jsonl"
    for rows in (5, 6):
        await run(transfers(engine, feed(path, rows, bad=(2,))))
    done = await replay(transfers(engine, path), mend=mended)
    assert (2, 0, 0) == (done.applied, done.left, done.overtaken)


async def test_rows_of_another_source_are_left_alone(engine, tmp_path):
    one, other = (
        transfers(engine, feed(tmp_path / f"{name}.jsonl", rows, bad=(2,))) for name, rows in (("a", 5), ("b", 6))
    )
    for batch in (one, other):
        await run(batch)
    assert 1 == (await replay(other, mend=mended)).applied
    assert [(1,)] == asked(engine, "SELECT job_id FROM import_row_error WHERE resolved_ms IS NULL")


async def test_of_two_replays_of_a_row_at_once_one_does_it(engine, tmp_path):
    batch = transfers(engine, feed(tmp_path / "feed.jsonl", 5, bad=(2,)))
    await run(batch)
    [row] = quarantine._open_rows(batch)  # both have seen it before either is done
    assert ["row replayed"] * 2 == [quarantine._replay(batch, row, mended, "ada") for _ in range(2)]
    assert expected(5, mended=(2,)) == balances(engine)


async def test_what_goes_out_is_told_apart_by_job_chunk_and_key(engine, tmp_path):
    def purge_home(connection, rows):
        add(connection, rows)
        return Applied(len(rows), outbox=[Outgoing("purge", "edge/test", "/"), Outgoing("purge", "edge/test", "/")])

    await run(transfers(engine, feed(tmp_path / "feed.jsonl", 10), apply=purge_home))
    keys = [key for (key,) in asked(engine, "SELECT dedup_key FROM outbox ORDER BY id")]
    [(job,)] = asked(engine, "SELECT job_key FROM import_job")
    # Once for each chunk: the page may have been read between the two.
    assert [f"{job[:16]}/1//", f"{job[:16]}/2//"] == keys
    assert [("purge", "edge/test", None)] * 2 == asked(engine, "SELECT kind, channel, sent_at FROM outbox")


async def test_rows_are_parsed_before_and_what_that_raises_is_held_against_the_row(engine, tmp_path):
    def positive(row):
        if row["n"] == 3:
            raise ValueError("three is not wanted")
        return row

    outcome = await run(transfers(engine, feed(tmp_path / "feed.jsonl", 10), parse=positive))
    assert (9, 1) == (outcome.changed, outcome.quarantined)
    assert [(3, "ValueError", "three is not wanted")] == asked(
        engine, "SELECT position, error_class, error FROM import_row_error"
    )


async def test_an_apply_that_does_not_say_what_it_did_is_no_fault_of_the_rows(engine, tmp_path):
    def silent(connection, rows):
        add(connection, rows)

    with pytest.raises(BatchError, match=r"apply returned NoneType; wanted Applied"):
        await run(transfers(engine, feed(tmp_path / "feed.jsonl", 10), apply=silent))
    assert expected(0) == balances(engine)
    assert 10 == (await run(transfers(engine, feed(tmp_path / "feed.jsonl", 10)))).rows


async def test_code_that_fails_for_each_row_stops_soon_and_says_what_it_met(engine, tmp_path):
    def wrong(connection, rows):
        connection.execute(text("UPDATE acount SET balance = 0"))
        return Applied()

    with pytest.raises(LimitError, match=r"saw 51 bad rows.*acount"):
        await run(transfers(engine, feed(tmp_path / "feed.jsonl", 200), apply=wrong, chunk=1000))
    assert [("failed", 0)] == asked(engine, "SELECT status, position FROM import_job")
    assert [(0,)] == asked(engine, "SELECT count(*) FROM import_row_error")


async def test_logs_tell_of_positions_and_counts_and_never_of_a_row(engine, tmp_path, caplog, capsys, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_EVENTS", "json")
    path = feed(tmp_path / "feed.jsonl", 10, bad=(4,))
    path.write_text(path.read_text().replace('"n": 4', '"n": 4, "card": "4242-4242"') + '{"card": "4242-4242"\n')
    with caplog.at_level(logging.DEBUG):
        outcome = await run(transfers(engine, path), run_id="run-7")
    assert 2 == outcome.quarantined
    assert "4242" not in caplog.text
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith('{"event"')]
    [(key,)] = asked(engine, "SELECT job_key FROM import_job")
    assert {("run-7", "transfers")} == {(event["run"], event["kind"]) for event in told}
    assert ["claimed", "row in quarantine", "chunk", "chunk", "row in quarantine", "chunk", "succeeded"] == [
        event["event"] for event in told
    ]
    assert {
        "event": "chunk",
        "kind": "transfers",
        "run": "run-7",
        "job": 1,
        "job_key": key,
        "chunk": 1,
        "rows": 5,
        "changed": 4,
        "unchanged": 0,
        "quarantined": 1,
        "position": 5,
    } == told[2]
    assert "4242" not in json.dumps(told)
    assert (
        f"transfers: job 1: chunk, chunk 1, rows 5, changed 4, unchanged 0, quarantined 1, position 5 (run run-7, key {key[:16]})"
        in caplog.text
    )
    assert any("4242" in payload for (payload,) in asked(engine, "SELECT payload FROM import_row_error"))


async def test_progress_is_told_and_ends_at_the_end(engine, tmp_path, monkeypatch):
    monkeypatch.setattr("roundsman.batch.running.PROGRESS_EVERY_SECONDS", 0)
    told = []

    async def keep(progress):
        told.append(progress)

    await run(transfers(engine, feed(tmp_path / "feed.jsonl", 20)), progress=keep)
    assert [0, 5, 10, 15, 20] == sorted({one.rows for one in told})
    shares = [one.share for one in told]
    assert shares == sorted(shares)
    assert (0.0, 1.0) == (shares[0], shares[-1])


async def test_the_ledger_can_be_the_target(tmp_path, url):
    ledger = open_ledger(url)
    with ledger.execution_options(writes=True).begin() as connection:
        connection.execute(text("CREATE TABLE account (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL)"))
        connection.execute(text("INSERT INTO account VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0)"))
    outcome = await run(transfers(ledger, feed(tmp_path / "feed.jsonl", 12, bad=(3,))))
    assert (12, 1) == (outcome.rows, outcome.quarantined)
    assert expected(12, without=(3,)) == balances(ledger)
    ledger.dispose()


async def test_a_ledger_that_was_not_brought_up_to_date_yet_can_be_the_target(engine, url, tmp_path):
    from alembic import command

    from roundsman.ledger.ledger import alembic_config

    ledger = open_ledger(url)
    command.downgrade(alembic_config(ledger), "0003")
    ledger.dispose()
    await run(transfers(engine, feed(tmp_path / "feed.jsonl", 5)))
    open_ledger(url).dispose()
    assert [(5,)] == asked(engine, "SELECT position FROM import_job")


async def test_a_table_of_the_same_name_that_is_somebody_elses_is_refused(engine, tmp_path):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE outbox (id INTEGER PRIMARY KEY, message TEXT)"))
    with pytest.raises(
        BatchError, match=r"saw table outbox of the target without .*dedup_key.*; the outbox of another program\?"
    ):
        await run(transfers(engine, feed(tmp_path / "feed.jsonl", 5)))


async def test_a_plain_engine_is_given_back_as_it_was(engine, tmp_path):
    if engine.dialect.name != "sqlite":
        return
    await run(transfers(engine, feed(tmp_path / "feed.jsonl", 5)))
    with engine.connect() as connection:
        assert "" == connection.connection.dbapi_connection.isolation_level


async def test_on_sqlite_a_commit_is_on_the_disk_before_it_is_told(engine, tmp_path):
    """With less than FULL a power cut could take a commit back that the outside was told of."""
    if engine.dialect.name != "sqlite":
        return
    from sqlalchemy import event

    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF"))
    engine.dispose()
    seen = []

    def look(connection, rows):
        seen.append(connection.exec_driver_sql("PRAGMA synchronous").scalar())
        return add(connection, rows)

    await run(transfers(engine, feed(tmp_path / "feed.jsonl", 5), apply=look))
    assert [2] == seen


async def test_on_postgresql_a_worker_that_stands_still_loses_its_transaction(engine, tmp_path):
    if engine.dialect.name != "postgresql":
        return
    seen = []

    def look(connection, rows):
        names = ("statement_timeout", "idle_in_transaction_session_timeout")
        seen.extend(connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names)
        return add(connection, rows)

    await run(transfers(engine, feed(tmp_path / "feed.jsonl", 5), apply=look, patience=7))
    assert ["7s", "7s"] == seen
    with engine.connect() as connection:
        assert "0" == connection.exec_driver_sql("SHOW statement_timeout").scalar()


async def test_constraints_that_wait_for_the_commit_are_held_against_their_rows(engine, tmp_path):
    """A deferred constraint on PostgreSQL, where they can be asked early."""
    if engine.dialect.name != "postgresql":
        return
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE entry (n INTEGER, account INTEGER REFERENCES account (id) DEFERRABLE INITIALLY DEFERRED)"
            )
        )

    def enter(connection, rows):
        connection.execute(text("INSERT INTO entry VALUES (:n, CASE WHEN :n = 8 THEN 99 ELSE 1 END)"), rows)
        return Applied(len(rows))

    path = feed(tmp_path / "feed.jsonl", 12)
    assert [8] == [row[0] for row in (await run(transfers(engine, path, apply=enter), dry_run=True)).bad]
    outcome = await run(transfers(engine, path, apply=enter))
    assert (11, 1) == (outcome.changed, outcome.quarantined)
    assert [(8, "IntegrityError")] == asked(engine, "SELECT position, error_class FROM import_row_error")


async def test_an_unknown_database_is_refused(tmp_path):
    class Elsewhere:
        class dialect:  # noqa: N801
            name = "mysql"

    from roundsman.batch.target import prepare

    with pytest.raises(BatchError, match="a database of mysql; wanted SQLite or PostgreSQL"):
        prepare(Elsewhere())


async def test_a_replay_is_told_row_by_row_and_never_says_what_is_in_one(engine, tmp_path, capsys, monkeypatch):
    batch = transfers(engine, feed(tmp_path / "feed.jsonl", 10, bad=(4,), unreadable=(7,)))
    await run(batch)
    monkeypatch.setenv("ROUNDSMAN_EVENTS", "json")
    await replay(batch, mend=lambda raw: raw.replace("null", "1"), run_id="run-8")
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith('{"event"')]
    assert [("row replayed", "run-8", 1, 4), ("row stays in quarantine", "run-8", 1, 7)] == [
        (event["event"], event["run"], event["job"], event["row"]) for event in told
    ]
    assert "torn" not in json.dumps(told)
