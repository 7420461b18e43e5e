"""The rounds before and after a release, as the ledger has them."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from flows.rules.before_after import MOST, Timed, Walk
from flows.rules.drift import ROUNDS
from flows.rules.notice import Release
from flows.rules.order_statistics import quantile
from flows.rules.releases import deployments
from flows.rules.series import Series
from flows.rules.site import Site
from flows.rules.status_change import compare
from flows.rules.status_facts import Facts
from flows.rules.verdict import Outcome
from flows.tasks.ledger import has_happened, open_ledger
from flows.tasks.ledger_tables import RunRow
from flows.tasks.releases import read_releases
from flows.tasks.service_tables import LatencyRow
from flows.tasks.status_facts import ROUND, last_look_before, read_facts


@dataclass(frozen=True, slots=True)
class Around:
    """A release, and the rounds of its site before and after it; `why` says why there are none."""

    release: Release | None = None
    before: tuple[Walk, ...] = ()
    after: tuple[Walk, ...] = ()
    claims: tuple[Outcome, str] | None = None
    """What became of everything else that rounds claim; None when it is not the last release."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """The last rounds of a site, ascending, and its releases."""

    rounds: tuple[Walk, ...]
    releases: tuple[Release, ...]


@task(task_run_name="find what is known of {site.site}", retries=2, cache_policy=NO_CACHE, persist_result=False)
async def find_around(site: Site, version: str) -> Around:
    """The rounds around a release, the last one when `version` is empty."""
    return await asyncio.to_thread(_find, site, version)


def around(session: Session, site: Site, version: str, now: datetime) -> Around:
    """As `find_around`, in an open ledger."""
    made = deployments(read_releases(session, site.site))
    place = next((at for at in reversed(range(len(made))) if version in {"", made[at].version}), None)
    if place is None:
        known = ", ".join(one.version for one in made[-5:]) or "none"
        return Around(why=f"no release {version} is known (known: {known})" if version else "no release is known yet")
    release = made[place]
    last = place == len(made) - 1
    until = [] if last else [RunRow.started_at < made[place + 1].seen_at]
    # What ran between two looks at the version page nobody knows.
    old_until = last_look_before(session, site.site, release.seen_at) or release.seen_at
    rounds = _rounds(site.site).limit(MOST)
    before = rounds.where(RunRow.ended_at <= old_until).order_by(RunRow.started_at.desc())
    after = rounds.where(RunRow.started_at >= release.seen_at, *until).order_by(RunRow.started_at)
    claims = _claims(release, read_facts(session, site, now)) if last else None
    return Around(release, walks(session, before)[::-1], walks(session, after), claims)


def walks(session: Session, rounds: object) -> tuple[Walk, ...]:
    """The times of some rounds, in their order; those that timed nothing are left out."""
    found = session.execute(rounds).all()  # type: ignore[call-overload]
    times: dict[str, dict[tuple[str, str], Timed]] = defaultdict(dict)
    for row in session.scalars(select(LatencyRow).where(LatencyRow.run_id.in_([run for run, _ in found]))):
        timed = Timed(row.p50_ms / 1000, row.p95_ms / 1000, row.hits, row.asked)
        times[row.run_id][row.path, row.cache_state] = timed
    return tuple(Walk(at, times[run]) for run, at in found if run in times)


def _claims(release: Release, facts: Facts) -> tuple[Outcome, str] | None:
    if facts.before is None or facts.after is None:
        return Outcome.UNKNOWN, "there is no whole round on both sides of it"
    outcome, says, details = compare(release.version, facts.before, facts.after)
    return outcome, "; ".join([says.rstrip("."), *(one for one in details if not one.endswith("not compared"))])


def _find(site: Site, version: str) -> Around:
    engine = open_ledger()
    try:
        with Session(engine) as session:
            return around(session, site, version, datetime.now(UTC))
    finally:
        engine.dispose()


@task(task_run_name="look back at {site.site}", retries=2, cache_policy=NO_CACHE, persist_result=False)
async def look_back(site: Site, taken: Sequence[Series]) -> Past:
    """The last rounds of a site, with what the one under way has taken as their newest; and its releases."""
    return await asyncio.to_thread(_look_back, site, taken)


def _rounds(site: str) -> Select[tuple[str, datetime]]:
    """The rounds of a site; one that is dated ahead of now is none, as a clock was wrong."""
    ours = RunRow.site == site, RunRow.job == ROUND, has_happened(RunRow.started_at)
    return select(RunRow.id, RunRow.started_at).where(*ours)


def past(session: Session, site: str, count: int) -> Past:
    """As many of the last rounds of a site as timed anything, ascending, and its releases."""
    last = _rounds(site).order_by(RunRow.started_at.desc()).limit(count)
    return Past(walks(session, last)[::-1], read_releases(session, site))


def _look_back(site: Site, taken: Sequence[Series]) -> Past:
    engine = open_ledger()
    try:
        with Session(engine) as session:
            found = past(session, site.site, ROUNDS)
    finally:
        engine.dispose()
    now = {
        (one.path, one.state): Timed(*(quantile(one.times, share) for share in (0.5, 0.95)), one.hits, one.asked)
        for one in taken
    }
    return replace(found, rounds=(*found.rounds, Walk(datetime.now(UTC), now)))
