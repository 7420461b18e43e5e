"""Migrations: would they run on production, whom would they keep waiting, and can they be taken back?

One verdict for each migration, on what it does to others, and one for all of them together.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from roundsman.database.rules.index_facts import plural
from roundsman.database.rules.judge_queries import dearer, flat
from roundsman.database.rules.migration_advice import safer
from roundsman.database.rules.migration_facts import (
    CHECK,
    DRIFT,
    GROWTH,
    HEADS,
    HELD,
    LOCK_TIMEOUT,
    NETWORK,
    NOT_CONNECTED,
    PLANS,
    PRODUCTION,
    REACH,
    READS,
    REUSED,
    REWRITES,
    ROWS,
    STATISTICS,
    TIME,
    UPGRADE,
    WRITES,
    MigrationBudget,
    MigrationFacts,
    MigrationRun,
    Migrations,
    MigrationStatement,
    Protection,
    Snapshot,
    listed,
    seconds,
    short,
)
from roundsman.database.rules.migration_locks import Hold, blocked, holds, longer, projected_seconds, scale, unscaled
from roundsman.database.rules.migration_reach import attempt_messages
from roundsman.database.rules.migration_return import judge_return
from roundsman.database.rules.query_facts import ObservedQuery, Queries
from roundsman.report.rules.rehearsed import ago
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict, worst

OTHER = Claim(PLANS.id, PLANS.says, breach=Outcome.WARN)


def judge_queries(promised: Queries, facts: MigrationFacts) -> Iterator[Finding]:
    """Judge each query that is dearer than before, or that nobody can tell of; all others together."""
    others, well = 0, 0
    for before, after in zip(facts.queries_before, facts.queries_after, strict=True):
        if before.plan is None:
            continue  # that is no migration's doing, and the review of the live database tells it
        if after.plan is None:
            wanted = f"{_plan(before)}; or no release that asks it is left"
            yield OTHER.against(f"{after.query.name}: {after.trouble}", wanted, holds=False)
        elif more := dearer(promised, _price(before), _price(after)):
            yield PLANS.against(
                f"{after.query.name}: {_plan(after)} ({more})", f"{_plan(before)} as before", holds=False
            )
        elif before.ran and after.ran is None:
            saw = f"{after.query.name}: it was not run: {after.not_run}"
            yield PLANS.against(saw, "a run as before the migrations", holds=None)
        elif after.plan.cost is None and before.plan.fingerprint != after.plan.fingerprint:
            yield OTHER.against(f"{after.query.name}: {_plan(after)}", f"{_plan(before)} as before", holds=False)
        else:
            others, well = others + (before.plan.fingerprint != after.plan.fingerprint), well + 1
    if well:
        changed = f", {plural(others, 'plan')} of them another one" if others else ""
        yield PLANS.against(f"{plural(well, 'query', 'queries')} no dearer{changed}", "no dearer plan", holds=True)


def _price(seen: ObservedQuery) -> tuple[float | None, int | None]:
    return seen.plan.cost if seen.plan else None, seen.ran.blocks if seen.ran else None


def _plan(seen: ObservedQuery) -> str:
    return flat(seen.plan.lines, seen.plan.cost) if seen.plan else "no plan"


#: Seconds of other work that a lock may be held for.
_HELD_SECONDS = 0.1
#: How PostgreSQL's drivers call what only a role with more rights may do.
_LACKS_RIGHTS = "InsufficientPrivilege"
_RIGHTS = (
    "it runs as a role that owns the copy and has no other right; do what needs more in the golden database before "
    "(CREATE EXTENSION, CREATE ROLE), or write `guard: network`"
)
#: A share of a table's rows, and how many more; PostgreSQL's own autovacuum looks at it again after as many.
_CHANGED_SHARE, _CHANGED_ROWS = 0.1, 50
#: Rows that are written anew before anybody notices.
_SMALL_TABLE_ROWS = 1000
#: A part of a budget up to which nobody needs to know how much the runs differ.
_FAR_BELOW = 0.1
_EXPECTED = "The migrations run on production, keep nobody waiting, and can be taken back."
#: Locks that nothing should be done under but what needs them.
_HEAVY = frozenset({"AccessExclusiveLock", "EXCLUSIVE", "RESERVED"})
_ANALYZE = re.compile(r"\s*ANALY[SZ]E\b\s*(?:\([^)]*\)|VERBOSE\b)?(?P<tables>[^;]*);?\s*", re.IGNORECASE)


def judge(
    name: str, owner: str, plan: Migrations, facts: MigrationFacts, queries: Queries | None = None
) -> list[Verdict]:
    """Judge a rehearsal of the database `name`: first each migration, in order, then all together."""
    rollback = _rollback(facts)
    about: list[tuple[str, Sequence[Finding]]] = []
    if facts.up and facts.before and not facts.is_idle:
        factors = factors_of(plan, facts)
        before = facts.before
        rehearsed = _Rehearsed(
            facts.up, facts.upgrades, before.rows, factors, plan.budget, facts.dialect, before.keys
        )  # fmt: skip
        for revision, says in facts.pending.items():
            found = tuple(_revision(revision, rehearsed))
            about.append((" ".join(filter(None, (name, revision, says))), found))
    about.append(
        (name, (*_whole(plan, facts), *(judge_queries(queries, facts) if queries and facts.queries_after else ())))
    )
    return [Verdict(CHECK, subject, "", owner, _EXPECTED, rollback, tuple(found)) for subject, found in about]


def reused_words(rehearsed_at: datetime, now: datetime) -> str:
    """How a report speaks of an earlier rehearsal: `as rehearsed 3 hours ago; nothing has changed since`."""
    return f"as rehearsed {ago(rehearsed_at, now)}; nothing has changed since"


def marked_as_reused(verdicts: Sequence[Verdict], reused: str) -> list[Verdict]:
    """The verdicts of an earlier rehearsal, the last of which says so; as they are when `reused` is empty."""
    if not reused:
        return list(verdicts)
    *alone, whole = verdicts
    finding = REUSED.against(reused, "the same migrations, promises, packages and golden database", holds=True)
    return [*alone, replace(whole, findings=(*whole.findings, finding))]


def factors_of(plan: Migrations, facts: MigrationFacts) -> dict[str, float]:
    """How many times the copy's rows production has, by table; what the plan says goes before what was seen."""
    return scale(facts.before.rows if facts.before else {}, {**facts.live_rows, **plan.rows})


