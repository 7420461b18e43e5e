"""Named queries: do they read what they should, and do they still go the way they went?"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime

from roundsman.database.rules.acceptance import settled, useless
from roundsman.database.rules.index_facts import plural
from roundsman.database.rules.promise import Database
from roundsman.database.rules.query_facts import ObservedQuery, PlanHistory, PlanNode, Queries, QueryFacts, QueryPlan
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict

CHECK = "query-plans"
_EXPLAIN = "PostgreSQL, Using EXPLAIN"
PLANNED = Claim(f"{CHECK}/db200-planned", "The database can plan every named query.")
SCAN = Claim(f"{CHECK}/db201-scan", "No query reads a large table from end to end.", _EXPLAIN)
COST = Claim(f"{CHECK}/db201-cost", "A query costs no more than was promised.", _EXPLAIN)
EXAMINED = Claim(f"{CHECK}/db201-rows", "A query looks at no more rows than was promised.", _EXPLAIN)
CHANGED = Claim(f"{CHECK}/db202-changed", "A query goes the way it went before.")
OTHER = Claim(CHANGED.id, CHANGED.says, breach=Outcome.WARN)
SPILL = Claim(f"{CHECK}/db203-spill", "Sorts and hashes fit into memory.", "PostgreSQL, work_mem", breach=Outcome.WARN)
ESTIMATE = Claim(f"{CHECK}/db204-estimate", "The planner knows how many rows to expect.", _EXPLAIN, breach=Outcome.WARN)
COVERED = Claim(
    f"{CHECK}/db205-covered", "What takes the most time has a name and a promise.", "PostgreSQL, pg_stat_statements",
    breach=Outcome.WARN,
)  # fmt: skip
#: What a database file may accept of a query.
ACCEPTABLE = (PLANNED, SCAN, COST, EXAMINED, CHANGED, SPILL, ESTIMATE)
#: Rows below which an estimate is no matter.
_FEW_ROWS = 100


def judge(
    database: Database, promised: Queries, facts: QueryFacts, history: Mapping[str, PlanHistory], now: datetime
) -> list[Verdict]:
    """Judge a database's queries: each by itself, then what has no name."""
    about = [
        (f"{database.database} {seen.query.name}", tuple(_query(promised, facts, seen, history, now)))
        for seen in facts.queries
    ]
    if facts.dialect != "sqlite" and promised.top:
        about.append((database.database, tuple(_uncovered(promised, facts))))
    about = [(subject, _accepted(promised, subject.partition(" ")[2], found, now.date())) for subject, found in about]
    said = (database.team, database.expected_result, database.back)
    return [Verdict(CHECK, subject, "", *said, found) for subject, found in about]


def _accepted(promised: Queries, query: str, found: tuple[Finding, ...], today: date) -> tuple[Finding, ...]:
    """The findings on a query, with what the file accepts of it."""
    mine = [one for one in promised.accept if one.query == query]
    wrong = [finding for finding in found if finding.outcome is not Outcome.PASS]
    entries = {finding: entry for entry in mine for finding in wrong if entry.covers(finding.claim)}
    idle = [one for one in mine if not any(one.covers(finding.claim) for finding in wrong)]
    warnings = useless(CHECK, ((f"{one.claim} of {one.query}", "nothing is wrong there") for one in idle))
    return (*(settled(one, entries[one], today) if one in entries else one for one in found), *warnings)


def _query(
    promised: Queries, facts: QueryFacts, seen: ObservedQuery, history: Mapping[str, PlanHistory], now: datetime
) -> Iterator[Finding]:
    if seen.plan is None:
        # Whether it could be planned with more time is not known.
        holds = None if seen.trouble.startswith("canceling statement") or seen.trouble == "interrupted" else False
        yield PLANNED.against(seen.trouble, "a plan", holds=holds)
        return
    limits = seen.query.limits
    yield _scan(promised, facts, seen, seen.plan)
    if limits.max_cost is not None and seen.plan.cost is not None:
        holds = seen.plan.cost <= limits.max_cost
        yield COST.against(f"cost {seen.plan.cost:g}", f"at most {limits.max_cost:g}", holds=holds)
    yield from _ran(promised, seen)
    yield _changed(promised, seen, seen.plan, history.get(seen.query.name), now)


def _scan(promised: Queries, facts: QueryFacts, seen: ObservedQuery, plan: QueryPlan) -> Finding:
    wanted = f"an index, or `allow_scan` for a table of more than {promised.large} rows"
    wrong = [said for step in plan.steps if (said := _reads_all(promised, facts, seen, step))]
    return SCAN.against("; ".join(dict.fromkeys(wrong)) or "indexes lead to its rows", wanted, holds=not wrong)


def _reads_all(promised: Queries, facts: QueryFacts, seen: ObservedQuery, step: PlanNode) -> str:
    rows = facts.rows.get(step.relation, 0)
    if not step.relation or rows <= promised.large or step.relation in seen.query.limits.allow_scan:
        return ""
    if step.kind == "SEARCH BY AN AUTOMATIC INDEX":
        return f"an index on {step.relation} ({plural(rows, 'row')}) is built anew for each run"
    if step.kind.endswith("Seq Scan") or step.kind.startswith("SCAN"):
        return f"{step.words}: all {plural(rows, 'row')}"
    return ""


