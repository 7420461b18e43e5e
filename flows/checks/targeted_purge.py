from prefect import flow

from flows.rules.purge_wish import Wish
from flows.rules.site import Site
from flows.rules.targeted_purge import judge_all
from flows.rules.verdict import Verdict
from flows.tasks.prove import Trial, prove
from flows.tasks.report import concluding


@flow(
    name="check-targeted-purge", flow_run_name="{site.site}: targeted purge", timeout_seconds=900, persist_result=False
)
@concluding
async def check_targeted_purge(site: Site) -> list[Verdict]:
    """Does a purge refresh this route, and only this route?"""
    promises = [rule.purge for rule in site.rules if rule.purge]
    verdicts: list[Verdict] = []
    for promise in promises:
        wish = Wish((promise.canary,), accept=frozenset(site.accept), most=site.purge_at_most)
        verdicts += judge_all(site, await prove(site, Trial(wish, touch=promise.touch)), (promise.canary,), drill=True)
    return verdicts
