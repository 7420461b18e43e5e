"""Named queries on the schema that migrations leave: do they still go as they went?"""

from collections.abc import Iterator

from roundsman.database.rules.index_claims import plural
from roundsman.database.rules.judge_queries import dearer, flat
from roundsman.database.rules.migration_claims import PLANS
from roundsman.database.rules.migration_facts import MigrationFacts
from roundsman.database.rules.query_facts import ObservedQuery
from roundsman.database.rules.query_promise import Queries
from roundsman.report.rules.verdict import Claim, Finding, Outcome

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
