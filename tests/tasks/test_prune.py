"""Pruning: what is old goes, what is needed stays, and being stopped anywhere changes nothing in the end."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from flows.rules.retention import FOR_EVER, RETENTION, table
from flows.rules.samples import DAY, FIVE_MINUTES, HOUR
from flows.tasks.batch.tables import ImportChunkRow, ImportJobRow, ImportRowErrorRow
from flows.tasks.ledger import open_ledger, write_round
from flows.tasks.ledger_tables import (
    EvidenceLink,
    ExchangeRow,
    FindingRow,
    LedgerTable,
    RehearsalRow,
    RunRow,
    VerdictRow,
)
from flows.tasks.prune import give_back, prune_all, would_prune
from flows.tasks.prune_samples import prune_samples
from flows.tasks.purge_queue_tables import PublishedChangeRow
from flows.tasks.rollup import roll_up
from flows.tasks.samples import history, record_samples
from flows.tasks.samples_tables import HistogramRow, SampleDueRow, SampleKeyRow, SampleRow
from flows.tasks.service_tables import AlertRow, HealthRow, JobEventRow, LatencyRow, OutboxRow, SlotRow, WatchRow
from flows.tasks.slots import BLIND
from flows.tasks.sweep_tables import SweepGroupRow, SweepPageRow, SweepRow, SweepShardRow
from tests.tasks.rounds import VERDICTS, a_round, python
from tests.tasks.test_samples import HIT, MISS, NOW, samples
from tests.tasks.weeks import add, event, judged, look, release, slot, walk, watch

OLD, ANCIENT = timedelta(days=100), timedelta(days=200)


def count(ledger, kind: type[LedgerTable]) -> int:
    with Session(ledger) as session:
        return session.scalar(select(func.count()).select_from(kind))


def left(ledger, column) -> list:
    with Session(ledger) as session:
        return sorted(session.scalars(select(column)))


def everything(ledger) -> dict[str, list]:
    """All rows of all tables."""
    with ledger.connect() as connection:
        return {
            name: sorted(map(str, connection.execute(select(one)).all()))
            for name, one in LedgerTable.metadata.tables.items()
        }


def alert(subject="/a", state="ok", at=NOW - OLD, **more) -> AlertRow:
    names = {"site": "shop", "check": "cache-headers", "rule": "articles", "owner": "web", "run_id": "gone"}
    return AlertRow(subject=subject, state=state, since=at, recent=[], **names | more)


def message(number=1, sent=NOW - OLD, **more) -> OutboxRow:
    names = {"dedup_key": "key", "kind": "firing", "channel": "slack/ops", "site": "shop", "subject": "", "body": ""}
    when = {"created_at": NOW - OLD, "due_at": NOW - OLD}
    return OutboxRow(number=number, sent_at=sent, **names | when | more)


def batch_job(number=1, status="succeeded", at=NOW - OLD) -> list[LedgerTable]:
    ms = int(at.timestamp() * 1000)
    ended = ms if status == "succeeded" else None
    names = {"kind": "import", "job_key": f"job-{number}", "source": "feed", "fingerprint": "", "params": ""}
    head = ImportJobRow(id=number, status=status, chunk_no=3, created_ms=ms, finished_ms=ended, **names)
    chunk = {"job_id": number, "position": 0, "rows": 1, "cursor": "", "digest": "", "quarantined": 0, "token": 1}
    return [head, *(ImportChunkRow(chunk_no=place, committed_ms=ms, **chunk) for place in (1, 2, 3))]


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
    found = history(ledger, "shop", "/a", cache_state="hit", since=NOW - timedelta(days=30), span=DAY)
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
    found = history(ledger, "shop", "/a", cache_state="hit", since=NOW - timedelta(days=20), span=HOUR)
    assert [50] == [one.samples for one in found]


@pytest.mark.parametrize(
    ("days", "kept"), [(29, {FIVE_MINUTES, HOUR, DAY}), (31, {HOUR, DAY}), (402, {DAY}), (1832, set())]
)
def test_each_roll_up_has_its_own_time(ledger, days, kept):
    record_samples(ledger, samples(begin=NOW - timedelta(days=days)))
    prune_all(ledger, NOW)
    assert kept == set(left(ledger, HistogramRow.span))


def test_old_exchanges_go_before_the_verdicts_they_were_evidence_for(ledger):
    write(ledger, "old", NOW - timedelta(days=40))
    write(ledger, "new", NOW)
    full = count(ledger, FindingRow)
    prune_all(ledger, NOW)
    assert ["new"] == sorted(set(left(ledger, ExchangeRow.run_id)))
    assert ({"old", "new"}, full) == (set(left(ledger, RunRow.id)), count(ledger, FindingRow))


def write(ledger, run, at, verdicts=VERDICTS) -> None:
    write_round(ledger, **a_round(run, verdicts) | {"started_at": at, "ended_at": at})


def test_a_round_goes_with_all_that_it_found(ledger):
    write(ledger, "old", NOW - OLD)
    write(ledger, "new", NOW)
    prune_all(ledger, NOW)
    alone = {kind: count(ledger, kind) for kind in (VerdictRow, FindingRow, ExchangeRow, EvidenceLink, LatencyRow)}
    assert ["new"] == left(ledger, RunRow.id)
    write(ledger, "third", NOW)
    assert {kind: 2 * many for kind, many in alone.items()} == {kind: count(ledger, kind) for kind in alone}


def test_the_last_round_of_each_rule_and_check_stays_with_its_evidence(ledger):
    of_its_own = tuple(replace(one, rule="members") for one in VERDICTS)
    write(ledger, "only-members", NOW - OLD, of_its_own)
    walk(ledger, NOW - ANCIENT, judged(), site="blog", run="of-another-site")
    walk(ledger, NOW - ANCIENT, judged(), run="superseded")
    walk(ledger, NOW, judged(), run="newest")
    kept = count(ledger, ExchangeRow)
    prune_all(ledger, NOW)
    assert ["newest", "of-another-site", "only-members"] == left(ledger, RunRow.id)
    assert kept == count(ledger, ExchangeRow) > 0


def test_a_round_that_an_open_alert_names_stays(ledger):
    for run in ("named", "named-by-a-closed-one", "newest"):
        walk(ledger, NOW - OLD if run != "newest" else NOW, judged(), run=run)
    add(ledger, alert(state="firing", run_id="named"), alert("/b", run_id="named-by-a-closed-one"))
    prune_all(ledger, NOW)
    assert ["named", "newest"] == left(ledger, RunRow.id)


def test_rounds_around_the_last_deployment_stay_however_long_ago_it_was(ledger):
    add(ledger, release("1", NOW - 2 * ANCIENT), release("2", NOW - OLD), look(NOW - OLD - timedelta(minutes=5)))
    for day in range(30):
        walk(ledger, NOW - OLD - timedelta(days=day + 1), judged(), run=f"before-{day:02}")
        walk(ledger, NOW - OLD + timedelta(days=day / 9, hours=1), judged(), run=f"after-{day:02}")
    walk(ledger, NOW, judged(), run="newest")
    prune_all(ledger, NOW)
    near = [f"{side}-{day:02}" for side in ("after", "before") for day in range(10)]
    assert [*near, "newest"] == left(ledger, RunRow.id)
    assert 1 == count(ledger, HealthRow)


def test_alerts_that_are_open_or_spoken_of_stay(ledger):
    walk(ledger, NOW, judged(), run="recent")
    open_ones = [alert(f"/{state}", state) for state in ("pending", "firing", "recovering")]
    add(
        ledger,
        *open_ones,
        alert("/ok"),
        alert("/resolved", "resolved"),
        alert("/young", at=NOW),
        alert("/spoken", run_id="recent"),
        alert("/unsent", "resolved", dedup_key="unsent"),
        message(sent=None, dedup_key="unsent"),
    )
    prune_all(ledger, NOW)
    assert ["/firing", "/pending", "/recovering", "/spoken", "/unsent", "/young"] == left(ledger, AlertRow.subject)


def test_messages_that_are_unsent_dead_or_of_an_open_alert_stay(ledger):
    add(
        ledger,
        message(1),
        message(2, sent=NOW),
        message(3, sent=None),
        message(4, sent=None, dead_at=NOW - ANCIENT),
        message(5, dedup_key="open"),
        alert(state="firing", dedup_key="open"),
    )
    add(ledger, message(6, id=60), message(7, sent=None, told_with=60))
    prune_all(ledger, NOW)
    assert [2, 3, 4, 5, 6, 7] == left(ledger, OutboxRow.number)


def test_slots_that_are_not_settled_stay_and_the_last_two_of_each_deployment(ledger):
    at = NOW - OLD
    hours = [at + timedelta(hours=hour) for hour in range(6)]
    add(ledger, *(slot(one) for one in hours), *(slot(one, deployment="retired") for one in hours[:3]))
    add(ledger, slot(at - timedelta(days=1), "waiting"), slot(at - timedelta(days=2), "started"))
    add(ledger, slot(at - timedelta(days=3), "overrun", ended_at=None))
    prune_all(ledger, NOW)
    assert sorted([*(hours[4:]), *hours[1:3], *(at - timedelta(days=day) for day in (1, 2, 3))]) == left(
        ledger, SlotRow.slot_at
    )


def test_passes_of_the_watch_stay_since_the_last_one_that_could_look(ledger):
    at = NOW - OLD
    add(ledger, *(watch(at + timedelta(minutes=minute)) for minute in range(3)))
    add(ledger, *(watch(at + timedelta(minutes=minute), f"{BLIND}no server") for minute in range(3, 6)))
    prune_all(ledger, NOW)
    assert [at + timedelta(minutes=minute) for minute in (2, 3, 4, 5)] == left(ledger, WatchRow.at)


def test_looks_and_runs_that_broke_down_go_when_they_are_old(ledger):
    add(ledger, look(NOW - OLD), look(NOW), event(NOW - OLD), event(NOW))
    prune_all(ledger, NOW)
    assert ([NOW], [NOW]) == (left(ledger, HealthRow.at), left(ledger, JobEventRow.at))


def test_chunks_stay_while_their_job_may_go_on_and_its_last_always(ledger):
    jobs = [batch_job(1), batch_job(2, "running"), batch_job(3, at=NOW), batch_job(4, "failed")]
    add(ledger, *(rows[0] for rows in jobs))
    add(ledger, *(chunk for rows in jobs for chunk in rows[1:]))
    prune_all(ledger, NOW)
    with Session(ledger) as session:
        found = session.execute(select(ImportChunkRow.job_id, ImportChunkRow.chunk_no)).tuples().all()
    assert [(1, 3), *((job, chunk) for job in (2, 3, 4) for chunk in (1, 2, 3))] == sorted(found)
    assert 4 == count(ledger, ImportJobRow)


def test_open_quarantine_and_rehearsals_stay(ledger):
    old = int((NOW - OLD).timestamp() * 1000)
    add(ledger, batch_job()[0])
    row = {"job_id": 1, "payload": "", "complete": True, "error_class": "", "error": "", "failed_ms": old}
    add(ledger, ImportRowErrorRow(position=1, **row), ImportRowErrorRow(position=2, resolved_ms=old, **row))
    proof = {"command_hash": "", "environment": "", "ok": True, "seconds": 1.0, "from_version": "", "to_version": ""}
    add(ledger, RehearsalRow(site="shop", rule="articles", finished_at=NOW - 9 * ANCIENT, **proof))
    prune_all(ledger, NOW)
    assert ([1], 1) == (left(ledger, ImportRowErrorRow.position), count(ledger, RehearsalRow))


def test_changes_that_are_not_done_with_stay(ledger):
    old = int((NOW - OLD).timestamp() * 1000)
    states = ["waiting", "claimed", "done", "quarantined", "dismissed"]
    add(ledger, *(PublishedChangeRow(site="shop", item=one, state=one, created_ms=old, ended_ms=old) for one in states))
    prune_all(ledger, NOW)
    assert ["claimed", "quarantined", "waiting"] == left(ledger, PublishedChangeRow.item)


def test_the_last_two_sweeps_that_ended_stay_with_their_pages(ledger):
    page = {"position": 0, "status": 200, "outcome": 0, "state": "hit", "first_byte": 1, "size": 1}
    for number in range(1, 6):
        at = NOW - ANCIENT + timedelta(days=number)
        ended = None if number == 1 else at
        names = {"site": "shop", "edition": str(number), "status": "done" if ended else "sweeping"}
        add(ledger, SweepRow(id=number, started_at=at, ended_at=ended, **names))
        add(ledger, SweepShardRow(sweep_id=number, number=0, pages=1, paths=b"", digest=""))
        add(ledger, SweepPageRow(sweep_id=number, shard=0, **page), SweepGroupRow(sweep_id=number, shard=0, told={}))
    prune_all(ledger, NOW)
    columns = SweepRow.id, SweepShardRow.sweep_id, SweepPageRow.sweep_id, SweepGroupRow.sweep_id
    assert [[1, 4, 5]] * 4 == [left(ledger, column) for column in columns]


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
    add(ledger, *(look(NOW - OLD + timedelta(hours=hour)) for hour in range(5)), event(NOW - OLD), watch(NOW))


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
from flows.tasks import prune_rows, prune_samples
from flows.tasks.ledger import open_ledger
from flows.tasks.prune import prune_all
prune_samples.BATCH = 50
engine = open_ledger(sys.argv[1])

@event.listens_for(engine, "after_cursor_execute")
def die(*args):
    if args[2].startswith(f"DELETE FROM {sys.argv[2]} "):
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
        assert -9 == worker.wait(60)
    prune_all(ledger, NOW)
    wanted = everything(whole)
    whole.dispose()
    assert {name: len(rows) for name, rows in wanted.items()} == {
        name: len(rows) for name, rows in everything(ledger).items()
    }


BESIDE = """
import sys
from datetime import datetime
from flows.tasks import prune_rows, prune_samples
from flows.tasks.ledger import open_ledger
from flows.tasks.prune import prune_all
prune_samples.BATCH = 7
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
        worker.communicate(timeout=60)
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
