"""Pruning: what is old goes, what is needed stays, and being stopped anywhere changes nothing in the end."""

from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.orm import Session

from roundsman.ledger.base import LedgerTable
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.rules.retention import FOR_EVER, RETENTION, table
from roundsman.ledger.rules.samples import DAY_SECONDS, FIVE_MINUTES_SECONDS, HOUR_SECONDS
from roundsman.ledger.tables import HistogramRow, SampleDueRow, SampleKeyRow, SampleRow
from roundsman.timing.rollup import roll_up
from roundsman.timing.samples import history, record_samples
from roundsman.upkeep.prune import give_back, prune_all, prune_samples, would_prune
from tests.ledger.rounds import python
from tests.timing.test_samples import HIT, MISS, NOW, samples, waiting
from tests.upkeep.aging import OLD, alert, batch_job, count, everything, left, message, write
from tests.watch import weeks
from tests.watch.weeks import add, look, slot, watch


def test_samples_older_than_a_fortnight_go_and_their_roll_ups_stay(ledger):
    record_samples(ledger, samples(begin=NOW - timedelta(days=15), many=50) + samples(MISS, begin=NOW, many=30))
    record_samples(ledger, samples(begin=NOW - timedelta(days=13), many=20))
    roll_up(ledger)
    before = history(ledger, "shop", "/a", cache_state="hit", since=NOW - timedelta(days=20))
    gone = prune_all(ledger, NOW + timedelta(hours=1)).gone
    after = history(ledger, "shop", "/a", cache_state="hit", since=NOW - timedelta(days=20))
    assert (50, 50, before) == (count(ledger, SampleRow), gone["samples, one by one"], after)


def test_nothing_is_deleted_that_was_not_rolled_up_first(ledger):
    record_samples(ledger, samples(begin=NOW - timedelta(days=20), many=50))
    pruned = prune_all(ledger, NOW)
    found = history(ledger, "shop", "/a", cache_state="hit", since=NOW - timedelta(days=30), span=DAY_SECONDS)
    assert (1, 0, [50]) == (pruned.hours, count(ledger, SampleRow), [one.samples for one in found])


def test_an_hour_that_got_samples_meanwhile_keeps_them_all(ledger):
    record_samples(ledger, samples(begin=NOW - timedelta(days=20), many=50, hours=4))
    with Session(ledger) as session, session.begin():
        hours = sorted(session.scalars(select(SampleDueRow.hour)))
        session.execute(text("DELETE FROM sample_due WHERE hour <> :hour"), {"hour": hours[2]})
    prune_samples(ledger, NOW)
    assert hours[2] <= min(left(ledger, SampleRow.at_us)) / 1e6 < hours[3]


def test_a_sample_that_comes_when_its_hour_is_gone_changes_no_roll_up(ledger):
    record_samples(ledger, samples(begin=NOW - timedelta(days=15), many=50))
    prune_all(ledger, NOW)
    assert 0 == record_samples(ledger, samples(begin=NOW - timedelta(days=15), many=5, seed=9))
    prune_all(ledger, NOW)
    found = history(ledger, "shop", "/a", cache_state="hit", since=NOW - timedelta(days=20), span=HOUR_SECONDS)
    assert [50] == [one.samples for one in found]


@pytest.mark.parametrize("statement", ["INSERT INTO sample ", "INSERT INTO sample_due "])
def test_late_samples_that_are_being_written_are_not_overtaken(postgres_server, statement):
    ledger, other = (open_ledger(address) for address in [postgres_server.fresh()] * 2)
    late = samples(begin=NOW - timedelta(days=15), many=5, seed=2)
    record_samples(ledger, samples(begin=NOW - timedelta(days=15), many=50))
    roll_up(ledger)
    with ThreadPoolExecutor(1) as pool:
        passes: list[Future] = []

        @event.listens_for(ledger, "before_cursor_execute")
        def prune_meanwhile(_connection, _cursor, said, *_):
            if said.startswith(statement) and not passes:
                passes.append(pool.submit(prune_all, other, NOW))
                while not passes[0].done() and not waiting(other):
                    pass

        record_samples(ledger, late)
        passes[0].result(120)
    prune_all(other, NOW)
    found = history(ledger, "shop", "/a", cache_state="hit", since=NOW - timedelta(days=20), span=HOUR_SECONDS)
    for engine in (ledger, other):
        engine.dispose()
    assert [55] == [one.samples for one in found]


@pytest.mark.parametrize(
    ("days", "kept"),
    [
        (29, {FIVE_MINUTES_SECONDS, HOUR_SECONDS, DAY_SECONDS}),
        (31, {HOUR_SECONDS, DAY_SECONDS}),
        (402, {DAY_SECONDS}),
        (1832, set()),
    ],
)
def test_each_roll_up_has_its_own_time(ledger, days, kept):
    record_samples(ledger, samples(begin=NOW - timedelta(days=days)))
    prune_all(ledger, NOW)
    assert kept == set(left(ledger, HistogramRow.span))


