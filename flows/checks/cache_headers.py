from prefect import flow

from flows.tasks.blocks import log_in
from flows.tasks.cache import examine, look_again
from flows.tasks.report import concluding
from roundsman.cache.rules.judge import judge_rule
from roundsman.report.rules.verdict import Verdict
from roundsman.report.rules.visitor import NO_MEMBER, STRANGER
from roundsman.site.rules.promises import Audience
from roundsman.site.rules.site import Site


@flow(name="check-cache-headers", flow_run_name="{site.site}: cache headers", timeout_seconds=900, persist_result=False)
@concluding
async def check_cache_headers(site: Site) -> list[Verdict]:
    """Does each route cache as its written rule says, by its headers and as the edge really does?"""
    members = await log_in(site) if any(rule.cache.by is Audience.MEMBER for rule in site.rules) else ()
    member = (members or [NO_MEMBER])[0]
    visitors = [member if rule.cache.by is Audience.MEMBER else STRANGER for rule in site.rules]
    looks = [await examine(site, rule, visitor) for rule, visitor in zip(site.rules, visitors, strict=True)]
    looks = await look_again(site, site.rules, looks)
    found = [judge_rule(site, *each) for each in zip(site.rules, looks, visitors, strict=True)]
    return [verdict for verdicts in found for verdict in verdicts]
