"""Ten million samples in a ledger on SQLite: the status of a site, the nightly pass, and one round more."""

import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

DAYS, ROUTES = 15, 20
#: Of one site: each route as hit and miss, on warm and on cold connections.
KEYS = ROUTES * 4
A_DAY = 10_000_000 // DAYS // KEYS
NOW = datetime(2026, 3, 8, tzinfo=UTC)
ROUND, LOOKS = 2000, 20
WANTED_MS, WANTED_S, WANTED_MB = 100.0, 60.0, 300.0

_MICRO, _DAY = 1_000_000, 86400
#: One day of every key, evenly; times from 2 to 500 ms, most of them short. The same on every run.
_ONE_DAY = """
INSERT INTO sample (key_id, at_us, first_byte_us, total_us, late_us, release)
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :many),
took AS (SELECT i, 2000 + 500000000 / (1000 + (i * 7919 + :key * 104729) % 1000003) AS us FROM n)
SELECT :key, :begin + i * :step, us, us * 3 / 2, i % 50, 'f00dcafe' FROM took
"""
_COPY = """
INSERT INTO sample (key_id, at_us, first_byte_us, total_us, late_us, release)
SELECT key_id, at_us - :back, first_byte_us, total_us, late_us, release FROM sample WHERE at_us >= :begin
"""
_DUE = """
INSERT INTO sample_due (key_id, hour)
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 23)
SELECT id, :begin + i * 3600 FROM sample_key, n
"""
_COPY_SPANS = """
INSERT INTO histogram SELECT key_id, span, start - :back, samples, p50_us, p95_us, p99_us, first_byte, total
FROM histogram WHERE start >= :begin
"""


def rows() -> list[tuple[str, str, str, bool]]:
    """Each in a process of its own, on a file in the temporary folder, with the ledger's own settings."""
    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as folder:
        url = f"sqlite:///{folder}/ledger.db"
        made, _ = _child(_make, url)
        size = (Path(folder) / "ledger.db").stat().st_size / 1e6
        (rolled_up, hours), roll_up_mb = _child(_roll_up, url)
        (passed, gone), pass_mb = _child(_prune, url)
        _child(_history, url)
        (first, median, worst), _ = _child(_status, url)
        (one_round,), _ = _child(_one_round, url)
    day, memory = A_DAY * KEYS, max(roll_up_mb, pass_mb)
    table = [
        (f"samples made: {made:,} of {KEYS} keys, {DAYS} days", f"{size:,.0f} MB", "-", True),
        _within(f"roll-up of a day: {day:,} samples, {hours:,} hours", rolled_up, WANTED_S, "s"),
        _within(f"whole nightly pass after it, {gone:,} samples deleted", passed, WANTED_S, "s"),
        _within("memory of both at most", memory, WANTED_MB, "MB"),
        _within(f"status of the site, median of {LOOKS} (worst {worst:.0f} ms)", median, WANTED_MS, "ms"),
        ("the first look of a process, which compiles its queries", f"{first:.0f} ms", "-", True),
        (f"a round of {ROUND:,} more samples, rolled up", f"{one_round:.2f} s", "-", True),
    ]
    load = os.getloadavg()[0]
    return [*table, ("load of the machine meanwhile", f"{load:.1f} on {os.cpu_count()} cores", "-", True)]


def _within(what: str, measured: float, wanted: float, unit: str) -> tuple[str, str, str, bool]:
    return what, f"{measured:,.1f} {unit}", f"less than {wanted:.0f} {unit}", measured < wanted


