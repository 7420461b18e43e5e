"""Several workers, dying, stopped and late ones: exactly one of them does each row."""

import asyncio
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, select

from roundsman.batch import FencedError, LimitError, SourceChangedError, TargetError, chunks, jobs, points, replay, run
from roundsman.batch.attempt import Attempt
from roundsman.batch.events import Teller
from roundsman.batch.target import has_tables, prepare
from roundsman.ledger import transaction
from roundsman.ledger.tables import OutboxRow
from tests.batch.work import (
    add,
    asked,
    balances,
    children,
    contiguous,
    ended,
    expected,
    feed,
    let_expire,
    make_accounts,
    mended,
    opened,
    transfers,
)
from tests.crashing import set_crash

NAMES = ["begun", "fenced", "applied", "sent", "recorded", "counted", "committed", "read"]


def work(url, path, crash="", lease=60.0, chunk=5) -> None:
    """A worker's process: 0 when the job is done, 3 when it was fenced."""
    engine = opened(url)
    set_crash(crash)
    try:
        asyncio.run(run(transfers(engine, path, lease=lease, chunk=chunk)))
    except FencedError:
        os._exit(3)
    finally:
        engine.dispose()


def started(*args, target=work, **more):
    process = children.Process(target=target, args=args, kwargs=more)
    process.start()
    return process


def until(condition, within=120.0) -> None:
    """Wait for what another process does."""
    late = time.monotonic() + within
    while not condition():
        assert time.monotonic() < late, "it never came to pass"
        threading.Event().wait(0.01)


@pytest.mark.slow
def test_rows_that_kill_the_process_are_found_and_only_they_are_quarantined(engine, url, tmp_path):
    killers, bad = (5, 7), (3, 16)
    path = feed(tmp_path / "feed.jsonl", 30, bad=bad, killers=killers)
    deaths = 0
    while ended(started(url, path, chunk=10)) == -signal.SIGKILL:
        deaths += 1
        let_expire(engine)
    assert expected(30, without=(*killers, *bad)) == balances(engine)
    quarantined = asked(engine, "SELECT position, error_class, error FROM import_row_error ORDER BY position")
    assert [3, 5, 7, 16] == [row[0] for row in quarantined]
    assert [("ProcessDied", "the process died 3 times on this row")] * 2 == [
        row[1:] for row in quarantined if row[0] in killers
    ]
    # Two until rows go one at a time, and three on each; both are in the stretch that is gone through with care.
    assert 2 + 3 + 3 == deaths
    contiguous(engine)


@pytest.mark.slow
def test_killed_at_random_again_and_again_nothing_is_lost_and_nothing_done_twice(engine, url, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 200)
    chance = random.Random(5)
    deaths = 0
    while ended(started(url, path, f"chunk.{chance.choice(NAMES)}:{chance.randint(1, 6)}")) != 0:
        deaths += 1
        let_expire(engine)
    quarantined = [row for (row,) in asked(engine, "SELECT position FROM import_row_error")]
    assert expected(200, without=quarantined) == balances(engine)
    assert [(200 - len(quarantined),)] == asked(engine, "SELECT count(*) FROM outbox")
    assert deaths >= 8
    assert 3 * len(quarantined) <= deaths, "an innocent row is held for a killer after three deaths; it can be replayed"
    contiguous(engine)


