"""What the ledger knows of a site, also around a release, in bounded queries. To be called in a thread of its own."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import TypeVar
from zoneinfo import ZoneInfo

from croniter import croniter
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.database.database_file import all_databases, check_database
from roundsman.database.rules.promise import Database, as_site
from roundsman.ledger.ledger import command_hash, file_size, has_happened, known, use_ledger
from roundsman.ledger.releases import REVIEW, ROUND, last_look_before, read_releases, rounds_around
from roundsman.ledger.rules.releases import deployments
from roundsman.ledger.tables import (
    FindingRow,
    HealthRow,
    JobEventRow,
    LatencyRow,
    RehearsalRow,
    RunRow,
    SlotRow,
    VerdictRow,
    WatchRow,
)
from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.rehearsed import Rehearsal
from roundsman.report.rules.text import scrubbed
from roundsman.report.rules.verdict import Outcome
from roundsman.rollback.store import last_rehearsal_of, of_other, rollback_faults_of
from roundsman.site.rules.promises import AlertPolicy, cron
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import RELEASE, Site
from roundsman.site.rules.site_file import SiteFileError
from roundsman.site.site_file import zone
from roundsman.status.rules.answers import reviewed, timing, unreviewed
from roundsman.status.rules.change import compare
from roundsman.status.rules.facts import (
    DAYS,
    Facts,
    HealthLook,
    JobFacts,
    Latency,
    Mark,
    PromisedRun,
    RecentLatency,
    RecordedFinding,
    RecordedTrouble,
    Round,
    SiteStatus,
    Unscheduled,
)
from roundsman.status.rules.standing import Promises
from roundsman.status.standing import read_promises, read_review
from roundsman.timing.comparisons import last_ratios, read_rounds, rounds_of
from roundsman.timing.rules.judge import CHECK as TIMED
from roundsman.timing.rules.judge import UP as SAYS_UP
from roundsman.timing.rules.judge_before_after import MAX_ROUNDS, RoundTimes
from roundsman.timing.rules.slowness import Memory, state_of
from roundsman.timing.samples import times_of
from roundsman.watch.slots import BLIND

#: Rows of one kind, at most: a look every five minutes makes 2016 a week.
MAX_ROWS = 5000
#: Seconds after which a round of a site without a schedule is too old to speak for now.
UNSCHEDULED_SECONDS = 2 * 86400.0
#: And a review of a database without one.
UNREVIEWED_SECONDS = 30 * 86400.0

Found = TypeVar("Found")


def read_facts(session: Session, site: Site, now: datetime, ui: str = "") -> Facts:
    """Everything that is known of a site at a time. `ui`: where Prefect's pages are."""
    week = now - timedelta(days=DAYS)
    runs = _runs(session, site.site, week)
    times = _times(session, site.site, week)
    releases = read_releases(session, site.site)
    timed = next((run for run in runs if run.id in times), None)
    before, after = (_whole(session, rounds) for rounds in rounds_around(session, site.site, releases))
    rounds = _rounds(session, site, [run for run in (timed, before, after) if run])
    return Facts(
        site,
        now,
        ahead=_ahead(session, site.site),
        promises=read_promises(session, site, now, partial(stale_at, site)),
        looks=_looks(session, site.site, week),
        rounds=tuple(Mark(run.started_at, Outcome(run.outcome)) for run in reversed(runs)),
        timed=rounds.get(timed.id) if timed else None,
        times=tuple(times[run.id] for run in reversed(runs) if run.id in times),
        lately=_lately(session, site.site, now),
        compared=_compared(session, site.site, releases),
        memory=_memory(session, site, [run.id for run in runs if run.id in times]),
        jobs=read_jobs(session, site.site, now),
        releases=releases,
        before=rounds.get(before.id) if before else None,
        after=rounds.get(after.id) if after else None,
        rehearsals=read_rehearsals(session, site),
        rollback_faults=rollback_faults_of(session, site.site),
        flow_run=(runs[0].flow_run_id or "") if runs else "",
        ui=ui,
    )


async def find_facts(site: Site, ui: str = "") -> Facts:
    """Everything that the ledger knows of a site now."""
    now = datetime.now(UTC)
    return await asyncio.to_thread(_in_ledger, lambda session: read_facts(session, site, now, ui))


async def find_shared_jobs() -> JobFacts:
    """What became of the runs of jobs that are no single site's."""
    now = datetime.now(UTC)
    return await asyncio.to_thread(_in_ledger, lambda session: read_jobs(session, "", now))


async def find_reviews(ui: str = "") -> list[SiteStatus]:
    """The status of each database of deployments/databases/."""
    now = datetime.now(UTC)
    reviews = await asyncio.to_thread(_in_ledger, lambda session: read_reviews(session, now, ui))
    return [status for status, _ in reviews]


