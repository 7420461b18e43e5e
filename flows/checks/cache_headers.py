from prefect import flow

from flows.rules.cache_headers import VISITS, judge
from flows.rules.site import Audience, Site
from flows.rules.verdict import Verdict
from flows.rules.visitor import NO_MEMBER, STRANGER
from flows.tasks.look import visit
from flows.tasks.vendors import log_in


@flow(name="check-cache-headers", flow_run_name="{site.site}: cache headers", timeout_seconds=900, persist_result=False)
async def check_cache_headers(site: Site) -> list[Verdict]:
    """Does each route cache as its written rule says, by its headers and as the edge really does?"""
    members = await log_in(site) if any(rule.cache.by is Audience.MEMBER for rule in site.rules) else ()
    member = (members or [NO_MEMBER])[0]
    verdicts = []
    for rule in site.rules:
        visitor = member if rule.cache.by is Audience.MEMBER else STRANGER
        seen = await visit(site, rule, VISITS, visitor)
        verdicts += [judge(site, rule, path, exchanges, visitor) for path, exchanges in seen.items()]
    return verdicts