@pytest.mark.slow
def test_three_workers_that_are_killed_and_overtaken_again_and_again_apply_each_row_once(engine, url, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 250)
    chance = random.Random(8)
    ends: Counter[int] = Counter()

    def another():
        where = f"chunk.{chance.choice(NAMES)}:{chance.randint(2, 6)}"
        return started(url, path, where if ends[-signal.SIGKILL] < 15 else "")

    workers = [another() for _ in range(3)]
    while workers:
        worker = workers.pop(0)
        worker.join(0.02)
        if worker.exitcode is None:
            workers.append(worker)
            continue
        ends[worker.exitcode] += 1
        if has_tables(engine):
            let_expire(engine)  # of whoever holds the job now as well: it is overtaken, and must notice
        if worker.exitcode != 0:
            workers.append(another())
    assert {0, 3, -signal.SIGKILL} >= set(ends)
    assert 3 == ends[0]
    assert ends[-signal.SIGKILL] >= 5
    quarantined = [row for (row,) in asked(engine, "SELECT position FROM import_row_error")]
    assert expected(250, without=quarantined) == balances(engine)
    assert [(250 - len(quarantined),)] == asked(engine, "SELECT count(*) FROM outbox")
    assert 3 * len(quarantined) <= ends[-signal.SIGKILL] + ends[3]
    contiguous(engine)


def die_whenever(url, path, seconds) -> None:
    """A worker that is killed by the clock, wherever it is then."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    work(url, path, chunk=2)
    timer.cancel()


@pytest.mark.slow
def test_killed_by_the_clock_nothing_is_lost_and_nothing_done_twice(engine, url, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 200)
    chance = random.Random(6)
    seconds, deaths = 0.5, 0
    while ended(started(url, path, chance.uniform(0.2, seconds), target=die_whenever)) != 0:
        deaths += 1
        seconds *= 1.1  # on a slow machine it takes longer to come to anything
        if has_tables(engine):
            let_expire(engine)
    quarantined = [row for (row,) in asked(engine, "SELECT position FROM import_row_error")]
    assert expected(200, without=quarantined) == balances(engine)
    assert 3 * len(quarantined) <= deaths
    contiguous(engine)


def stop_at(url, path, where, **more) -> None:
    """A worker that is stopped by SIGSTOP at a point, as by a machine that sleeps."""
    name, _, times = where.partition(":")
    left = [int(times)]

    def stop(point):
        left[0] -= point == name
        if point == name and left[0] == 0:
            # Sent to the process, it could reach this thread a little further on.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    engine = opened(url)
    points.hook = stop
    try:
        asyncio.run(run(transfers(engine, path, **more)))
    except FencedError:
        os._exit(3)


def stopped(process) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["chunk.read:1", "chunk.read:2", "chunk.committed:2", "claim.committed:1"])
def test_a_worker_that_wakes_up_late_is_fenced_and_changes_nothing(engine, url, tmp_path, where):
    path = feed(tmp_path / "feed.jsonl", 20)
    zombie = started(url, path, where, target=stop_at)
    until(lambda: stopped(zombie))
    let_expire(engine)
    assert 0 == ended(started(url, path))
    os.kill(zombie.pid, signal.SIGCONT)
    assert 3 == ended(zombie)
    assert expected(20) == balances(engine)
    assert [(20,)] == asked(engine, "SELECT count(*) FROM outbox")
    contiguous(engine)


def test_who_lost_the_lease_is_stopped_before_anything_is_applied(engine, tmp_path):
    """Not by the key of its chunk alone: the one that holds the job now need not have committed any."""
    applied = []

    def noted(connection, rows):
        applied.append(len(rows))
        return add(connection, rows)

    batch = transfers(engine, feed(tmp_path / "feed.jsonl", 20), apply=noted)
    prepare(engine)
    edition = jobs.Edition("transfers", "feed", batch.source.fingerprint(), {}, snapshot=False, version="")
    number = jobs.enqueue(engine, edition)
    late, holder = (claimed(batch, number) for _ in range(2))
    with pytest.raises(FencedError, match="no longer held by token 1"):
        late.step()
    for end in (lambda: late.fail("it was late"), late.finish, late.catch_up):
        with pytest.raises((FencedError, LimitError)):
            end()
    late.release("it was late")
    assert ([], [("running", 2)]) == (applied, asked(engine, "SELECT status, token FROM import_job"))
    while holder.step():
        pass
    assert 20 == holder.finish().position
    assert expected(20) == balances(engine)


def claimed(batch, number) -> Attempt:
    let_expire(batch.target)
    return Attempt(batch, jobs.claim(batch.target, number, owner="", lease=60, run_id=""), Teller("transfers", ""))


@pytest.mark.slow
def test_a_worker_that_was_stopped_within_its_transaction_holds_up_the_next_one_and_no_more(engine, url, tmp_path):
    """On SQLite every writer waits for it. On PostgreSQL its row is passed over until it is free."""
    path = feed(tmp_path / "feed.jsonl", 20)
    zombie = started(url, path, "chunk.applied:2", target=stop_at)
    until(lambda: stopped(zombie))
    if engine.dialect.name == "postgresql":
        # Its lease, which only it could change now, ends by itself; the transaction before wrote it.
        assert [("running", 5)] == asked(engine, "SELECT status, position FROM import_job")
    second = started(url, path)
    os.kill(zombie.pid, signal.SIGCONT)
    assert [0, 0] == [ended(zombie), ended(second)]
    assert expected(20) == balances(engine)
    contiguous(engine)


@pytest.mark.slow
async def test_a_worker_that_stays_stopped_within_its_transaction_is_replaced_or_named(
    engine, url, tmp_path, monkeypatch
):
    """PostgreSQL ends its transaction. SQLite can't, so the next worker says which process it is."""
    path, short = feed(tmp_path / "feed.jsonl", 20), {"patience": 1.0, "lease": 1.0}
    zombie = started(url, path, "chunk.applied:2", target=stop_at, **short)
    until(lambda: stopped(zombie))
    try:
        if engine.dialect.name == "postgresql":
            assert 20 == (await run(transfers(engine, path, **short))).rows
        else:
            monkeypatch.setattr("roundsman.batch.rules.FIRST_PAUSE_SECONDS", 0.001)
            hasty = create_engine(url, connect_args={"timeout": 0.05})
            with pytest.raises(
                TargetError, match=rf"job 1 \(transfers\) is held by \S+/{zombie.pid}, run \w+, which last"
            ):
                await run(transfers(hasty, path))
            hasty.dispose()
    finally:
        os.kill(zombie.pid, signal.SIGCONT)
    assert (3 if engine.dialect.name == "postgresql" else 0) == ended(zombie)
    assert 20 == (await run(transfers(engine, path))).rows
    assert expected(20) == balances(engine)


