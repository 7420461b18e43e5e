from prefect import flow

from flows.rules.site import Site
from flows.rules.targeted_purge import judge
from flows.rules.verdict import Verdict
from flows.tasks.drill import drill


@flow(
    name="check-targeted-purge", flow_run_name="{site.site}: targeted purge", timeout_seconds=900, persist_result=False
)
async def check_targeted_purge(site: Site) -> list[Verdict]:
    """Does a purge refresh this route, and only this route?"""
    promises = [(rule, rule.purge) for rule in site.rules if rule.purge]
    return [judge(site, rule, promise, await drill(site, rule, promise)) for rule, promise in promises]