@dataclass(frozen=True, slots=True)
class _Rehearsed:
    """What each migration is judged by: the first upgrade, every upgrade, and what production has and may be asked."""

    up: MigrationRun
    upgrades: tuple[MigrationRun, ...]
    rows: Mapping[str, int]
    factors: Mapping[str, float]
    budget: MigrationBudget
    dialect: str
    keys: Mapping[str, Sequence[str]]

    def advised(self, finding: Finding, statements: Iterable[MigrationStatement]) -> Finding:
        """The finding with what to run instead of the statements that it is about, unless nothing is wrong."""
        if finding.outcome is Outcome.PASS or not (instead := safer(statements, self.dialect, self.keys)):
            return finding
        return finding._replace(wanted=f"{instead}; {finding.wanted}")


@dataclass(frozen=True, slots=True)
class _ProjectedTime:
    """What something took in one of the upgrades, projected, in seconds; and how busy the machine was meanwhile."""

    seconds: float
    saw: str
    load: float | None


def _revision(revision: str, rehearsed: _Rehearsed) -> Iterator[Finding]:
    up, rows, factors, budget = rehearsed.up, rehearsed.rows, rehearsed.factors, rehearsed.budget
    if revision not in up.revisions:
        yield UPGRADE.against("not reached: one before it failed", "it runs", holds=None)
        return
    if up.error and revision == up.revisions[-1]:
        lacks_rights = up.error.startswith(_LACKS_RIGHTS)
        yield UPGRADE.against(up.error, _RIGHTS if lacks_rights else "it runs", holds=None if lacks_rights else False)
        return
    mine = [one for one in up.statements if one.revision == revision]
    runs = [(leg, [one for one in holds(leg, factors) if one.revision == revision]) for leg in rehearsed.upgrades]
    own = runs[0][1]
    yield UPGRADE.against(f"it ran in {seconds(sum(one.seconds for one in mine))}", "it runs", holds=True)
    for claim, reads, most in ((READS, True, budget.reads_blocked), (WRITES, False, budget.writes_blocked)):
        inside = [run for one in own if one.stops_reads or not reads for run in (one.taken_by, *one.later)]
        waits = [
            _ProjectedTime(
                max(blocked(taken, reads=reads).values(), default=0.0), _waiting(taken, reads=reads), leg.load
            )
            for leg, taken in runs
        ]
        found = _timed(claim, waits, most, f"at most {seconds(most)}", unscaled(inside, rows, factors))
        yield rehearsed.advised(found, inside)
    anew = list(dict.fromkeys(name for one in mine for name in one.rewritten))
    heavy_rewrite = any(one.rewritten and not _is_small(one, rows, factors) for one in mine)
    few = "" if heavy_rewrite or not anew else f", which take at most {_SMALL_TABLE_ROWS} rows"
    found = REWRITES.against(f"{listed(anew) or 'nothing'}{few}", "nothing", holds=not heavy_rewrite)
    yield rehearsed.advised(found, (one for one in mine if one.rewritten))
    yield rehearsed.advised(_rows(mine, rows, factors, budget), (one for one in mine if one.rows))
    held = [_held(leg, taken, factors) for leg, taken in runs]
    found = _timed(HELD, held, _HELD_SECONDS, f"COMMIT before it; at most {seconds(_HELD_SECONDS)} of other work")
    yield rehearsed.advised(found, (one for hold in own if hold.mode in _HEAVY for one in hold.later))
    heavy = [one for one in own if not one.taken_by.lock_timeout]
    if own:
        saw = f"none at {short(heavy[0].taken_by.sql)}" if heavy else "it is set"
        found = LOCK_TIMEOUT.against(saw, "SET lock_timeout before it", holds=not heavy)
        found = rehearsed.advised(found, (one.taken_by for one in heavy))
        yield (
            found
            if found.outcome is Outcome.PASS
            else found._replace(wanted=f"SET lock_timeout = '2s'; {found.wanted}")
        )


