"""Days of a PostgreSQL ledger: made ahead or when needed, dropped whole, and never in a round's way."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from sqlalchemy import Engine, delete, event, text, update
from sqlalchemy.orm import Session

from roundsman.ledger import days as ledger_days
from roundsman.ledger.days import DAYS_AHEAD, make_days
from roundsman.ledger.ledger import alembic_config, open_ledger, write_round
from roundsman.ledger.tables import RunRow
from roundsman.upkeep.prune import prune_all, would_prune
from tests.ledger.rounds import EMPTY, FULL, a_round, counted, python
from tests.timing.test_samples import NOW
from tests.upkeep.aging import alert, everything, write
from tests.watch.weeks import add

WHAT = "exchanges, the evidence of findings"
#: Younger than a round may get, and older than its exchanges may.
OLD = NOW - timedelta(days=40)


@pytest.fixture
def url(postgres_server) -> str:
    return postgres_server.ledger()


def many(ledger: Engine) -> dict[str, int]:
    """How many exchanges and links lie in each partition that has any."""
    with ledger.connect() as connection:
        return {
            part: count
            for whole in ("exchange", "evidence")
            for part, count in connection.execute(
                text(f"SELECT tableoid::regclass::text, count(*) FROM {whole} GROUP BY 1 ORDER BY 1")
            ).all()
        }


def parts(ledger: Engine) -> list[str]:
    """All partitions of days."""
    with ledger.connect() as connection:
        told = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'exchange'::regclass ORDER BY 1"
        return [name for name in connection.scalars(text(told)) if name != "exchange_default"]


def named(day: datetime, exchanges: int = 2, links: int = 3) -> dict[str, int]:
    return {f"exchange_{day:%Y%m%d}": exchanges, f"evidence_{day:%Y%m%d}": links}


def in_default(exchanges: int = 2, links: int = 3) -> dict[str, int]:
    return {"exchange_default": exchanges, "evidence_default": links}


def test_a_round_of_today_makes_its_day_and_one_of_another_time_goes_to_the_default(ledger):
    today = datetime.now(UTC)
    write(ledger, "today", today)
    for run, day in (("long ago", datetime(1970, 1, 1, tzinfo=UTC)), ("far ahead", datetime(2100, 1, 1, tzinfo=UTC))):
        write(ledger, run, day)
    assert named(today) | in_default(4, 6) == many(ledger)


def test_a_pass_makes_the_days_of_a_week_ahead(ledger):
    prune_all(ledger, NOW)
    prune_all(ledger, NOW)
    assert [f"exchange_{NOW + timedelta(days=day):%Y%m%d}" for day in range(DAYS_AHEAD + 1)] == parts(ledger)


def test_a_day_that_began_in_the_default_partition_is_moved_to_its_own_with_its_evidence(ledger):
    write(ledger, "early", NOW)
    write(ledger, "other", OLD)
    make_days(ledger, NOW.date())
    write(ledger, "late", NOW)
    assert named(NOW, 4, 6) | in_default() == many(ledger)
    remove(ledger, "early", "late", "other")
    assert EMPTY == counted(ledger)


def remove(ledger: Engine, *runs: str) -> None:
    with Session(ledger) as session, session.begin():
        session.execute(delete(RunRow).where(RunRow.id.in_(runs)))


def test_workers_that_make_the_same_day_at_once_write_their_rounds_into_it(ledger, monkeypatch, caplog):
    monkeypatch.setattr(ledger_days, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = '60s'")
    today, start = datetime.now(UTC), threading.Barrier(4, timeout=120)

    def work(number: int) -> None:
        start.wait()
        for place in range(3):
            write(ledger, f"{number}-{place}", today)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert (named(today, 24, 36), "") == (many(ledger), caplog.text)


def test_a_round_is_written_while_somebody_keeps_its_day_from_being_made(ledger):
    today = datetime.now(UTC)
    with ledger.begin() as reader:
        reader.execute(text("SELECT count(*) FROM exchange"))
        write(ledger, "first", today)
        assert in_default() == many(ledger)
    write(ledger, "second", today)
    assert named(today, 4, 6) == many(ledger)


def test_an_old_day_is_dropped_and_not_deleted_row_by_row(ledger):
    make_days(ledger, OLD.date(), 2)
    write(ledger, "old", OLD)
    write(ledger, "next day", OLD + timedelta(days=1))
    write(ledger, "new", NOW)
    said = []
    event.listen(ledger, "before_cursor_execute", lambda *args: said.append(args[2]))
    assert 4 == prune_all(ledger, NOW).gone[WHAT]
    assert named(NOW) == many(ledger)
    assert not [one for one in said if one.startswith("DELETE FROM exchange")]
    assert (FULL["run"] * 3, FULL["finding"] * 3) == (counted(ledger)["run"], counted(ledger)["finding"])


def test_a_day_is_dropped_when_all_of_it_is_past_its_age(ledger):
    kept = NOW - timedelta(days=30)
    make_days(ledger, (kept - timedelta(days=1)).date(), 2)
    for day in (kept - timedelta(days=1), kept - timedelta(hours=1)):
        write(ledger, f"{day}", day)
    write(ledger, "new", NOW)
    prune_all(ledger, NOW)
    assert named(kept - timedelta(hours=1)) | named(NOW) == many(ledger)


def aged(ledger: Engine) -> None:
    """Two old days with a round that may go, one that an open alert names, and the last one of a site of its own."""
    make_days(ledger, OLD.date(), 2)
    for day in range(2):
        at = OLD + timedelta(days=day)
        write(ledger, f"old-{day}", at)
        write(ledger, f"named-{day}", at)
        write_round(ledger, **a_round(f"last-{day}") | {"started_at": at, "site": f"retired-{day}"})
        add(ledger, alert(f"/{day}", "firing", run_id=f"named-{day}"))
    write(ledger, "new", NOW)


def test_what_is_needed_of_an_old_day_is_carried_out_of_it_with_its_evidence(ledger):
    aged(ledger)
    assert 4 == prune_all(ledger, NOW).gone[WHAT]
    assert in_default(8, 12) | named(NOW) == many(ledger)
    with ledger.connect() as connection:
        told = connection.execute(
            text(
                "SELECT count(*), count(DISTINCT verdict.run_id), bool_and(verdict.run_id = exchange.run_id) "
                "FROM evidence JOIN exchange ON exchange.id = exchange_id AND exchange.day = evidence.day "
                "JOIN finding ON finding.id = finding_id JOIN verdict ON verdict.id = verdict_id"
            )
        ).one()
    assert (15, 5, True) == tuple(told)


def test_what_was_carried_out_goes_when_nothing_needs_it_any_more(ledger):
    aged(ledger)
    prune_all(ledger, NOW)
    with ledger.begin() as connection:
        connection.execute(text("UPDATE alert SET state = 'resolved'"))
    assert 4 == prune_all(ledger, NOW).gone[WHAT]
    assert in_default(4, 6) | named(NOW) == many(ledger)


def test_a_dry_run_counts_days_and_rows_that_would_go_and_changes_nothing(ledger):
    aged(ledger)
    write(ledger, "in the default", OLD - timedelta(days=9))
    before = everything(ledger), parts(ledger)
    told = would_prune(ledger, NOW)
    assert before == (everything(ledger), parts(ledger))
    assert 6 == told.gone[WHAT] == prune_all(ledger, NOW).gone[WHAT]


def test_days_stay_whole_until_the_next_pass_while_somebody_reads_them(ledger, caplog):
    aged(ledger)
    before = many(ledger)
    with ledger.begin() as reader:
        reader.execute(text("SELECT count(*) FROM exchange"))
        assert (0, before) == (prune_all(ledger, NOW).gone[WHAT], many(ledger))
    assert f"the exchanges of {OLD:%Y-%m-%d} and since stay until the next pass: canceling" in caplog.text
    assert 4 == prune_all(ledger, NOW).gone[WHAT]
    assert in_default(8, 12) | named(NOW) == many(ledger)


@pytest.mark.parametrize("statement", ["LOCK TABLE", "DROP TABLE exchange", "INSERT INTO evidence"])
def test_a_pass_that_is_stopped_at_a_day_has_changed_nothing_of_it_and_is_made_again(ledger, statement):
    aged(ledger)
    make_days(ledger, NOW.date(), DAYS_AHEAD + 1)
    before = many(ledger)

    @event.listens_for(ledger, "after_cursor_execute")
    def stop(*args) -> None:
        if args[2].startswith(statement):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune_all(ledger, NOW)
    event.remove(ledger, "after_cursor_execute", stop)
    assert before == many(ledger)
    assert 4 == prune_all(ledger, NOW).gone[WHAT]
    assert in_default(8, 12) | named(NOW) == many(ledger)


WRITER = """
import sys
from datetime import datetime
from roundsman.ledger.ledger import open_ledger
from tests.upkeep.aging import write
engine, now = open_ledger(sys.argv[1]), datetime.fromisoformat(sys.argv[2])
print("ready", flush=True)
for number in range(60):
    write(engine, f"beside-{number}", now)