def read_reviews(session: Session, now: datetime, ui: str = "") -> list[tuple[SiteStatus, Promises]]:
    """The status of each database of deployments/databases/, under the name that its alerts have."""
    found = []
    for path in all_databases():
        try:
            database = check_database(path)
        except SiteFileError as error:
            why = f"its file is wrong: {scrubbed(str(error))}"
            found.append((unreviewed(f"database-{path.stem}", now, why), Promises()))
        else:
            known = read_review(session, database, partial(review_stale_at, database))
            found.append((reviewed(as_site(database).site, database.team, known, now, ui), known))
    return found


def _in_ledger(find: Callable[[Session], Found]) -> Found:
    with use_ledger() as engine, Session(engine) as session:
        return find(session)


def _ahead(session: Session, site: str) -> tuple[int, datetime | None]:
    """How many rounds of a site are dated ahead of now, and how far."""
    ours = col(RunRow.site) == site, ~has_happened(col(RunRow.started_at))
    count, last = session.execute(select(func.count(), func.max(col(RunRow.started_at))).where(*ours)).one()
    return count, last


def read_jobs(session: Session, site: str, now: datetime) -> JobFacts:
    """What became of the runs of a site's jobs; of the jobs that are no single site's when `site` is empty."""
    week = now - timedelta(days=DAYS)
    slots = session.scalars(
        select(SlotRow)
        .where(col(SlotRow.site) == site, col(SlotRow.slot_at) >= week)
        .order_by(col(SlotRow.slot_at).desc())
        .limit(MAX_ROWS)
    ).all()
    events = session.scalars(
        select(JobEventRow)
        .where(col(JobEventRow.site) == site, col(JobEventRow.at) >= week)
        .order_by(col(JobEventRow.at).desc())
        .limit(MAX_ROWS)
    ).all()
    return JobFacts(
        tuple(map(_slot, reversed(slots))),
        tuple(map(_trouble, reversed(events))),
        watched_at(session),
        _unscheduled(session, site, week, {slot.flow_run_id for slot in slots}) if site else (),
        0 if site else file_size(session.connection()),
    )


def _unscheduled(
    session: Session, site: str, since: datetime, promised: Collection[str | None]
) -> tuple[Unscheduled, ...]:
    """Runs that were recorded and that no slot has."""
    rows = session.execute(
        select(col(RunRow.job), col(RunRow.ended_at), col(RunRow.flow_run_id))
        .where(col(RunRow.site) == site, col(RunRow.job) != REVIEW, col(RunRow.started_at) >= since)
        .order_by(col(RunRow.started_at).desc())
        .limit(MAX_ROWS)
    ).all()
    return tuple(Unscheduled(job, at, run or "") for job, at, run in reversed(rows) if run not in promised)


def stale_at(site: Site, started: datetime) -> datetime:
    """When a round is too old to speak for now: the second slot of the site's schedule after it has come."""
    if site.schedule is None:
        return started + timedelta(seconds=UNSCHEDULED_SECONDS)
    expression = cron(site.schedule.inspect, site.site)
    return _second_slot(expression, zone(expression, site.schedule.timezone), started)


def review_stale_at(database: Database, started: datetime) -> datetime:
    """When a review is too old to speak for now, as for the round of a site."""
    if database.schedule is None:
        return started + timedelta(seconds=UNREVIEWED_SECONDS)
    expression = cron(database.schedule.review, f"review-{database.database}")
    return _second_slot(expression, zone(expression, database.schedule.timezone), started)


@lru_cache(maxsize=1024)
def _second_slot(expression: str, timezone: str, started: datetime) -> datetime:
    dates = croniter(expression, started.astimezone(ZoneInfo(timezone)))
    return [dates.get_next(datetime) for _ in range(2)][-1].astimezone(UTC)


def watched_at(session: Session) -> datetime | None:
    """When the last pass was that could look."""
    return session.scalar(select(func.max(col(WatchRow.at))).where(~col(WatchRow.detail).startswith(BLIND)))


def _slot(row: SlotRow) -> PromisedRun:
    run = row.flow_run_id or ""
    return PromisedRun(row.deployment, row.slot_at, row.state, row.ended_at, run, row.detail, row.overlapped)


def _trouble(row: JobEventRow) -> RecordedTrouble:
    return RecordedTrouble(row.deployment, row.kind, row.at, row.flow_run_id, row.message, row.job)


def _looks(session: Session, site: str, since: datetime) -> tuple[HealthLook, ...]:
    columns = (
        col(HealthRow.at),
        col(HealthRow.up),
        col(HealthRow.status),
        col(HealthRow.first_byte_ms),
        col(HealthRow.detail),
    )
    found = session.execute(
        select(*columns)
        .where(col(HealthRow.site) == site, col(HealthRow.at) >= since, has_happened(col(HealthRow.at)))
        .order_by(col(HealthRow.at).desc())
        .limit(MAX_ROWS)
    ).all()
    return tuple(HealthLook(*row) for row in reversed(found))