def _is_small(statement: MigrationStatement, rows: Mapping[str, int], factors: Mapping[str, float]) -> bool:
    """Whether each table that a statement grows with is known to have few rows in production."""
    known = [rows[table] * factors[table] for table in statement.tables if table in rows and table in factors]
    return bool(known) and len(known) == len(statement.tables) and max(known) <= _SMALL_TABLE_ROWS


def _timed(
    claim: Claim, runs: Sequence[_ProjectedTime], budget: float, wanted: str, unscaled_by: Sequence[str] = ()
) -> Finding:
    """Judge a time by the best of its runs: a busy machine makes every time longer, and none shorter.

    It is unknown when the runs disagree about the budget, and when it was only broken by as many times as the machine
    had more to do than it has cores.
    """
    best = min(runs, key=lambda one: one.seconds)
    over = [one for one in runs if one.seconds > budget]
    saw = best.saw + _spread(runs, budget)
    if not over:
        return _projected(claim, saw, wanted, unscaled_by, holds=True)
    if len(over) < len(runs) or best.seconds <= budget * max(1.0, best.load or 1.0):
        why = "one run keeps the budget and the other does not" if len(over) < len(runs) else "the machine was busy"
        return claim.against(f"{saw}; {why}", f"{wanted}, rehearsed while little else runs", holds=None)
    return claim.against(saw, wanted, holds=False)


def _spread(runs: Sequence[_ProjectedTime], budget: float) -> str:
    """What each run took, and the load of the machine; nothing where all is far below the budget."""
    if max(one.seconds for one in runs) <= _FAR_BELOW * budget:
        return ""
    took = f"{' and '.join(seconds(one.seconds) for one in runs)} in {plural(len(runs), 'run')}"
    loads = " and ".join(f"{one.load:.2g}" for one in runs if one.load is not None)
    return f" ({took}, load {loads} per core)" if loads else f" ({took})"


