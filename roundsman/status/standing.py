"""What stands of each claim of a site or a database, read from the ledger. To be called in a thread of its own."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, ColumnExpressionArgument, func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.database.rules.promise import Database
from roundsman.ledger.ledger import has_happened
from roundsman.ledger.releases import REVIEW, ROUND
from roundsman.ledger.tables import SWEEP, FindingRow, RunRow, VerdictRow, read_groups
from roundsman.purge.rules import judge as targeted_purge
from roundsman.purge.rules import queue as purge_queue
from roundsman.report.rules.grouping import merged, urgency
from roundsman.report.rules.verdict import Finding, Outcome, Severity, Verdict
from roundsman.site.rules.site import Site
from roundsman.status.rules.standing import (
    LastLook,
    Promises,
    Recorded,
    StandingFault,
    began,
    counted,
    failing,
    faults,
    last_looks,
)
from roundsman.sweep.rules import judge as sweep

#: Rounds of one job that are looked back at, at most; and how many are read at once.
MAX_ROUNDS, ROUNDS_AT_ONCE = 50, 10
#: For so long a purge that failed its proof stands, unless the same page was proven since.
UNPROVEN = timedelta(days=7)
COMPARE, REHEARSE = "compare-release", "rehearse-release"
PURGE, PUBLISHED = "purge-routes", "purge-published"
#: Jobs that look at some subjects of a check only.
PARTIAL = frozenset({PURGE, PUBLISHED, REHEARSE})

#: Checks that prove a purge of a page.
_PROOFS = (purge_queue.SAMPLE, targeted_purge.CHECK)
_BAD = (Outcome.FAIL.value, Outcome.UNKNOWN.value)


class _RunRecord(NamedTuple):
    id: str
    job: str
    started_at: datetime
    whole: bool
    flow_run_id: str | None
    outcome: str


def read_promises(session: Session, site: Site, now: datetime, stale_at: Callable[[datetime], datetime]) -> Promises:
    """What is known of a site's promises, whichever job looked.

    Args:
        session: Of the ledger.
        site: The site.
        now: The time.
        stale_at: When a round that began at some time is too old to speak for now.
    """
    inspected, compared, rehearsed = (_looks(session, site.site, job) for job in (ROUND, COMPARE, REHEARSE))
    looks = [*inspected, *compared, *rehearsed, *_purges(session, site.site, now)]
    looks = _unproven(session, site.site, looks)
    # That a comparison can't tell yet is no trouble of the site.
    telling = [one for one in looks if one.recorded.job != COMPARE or one.verdict.outcome is not Outcome.UNKNOWN]
    found = _promises(session, site.site, ROUND, looks, telling)
    found = _with_sweep(session, site.site, found)
    oldest = min(found.looked.values(), default=found.whole_at)
    return replace(found, stale_at=oldest and stale_at(oldest))


def read_review(session: Session, database: Database, stale_at: Callable[[datetime], datetime]) -> Promises:
    """What is known of a database's promises; `stale_at` as for a site."""
    looks = _looks(session, database.database, REVIEW)
    found = _promises(session, database.database, REVIEW, looks, looks)
    oldest = min(found.looked.values(), default=found.whole_at)
    return replace(found, stale_at=oldest and stale_at(oldest))


def _promises(
    session: Session, name: str, job: str, looks: Sequence[LastLook], telling: Sequence[LastLook]
) -> Promises:
    """What is known, from the last looks and those that tell something of now; `job` has to look again and again."""
    since = _since(session, name, telling)
    last = next(iter(_runs(session, name, col(RunRow.job) == job, most=1)), None)
    whole = next(iter(_runs(session, name, col(RunRow.job) == job, col(RunRow.whole), most=1)), None)
    looked: dict[str, datetime] = {}
    for look in looks:
        if look.recorded.job == job:
            check = look.verdict.check
            looked[check] = max(look.recorded.started, looked.get(check, look.recorded.started))
    return Promises(
        faults=tuple(faults(telling, since)),
        counts=counted(looks),
        looked=looked,
        whole_at=whole and whole.started_at,
        outcome=Outcome(last.outcome) if last else None,
    )


def _looks(session: Session, name: str, job: str) -> list[LastLook]:
    """The last looks of a job."""
    return last_looks(_recorded(session, _runs(session, name, col(RunRow.job) == job)))


def _purges(session: Session, site: str, now: datetime) -> list[LastLook]:
    """What purges by hand and of the queue found last of each page; the newest pass of the queue among it."""
    ours = col(RunRow.job).in_((PURGE, PUBLISHED))
    bad = _runs(session, site, ours, col(RunRow.outcome).in_(_BAD), col(RunRow.started_at) > now - UNPROVEN)
    newest = _runs(session, site, col(RunRow.job) == PUBLISHED, most=1)
    runs = sorted({*bad, *newest}, key=lambda run: run.started_at, reverse=True)
    return last_looks(_recorded(session, runs))


def _unproven(session: Session, site: str, looks: Sequence[LastLook]) -> list[LastLook]:
    """Looks, without those at a purge that did not work and was proven to work on the same page since."""
    newest: dict[tuple[str, str], LastLook] = {}
    for look in looks:
        key = look.verdict.check, look.verdict.subject
        if key not in newest or newest[key].recorded.started < look.recorded.started:
            newest[key] = look
    at = {
        subject: one.recorded.started for (check, subject), one in newest.items() if check in _PROOFS and _is_bad(one)
    }
    later: dict[str, datetime] = {}
    if at:
        proven = (
            select(col(VerdictRow.subject), func.max(col(RunRow.started_at)))
            .join(RunRow, col(VerdictRow.run_id) == col(RunRow.id))
            .where(
                col(RunRow.site) == site,
                col(RunRow.started_at) > min(at.values()),
                col(VerdictRow.check).in_(_PROOFS),
                col(VerdictRow.subject).in_(at),
                col(VerdictRow.outcome).not_in(_BAD),
            )
            .group_by(col(VerdictRow.subject))
        )
        later = dict(session.execute(proven).tuples().all())
    return [
        look
        for look in looks
        if look.verdict.check not in _PROOFS
        or (
            look is newest[look.verdict.check, look.verdict.subject]
            and not (_is_bad(look) and look.recorded.started < later.get(look.verdict.subject, look.recorded.started))
        )
    ]


