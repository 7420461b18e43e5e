from datetime import UTC, datetime

from prefect import flow

from flows.tasks.report import concluding
from flows.tasks.rollback import find_commands, find_rehearsals, hold_against_now
from roundsman.report.rules.verdict import Verdict
from roundsman.rollback.rules.judge import judge, judge_release
from roundsman.site.rules.promises import Audience
from roundsman.site.rules.site import RELEASE, Site


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