def _runs(session: Session, site: str, since: datetime) -> Sequence[RunRow]:
    """The rounds of a site, the newest first."""
    return session.scalars(
        select(RunRow)
        .where(
            col(RunRow.site) == site,
            col(RunRow.job) == ROUND,
            col(RunRow.started_at) >= since,
            has_happened(col(RunRow.started_at)),
        )
        .order_by(col(RunRow.started_at).desc())
        .limit(MAX_ROWS)
    ).all()


def _times(session: Session, site: str, since: datetime) -> dict[str, Mark]:
    """How each round's budgets came out, by run, with its highest p95."""
    ours = (
        col(RunRow.site) == site,
        col(RunRow.job) == ROUND,
        col(RunRow.started_at) >= since,
        has_happened(col(RunRow.started_at)),
    )
    claims: dict[tuple[str, datetime], list[tuple[str, Outcome]]] = defaultdict(list)
    for run, started, claim, outcome in session.execute(
        select(col(RunRow.id), col(RunRow.started_at), col(FindingRow.claim), col(FindingRow.outcome))
        .join(VerdictRow, col(VerdictRow.run_id) == col(RunRow.id))
        .join(FindingRow, col(FindingRow.verdict_id) == col(VerdictRow.id))
        .where(*ours, col(VerdictRow.check) == TIMED)
        .distinct()
    ):
        claims[run, started].append((claim, Outcome(outcome)))
    highest = dict(
        session.execute(
            select(col(LatencyRow.run_id), func.max(col(LatencyRow.p95_ms)))
            .join(RunRow, col(LatencyRow.run_id) == col(RunRow.id))
            .where(*ours)
            .group_by(col(LatencyRow.run_id))
        )
        .tuples()
        .all()
    )
    return {
        run: Mark(started, outcome, highest.get(run))
        for (run, started), outcomes in claims.items()
        if (outcome := timing(outcomes))
    }


def _compared(session: Session, site: str, releases: Sequence[Release]) -> tuple[Ratio, ...]:
    """The last comparison of the last release."""
    made = deployments(releases)
    last = last_ratios(session, site) if made else None
    return tuple(last[1]) if last and last[3] == made[-1].version else ()


def _memory(session: Session, site: Site, runs: Sequence[str]) -> tuple[Memory, ...]:
    """What the last rounds said of each route that the newest one looked at; `runs` are the newest first."""
    last = list(runs[: AlertPolicy.of(site.slow_after, 1, 1.0).rounds])
    claims: dict[str, dict[str, list[tuple[str, Outcome]]]] = defaultdict(lambda: defaultdict(list))
    for path, run, claim, outcome in session.execute(
        select(col(VerdictRow.subject), col(VerdictRow.run_id), col(FindingRow.claim), col(FindingRow.outcome))
        .join(FindingRow, col(FindingRow.verdict_id) == col(VerdictRow.id))
        .where(col(VerdictRow.run_id).in_(last), col(VerdictRow.check) == TIMED, col(FindingRow.claim) != SAYS_UP.id)
    ):
        claims[path][run].append((claim, Outcome(outcome)))
    return tuple(
        Memory(path, tuple(state_of(by_run[run]) for run in reversed(last) if run in by_run))
        for path, by_run in sorted(claims.items())
        if last[0] in by_run
    )


def _lately(session: Session, site: str, now: datetime) -> tuple[RecentLatency, ...]:
    """The samples of the last day beside those of the 7 whole days before it, by route and cache state."""
    since = now.astimezone(UTC) - timedelta(days=1)
    before = since.replace(hour=0, minute=0, second=0, microsecond=0)
    day = times_of(session, site, since, now)
    week = times_of(session, site, before - timedelta(days=DAYS), before)
    return tuple(
        RecentLatency(
            key.path,
            key.cache_state,
            day[key].total,
            day[key].quantile(0.95) * 1000,
            week[key].quantile(0.95) * 1000 if key in week else None,
        )
        for key in sorted(day, key=astuple)
    )


def _whole(session: Session, runs: Sequence[RunRow]) -> RunRow | None:
    """The first round that made as many checks as any; one that was made by hand with `--only` proves less."""
    made = (
        select(col(VerdictRow.run_id), col(VerdictRow.check))
        .where(col(VerdictRow.run_id).in_([run.id for run in runs]))
        .distinct()
    )
    checks = Counter(run for run, _ in session.execute(made))
    return max((run for run in runs if checks[run.id]), key=lambda run: checks[run.id], default=None)