def _child(work: Callable[[str], Any], url: str) -> tuple[Any, float]:
    """What a process of its own measured, and the most memory it ever had, in megabytes."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (url,)), pool.apply(_peak)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _begin() -> int:
    """Of the last day, in Unix seconds."""
    return int(NOW.timestamp()) - _DAY


def _make(url: str) -> int:
    from roundsman.ledger.ledger import open_ledger
    from roundsman.ledger.rules.samples import EDGE, Sample, SampleKey
    from roundsman.timing.samples import record_samples
    from tests.watch.weeks import week

    engine = open_ledger(url)
    week(engine, now=NOW)
    keys = [
        SampleKey("shop", "articles", f"/articles/{route}", EDGE, state, warm)
        for route in range(ROUTES)
        for state in ("hit", "miss")
        for warm in (True, False)
    ]
    # One sample makes its key; it is not among the ten million.
    record_samples(engine, [Sample(key, _begin() - DAYS * _DAY, 0.1, 0.1) for key in keys])
    begin, step = _begin() * _MICRO, _DAY * _MICRO // A_DAY
    with Session(engine.execution_options(writes=True)) as session, session.begin():
        session.execute(text("DELETE FROM sample"))
        session.execute(text("DELETE FROM sample_due"))
        for (key,) in session.execute(text("SELECT id FROM sample_key")).all():
            session.execute(text(_ONE_DAY), {"many": A_DAY, "key": key, "begin": begin, "step": step})
        session.execute(text(_DUE), {"begin": _begin()})
    for day in range(1, DAYS):
        with Session(engine.execution_options(writes=True)) as session, session.begin():
            session.execute(text(_COPY), {"back": day * _DAY * _MICRO, "begin": begin})
    with Session(engine) as session:
        made = session.execute(text("SELECT count(*) FROM sample")).scalar_one()
    with engine.connect() as connection:
        connection.connection.dbapi_connection.commit()  # type: ignore[union-attr]
    engine.dispose()
    return made


def _roll_up(url: str) -> tuple[float, int]:
    from roundsman.ledger.ledger import open_ledger
    from roundsman.timing.rollup import roll_up

    engine = open_ledger(url)
    begun = time.perf_counter()
    hours = roll_up(engine)
    seconds = time.perf_counter() - begun
    engine.dispose()
    return seconds, hours


def _prune(url: str) -> tuple[float, int]:
    from roundsman.ledger.ledger import open_ledger
    from roundsman.ledger.rules.retention import SAMPLES
    from roundsman.upkeep.prune import prune_all

    engine = open_ledger(url)
    begun = time.perf_counter()
    pruned = prune_all(engine, NOW)
    seconds = time.perf_counter() - begun
    engine.dispose()
    return seconds, pruned.gone[SAMPLES.what]


def _history(url: str) -> None:
    """The roll-ups of the days before: they are the last day's, since their samples are."""
    from roundsman.ledger.ledger import open_ledger

    engine = open_ledger(url)
    with Session(engine.execution_options(writes=True)) as session, session.begin():
        for day in range(1, DAYS):
            session.execute(text(_COPY_SPANS), {"back": day * _DAY, "begin": _begin()})
    engine.dispose()


def _status(url: str) -> tuple[float, float, float]:
    """Milliseconds from an open ledger to the answers: the first time, the median and the longest of the rest."""
    from roundsman.ledger.ledger import open_ledger
    from roundsman.status.facts import read_facts
    from roundsman.status.rules.answers import status
    from tests.status.test_facts import site

    shop, engine, took = site(), open_ledger(url), []
    # The last hour of the day is not rolled up: its samples are read one by one.
    fresh = text("INSERT INTO sample_due SELECT id, :hour FROM sample_key")
    with Session(engine.execution_options(writes=True)) as session, session.begin():
        session.execute(fresh, {"hour": int(NOW.timestamp()) - 3600})
    for _ in range(LOOKS + 1):
        with Session(engine) as session:
            begun = time.perf_counter()
            made = status(facts := read_facts(session, shop, NOW))
            took.append((time.perf_counter() - begun) * 1000)
        assert sum(one.samples for one in facts.lately) == A_DAY * KEYS // 2
        assert made.answers
    engine.dispose()
    return took[0], statistics.median(took[1:]), max(took[1:])


def _one_round(url: str) -> tuple[float]:
    from roundsman.ledger.ledger import open_ledger
    from roundsman.ledger.rules.samples import Sample
    from roundsman.timing.rollup import roll_up
    from roundsman.timing.samples import record_samples, times_of

    engine = open_ledger(url)
    with Session(engine) as session:
        keys = list(times_of(session, "shop", NOW - timedelta(hours=1), NOW))
    begun, at = time.perf_counter(), NOW.timestamp()
    record_samples(engine, [Sample(keys[n % len(keys)], at + n * 0.05, 0.02, 0.03) for n in range(ROUND)])
    roll_up(engine, site="shop")
    seconds = time.perf_counter() - begun
    engine.dispose()
    return (seconds,)
