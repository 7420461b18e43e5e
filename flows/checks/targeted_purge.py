from prefect import flow

from flows.tasks.blocks import edges_of
from flows.tasks.purge import prove
from flows.tasks.report import concluding
from roundsman.purge.prove import PurgeTest
from roundsman.purge.rules.judge import judge_all
from roundsman.purge.rules.plan import PurgeRequest
from roundsman.report.rules.verdict import Verdict
from roundsman.site.rules.site import Site


@flow(
    name="check-targeted-purge", flow_run_name="{site.site}: targeted purge", timeout_seconds=900, persist_result=False
)
@concluding
async def check_targeted_purge(site: Site) -> list[Verdict]:
    """Does a purge refresh this route, and only this route?"""
    promises = [rule.purge for rule in site.rules if rule.purge]
    edges = await edges_of(site) if promises else {}
    verdicts: list[Verdict] = []
    for promise in promises:
        request = PurgeRequest((promise.canary,), accept=frozenset(site.accept), max_urls=site.purge_at_most)
        proof = await prove(site, PurgeTest(request, touch=promise.touch), edges)
        verdicts += judge_all(site, proof, (promise.canary,), drill=True)
    return verdicts
