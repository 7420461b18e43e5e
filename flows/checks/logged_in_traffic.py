from prefect import flow

from flows.tasks.blocks import edges_of, log_in
from flows.tasks.logged_in import visit
from flows.tasks.report import concluding
from roundsman.logged_in.rules.judge import judge
from roundsman.logged_in.rules.visit_plan import routes
from roundsman.report.rules.verdict import Verdict
from roundsman.site.rules.site import Site


@flow(
    name="check-logged-in-traffic",
    flow_run_name="{site.site}: logged-in traffic",
    timeout_seconds=900,
    persist_result=False,
)
@concluding
async def check_logged_in_traffic(site: Site) -> list[Verdict]:
    """Can a stranger, or another member, get a member's page?"""
    rules = [rule for rule in site.rules if routes(rule)]
    members = await log_in(site) if rules else ()
    verdicts = []
    for rule in rules:
        visits = await visit(site, rule, members, edges_of)
        verdicts += [judge(site, rule, path, seen, members) for path, seen in visits.items()]
    return verdicts
