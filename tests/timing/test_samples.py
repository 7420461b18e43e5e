"""Samples in the ledger: what is read is what was written, rolled up or not."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.rules.samples import (
    DAY_SECONDS,
    FIVE_MINUTES_SECONDS,
    HOUR_SECONDS,
    SPANS,
    Sample,
    SampleKey,
    start_of,
)
from roundsman.ledger.tables import HistogramRow, SampleDueRow, SampleKeyRow, SampleRow
from roundsman.report.rules.quantiles import quantile
from roundsman.timing.rollup import roll_up
from roundsman.timing.rules.histogram import ERROR, Histogram
from roundsman.timing.samples import distribution, history, record_samples, times_of
from tests.ledger.rounds import python

#: Noon.
NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)
HIT = SampleKey("shop", "articles", "/a", cache_state="hit")
MISS = SampleKey("shop", "articles", "/a", cache_state="miss")


def samples(key=HIT, begin=NOW, many=300, hours=1.0, seed=1, late=0.0) -> list[Sample]:
    """Some samples, evenly over some hours, quick and slow ones mixed."""
    times = np.random.default_rng(seed).lognormal(-3, 0.7, many)
    step = hours * 3600 / many
    return [
        Sample(key, begin.timestamp() + n * step, float(one), float(one) * 1.5, late) for n, one in enumerate(times)
    ]


def waited(taken) -> list[float]:
    return sorted(round(one.first_byte + one.late, 6) for one in taken)


def spans(ledger) -> list[tuple]:
    """Every histogram there is, whole."""
    place = HistogramRow.key_id, HistogramRow.span, HistogramRow.start
    found = HistogramRow.samples, HistogramRow.p50_us, HistogramRow.p95_us, HistogramRow.p99_us
    with Session(ledger) as session:
        rows = select(*place, *found, HistogramRow.first_byte, HistogramRow.total).order_by(*place)
        return list(session.execute(rows).tuples())


def count(ledger, table) -> int:
    with Session(ledger) as session:
        return session.scalar(select(func.count()).select_from(table))


def expected(taken, span):
    """What each span comes to by the raw samples alone."""
    parts: dict[int, list[Sample]] = {}
    for one in taken:
        parts.setdefault(start_of(one.at, span), []).append(one)
    return {start: Histogram.of(waited(some)).to_bytes() for start, some in parts.items()}


@pytest.mark.parametrize("span", SPANS)
def test_a_roll_up_is_the_histogram_of_the_raw_samples(ledger, span):
    taken = samples(many=2000, hours=30, late=0.003)
    record_samples(ledger, taken)
    roll_up(ledger)
    with Session(ledger) as session:
        found = session.execute(select(HistogramRow.start, HistogramRow.first_byte).where(HistogramRow.span == span))
        assert expected(taken, span) == dict(found.tuples().all())


def test_the_total_is_kept_beside_the_first_byte(ledger):
    taken = samples()
    record_samples(ledger, taken)
    roll_up(ledger)
    with Session(ledger) as session:
        blob = session.scalar(select(HistogramRow.total).where(HistogramRow.span == DAY_SECONDS))
    assert Histogram.from_bytes(blob).quantile(0.5) == pytest.approx(
        quantile(sorted(one.total for one in taken), 0.5), rel=ERROR
    )


def test_the_same_samples_twice_are_there_once(ledger):
    taken = samples()
    assert [record_samples(ledger, taken) for _ in range(2)] == [300, 300]
    roll_up(ledger)
    before = spans(ledger)
    record_samples(ledger, taken)
    roll_up(ledger)
    assert (count(ledger, SampleRow), spans(ledger)) == (300, before)


def test_a_roll_up_made_again_does_nothing(ledger):
    record_samples(ledger, samples())
    assert [roll_up(ledger), roll_up(ledger)] == [1, 0]


@pytest.mark.parametrize("late", [timedelta(minutes=7), timedelta(hours=5), timedelta(days=3)])
def test_a_late_sample_of_an_hour_that_is_rolled_up_is_picked_up(ledger, late):
    begin = NOW - timedelta(days=4)
    first = samples(begin=begin, many=960, hours=96)
    record_samples(ledger, first)
    roll_up(ledger)
    more = samples(begin=begin + late, many=5, hours=0.1, seed=2)
    record_samples(ledger, more)
    assert roll_up(ledger) in {1, 2}
    for span in SPANS:
        with Session(ledger) as session:
            found = session.execute(
                select(HistogramRow.start, HistogramRow.first_byte).where(HistogramRow.span == span)
            )
            assert expected([*first, *more], span) == dict(found.tuples().all())


def test_keys_are_never_mixed(ledger):
    kinds = [
        SampleKey("shop", "articles", "/a", cache_state="hit"),
        SampleKey("shop", "articles", "/a", cache_state="miss"),
        SampleKey("shop", "articles", "/a", cache_state="hit", warm=False),
        SampleKey("shop", "articles", "/a", "origin", cache_state="hit"),
        SampleKey("shop", "articles", "/b", cache_state="hit"),
        SampleKey("blog", "articles", "/a", cache_state="hit"),
    ]
    for number, key in enumerate(kinds):
        record_samples(ledger, samples(key, many=number + 1, hours=0.05))
    roll_up(ledger)
    found = []
    for key in kinds:
        names = {"cache_state": key.cache_state, "warm": key.warm, "since": NOW}
        found.append(sum(one.samples for one in history(ledger, key.site, key.path, key.series, **names)))
    assert found == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("rolled", [0, 1, 2], ids=["raw", "partly rolled up", "rolled up"])
def test_a_history_is_the_same_however_much_of_it_is_rolled_up(ledger, span, rolled):
    early, later = samples(many=500, hours=26), samples(begin=NOW + timedelta(hours=25), many=500, hours=3, seed=3)
    record_samples(ledger, early)
    if rolled:
        roll_up(ledger)
    record_samples(ledger, later)
    if rolled == 2:
        roll_up(ledger)
    since, until = NOW - timedelta(days=1), NOW + timedelta(days=2)
    found = history(ledger, "shop", "/a", cache_state="hit", since=since, until=until, span=span)
    wanted = {start: Histogram.from_bytes(blob) for start, blob in expected([*early, *later], span).items()}
    assert {start: (one.total, round(one.quantile(0.95), 6)) for start, one in wanted.items()} == {
        int(one.start.timestamp()): (one.samples, round(one.p95, 6)) for one in found
    }
    assert [one.start for one in found] == sorted(one.start for one in found)
    assert {span} == {one.span for one in found}


@pytest.mark.parametrize(("since", "until", "wanted"), [(0, 60, 12), (5, 10, 1), (1, 10, 1), (0, 0, 0), (60, 70, 0)])
def test_a_history_holds_what_began_in_the_span_asked_for(ledger, since, until, wanted):
    record_samples(ledger, samples())
    begin, end = NOW + timedelta(minutes=since), NOW + timedelta(minutes=until)
    before = history(ledger, "shop", "/a", cache_state="hit", since=begin, until=end)
    roll_up(ledger)
    after = history(ledger, "shop", "/a", cache_state="hit", since=begin, until=end)
    assert ([wanted] * 2, True) == ([len(before), len(after)], [b.start for b in before] == [a.start for a in after])


def test_a_route_nobody_timed_has_no_history(ledger):
    assert [] == history(ledger, "shop", "/a", cache_state="hit", since=NOW)
    assert 0 == distribution(ledger, "shop", "/a", cache_state="hit", since=NOW, until=NOW + timedelta(hours=1)).total


@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("hours", [(0, 60), (0, 1), (5, 37), (12, 36), (12, 60), (11.5, 36.2), (59, 60)])
def test_times_of_a_span_are_those_of_its_hours(ledger, rolled, hours):
    taken = samples(many=600, hours=60)
    record_samples(ledger, taken)
    if rolled:
        roll_up(ledger)
    record_samples(ledger, late := samples(many=3, begin=NOW + timedelta(hours=20), hours=0.1, seed=5))
    begin, end = (NOW + timedelta(hours=hour) for hour in hours)
    low, high = start_of(begin.timestamp(), HOUR_SECONDS), -start_of(-end.timestamp(), HOUR_SECONDS)
    wanted = [one for one in [*taken, *late] if low <= one.at < high]
    with Session(ledger) as session:
        found = times_of(session, "shop", begin, end)
    assert {HIT: Histogram.of(waited(wanted)).to_bytes()} == {key: one.to_bytes() for key, one in found.items()}
    one = distribution(ledger, "shop", "/a", cache_state="hit", since=begin, until=end)
    assert len(wanted) == one.total


@pytest.mark.parametrize("span", [FIVE_MINUTES_SECONDS, DAY_SECONDS])
def test_quantiles_of_a_span_are_within_a_hundredth_of_the_samples_own(ledger, span):
    taken = samples(many=4000, hours=11)
    record_samples(ledger, taken)
    roll_up(ledger)
    with Session(ledger) as session:
        for start, blob in session.execute(
            select(HistogramRow.start, HistogramRow.first_byte).where(HistogramRow.span == span)
        ):
            own, kept = waited(one for one in taken if start_of(one.at, span) == start), Histogram.from_bytes(blob)
            for share in (0.5, 0.9, 0.95, 0.99, 1.0):
                assert kept.quantile(share) == pytest.approx(quantile(own, share), rel=ERROR * 1.001)


def test_samples_of_hours_that_were_deleted_are_not_taken(ledger):
    record_samples(ledger, samples())
    roll_up(ledger)
    before = spans(ledger)
    with Session(ledger) as session, session.begin():
        session.execute(update(SampleKeyRow).values(raw_from=int(NOW.timestamp()) + HOUR_SECONDS))
        session.execute(text("DELETE FROM sample"))
    assert record_samples(ledger, samples(many=10, seed=2) + samples(begin=NOW + timedelta(hours=1), many=2)) == 2
    roll_up(ledger)
    assert (2, before[:12]) == (
        count(ledger, SampleRow),
        [row for row in spans(ledger) if row[1] == FIVE_MINUTES_SECONDS][:12],
    )


def test_a_time_longer_than_a_row_can_hold_counts_as_the_longest(ledger):
    record_samples(ledger, [Sample(HIT, NOW.timestamp(), 9000.0, 9000.0)])
    assert history(ledger, "shop", "/a", cache_state="hit", since=NOW)[0].p50 == pytest.approx(2147, rel=ERROR)


def test_samples_are_written_with_a_round_or_not_at_all(ledger):
    with Session(ledger.execution_options(writes=True)) as session:
        record_samples(session, samples())
        session.rollback()
    assert [0, 0, 0] == [count(ledger, table) for table in (SampleRow, SampleKeyRow, SampleDueRow)]


def test_sqlite_keeps_samples_without_a_second_copy_of_the_key(tmp_path):
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    with engine.connect() as connection:
        assert (
            "WITHOUT ROWID" in connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'sample'")).scalar()
        )
    engine.dispose()


KILLED = """
import os, signal, sys
from sqlalchemy import event
from roundsman.ledger.ledger import open_ledger
from roundsman.timing.rollup import roll_up
engine = open_ledger(sys.argv[1])
left = int(sys.argv[2])