def _ran(promised: Queries, seen: ObservedQuery) -> Iterator[Finding]:
    most = seen.query.limits.max_rows_examined
    if seen.ran is None:
        if seen.not_run:
            claim = EXAMINED if most is not None else SPILL
            yield claim.against(f"it was not run: {seen.not_run}", "a run with the values of the file", holds=None)
        return
    if most is not None:
        examined = seen.ran.examined
        yield EXAMINED.against(f"{examined:.0f} rows examined", f"at most {most}", holds=examined <= most)
    spilled = [step.spilled for step in seen.ran.steps if step.spilled]
    wanted = "no temporary file; an index in that order, or more work_mem"
    yield SPILL.against("; ".join(spilled) or "all fits into memory", wanted, holds=not spilled)
    off = max(seen.ran.steps, key=_off)
    saw = f"{off.words}: {off.estimated:.0f} rows expected, {off.actual or 0:.0f} seen"
    yield ESTIMATE.against(saw, f"within {promised.off_by:g} times; ANALYZE, or CREATE STATISTICS on columns that go "
                           "together", holds=_off(off) < promised.off_by)  # fmt: skip


def _off(step: PlanNode) -> float:
    """How many times too many or too few rows were expected; 1 for a step of few rows, and for what nobody can tell."""
    expected, seen = max(step.estimated, 1.0), max(step.actual or 0.0, 1.0)
    if step.actual is None or max(expected, seen) < _FEW_ROWS:
        return 1.0
    too_few = 1.0 if step.again else seen / expected
    too_many = 1.0 if step.cut else expected / seen
    return max(too_few, too_many, 1.0)


def _changed(
    promised: Queries, seen: ObservedQuery, plan: QueryPlan, history: PlanHistory | None, now: datetime
) -> Finding:
    shown = flat(plan.lines, plan.cost)
    if history is None or history.before is None or (now - history.since).total_seconds() > promised.told_for:
        since = f", since {history.since:%Y-%m-%d}" if history else ""
        return CHANGED.against(f"{shown}{since}", "the plan that it had", holds=True)
    before = history.before
    blocks = seen.ran.blocks if seen.ran else None
    more = dearer(promised, (before.cost, before.blocks), (plan.cost, blocks))
    claim = CHANGED if more else OTHER
    saw = f"{shown} since {history.since:%Y-%m-%d %H:%M}{more and f' ({more})'}"
    return claim.against(saw, f"{flat(before.lines, before.cost)} as before", holds=False)


def dearer(promised: Queries, was: tuple[float | None, int | None], now: tuple[float | None, int | None]) -> str:
    """How many times dearer a plan is than another, by cost and pages read; "" when it is not, or nobody can tell.

    Nobody can where one of the two has no cost, and no pages that were counted.
    """
    limits = (("cost", promised.costlier), ("pages read", promised.more_blocks))
    return ", ".join(
        f"{what} {after / before:.3g} times as high"
        for (what, most), before, after in zip(limits, was, now, strict=True)
        if before and after and after / before > most
    )


def flat(lines: tuple[str, ...], cost: float | None) -> str:
    """A plan in one line."""
    return " > ".join(line.strip() for line in lines) + (f", cost {cost:g}" if cost is not None else "")


def _uncovered(promised: Queries, facts: QueryFacts) -> Iterator[Finding]:
    wanted = f"each of the {promised.top} that take the most time in {promised.file}"
    if facts.top_trouble:
        yield COVERED.against(facts.top_trouble, "pg_stat_statements, readable by this role", holds=False)
        return
    named = {_bare(seen.query.sql) for seen in facts.queries}
    ids = {one for seen in facts.queries for one in seen.ids}
    missing = [
        one for one in facts.top
        if one.share >= promised.share and one.id not in ids and _bare(one.text) not in named
    ]  # fmt: skip
    for one in missing:
        saw = f"{one.share:.0%} of all time in {plural(one.calls, 'call')} of {_short(one.text)}"
        yield COVERED.against(saw, wanted, holds=False)
    if not missing:
        yield COVERED.against(f"{plural(len(facts.top), 'query', 'queries')} looked at", wanted, holds=True)
    if facts.hidden:
        saw = f"{facts.hidden} of the top may not be read by this role"
        yield COVERED.against(saw, "GRANT pg_read_all_stats to it", holds=False)


def _bare(sql: str) -> str:
    """A query without its values and its layout."""
    plain = re.sub(r"'(?:[^']|'')*'|(?<![:\w]):[A-Za-z_]\w*|\$\d+|\b\d+(?:\.\d+)?\b", "?", sql)
    return re.sub(r"\s*([,()=<>])\s*", r"\1", " ".join(plain.lower().split())).rstrip("; ")


def _short(sql: str) -> str:
    said = " ".join(sql.split())
    return said if len(said) <= 120 else f"{said[:117]}..."