def aged(ledger) -> None:
    """Something of everything that is old, and of most that is not."""
    for key in (HIT, MISS):
        record_samples(ledger, samples(key, begin=NOW - timedelta(days=20), many=200, hours=30))
    for day in range(6):
        write(ledger, f"old-{day}", NOW - OLD - timedelta(days=day))
        write(ledger, f"exchanges-{day}", NOW - timedelta(days=40 + day))
    write(ledger, "new", NOW)
    add(ledger, alert("/ok"), alert("/open", "firing"), message(1), message(2, sent=None), *batch_job()[:1])
    add(ledger, *batch_job()[1:], *(slot(NOW - OLD + timedelta(hours=hour)) for hour in range(5)))
    add(ledger, *(look(NOW - OLD + timedelta(hours=hour)) for hour in range(5)), weeks.event(NOW - OLD), watch(NOW))


def test_a_dry_run_counts_what_would_go_and_changes_nothing(ledger):
    aged(ledger)
    before = everything(ledger)
    told = would_prune(ledger, NOW)
    assert before == everything(ledger)
    # The samples' histograms of 5 minutes are made by the pass itself.
    assert told.gone == prune_all(ledger, NOW).gone
    assert told.hours > 0


def test_a_pass_made_again_finds_nothing_to_do(ledger):
    aged(ledger)
    prune_all(ledger, NOW)
    before = everything(ledger)
    again = prune_all(ledger, NOW)
    assert (0, {0}, before) == (again.hours, set(again.gone.values()), everything(ledger))


KILLED = """
import os, signal, sys
from datetime import datetime
from sqlalchemy import event
from roundsman.upkeep import prune
from roundsman.ledger.ledger import open_ledger
from roundsman.upkeep.prune import prune_all
prune.SAMPLE_BATCH_ROWS = 50
engine = open_ledger(sys.argv[1])

@event.listens_for(engine, "after_cursor_execute")
def die(*args):
    if args[2].startswith((f"DELETE FROM {sys.argv[2]} ", f"DELETE FROM {sys.argv[2]}_default ")):
        os.kill(os.getpid(), signal.SIGKILL)
prune_all(engine, datetime.fromisoformat(sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["sample", "exchange", "run", "outbox", "health"])
def test_a_pass_that_was_killed_and_made_again_gives_the_same(ledger, url, tmp_path, where):
    aged(ledger)
    whole = open_ledger(f"sqlite:///{tmp_path}/whole.db")
    aged(whole)
    prune_all(whole, NOW)
    with python(KILLED, url, where, NOW.isoformat()) as worker:
        assert -9 == worker.wait(180)
    prune_all(ledger, NOW)
    wanted = everything(whole)
    whole.dispose()
    assert {name: len(rows) for name, rows in wanted.items()} == {
        name: len(rows) for name, rows in everything(ledger).items()
    }


BESIDE = """
import sys
from datetime import datetime
from roundsman.upkeep import prune
from roundsman.ledger.ledger import open_ledger
from roundsman.upkeep.prune import prune_all
prune.SAMPLE_BATCH_ROWS = 7
engine = open_ledger(sys.argv[1])
prune_all(engine, datetime.fromisoformat(sys.argv[2]))
"""


@pytest.mark.slow
def test_two_passes_beside_each_other_do_no_harm(ledger, url, tmp_path):
    aged(ledger)
    whole = open_ledger(f"sqlite:///{tmp_path}/whole.db")
    aged(whole)
    prune_all(whole, NOW)
    workers = [python(BESIDE, url, NOW.isoformat()) for _ in range(2)]
    for worker in workers:
        worker.communicate(timeout=180)
    assert [0, 0] == [worker.returncode for worker in workers]
    wanted = everything(whole)
    whole.dispose()
    assert {name: len(rows) for name, rows in wanted.items()} == {
        name: len(rows) for name, rows in everything(ledger).items()
    }


def test_a_sqlite_file_gets_shorter_but_for_a_share(tmp_path):
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    record_samples(engine, samples(begin=NOW - timedelta(days=15), many=60_000))
    with engine.connect() as connection:
        before = connection.execute(text("PRAGMA page_count")).scalar() * 4096
    pruned = prune_all(engine, NOW)
    after = (tmp_path / "ledger.db").stat().st_size
    assert before - after > 1e6
    assert (pruned.freed > 1e6, pruned.spare < 0.2 * after) == (True, True)
    assert 0 == (tmp_path / "ledger.db-wal").stat().st_size
    engine.dispose()


def test_a_sqlite_file_made_before_that_stays_as_it_is_and_is_used_again(tmp_path):
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        raw.execute("COMMIT") if raw.in_transaction else None
        for said in ("PRAGMA auto_vacuum=NONE", "VACUUM"):
            raw.execute(said)
    record_samples(engine, samples(begin=NOW - timedelta(days=15), many=20_000))
    with Session(engine) as session, session.begin():
        session.execute(update(SampleKeyRow).values(raw_from=0))
        session.execute(text("DELETE FROM sample"))
    freed, spare = give_back(engine)
    assert (0, True) == (freed, spare > 100_000)
    engine.dispose()


def test_every_table_has_its_retention():
    named = [name for one in RETENTION for name in one.tables]
    assert set(LedgerTable.metadata.tables) - set(named) - {"alembic_version"} == set()


def test_what_is_kept_for_ever_has_no_age():
    with pytest.raises(ValueError, match="kept for ever"):
        _ = FOR_EVER.age


def test_the_readme_says_how_long_everything_is_kept(pytestconfig):
    assert table() in (pytestconfig.rootpath / "README.md").read_text(encoding="utf-8")
