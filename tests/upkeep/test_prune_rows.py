"""Pruning, table by table: what is old goes, and what something still needs stays."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from roundsman.ledger.tables import (
    AlertRow,
    EvidenceLink,
    ExchangeRow,
    FindingRow,
    HealthRow,
    ImportChunkRow,
    ImportJobRow,
    ImportRowErrorRow,
    IncidentRow,
    JobEventRow,
    LatencyRow,
    OutboxRow,
    PublishedChangeRow,
    RehearsalRow,
    RunRow,
    SlotRow,
    SweepGroupRow,
    SweepPageRow,
    SweepRow,
    SweepShardRow,
    VerdictRow,
    WatchRow,
)
from roundsman.upkeep.prune import prune_all
from roundsman.watch.slots import BLIND
from tests.ledger.rounds import VERDICTS
from tests.timing.test_samples import NOW
from tests.upkeep.aging import ANCIENT, OLD, alert, batch_job, count, left, message, write
from tests.watch.weeks import add, event, judged, look, release, slot, walk, watch


def test_old_exchanges_go_before_the_verdicts_they_were_evidence_for(ledger):
    write(ledger, "old", NOW - timedelta(days=40))
    write(ledger, "new", NOW)
    full = count(ledger, FindingRow)
    prune_all(ledger, NOW)
    assert ["new"] == sorted(set(left(ledger, ExchangeRow.run_id)))
    assert ({"old", "new"}, full) == (set(left(ledger, RunRow.id)), count(ledger, FindingRow))


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


def test_incidents_that_are_open_or_have_a_message_unsent_stay(ledger):
    add(
        ledger,
        incident("open"),
        incident("over", NOW - OLD),
        incident("young", NOW),
        incident("unsent", NOW - OLD),
        message(1, sent=None, dedup_key="unsent"),
        message(2, dedup_key="open"),
        message(3, dedup_key="over"),
    )
    prune_all(ledger, NOW)
    assert ["open", "unsent", "young"] == left(ledger, IncidentRow.key)
    assert [1, 2] == left(ledger, OutboxRow.number)


def incident(key, resolved_at=None) -> IncidentRow:
    names = {"site": "shop", "check": "cache-headers", "subject": "/a", "level": "error", "headline": "", "body": ""}
    return IncidentRow(key=key, **names, as_of=NOW - OLD, opened_at=NOW - OLD, resolved_at=resolved_at)


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
