"""What the ledger bears: COPY against the ORM, a day dropped against a day deleted, and where SQLite ends.

A round here has a page's worth of 100 verdicts with two findings each, and 200 exchanges with 15 headers.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from roundsman.ledger import rows as ledger_rows
from roundsman.ledger.days import DAYS_AHEAD, make_days
from roundsman.ledger.ledger import alembic_config, open_ledger, write_round
from roundsman.ledger.tables import EvidenceLink, ExchangeRow, FindingRow, RunRow, VerdictRow
from roundsman.report.rules.exchange import Exchange, Phases, Probe
from roundsman.report.rules.verdict import Finding, Outcome, Verdict
from roundsman.site.rules.site import Site
from roundsman.status.facts import read_facts
from roundsman.upkeep.prune import prune_all

#: It takes a quarter of an hour, most of it to fill a file, and 13 GB of disk meanwhile.
BY_NAME = True
Row = tuple[str, str, str, bool]

NOW = datetime.now(UTC).replace(microsecond=0)
VERDICTS, ASKED = 100, 200
#: How many times as large the rounds are whose insertion is measured, and the rows that one of them leaves: itself,
#: verdicts, findings, exchanges, links.
TIMES = 20
ROWS = 1 + TIMES * (VERDICTS + 2 * VERDICTS + ASKED + 2 * VERDICTS)
RUNS = 5
#: Rounds of the day that goes, and of each writer.
DAY, EACH = 500, 40
#: Megabytes of an SQLite file at which it is measured.
SIZES = (100, 400, 1600, 6400)
_SITE = {
    "site": "shop",
    "base_url": "https://www.example.com",
    "owner": "web",
    "rules": [
        {
            "name": "articles",
            "paths": ["/**"],
            "cache": {"by": "everyone"},
            "examples": {"cached": ["/"]},
            "expected_result": "A copy.",
            "rollback": {"note": "kept for 30 days", "command": ["make", "back"]},
        }
    ],
}
_HEADERS = tuple((f"X-Header-{number}", "a value as long as they are") for number in range(15))


def rows() -> list[Row]:
    """Ratios of one run, and SQLite's times by writers and by size."""
    from tests import postgres

    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as name, postgres.server(durable=True) as server:
        table = [*_inserts(server), *_days(server)]
        for database in ("SQLite", "PostgreSQL"):
            for writers in (1, 2, 4, 8):
                url = f"sqlite:///{name}/{writers}.db" if database == "SQLite" else server.fresh()
                table.append(_writers(database, url, writers))
        table += _sizes(Path(name))
    load = os.getloadavg()[0]
    return [*table, ("load of the machine meanwhile", f"{load:.1f} on {os.cpu_count()} cores", "-", True)]


def _inserts(server: Any) -> Iterator[Row]:
    """The same rounds by COPY into partitions, and object by object into flat tables, in turns."""
    ours, flat = open_ledger(server.fresh()), open_ledger(server.fresh())
    command.downgrade(alembic_config(flat), "0013")
    large = _verdicts(TIMES * VERDICTS)
    times: dict[str, list[float]] = {"copy": [], "orm": []}
    for run in range(RUNS + 1):
        for name, write, engine in (("copy", _write, ours), ("orm", _write_by_orm, flat)):
            begun = time.perf_counter()
            write(engine, f"{run}", NOW, large)
            times[name].append(time.perf_counter() - begun)
    for engine in (ours, flat):
        engine.dispose()
    copy, orm = (statistics.median(some[1:]) for some in times.values())
    said = f"{ROWS / copy:,.0f} rows/s against {ROWS / orm:,.0f}, {orm / copy:.1f} times"
    yield f"a round of {ROWS:,} rows into PostgreSQL: COPY against the ORM", said, "at least 2 times", orm / copy >= 2