def _waiting(own: Sequence[Hold], *, reads: bool) -> str:
    """Who waits how long, here and in production, and for which statement."""
    here, there = blocked(own, reads=reads, projected=False), blocked(own, reads=reads)
    if not there:
        return "nobody waits"
    table = next(iter(there))
    by = max(
        (one for one in own if one.table == table and (one.stops_reads or not reads)), key=lambda one: one.projected
    )
    more = f"; also {listed(one for one in there if one != table)}" if len(there) > 1 else ""
    grown = there[table] > 1.05 * here[table]
    then = f", {seconds(there[table])} with production's rows" if grown else ""
    return f"{table}: {seconds(here[table])} here{then}, by {by.mode} of {short(by.taken_by.sql)}{more}"


def _projected(claim: Claim, saw: str, wanted: str, unknown: Sequence[str], *, holds: bool) -> Finding:
    """A claim on production. What already breaks it here breaks it there; what keeps it here need not."""
    if not holds or not unknown:
        return claim.against(saw, wanted, holds=holds)
    why = f"{listed(unknown)} has no rows on the copy, or nobody knows how many in production"
    mend = "write `rows:`, or restore a golden database that has some"
    return claim.against(f"{saw}; more is not known: {why}", f"{wanted} with production's rows; {mend}", holds=None)


def _rows(
    mine: Sequence[MigrationStatement], rows: Mapping[str, int], factors: Mapping[str, float], budget: MigrationBudget
) -> Finding:
    read = sum(sum(one.scanned.values()) for one in mine)
    written = sum(sum(one.written.values()) for one in mine)
    there = sum(one.rows * longer(one, factors) for one in mine)
    then = f", {there:.0f} with production's rows" if there > 1.05 * (read + written) else ""
    saw, unknown = f"{read} read, {written} written{then}", unscaled(mine, rows, factors)
    return _projected(ROWS, saw, f"at most {budget.rows}", unknown, holds=there <= budget.rows)


def _held(leg: MigrationRun, own: Sequence[Hold], factors: Mapping[str, float]) -> _ProjectedTime:
    """Alembic's own word that the migration is done stands in the same transaction, and costs next to nothing."""
    worst, saw = 0.0, "nothing of weight"
    for hold in own:
        took = sum(one.seconds * longer(one, factors) for one in hold.later)
        if hold.mode in _HEAVY and took > worst:
            worst = took
            if took > _HELD_SECONDS:
                slowest = max(hold.later, key=lambda one: one.seconds)
                saw = f"{hold.mode} on {hold.table} held for {seconds(took)} more, by {short(slowest.sql)}"
    return _ProjectedTime(worst, saw, leg.load)


def _whole(plan: Migrations, facts: MigrationFacts) -> Iterator[Finding]:
    yield from _reach(plan, facts)
    if facts.trouble:
        wanted = f"Alembic says what is pending{facts.remedy and f'; {facts.remedy}'}"
        yield UPGRADE.against(facts.trouble, wanted, holds=None if facts.remedy else False)
        return
    yield _heads(plan, facts)
    yield from _production(facts)
    if not facts.pending:
        yield UPGRADE.against(
            f"nothing is pending: the golden database is at {listed(facts.start)}", "it runs", holds=True
        )
        return
    if facts.up is None or facts.before is None:
        raise ValueError("what is pending was not run")
    if facts.is_idle:
        saw = "Alembic ended well, and nothing ran on the copy: its revision is still the old one"
        yield UPGRADE.against(saw, NOT_CONNECTED, holds=None)
        return
    if not facts.up.error:
        factors = factors_of(plan, facts)
        unknown = unscaled(facts.up.statements, facts.before.rows, factors)
        runs = [_whole_run(leg, factors, "at least " * bool(unknown)) for leg in facts.upgrades]
        yield _timed(TIME, runs, plan.budget.time, f"at most {seconds(plan.budget.time)}", unknown)
    if facts.upgraded:
        yield _statistics(facts.before, facts.upgraded, facts.up)
        yield _growth(plan, facts, facts.before, facts.upgraded)
    if facts.drift is not None:
        yield DRIFT.against(facts.drift or "nothing to add", "nothing to add", holds=not facts.drift)
    yield from judge_return(plan, facts)


