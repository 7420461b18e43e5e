"""Releases compared, in the ledger: what it came to, and the rounds before and after one."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Engine, Select, delete, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.ledger import has_happened, use_ledger
from roundsman.ledger.releases import ROUND, read_releases
from roundsman.ledger.tables import ComparisonRow, LatencyRow, RunRow
from roundsman.ledger.transaction import writing_session
from roundsman.report.rules.quantiles import Ratio, Series, quantile
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import Site
from roundsman.timing.rules.drift import ROUNDS
from roundsman.timing.rules.judge_before_after import RoundTimes, Timed

JOB = "compare-release"


async def keep_ratios(run: str, ratios: Sequence[Ratio], margin: float, version: str = "") -> None:
    """Write a comparison's ratios beside its round, which is in the ledger already. Again it changes nothing."""
    await asyncio.to_thread(_keep, run, ratios, margin, version)


def last_ratios(session: Session, site: str) -> tuple[RunRow, list[Ratio], float, str] | None:
    """The last comparison of a site that came to any ratio: its round, the ratios, its margin, the release."""
    with_any = select(col(ComparisonRow.run_id))
    run = session.scalars(
        select(RunRow)
        .where(col(RunRow.site) == site, col(RunRow.job) == JOB, col(RunRow.id).in_(with_any))
        .order_by(col(RunRow.started_at).desc())
        .limit(1)
    ).first()
    if run is None:
        return None
    rows = session.scalars(select(ComparisonRow).filter_by(run_id=run.id).order_by(col(ComparisonRow.id))).all()
    ratios = [
        Ratio(row.path, row.cache_state, row.ratio, row.low or 0.0, row.high or math.inf, row.word) for row in rows
    ]
    return run, ratios, rows[0].margin, rows[0].version


def write_ratios(engine: Engine, run: str, ratios: Sequence[Ratio], margin: float, version: str = "") -> None:
    """As `keep_ratios`, in an open ledger."""
    with writing_session(engine) as session:
        session.execute(delete(ComparisonRow).where(col(ComparisonRow.run_id) == run))
        session.add_all(
            ComparisonRow(
                run_id=run,
                version=version,
                path=one.path,
                cache_state=one.state,
                ratio=one.ratio,
                low=one.low or None,
                high=one.high if math.isfinite(one.high) else None,
                word=str(one.word),
                margin=margin,
            )
            for one in ratios
        )


def _keep(run: str, ratios: Sequence[Ratio], margin: float, version: str) -> None:
    with use_ledger() as engine:
        write_ratios(engine, run, ratios, margin, version)


@dataclass(frozen=True, slots=True)
class Past:
    """The last rounds of a site, ascending, and its releases."""

    rounds: tuple[RoundTimes, ...]
    releases: tuple[Release, ...]


def read_rounds(session: Session, rounds: Select[tuple[str, datetime]]) -> tuple[RoundTimes, ...]:
    """The times of some rounds, in their order; those that timed nothing are left out."""
    found = session.execute(rounds).all()
    times: dict[str, dict[tuple[str, str], Timed]] = defaultdict(dict)
    for row in session.scalars(select(LatencyRow).where(col(LatencyRow.run_id).in_([run for run, _ in found]))):
        timed = Timed(row.p50_ms / 1000, row.p95_ms / 1000, row.hits, row.asked)
        times[row.run_id][row.path, row.cache_state] = timed
    return tuple(RoundTimes(at, times[run]) for run, at in found if run in times)


async def look_back(site: Site, taken: Sequence[Series]) -> Past:
    """The last rounds of a site, with what the one under way has taken as their newest; and its releases."""
    return await asyncio.to_thread(_look_back, site, taken)


def rounds_of(site: str) -> Select[tuple[str, datetime]]:
    """The rounds of a site; one that is dated ahead of now is none, as a clock was wrong."""
    ours = col(RunRow.site) == site, col(RunRow.job) == ROUND, has_happened(col(RunRow.started_at))
    return select(col(RunRow.id), col(RunRow.started_at)).where(*ours)


def past(session: Session, site: str, count: int) -> Past:
    """As many of the last rounds of a site as timed anything, ascending, and its releases."""
    last = rounds_of(site).order_by(col(RunRow.started_at).desc()).limit(count)
    return Past(read_rounds(session, last)[::-1], read_releases(session, site))


def _look_back(site: Site, taken: Sequence[Series]) -> Past:
    with use_ledger() as engine, Session(engine) as session:
        found = past(session, site.site, ROUNDS)
    now = {
        (one.path, one.state): Timed(quantile(one.times, 0.5), quantile(one.times, 0.95), one.hits, one.asked)
        for one in taken
    }
    return replace(found, rounds=(*found.rounds, RoundTimes(datetime.now(UTC), now)))