def _days(server: Any) -> Iterator[Row]:
    """A pass that meets an old day, once in a partition of its own and once in the default one."""
    old, took, held = NOW - timedelta(days=40), [], 0.0
    for own in (True, False):
        engine = open_ledger(server.fresh())
        if own:
            make_days(engine, old.date())
        for number in range(DAY):
            _write(engine, f"old-{number}", old)
        _write(engine, "new", NOW)
        make_days(engine, NOW.date(), DAYS_AHEAD + 1)
        locks = _held(engine)
        begun = time.perf_counter()
        gone = prune_all(engine, NOW).gone["exchanges, the evidence of findings"]
        took.append(time.perf_counter() - begun)
        assert gone == DAY * ASKED, gone
        held = held or locks[0]
        engine.dispose()
    dropped, deleted = took
    said = (
        f"{dropped:.2f} s against {deleted:.2f} s, {deleted / dropped:.0f} times; table held for {held * 1000:.0f} ms"
    )
    what = f"a night's pass over a day of {DAY * ASKED:,} exchanges: dropped against deleted"
    yield what, said, "at least 5 times", deleted / dropped >= 5


def _held(engine: Engine) -> list[float]:
    """Seconds for which a day that is dropped keeps others out, as they come to be."""
    since: list[float] = [0.0]
    found: list[float] = []

    @event.listens_for(engine, "after_cursor_execute")
    def lock(*said: Any) -> None:
        if said[2].startswith("LOCK TABLE ONLY"):
            since[0] = time.perf_counter()

    @event.listens_for(engine, "commit")
    def free(_connection: Any) -> None:
        if since[0]:
            found.append(time.perf_counter() - since[0])
            since[0] = 0.0

    return found