def _whole_run(leg: MigrationRun, factors: Mapping[str, float], least: str) -> _ProjectedTime:
    took = projected_seconds(leg, factors)
    return _ProjectedTime(took, f"{seconds(leg.seconds)} here, {least}{seconds(took)} with production's rows", leg.load)


#: What is open in spite of the guard that was chosen.
_OPEN = {
    Protection.NETWORK: "what the server itself can be made to do was not guarded (`guard: network`)",
    Protection.ENVIRONMENT: "network, sockets, files and the server were not guarded, only variables "
    "(`guard: environment`)",
}


def _reach(plan: Migrations, facts: MigrationFacts) -> Iterator[Finding]:
    """What was tried in vain is a failure all the same: in production nothing stands in its way."""
    tried, wanted = attempt_messages(facts.attempts), "only the copy"
    if any(one.database for one in facts.attempts):
        saw = f"{listed(tried)}; it was refused"
        yield REACH.against(saw, f"{wanted}, by the URL in {plan.url}", holds=None if facts.remedy else False)
    elif tried:
        yield NETWORK.against(
            f"{listed(tried)}; a rehearsal has no network, and no right to anything but the copy", wanted, holds=False
        )
    elif open_still := _OPEN.get(plan.guard):
        yield NETWORK.against(open_still, f"{wanted}; `guard: full`", holds=False)
    else:
        yield REACH.against("nothing else was tried", wanted, holds=True)


def _heads(plan: Migrations, facts: MigrationFacts) -> Finding:
    """Two heads are an accident, unless the database file or the scripts themselves say that there are branches."""
    labels = {head: facts.labels.get(head, ()) for head in facts.heads}
    named = [f"{head} ({', '.join(labels[head])})" if labels[head] else head for head in facts.heads]
    mend = "`alembic merge heads`, or write `heads:` if there are several on purpose"
    if isinstance(plan.heads, int):
        wanted, holds = f"{plural(plan.heads, 'head')}; {mend}", len(named) == plan.heads
    elif plan.heads:
        wanted = f"one head of each branch: {listed(plan.heads)}; {mend}"
        holds = len(named) == len(plan.heads) and all(
            sum(label in labels[head] for head in labels) == 1 for label in plan.heads
        )
    else:
        # A label on one head only names a branch; who writes labels means to have branches.
        own = all(
            any(sum(label in other for other in labels.values()) == 1 for label in labels[head]) for head in labels
        )
        wanted, holds = f"one head; {mend}", len(named) == 1 or (bool(named) and own)
    return HEADS.against(listed(named) or "none", wanted, holds=holds)


def _rollback(facts: MigrationFacts) -> str:
    """The commands that take back what is pending; the rehearsal takes it back in the same way."""
    if facts.pending and not facts.back:
        return f"restore the database: no `alembic downgrade` leads back to just {listed(facts.start) or 'base'}"
    targets = facts.back or facts.start or ("base",)
    return " && ".join(f"alembic downgrade {target}" for target in targets)


def _production(facts: MigrationFacts) -> Iterator[Finding]:
    start, ends = sorted(facts.start), sorted(facts.ends or facts.heads)
    wanted = f"{listed(start) or 'before the first'}, or {listed(ends)}"
    if facts.live_trouble:
        yield PRODUCTION.against(facts.live_trouble, wanted, holds=None)
    elif facts.live_revisions is not None:
        there = sorted(facts.live_revisions)
        yield PRODUCTION.against(listed(there) or "before the first", wanted, holds=there in (start, ends))


