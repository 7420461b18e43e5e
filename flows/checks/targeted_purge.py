from prefect import flow

from flows.tasks.prove import Trial, prove
from flows.tasks.report import concluding
from roundsman.purge.rules.judge import judge_all
from roundsman.purge.rules.purge_request import Wish
from roundsman.report.rules.verdict import Verdict
from roundsman.site.rules.site import Site


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
