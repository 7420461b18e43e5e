from datetime import UTC, datetime

from prefect import flow

from flows.rules.promises import Audience
from flows.rules.rollback_ready import judge, judge_release
from flows.rules.site import RELEASE, Site
from flows.rules.verdict import Verdict
from flows.tasks.commands import find_commands
from flows.tasks.rehearsals import find_rehearsals, hold_against_now
from flows.tasks.report import concluding


@flow(
    name="check-rollback-ready", flow_run_name="{site.site}: rollback ready", timeout_seconds=900, persist_result=False
)
@concluding
async def check_rollback_ready(site: Site) -> list[Verdict]:
    """Could we go back now, without searching through notes?"""
    promised = [rule for rule in site.rules if rule.cache.by is not Audience.UNSAID]
    found, rehearsed, now = await find_commands(site), await find_rehearsals(site), datetime.now(UTC)
    verdicts = [judge(site, rule, found[rule.name], rehearsed.get(rule.name), now) for rule in promised]
    if site.release and site.release.rollback:
        command = site.release.rollback
        last = await hold_against_now(site, rehearsed.get(RELEASE))
        verdicts.append(judge_release(site, command, found[RELEASE], last, now))
    return verdicts