def _rounds(session: Session, site: Site, runs: Iterable[RunRow]) -> dict[str, Round]:
    """Rounds with all that they found, by run."""
    wanted = {run.id: run for run in runs}
    findings: dict[str, list[RecordedFinding]] = defaultdict(list)
    for verdict, finding in session.execute(
        select(VerdictRow, FindingRow)
        .join(FindingRow, col(FindingRow.verdict_id) == col(VerdictRow.id))
        .where(col(VerdictRow.run_id).in_(wanted))
        .order_by(col(VerdictRow.position), col(FindingRow.position))
    ):
        findings[verdict.run_id].append(_told(verdict, finding))
    taken: dict[str, list[Latency]] = defaultdict(list)
    for row in session.scalars(
        select(LatencyRow)
        .where(col(LatencyRow.run_id).in_(wanted))
        .order_by(col(LatencyRow.path), col(LatencyRow.cache_state))
    ):
        taken[row.run_id].append(Latency(row.path, row.cache_state, row.samples, row.p50_ms, row.p95_ms))
    return {
        run.id: Round(
            run.started_at,
            stale_at(site, run.started_at),
            run.flow_run_id or "",
            tuple(findings[run.id]),
            tuple(taken[run.id]),
        )
        for run in wanted.values()
    }


def _told(verdict: VerdictRow, finding: FindingRow) -> RecordedFinding:
    return RecordedFinding(
        check=verdict.check,
        subject=verdict.subject,
        claim=finding.claim,
        outcome=Outcome(finding.outcome),
        saw=finding.saw,
        wanted=finding.wanted,
        rule=verdict.rule,
        owner=verdict.owner,
        expected=verdict.expected_result,
        rollback=verdict.rollback,
    )


def read_rehearsals(session: Session, site: Site) -> dict[str, Rehearsal | None]:
    """The last rehearsal of each rollback command as it is written now."""
    commands = {rule.name: command_hash(rule.rollback.command) for rule in site.rules}
    if site.release and site.release.rollback:
        commands[RELEASE] = command_hash(site.release.rollback)
    rows = session.scalars(
        select(RehearsalRow)
        .where(col(RehearsalRow.site) == site.site, col(RehearsalRow.command_hash).in_(commands.values()))
        .order_by(col(RehearsalRow.finished_at).desc(), col(RehearsalRow.id).desc())
        .limit(MAX_ROWS)
    ).all()
    found = {
        name: known(next((row for row in rows if row.command_hash == digest and row.rule in {name, RELEASE}), None))
        for name, digest in commands.items()
    }
    return {name: one or of_other(last_rehearsal_of(session, site.site, name)) for name, one in found.items()}


@dataclass(frozen=True, slots=True)
class ReleaseRounds:
    """A release, and the rounds of its site before and after it; `why` says why there are none."""

    release: Release | None = None
    before: tuple[RoundTimes, ...] = ()
    after: tuple[RoundTimes, ...] = ()
    claims: tuple[Outcome, str] | None = None
    """What became of everything else that rounds claim; None when it is not the last release."""
    why: str = ""


async def find_around(site: Site, version: str) -> ReleaseRounds:
    """The rounds around a release, the last one when `version` is empty."""
    return await asyncio.to_thread(_find, site, version)


def around(session: Session, site: Site, version: str, now: datetime) -> ReleaseRounds:
    """As `find_around`, in an open ledger."""
    made = deployments(read_releases(session, site.site))
    place = next((at for at in reversed(range(len(made))) if version in {"", made[at].version}), None)
    if place is None:
        known = ", ".join(one.version for one in made[-5:]) or "none"
        return ReleaseRounds(
            why=f"no release {version} is known (known: {known})" if version else "no release is known yet"
        )
    release = made[place]
    last = place == len(made) - 1
    until = [] if last else [col(RunRow.started_at) < made[place + 1].seen_at]
    # What ran between two looks at the version page nobody knows.
    old_until = last_look_before(session, site.site, release.seen_at) or release.seen_at
    rounds = rounds_of(site.site).limit(MAX_ROUNDS)
    before = rounds.where(col(RunRow.ended_at) <= old_until).order_by(col(RunRow.started_at).desc())
    after = rounds.where(col(RunRow.started_at) >= release.seen_at, *until).order_by(col(RunRow.started_at))
    claims = _claims(release, read_facts(session, site, now)) if last else None
    return ReleaseRounds(release, read_rounds(session, before)[::-1], read_rounds(session, after), claims)


def _claims(release: Release, facts: Facts) -> tuple[Outcome, str] | None:
    if facts.before is None or facts.after is None:
        return Outcome.UNKNOWN, "there is no whole round on both sides of it"
    outcome, says, details = compare(release.version, facts.before, facts.after)
    return outcome, "; ".join([says.rstrip("."), *(one for one in details if not one.endswith("not compared"))])


def _find(site: Site, version: str) -> ReleaseRounds:
    with use_ledger() as engine, Session(engine) as session:
        return around(session, site, version, datetime.now(UTC))