"""


@pytest.mark.slow
def test_days_are_made_and_dropped_beside_a_writer_who_loses_nothing(ledger, url):
    """Each pass makes eight days ahead of another week and drops two, while rounds are written without a pause."""
    now = NOW + timedelta(days=1)
    with python(WRITER, url, now.isoformat()) as writer:
        assert writer.stdout.readline() == b"ready\n"
        passes = 0
        while writer.poll() is None:
            make_days(ledger, (OLD - timedelta(days=2 * passes)).date(), 2)
            make_days(ledger, (NOW + timedelta(days=9 + passes)).date())
            prune_all(ledger, now)
            passes += 1
    assert (0, True) == (writer.returncode, passes > 0)
    prune_all(ledger, now)
    assert named(now, 120, 180) == many(ledger)
    assert not [part for part in parts(ledger) if part <= f"exchange_{OLD:%Y%m%d}"]


def test_rounds_of_a_flat_ledger_are_carried_over_and_back(ledger, url):
    write(ledger, "old", OLD)
    with ledger.begin() as connection:
        connection.execute(update(RunRow).values(whole=False))  # younger than 0013, so the way down takes it along
    before = everything(ledger)
    make_days(ledger, NOW.date())
    write(ledger, "new", NOW)
    command.downgrade(alembic_config(ledger), "0013")
    again = open_ledger(url)
    remove(again, "new")
    assert before == everything(again)
    write(again, "another", OLD)
    assert in_default(4, 6) == many(again)
    again.dispose()
