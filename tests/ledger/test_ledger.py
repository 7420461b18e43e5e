"""The ledger keeps a round whole or not at all, once, and without anything that belongs to a person."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import Connection, Engine, Table, delete, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from flows.tasks.ledger import record
from flows.tasks.rollback import find_rehearsals
from roundsman.ledger import transaction
from roundsman.ledger.ledger import command_hash, last_rehearsal, write_round
from roundsman.ledger.tables import EvidenceLink, ExchangeRow, FindingRow, RehearsalRow, RunRow, VerdictRow
from roundsman.ledger.transaction import insert_many
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.report.rules.rehearsed import Rehearsal
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.site import Site
from tests import postgres
from tests.ledger.rounds import EMPTY, END, FULL, MISS, START, VERDICTS, a_round, counted, finding, python, verdict


def test_a_round_is_kept_with_all_that_was_seen(ledger):
    write_round(ledger, **a_round(), flow_run_id="flow-run")
    assert counted(ledger) == FULL
    with Session(ledger) as session:
        run = session.scalars(select(RunRow)).one()
        verdicts = session.scalars(select(VerdictRow).order_by(VerdictRow.position)).all()
        findings = session.scalars(select(FindingRow).order_by(FindingRow.verdict_id, FindingRow.position)).all()
        miss, refused = session.scalars(select(ExchangeRow).order_by(ExchangeRow.position)).all()
        links = {(link.finding_id, link.exchange_id) for link in session.scalars(select(EvidenceLink))}
    assert (run.id, run.site, run.job, run.flow_run_id) == ("run-1", "shop", "inspect-site", "flow-run")
    assert (run.started_at, run.ended_at, run.outcome) == (START, END, "fail")
    assert run.counts == {"pass": 0, "warn": 1, "unknown": 0, "fail": 1, "findings": 3, "exchanges": 2}
    assert [(row.run_id, row.subject, row.outcome) for row in verdicts] == [
        ("run-1", "/articles/tomatoes", "warn"),
        ("run-1", "/", "fail"),
    ]
    assert (verdicts[0].check, verdicts[0].rule, verdicts[0].owner) == ("cache-headers", "articles", "web-platform")
    assert (verdicts[0].expected_result, verdicts[0].rollback) == ("A copy.", "make cdn-rollback")
    assert [(row.verdict_id, row.outcome) for row in findings] == [
        (verdicts[0].id, "pass"),
        (verdicts[0].id, "warn"),
        (verdicts[1].id, "fail"),
    ]
    assert (findings[0].claim, findings[0].saw, findings[0].wanted) == ("cache-headers/stored", "an hour", "a day")
    assert (miss.run_id, miss.url, miss.method, miss.status) == ("run-1", MISS.url, "GET", 200)
    assert miss.at == START + timedelta(seconds=0.25)
    assert (miss.first_byte_ms, miss.node, miss.body_hash, miss.size) == (12.5, "192.0.2.1:443", "c0ffee", MISS.size)
    assert miss.headers == [["Cache-Status", "edge; fwd=miss"], ["Age", "0"]]
    assert (refused.status, refused.error, refused.detail) == (0, "refused", "nobody listens")
    first, second, _ = findings
    assert links == {(first.id, miss.id), (second.id, miss.id), (second.id, refused.id)}


def test_the_same_round_again_changes_nothing(ledger):
    write_round(ledger, **a_round())
    write_round(ledger, **a_round() | {"site": "another", "verdicts": VERDICTS[:1]})
    assert counted(ledger) == FULL
    with Session(ledger) as session:
        assert session.scalars(select(RunRow.site)).all() == ["shop"]


def test_two_writers_of_one_round_at_once_write_it_once(ledger):
    at_once(2, lambda _: write_round(ledger, **a_round()))
    assert counted(ledger) == FULL


def test_rounds_written_at_once_are_all_kept(ledger):
    def write(writer: int) -> None:
        for number in range(10):
            write_round(ledger, **a_round(f"{writer}-{number}"))

    at_once(2, write)
    assert counted(ledger) == {name: 20 * number for name, number in FULL.items()}


def at_once(number: int, work) -> None:
    """Run some work in threads that start together; a failure in one of them is the test's."""
    start, failures = threading.Barrier(number, timeout=120), []

    def worker(place: int) -> None:
        try:
            start.wait()
            work(place)
        except Exception as failure:  # noqa: BLE001 - it is raised below
            failures.append(failure)

    threads = [threading.Thread(target=worker, args=[place]) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        raise failures[0]


@pytest.mark.parametrize("table", ["verdict", "finding", "exchange", "evidence"])
def test_a_failure_in_the_middle_leaves_nothing_half_done(ledger, table):
    def fail() -> None:
        raise ConnectionResetError("the cable was pulled")

    with in_the_middle_of(table, fail), pytest.raises(ConnectionResetError):
        write_round(ledger, **a_round())
    assert counted(ledger) == EMPTY
    write_round(ledger, **a_round())
    assert counted(ledger) == FULL


@contextmanager
def in_the_middle_of(table: str, do: Callable[[], object]) -> Iterator[None]:
    """Do something when some of a round's rows are on their way to a table, and others are not."""

    def half(connection: Connection, into: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        def some() -> Iterator[Sequence[Any]]:
            for place, row in enumerate(rows):
                if place == 1 and into.name == table:
                    do()
                yield row

        insert_many(connection, into, columns, some())

    with mock.patch.object(transaction, "insert_many", half):
        yield


WRITE_HALF = """
import sys
from roundsman.ledger.ledger import open_ledger, write_round
from tests.ledger.rounds import a_round
from tests.ledger.test_ledger import in_the_middle_of

def stop_here():
    print("half", flush=True)
    sys.stdin.read()

engine = open_ledger(sys.argv[1])
with in_the_middle_of("evidence", stop_here):
    write_round(engine, **a_round())
"""


@pytest.mark.slow
def test_a_writer_killed_in_the_middle_leaves_nothing_half_done(ledger, url):
    with python(WRITE_HALF, url) as writer:
        assert writer.stdout.readline() == b"half\n"
        writer.kill()
    assert writer.returncode == -signal.SIGKILL
    assert counted(ledger) == EMPTY
    write_round(ledger, **a_round())
    assert counted(ledger) == FULL


def test_nothing_of_a_person_is_kept(ledger, url):
    """A cookie, a token and a body do not come into the database's files; a cookie's hash does."""
    secret = "7c1e-nobody-may-read-this"
    private = Exchange(
        Probe(MISS.url, headers=(("Cookie", f"session={secret}"), ("Authorization", f"Bearer {secret}"))),
        due=0.0,
        started=START.timestamp(),
        status=200,
        headers=(
            ("Set-Cookie", f"session={secret}; HttpOnly"),
            ("Authorization", f"Bearer {secret}"),
            ("X-Member", secret),
            ("ETag", "kept-for-all-to-see"),
        ),
        body=f"<p>{secret}</p>".encode(),
        body_hash="hash-of-the-body",
    )
    write_round(ledger, **a_round(verdicts=[verdict(finding(Outcome.FAIL, private))]))
    stored = everything_in(ledger, url)
    for known in (b"kept-for-all-to-see", b"hash-of-the-body", b"session=sha256:"):
        assert known in stored
    assert secret.encode() not in stored


def everything_in(engine: Engine, url: str) -> bytes:
    """All bytes of a database, as they lie on the disk or as a backup has them."""
    if engine.dialect.name == "sqlite":
        files = [*Path(engine.url.database).parent.iterdir()]
        assert len(files) > 1, "its write-ahead log is to be read too"
        return b"".join(file.read_bytes() for file in files)
    return subprocess.run([postgres.program("pg_dump"), url], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("saw", "kept"),
    [
        ("a\0b", r"a\x00b"),
        ("half of a \ud83d", r"half of a \ud83d"),
        ("ünï\U0001f345", "ünï\U0001f345"),
        ("a'b\"c\\d%s:e", "a'b\"c\\d%s:e"),
    ],
)
def test_what_a_server_says_is_kept_whatever_it_is(ledger, saw, kept):
    odd = replace(MISS, headers=(("Server", saw),), detail=saw)
    write_round(ledger, **a_round(verdicts=[verdict(finding(Outcome.FAIL, odd, saw=saw))]))
    with Session(ledger) as session:
        assert session.scalars(select(FindingRow.saw)).one() == kept
        exchange = session.scalars(select(ExchangeRow)).one()
    assert (exchange.detail, exchange.headers) == (kept, [["Server", kept]])


def test_a_round_without_a_verdict_is_no_pass(ledger):
    write_round(ledger, **a_round(verdicts=[]))
    with Session(ledger) as session:
        assert session.scalars(select(RunRow.outcome)).one() == "unknown"


def test_times_come_out_in_utc_whatever_zone_they_went_in_with(ledger):
    elsewhere = START.astimezone(timezone(timedelta(hours=5, minutes=30)))
    write_round(ledger, **a_round() | {"started_at": elsewhere})
    with Session(ledger) as session:
        started = session.scalars(select(RunRow.started_at)).one()
    assert (started, started.tzinfo) == (START, UTC)


def test_a_time_without_a_zone_is_refused(ledger):
    with pytest.raises(StatementError, match="without a zone"):
        write_round(ledger, **a_round() | {"started_at": START.replace(tzinfo=None)})
    assert counted(ledger) == EMPTY


def test_a_run_goes_with_all_that_hangs_on_it(ledger):
    write_round(ledger, **a_round())
    write_round(ledger, **a_round("run-2"))
    with Session(ledger) as session, session.begin():
        session.execute(delete(RunRow).filter_by(id="run-2"))
    assert counted(ledger) == FULL


def rehearsed(command: Sequence[str], day: int, rule: str = "articles", *, ok: bool = True) -> RehearsalRow:
    return RehearsalRow(
        site="shop",
        rule=rule,
        command_hash=command_hash(command),
        environment="staging",
        ok=ok,
        seconds=47.5,
        from_version="1.8.2",
        to_version="1.8.1",
        finished_at=datetime(2026, 3, day, tzinfo=UTC),
    )


def keep(engine: Engine, *rows: RehearsalRow) -> None:
    with Session(engine) as session, session.begin():
        session.add_all(rows)


def test_the_last_rehearsal_of_a_command_is_found(ledger):
    keep(ledger, rehearsed(["make", "back"], 3, ok=False), rehearsed(["make", "back"], 2), rehearsed(["old"], 4))
    found = last_rehearsal(ledger, "shop", "articles", ["make", "back"])
    assert (found.ok, found.seconds, found.finished_at) == (False, 47.5, datetime(2026, 3, 3, tzinfo=UTC))


def test_a_rule_that_goes_back_by_the_sites_own_rollback_was_rehearsed_with_the_release(ledger):
    keep(ledger, rehearsed(["make", "back"], 2, rule="release"), rehearsed(["make", "articles"], 3))
    assert "release" == last_rehearsal(ledger, "shop", "articles", ["make", "back"]).rule
    assert last_rehearsal(ledger, "shop", "release", ["make", "articles"]) is None


@pytest.mark.parametrize(
    ("site", "rule", "command"),
    [("other", "articles", ["make", "back"]), ("shop", "other", ["make", "back"]), ("shop", "articles", ["make back"])],
)
def test_a_rehearsal_of_something_else_does_not_count(ledger, site, rule, command):
    keep(ledger, rehearsed(["make", "back"], 2))
    assert last_rehearsal(ledger, site, rule, command) is None


@pytest.fixture
def at_url(monkeypatch, url):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)


async def test_a_report_is_recorded_once_however_often_it_is_tried(at_url, ledger):
    report = Report("run-1", "shop", START, END, VERDICTS)
    await record.fn(report)
    await record.fn(report)
    assert counted(ledger) == FULL
    assert record.retries == 3


async def test_rehearsals_are_found_for_each_rule_and_for_the_release(at_url, ledger):
    rule = {
        "paths": ["/**"],
        "cache": {"by": "everyone"},
        "examples": {"cached": ["/"]},
        "expected_result": "A copy.",
        "rollback": {"note": "kept for 30 days", "command": ["make", "back"]},
    }
    site = Site.model_validate(
        {
            "site": "shop",
            "base_url": "https://www.example.com",
            "owner": "web",
            "rules": [{"name": "articles", **rule}, {"name": "pages", **rule}],
            "release": {"rollback": ["make", "rollback"]},
        }
    )
    keep(ledger, rehearsed(["make", "back"], 2), rehearsed(["make", "rollback"], 3, rule="release", ok=False))
    assert await find_rehearsals.fn(site) == {
        "articles": Rehearsal(True, 47.5, "1.8.2", "1.8.1", datetime(2026, 3, 2, tzinfo=UTC)),  # noqa: FBT003 - a row
        "pages": None,
        "release": Rehearsal(False, 47.5, "1.8.2", "1.8.1", datetime(2026, 3, 3, tzinfo=UTC)),  # noqa: FBT003 - a row
    }
