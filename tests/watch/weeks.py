"""A week of a site in a ledger: looks, rounds with response times, slots, and a deployment."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from roundsman.ledger.base import LedgerTable
from roundsman.ledger.ledger import write_round
from roundsman.ledger.tables import HealthRow, JobEventRow, ReleaseRow, SlotRow, WatchRow
from roundsman.report.rules.quantiles import Series
from roundsman.report.rules.verdict import Finding, Outcome, Verdict

NOW = datetime(2026, 3, 8, 12, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def add(engine: Engine, *rows: LedgerTable) -> None:
    with Session(engine.execution_options(writes=True)) as session, session.begin():
        session.add_all(rows)


def look(at=NOW, *, up=True, site="shop", **more) -> HealthRow:
    return HealthRow(site=site, at=at, up=up, **{"status": 200 if up else 503, "first_byte_ms": 12.0} | more)


def slot(at=NOW, state="finished", site="shop", **more) -> SlotRow:
    times = {"slot_at": at, "since": at, "started_at": at, "ended_at": at + MINUTE}
    graces = {"start_grace_s": 120, "max_runtime_s": 900, "min_runtime_s": 1}
    return SlotRow(
        **{
            "deployment": f"inspect-{site}",
            "site": site,
            "state": state,
            "flow_run_id": f"slot-{at.isoformat()}",
            **graces,
            **times,
            **more,
        }
    )


def event(at=NOW, kind="crashed", site="shop", **more) -> JobEventRow:
    names = {"flow_run_id": f"run-{at.isoformat()}", "deployment": f"inspect-{site}", "job": "inspect-site"}
    return JobEventRow(site=site, kind=kind, at=at, **{"message": "it ran out of memory", **names, **more})


def release(version, at, site="shop") -> ReleaseRow:
    return ReleaseRow(site=site, version=version, seen_at=at)


def watch(at=NOW, detail="nothing wrong") -> WatchRow:
    return WatchRow(at=at, seconds=0.4, ok=True, detail=detail)


def timed(
    outcome=Outcome.PASS, p95=0.04, path="/a", claim="response-time/hit-p95", saw="p95 40ms (38ms to 44ms)"
) -> Verdict:
    finding = Finding(claim, "It is within its budget.", outcome, saw, "at most 50ms")
    series = Series(path, "hit", (0.01, p95 / 2, p95))
    return Verdict("response-time", path, "articles", "web", "It is quick.", "make back", (finding,), (series,))


def judged(outcome=Outcome.PASS, subject="/a", claim="cache-headers/storable") -> Verdict:
    finding = Finding(claim, "It is stored.", outcome, "private", "neither private nor no-store")
    return Verdict("cache-headers", subject, "articles", "web", "A copy.", "make back", (finding,))


def walk(engine: Engine, at: datetime, *verdicts: Verdict, site="shop", run="") -> None:
    """A round that began then."""
    run = run or f"{site}-{at.isoformat()}"
    told = verdicts or (judged(), timed())
    when = {"started_at": at, "ended_at": at + MINUTE}
    write_round(engine, run_id=run, site=site, job="inspect-site", verdicts=told, flow_run_id=f"flow-{run}", **when)


def week(engine: Engine, site="shop", now=NOW, *, bad=False) -> None:
    """Seven days: a look every ten minutes, a round every three hours, a deployment yesterday. `bad`: it was no good one."""
    deployed = now - 20 * HOUR
    rows = [look(now - n * 10 * MINUTE, up=not (bad and n in {0, 1, 300}), site=site) for n in range(7 * 144)]
    rows += [slot(now - n * HOUR, "failed" if bad and n in {0, 3} else "finished", site) for n in range(7 * 24)]
    add(engine, *rows, watch(now), release("4f2a9c1", now - 6 * 24 * HOUR, site), release("77be210", deployed, site))
    for n in reversed(range(0, 7 * 24, 3)):
        at = now - n * HOUR - 20 * MINUTE
        worse = Outcome.FAIL if bad and at > deployed else Outcome.PASS
        slow = 0.04 + 0.02 * (n % 24 in {9, 12}) + 0.05 * (worse is Outcome.FAIL)
        walk(engine, at, judged(worse), timed(worse, slow), timed(p95=slow / 3, path="/b"), site=site)
