"""A purge drill: warm, purge twice, look again. It records what happened and judges nothing."""

import secrets
from collections import defaultdict

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks.edge import Edge, PurgeError
from flows.rules.exchange import Exchange, Probe
from flows.rules.site import PurgeDrill, Rule, Site
from flows.rules.targeted_purge import TRIES, Drill, Plan, age_to_wait, plan, warm_enough
from flows.tasks.ask import ask, outside, pause
from flows.tasks.commands import run
from flows.tasks.probe import now
from flows.tasks.vendors import edge_of

#: Seconds between the two purges. A fetch that was under way during the first one may have stored the old page.
SECOND_PURGE_AFTER = 1.0


@task(task_run_name="purge {promise.canary}", cache_policy=NO_CACHE, persist_result=False)
async def drill(site: Site, rule: Rule, promise: PurgeDrill) -> Drill:
    """Purge a rule's canary and see what became of it, of its neighbours and of a far control."""
    edge = await edge_of(site)
    planned = plan(site, rule, promise, secrets.token_hex(8))
    warm = await _warm(site, planned)
    if not warm_enough(warm[planned.canary]):
        return Drill(planned, warm)
    await pause(max(age_to_wait(warm[path], now()) for path in planned.paths))
    if promise.touch:
        with outside():
            problem = await run(promise.touch, timeout=30)
        if problem:
            return Drill(planned, warm, touch_problem=problem)
    purged_at = now()
    try:
        answer = await _purge(edge, site.url(planned.canary))
        await pause(SECOND_PURGE_AFTER)
        await _purge(edge, site.url(planned.canary))
    except PurgeError as error:
        return Drill(planned, warm, purged_at=purged_at, problem=str(error), permanent=error.permanent)
    after: list[Exchange] = []
    for _ in range(TRIES):
        after += await _look(site, (planned.canary,))
        if len(after) > 1 and warm_enough(after):
            break
    others = planned.paths[1:]
    seen = dict(zip(others, await _look(site, others), strict=True))
    return Drill(planned, warm, purged_at=purged_at, answer=answer, after=after, others=seen)


async def _warm(site: Site, planned: Plan) -> dict[str, list[Exchange]]:
    """Ask every path until its last two answers are hits on one copy, a bounded number of times."""
    warm: dict[str, list[Exchange]] = defaultdict(list)
    for _ in range(TRIES):
        cold = [path for path in planned.paths if not warm_enough(warm[path])]
        if not cold:
            break
        for path, exchange in zip(cold, await _look(site, cold), strict=True):
            warm[path].append(exchange)
    return dict(warm)


async def _look(site: Site, paths: tuple[str, ...] | list[str]) -> list[Exchange]:
    return await ask(site, [Probe(site.url(path), keep_body=True) for path in paths], connections=4)


async def _purge(edge: Edge, url: str) -> str:
    with outside():
        receipts = await edge.purge([url])
    return ", ".join(f"{receipt.status}{' (was not there)' if receipt.absent else ''}" for receipt in receipts)