@pytest.fixture
def locked(tmp_path):
    """A SQLite target whose lock a worker holds that was stopped within a transaction, with its job's row."""
    url = f"sqlite:///{tmp_path}/locked.db"
    engine = make_accounts(create_engine(url, connect_args={"timeout": 0.05}))
    prepare(engine)
    edition = jobs.Edition("transfers", "another feed", "f", {}, snapshot=False, version="")
    jobs.claim(engine, jobs.enqueue(engine, edition), owner="worker-3/4711", lease=60, run_id="run-9")
    other = create_engine(url)
    with other.connect() as stopped:
        stopped.exec_driver_sql("BEGIN IMMEDIATE")
        yield engine, stopped
    other.dispose()
    engine.dispose()


async def test_who_finds_the_target_locked_tries_again_and_then_says_who_holds_it(
    locked, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr("roundsman.batch.rules.FIRST_PAUSE_SECONDS", 0.001)
    engine, stopped = locked
    batch = transfers(engine, feed(tmp_path / "feed.jsonl", 20))
    for dry_run in (True, False):
        with pytest.raises(
            TargetError,
            match=r"database is locked; job 1 \(transfers\) is held by worker-3/4711, run run-9, which last wrote \d+ s ago; "
            r"if that process is stopped, resume it \(kill -CONT\) or end it, and run this again",
        ):
            await run(batch, dry_run=dry_run)
        assert 6 == caplog.text.count("trouble, error OperationalError: database is locked")
        caplog.clear()
    stopped.rollback()
    assert 20 == (await run(batch)).rows
    assert expected(20) == balances(engine)


async def test_who_finds_the_target_locked_goes_on_once_it_is_free(locked, tmp_path, monkeypatch):
    monkeypatch.setattr("roundsman.batch.rules.FIRST_PAUSE_SECONDS", 0.001)
    engine, stopped = locked
    tries = []

    def free(name):
        tries.append(name)
        if tries.count("enqueue.begun") == 3:
            stopped.rollback()

    monkeypatch.setattr(points, "hook", free)
    assert 20 == (await run(transfers(engine, feed(tmp_path / "feed.jsonl", 20)))).rows
    assert 3 == tries.count("enqueue.begun")
    assert expected(20) == balances(engine)


async def test_who_waits_for_another_worker_says_for_whom(engine, tmp_path, caplog):
    path = feed(tmp_path / "feed.jsonl", 20)
    batch = transfers(engine, path)
    prepare(engine)
    edition = jobs.Edition("transfers", str(path), batch.source.fingerprint(), {}, snapshot=False, version="")
    number = jobs.enqueue(engine, edition)
    job = jobs.claim(engine, number, owner="worker-3/4711", lease=60, run_id="run-9")
    waiting = asyncio.create_task(run(batch))
    while "waits for another worker, of_job 1, owner worker-3/4711, of_run run-9" not in caplog.text:  # noqa: ASYNC110 - a log has no event
        await asyncio.sleep(0.01)
    await asyncio.to_thread(jobs.release, engine, job, "")
    assert 20 == (await waiting).rows
    assert 1 == caplog.text.count("waits for another worker")


async def test_what_goes_out_is_due_by_the_clock_of_the_database(engine, tmp_path, monkeypatch):
    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(0, tz)

    for module in (chunks, transaction):
        monkeypatch.setattr(module, "datetime", Wrong, raising=False)
    before = datetime.now(UTC)
    await run(transfers(engine, feed(tmp_path / "feed.jsonl", 3)))
    with Session(engine) as session:
        times = session.exec(select(OutboxRow.created_at, OutboxRow.due_at)).all()
    assert 3 == len(times)
    assert all(abs(time - before) < timedelta(minutes=2) for pair in times for time in pair)


@pytest.mark.slow
async def test_of_two_workers_that_race_for_a_job_a_hundred_times_one_does_it_each_time(engine, url, tmp_path):
    other = opened(url)
    claims = 0
    for number in range(100):
        path = feed(tmp_path / "feed.jsonl", 3 + number)
        both = await asyncio.gather(
            *(run(transfers(one, path, kind=f"race {number}", chunk=1000), wait=False) for one in (engine, other))
        )
        claims += sum(not outcome.again for outcome in both)
        assert [(1,)] == asked(engine, f"SELECT token FROM import_job WHERE kind = 'race {number}'")
    assert 100 == claims
    assert {who: sum(expected(3 + number)[who] for number in range(100)) for who in balances(engine)} == balances(
        engine
    )
    other.dispose()


async def test_a_second_worker_waits_for_the_first_and_comes_to_the_same(engine, url, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 40)
    other = opened(url)
    first, second = await asyncio.gather(*(run(transfers(one, path, chunk=2)) for one in (engine, other)))
    assert {True, False} == {first.again, second.again}
    assert (40, 40) == (first.changed, second.changed)
    assert expected(40) == balances(engine)
    other.dispose()


@pytest.mark.parametrize("where", ["chunk.counted", "chunk.committed"])
async def test_a_connection_that_breaks_around_the_commit_costs_and_doubles_nothing(
    engine, tmp_path, monkeypatch, where
):
    """Before the commit the chunk is gone and done again; after it the answer is lost, and the chunk is not done again."""
    path = feed(tmp_path / "feed.jsonl", 20)
    broken = []

    def breaks(name):
        if name == where and len(broken) < 3:
            broken.append(name)
            raise OperationalError("", {}, GoneError("the connection is gone"), connection_invalidated=True)

    monkeypatch.setattr(points, "hook", breaks)
    monkeypatch.setattr("roundsman.batch.rules.FIRST_PAUSE_SECONDS", 0.001)
    outcome = await run(transfers(engine, path))
    assert (3, 20, 1) == (len(broken), outcome.rows, outcome.attempts)
    assert expected(20) == balances(engine)
    contiguous(engine)


class GoneError(Exception):
    pass


async def test_trouble_that_does_not_end_lets_go_of_the_job_and_says_no_word_of_its_rows(engine, tmp_path, monkeypatch):
    path = feed(tmp_path / "feed.jsonl", 20)

    def breaks(name):
        if name == "chunk.applied":
            raise OperationalError("", {"v": "a row"}, GoneError("the connection is gone"), connection_invalidated=True)

    monkeypatch.setattr(points, "hook", breaks)
    monkeypatch.setattr("roundsman.batch.rules.FIRST_PAUSE_SECONDS", 0.001)
    with pytest.raises(TargetError, match="in trouble: OperationalError: the connection is gone") as met:
        await run(transfers(engine, path))
    assert "a row" not in str(met.value)
    left = "SELECT status, deaths, tries, position FROM import_job"
    assert [("pending", 0, 0, 0)] == asked(engine, left)
    with engine.begin() as connection:
        connection.execute(text("UPDATE import_job SET deaths = 1, tries = 1"))
    with pytest.raises(TargetError):
        await run(transfers(engine, path))
    assert [("pending", 0, 0, 0)] == asked(engine, left), "who lets go did not die"
    monkeypatch.setattr(points, "hook", None)
    assert 20 == (await run(transfers(engine, path))).rows
    assert expected(20) == balances(engine)


async def test_the_lease_ends_by_the_clock_of_the_database_and_not_by_the_workers(engine, tmp_path, monkeypatch):
    path = feed(tmp_path / "feed.jsonl", 20)
    monkeypatch.setattr(points, "hook", dies_at("chunk.committed"))
    with pytest.raises(KilledError):
        await run(transfers(engine, path))
    monkeypatch.setattr(points, "hook", None)
    with engine.begin() as connection:  # as a kill leaves it
        connection.execute(text("UPDATE import_job SET status = 'running', lease_until_ms = 9000000000000, token = 5"))
    for wrong in (0, 2**40):
        monkeypatch.setattr(time, "time", lambda wrong=wrong: wrong)
        outcome = await run(transfers(engine, path), wait=False)
        assert ("running", 5) == (outcome.status, outcome.attempts)
    let_expire(engine)
    assert 20 == (await run(transfers(engine, path), wait=False)).rows


class KilledError(BaseException):
    pass


def dies_at(where):
    def die(name):
        if name == where:
            raise KilledError

    return die


@pytest.mark.slow
def test_workers_that_die_again_and_again_without_getting_on_fail_the_job(engine, url, tmp_path):
    path = feed(tmp_path / "feed.jsonl", 20)
    assert -signal.SIGKILL == ended(started(url, path, "chunk.read:1"))
    with engine.begin() as connection:  # as if nine more had died
        connection.execute(text("UPDATE import_job SET deaths = 9"))
    for _ in range(2):
        let_expire(engine)
        assert -signal.SIGKILL == ended(started(url, path, "chunk.read:1"))
    let_expire(engine)
    assert 1 == ended(started(url, path))
    assert [("failed", "12 workers died one after another and none got beyond row 0")] == asked(
        engine, "SELECT status, last_error FROM import_job"
    )
    assert 0 == ended(started(url, path))
    assert expected(20) == balances(engine)


def waits(engine) -> bool:
    """Whether somebody waits for a lock in this database."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(asked(engine, waiting))


async def test_a_chunk_that_is_written_while_an_edition_comes_back_counts(engine, url, tmp_path):
    """Who asks for the old edition waits for the chunk of the newer one, and must not go by what was before it."""
    old = transfers(engine, feed(tmp_path / "feed.jsonl", 10), snapshot=True)
    await run(old)
    back = []

    def meanwhile(connection, rows):
        feed(tmp_path / "feed.jsonl", 10)
        back.append(asyncio.run_coroutine_threadsafe(run(replace(old, target=other)), loop))
        if engine.dialect.name == "postgresql":
            until(lambda: waits(engine))
        return add(connection, rows)

    loop, other = asyncio.get_running_loop(), opened(url)
    newer = transfers(engine, feed(tmp_path / "feed.jsonl", 11), snapshot=True, apply=meanwhile)
    with pytest.raises((FencedError, SourceChangedError)):
        await run(newer)
    assert not (await asyncio.wrap_future(back[0])).again
    assert [("succeeded", 10), ("cancelled", 5), ("succeeded", 10)] == asked(
        engine, "SELECT status, position FROM import_job ORDER BY id"
    )
    other.dispose()


async def test_a_row_that_is_replayed_while_a_newer_edition_writes_its_first_chunk_is_overtaken(engine, url, tmp_path):
    old = transfers(engine, feed(tmp_path / "feed.jsonl", 10, bad=(7,)), snapshot=True)
    await run(old)
    replays = []

    def meanwhile(connection, rows):
        if not replays:
            mending = replay(replace(old, target=other), mend=mended)
            replays.append(asyncio.run_coroutine_threadsafe(mending, loop))
            if engine.dialect.name == "postgresql":
                until(lambda: waits(engine))
        return add(connection, rows)

    loop, other = asyncio.get_running_loop(), opened(url)
    newer = transfers(engine, feed(tmp_path / "feed.jsonl", 11), snapshot=True, apply=meanwhile, chunk=100)
    assert 11 == (await run(newer)).changed
    done = await asyncio.wrap_future(replays[0])
    assert (0, 0, 1) == (done.applied, done.left, done.overtaken)
    other.dispose()


async def test_a_newer_edition_comes_after_a_row_that_is_being_replayed(engine, url, tmp_path, monkeypatch):
    batch = transfers(engine, feed(tmp_path / "feed.jsonl", 10, bad=(7,)), snapshot=True)
    await run(batch)
    newer = jobs.Edition("transfers", batch.source.name, "newer", {}, snapshot=True, version="")
    other, waited = opened(url), []
    second = threading.Thread(target=jobs.enqueue, args=(other, newer))

    def meanwhile(name):
        if name == "replay.applied":
            second.start()
            if engine.dialect.name == "postgresql":
                until(lambda: waits(engine) or not second.is_alive())
            waited.append(second.is_alive())

    monkeypatch.setattr(points, "hook", meanwhile)
    assert 1 == (await replay(batch, mend=mended)).applied
    await asyncio.to_thread(second.join, 60)
    assert [True] == waited
    other.dispose()


def test_of_two_editions_that_come_at_once_one_is_overtaken(engine, url, monkeypatch):
    first = jobs.Edition("transfers", "feed", "first", {}, snapshot=True, version="")
    other, second = opened(url), threading.Thread(target=lambda: jobs.enqueue(other, replace(first, fingerprint="2nd")))
    prepare(engine)

    def meanwhile(name):
        if name == "enqueue.written" and second.ident is None:
            second.start()
            if engine.dialect.name == "postgresql":
                until(lambda: waits(engine) or not second.is_alive())

    monkeypatch.setattr(points, "hook", meanwhile)
    jobs.enqueue(engine, first)
    second.join(60)
    assert [("cancelled", "first"), ("pending", "2nd")] == asked(
        engine, "SELECT status, fingerprint FROM import_job ORDER BY id"
    )
    other.dispose()