def _statistics(before: Snapshot, after: Snapshot, up: MigrationRun) -> Finding:
    lost = {one for one in before.statistics - after.statistics if one in after.types or one in after.rows}
    changed: set[str] = set()
    for statement in up.statements:
        changed = {table for table in changed if not _looks_at(statement.sql, table)}
        changed |= {
            table
            for table, rows in statement.written.items()
            if rows > _CHANGED_ROWS + _CHANGED_SHARE * before.rows.get(table, 0)
        }
    lost |= changed
    saw = f"changed, and not looked at since: {listed(sorted(lost))}" if lost else "all are known"
    return STATISTICS.against(saw, "ANALYZE of what was changed", holds=not lost)


def _looks_at(sql: str, table: str) -> bool:
    """Whether a statement is an ANALYZE of a table, or of all."""
    found = _ANALYZE.fullmatch(sql)
    if found is None:
        return False
    names = re.sub(r'\([^)]*\)|"', "", found["tables"]).casefold().split(",")
    bare = {name.strip().removeprefix("only ").removeprefix("public.").removeprefix("main.") for name in names}
    return bare == {""} or table.casefold() in bare


def _growth(plan: Migrations, facts: MigrationFacts, before: Snapshot, after: Snapshot) -> Finding:
    log = facts.up.wal if facts.up else 0
    most = max(factors_of(plan, facts).values(), default=1.0)
    there = max(log, after.size - before.size) * most
    saw = f"disk {_mb(after.size - before.size)}, log {_mb(log)} here"
    then = f", at most {_mb(there)} with production's rows" if most > 1 else ""
    return GROWTH.against(saw + then, f"at most {_mb(plan.budget.growth)}", holds=there <= plan.budget.growth)


def _mb(size: float) -> str:
    return f"{size / 2**20:.0f} MB"


@dataclass(frozen=True, slots=True)
class MigrationRehearsal:
    """One rehearsal. Times are seconds; what is projected is meant for production's rows."""

    database: str
    from_revision: str
    """Empty before the first."""
    to_revision: str
    outcome: str
    up_s: float
    projected_s: float
    down_s: float | None
    """None when they could not be taken back."""
    reads_blocked_s: float
    """Projected, the longest at once."""
    writes_blocked_s: float
    finished_at: datetime

    def words(self, now: datetime) -> str:
        """What a status or a notice quotes, such as `migrations 0007 to 0009 rehearsed 2 days ago: ...`."""
        since = (now - self.finished_at).total_seconds()
        ago = f"{since / 86400:.0f} days" if since >= 2 * 86400 else f"{since / 3600:.0f} hours"
        back = "can't be taken back" if self.down_s is None else f"down {seconds(self.down_s)}"
        waits = f"in production {seconds(self.projected_s)}, readers wait {seconds(self.reads_blocked_s)} at most"
        went = "" if self.outcome in {Outcome.PASS, Outcome.WARN} else f"; it came out {self.outcome}"
        way = f"{self.from_revision or 'nothing'} to {self.to_revision}"
        return f"migrations {way} rehearsed {ago} ago: up {seconds(self.up_s)}, {back}; {waits}{went}"


def recorded(
    name: str, plan: Migrations, facts: MigrationFacts, verdicts: list[Verdict], now: datetime
) -> MigrationRehearsal | None:
    """What to remember of a rehearsal; None when nothing was pending or nothing could be begun."""
    if facts.up is None:
        return None
    factors = factors_of(plan, facts)
    taken = [holds(leg, factors) for leg in facts.upgrades]
    reads, writes = (
        min(max(blocked(one, reads=reads).values(), default=0.0) for one in taken) for reads in (True, False)
    )
    down = facts.down.seconds if facts.down and not facts.down.error else None
    outcome = worst(verdict.outcome for verdict in verdicts).value
    up = min(leg.seconds for leg in facts.upgrades)
    took = min(projected_seconds(leg, factors) for leg in facts.upgrades)
    return MigrationRehearsal(
        name, ",".join(facts.start), ",".join(facts.heads), outcome, up, took, down, reads, writes, now
    )