@event.listens_for(engine, "before_cursor_execute")
def die(*args):
    global left
    if args[2].startswith(("INSERT INTO histogram", "DELETE FROM sample_due")):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
roll_up(engine)
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 2, 5, 8])
def test_a_roll_up_that_was_killed_and_made_again_gives_the_same(ledger, url, after):
    for key in (HIT, MISS):
        record_samples(ledger, samples(key, hours=15, many=100))
    with python(KILLED, url, str(after)) as worker:
        assert worker.wait(180) == -9
    roll_up(ledger)
    found = [(row[1], row[2], row[7]) for row in spans(ledger)]
    wanted = [
        (span, start, blob) for span in SPANS for start, blob in expected(samples(hours=15, many=100), span).items()
    ]
    assert sorted(wanted * 2) == sorted(found)
    assert 0 == count(ledger, SampleDueRow)


BESIDE = """
import sys
from roundsman.ledger.ledger import open_ledger
from roundsman.timing.rollup import roll_up
from roundsman.timing.samples import record_samples
from tests.timing.test_samples import samples
engine = open_ledger(sys.argv[1])
for number in range(8):
    record_samples(engine, samples(many=60, hours=30, seed=int(sys.argv[2]) * 100 + number))
    roll_up(engine)
"""


@pytest.mark.slow
def test_writers_and_roll_ups_beside_each_other_lose_nothing(ledger, url):
    workers = [python(BESIDE, url, str(number)) for number in range(3)]
    for worker in workers:
        worker.communicate(timeout=120)
    assert [0] * 3 == [worker.returncode for worker in workers]
    roll_up(ledger)
    taken = [
        one
        for worker in range(3)
        for number in range(8)
        for one in samples(many=60, hours=30, seed=worker * 100 + number)
    ]
    for span in SPANS:
        with Session(ledger) as session:
            found = session.execute(
                select(HistogramRow.start, HistogramRow.first_byte).where(HistogramRow.span == span)
            )
            assert expected(taken, span) == dict(found.tuples().all())


def test_samples_that_are_being_written_are_waited_for(postgres_server):
    ledger = open_ledger(postgres_server.ledger())
    record_samples(ledger, samples(many=10))
    with Session(ledger) as session, ThreadPoolExecutor(1) as pool:
        # Its hour is marked already, so nothing but the key's lock says that more of it is on the way.
        record_samples(session, samples(many=5, seed=2))
        done = pool.submit(roll_up, ledger)
        while not done.done() and not waiting(ledger):
            pass
        session.commit()
        done.result(120)
    roll_up(ledger)
    found = history(ledger, "shop", "/a", cache_state="hit", since=NOW, span=HOUR_SECONDS)
    ledger.dispose()
    assert [15] == [one.samples for one in found]


def waiting(ledger) -> int:
    """How many transactions of this database wait for another one."""
    with ledger.connect() as connection:
        mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return connection.execute(text(mine)).scalar()