def _is_bad(look: LastLook) -> bool:
    return look.verdict.outcome.value in _BAD


def _since(session: Session, name: str, looks: Sequence[LastLook]) -> dict[tuple[str, str, str], datetime]:
    """When each claim that fails began to fail, as far as is looked back."""
    found: dict[tuple[str, str, str], datetime] = {}
    by_job: dict[str, list[LastLook]] = defaultdict(list)
    for look in looks:
        by_job[look.recorded.job].append(look)
    for job, own in by_job.items():
        if keys := failing(own):
            found |= began(keys, _recorded(session, _runs(session, name, col(RunRow.job) == job), bad_of_whole=True))
    return found


def _runs(
    session: Session, name: str, *where: ColumnExpressionArgument[bool], most: int = MAX_ROUNDS
) -> list[_RunRecord]:
    """Rounds, the newest first."""
    columns = (
        col(RunRow.id),
        col(RunRow.job),
        col(RunRow.started_at),
        col(RunRow.whole),
        col(RunRow.flow_run_id),
        col(RunRow.outcome),
    )
    newest = (col(RunRow.started_at).desc(), col(RunRow.id).desc())
    found = session.execute(
        select(*columns)
        .where(col(RunRow.site) == name, has_happened(col(RunRow.started_at)), *where)
        .order_by(*newest)
        .limit(most)
    )
    return [_RunRecord(*row) for row in found]


def _recorded(session: Session, runs: Sequence[_RunRecord], *, bad_of_whole: bool = False) -> Iterator[Recorded]:
    """Rounds with what they found, some at a time, as they are wanted.

    With `bad_of_whole` of whole rounds only what is no pass is read, which takes much less time.
    """
    # The first one is often enough.
    for first, last in ((0, 1), *((at, at + ROUNDS_AT_ONCE) for at in range(1, len(runs), ROUNDS_AT_ONCE))):
        some = runs[first:last]
        whole = [run.id for run in some if run.whole]
        verdicts = _verdicts(session, whole, col(VerdictRow.outcome).in_(_BAD)) if bad_of_whole else {}
        verdicts |= _verdicts(session, [run.id for run in some if run.id not in whole or not bad_of_whole])
        for run in some:
            partial = run.job in PARTIAL
            found = tuple(verdicts.get(run.id, ()))
            yield Recorded(run.started_at, found, run.whole, partial, run.flow_run_id or "", run.job)


def _verdicts(session: Session, runs: Sequence[str], *where: ColumnElement[bool]) -> dict[str, list[Verdict]]:
    """The verdicts of some rounds, without their evidence."""
    if not runs:
        return {}
    of: dict[int, VerdictRow] = {}
    found: dict[int, list[Finding]] = defaultdict(list)
    for verdict in session.scalars(
        select(VerdictRow)
        .where(col(VerdictRow.run_id).in_(runs), *where)
        .order_by(col(VerdictRow.run_id), col(VerdictRow.position))
    ):
        of[verdict.id or 0] = verdict
    columns = (
        col(FindingRow.claim),
        col(FindingRow.outcome),
        col(FindingRow.saw),
        col(FindingRow.wanted),
        col(FindingRow.severity),
    )
    for number, claim, outcome, saw, wanted, severity in session.execute(
        select(col(FindingRow.verdict_id), *columns)
        .join(VerdictRow, col(FindingRow.verdict_id) == col(VerdictRow.id))
        .where(col(VerdictRow.run_id).in_(runs), *where)
        .order_by(col(FindingRow.verdict_id), col(FindingRow.position))
    ):
        harm = Severity(severity) if severity else None
        found[number].append(Finding(claim, "", Outcome(outcome), saw, wanted, (), harm))
    made: dict[str, list[Verdict]] = defaultdict(list)
    for number, one in of.items():
        verdict_fields = (one.check, one.subject, one.rule, one.owner, one.expected_result, one.rollback)
        made[one.run_id].append(Verdict(*verdict_fields, tuple(found[number])))
    return made


def _with_sweep(session: Session, site: str, known: Promises) -> Promises:
    """With what the last sweep found that has ended."""
    ended = select(SWEEP.c.id, SWEEP.c.started_at, SWEEP.c.listed).where(SWEEP.c.site == site, SWEEP.c.status == "done")
    last = session.execute(ended.order_by(SWEEP.c.started_at.desc()).limit(1)).first()
    if last is None:
        return known
    groups = merged(read_groups(session.connection(), last.id))
    at, expected = last.started_at, "Every page of the sitemaps is there, and as its rule says."
    swept = [StandingFault(one, at, at, expected) for one in groups]
    # A page may have two faults; how many are fine is known to the page only where each has one.
    counts = Counter({(sweep.CHECK, Outcome.PASS, ""): max(0, last.listed - sum(one.subjects for one in groups))})
    for one in groups:
        counts[sweep.CHECK, one.outcome, one.severity.value if one.severity else ""] += one.count
    found = sorted((*known.faults, *swept), key=lambda one: urgency(one.group))
    return replace(known, faults=tuple(found), counts={**known.counts, **counts})
