"""The rounds before and after a release, as the ledger has them."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.ledger import has_happened, use_ledger
from roundsman.ledger.releases import read_releases
from roundsman.ledger.rounds import ROUND
from roundsman.ledger.tables_rounds import RunRow
from roundsman.ledger.tables_service import LatencyRow
from roundsman.report.rules.quantiles import quantile
from roundsman.report.rules.series import Series
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import Site
from roundsman.timing.rules.drift import ROUNDS
from roundsman.timing.rules.judge_before_after import RoundTimes, Timed


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