def _writers(database: str, url: str, many: int) -> Row:
    open_ledger(url).dispose()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(many) as pool:
        start = manager.Barrier(many)
        told = pool.starmap(_write_many, [(url, place, start) for place in range(many)], chunksize=1)
    times = sorted(one for some, _ in told for one in some)
    refused = sum(errors for _, errors in told)
    seconds = max(sum(some) for some, _ in told)
    p50, p95 = times[len(times) // 2], times[int(0.95 * len(times))]
    measured = f"p50 {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, max {times[-1]:.1f} s; {len(times) / seconds:.0f}/s"
    return f"{database}: rounds of 700 rows by {many} writers without a pause", measured, "none refused", not refused


def _write_many(url: str, place: int, start: Any) -> tuple[list[float], int]:
    engine, times, refused = open_ledger(url), [], 0
    rounds = [(f"{place}-{number}", _verdicts()) for number in range(EACH)]
    start.wait()
    for run, verdicts in rounds:
        begun = time.perf_counter()
        try:
            _write(engine, run, NOW, verdicts)
        except Exception:  # noqa: BLE001 - it is counted
            refused += 1
        times.append(time.perf_counter() - begun)
    engine.dispose()
    return times, refused


def _sizes(folder: Path) -> Iterator[Row]:
    """One file that is doubled again and again; at each size a status, a round, and a night's pass."""
    path, number, rounds = folder / "grows.db", 0, _verdicts()
    engine = open_ledger(f"sqlite:///{path}")
    site = Site.model_validate(_SITE)
    while number % 20 or path.stat().st_size < SIZES[0] * 1e6:
        # All within the time for which exchanges are kept.
        _write(engine, f"run-{number}", NOW - timedelta(days=29) + timedelta(minutes=20 * number), rounds)
        number += 1
    for size in SIZES:
        while path.stat().st_size < 0.9 * size * 1e6:
            _double(engine)
            number *= 2
        each = _median(lambda size=size: _write(engine, f"{size}-{time.time()}", NOW - timedelta(days=20), rounds))
        status = _median(lambda: _status(engine, site))
        for one in range(20):
            _write(engine, f"{size}-{one}", NOW - timedelta(days=31), rounds)
        alone = _alone(engine)
        begun = time.perf_counter()
        prune_all(engine, NOW)
        took = time.perf_counter() - begun
        night = f"night {took:.1f} s, of which others wait for {max(alone):.2f} s at a time"
        measured = f"status {status:.2f} s, {night}, round {each * 1000:.0f} ms"
        yield f"SQLite: {path.stat().st_size / 1e6:,.0f} MB, {number:,} rounds", measured, "-", True
    engine.dispose()


def _double(engine: Engine) -> None:
    """Each round once more, as its own."""
    moved = {"run.id": "|| :mark", "verdict.run_id": "|| :mark", "exchange.run_id": "|| :mark"}
    with engine.execution_options(writes=True).begin() as connection:
        last = {
            name: connection.scalar(text(f"SELECT max(id) FROM {name}")) for name in ("verdict", "finding", "exchange")
        }
        moved |= {f"{name}.id": f"+ {number}" for name, number in last.items()}
        moved |= {"finding.verdict_id": f"+ {last['verdict']}", "evidence.finding_id": f"+ {last['finding']}"}
        moved |= {"evidence.exchange_id": f"+ {last['exchange']}"}
        for table in (RunRow, VerdictRow, FindingRow, ExchangeRow, EvidenceLink):
            name, columns = table.__tablename__, [column.name for column in table.__table__.columns]
            quoted = ", ".join(f'"{one}"' for one in columns)
            values = ", ".join(f'"{one}" {moved.get(f"{name}.{one}", "")}' for one in columns)
            copy = text(f"INSERT INTO {name} ({quoted}) SELECT {values} FROM {name}")
            connection.execute(copy, {"mark": f"+{last['exchange']}"} if ":mark" in values else {})


def _alone(engine: Engine) -> list[float]:
    """Seconds for which each transaction keeps other writers of a file waiting, as they come to be."""
    since, found = {}, []

    @event.listens_for(engine, "begin")
    def lock(connection: Any) -> None:
        if connection.get_execution_options().get("writes"):
            since[connection] = time.perf_counter()

    @event.listens_for(engine, "commit")
    def free(connection: Any) -> None:
        if connection in since:
            found.append(time.perf_counter() - since.pop(connection))

    return found


def _status(engine: Engine, site: Site) -> None:
    with Session(engine) as session:
        read_facts(session, site, NOW)


def _median(work: Callable[[], Any], times: int = 3) -> float:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def _verdicts(many: int = VERDICTS) -> list[Verdict]:
    def finding(claim: str, *evidence: Exchange) -> Finding:
        return Finding(claim, "It is stored.", Outcome.PASS, "max-age=3600 and a HIT", "at least an hour", evidence)

    said = []
    for place in range(many):
        first, second = (_exchange(2 * place + turn) for turn in (0, 1))
        findings = (finding("cache-headers/stored", first), finding("cache-headers/fresh", second))
        names = ("cache-headers", f"/articles/{place}", "articles", "web", "A copy.", "make back")
        said.append(Verdict(*names, findings))
    return said


def _exchange(number: int) -> Exchange:
    return Exchange(
        Probe(f"https://www.example.com/articles/some-name-of-an-article-{number}"),
        due=NOW.timestamp(),
        started=NOW.timestamp(),
        phases=Phases(first_byte=0.0125),
        status=200,
        headers=_HEADERS,
        size=50_000,
        body_hash="c0ffee" * 10,
        node="192.0.2.1:443",
    )


def _write(engine: Engine, run: str, at: datetime, verdicts: list[Verdict] | None = None) -> None:
    said = _ROUND if verdicts is None else verdicts
    write_round(engine, run_id=run, site="shop", job="inspect-site", started_at=at, ended_at=at, verdicts=said)


def _write_by_orm(engine: Engine, run: str, at: datetime, verdicts: list[Verdict]) -> None:
    """As it was before COPY: an object for each row, numbers as the database gives them."""
    exchanges = list(dict.fromkeys(one for verdict in verdicts for found in verdict.findings for one in found.evidence))
    named = {"run_id": run}
    with Session(engine) as session, session.begin():
        times = {"started_at": at, "ended_at": at}
        session.add(RunRow(id=run, site="shop", job="inspect-site", outcome="pass", counts={}, **times))
        session.flush()
        kept = [
            ExchangeRow(position=place, **named, **ledger_rows._exchange(one))  # noqa: SLF001 - what it is measured against
            for place, one in enumerate(exchanges)
        ]
        judged = [
            VerdictRow(position=place, **named, **ledger_rows._verdict(one))  # noqa: SLF001 - so is this
            for place, one in enumerate(verdicts)
        ]
        session.add_all([*kept, *judged])
        session.flush()
        found = [
            (one, FindingRow(verdict_id=row.id, position=place, **ledger_rows._finding(one)))  # noqa: SLF001 - and this
            for row, verdict in zip(judged, verdicts, strict=True)
            for place, one in enumerate(verdict.findings)
        ]
        session.add_all(row for _, row in found)
        session.flush()
        number = {exchange: row.id for exchange, row in zip(exchanges, kept, strict=True)}
        session.add_all(
            EvidenceLink(finding_id=row.id, exchange_id=number[one])
            for finding, row in found
            for one in finding.evidence
        )


_ROUND = _verdicts()
