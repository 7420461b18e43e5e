from prefect import flow
from prefect.utilities.annotations import quote

from flows.tasks.blocks import log_in
from flows.tasks.report import attempt, concluding
from flows.tasks.timing import glance, keep_samples, look_back, sample
from roundsman.ledger.rules.samples import Sample
from roundsman.report.rules.verdict import Verdict
from roundsman.report.rules.visitor import NO_MEMBER, STRANGER
from roundsman.site.rules.promises import Audience
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import could_not_look
from roundsman.timing.rules import drift
from roundsman.timing.rules.judge import CHECK, judge, judge_health
from roundsman.timing.rules.sampling import samples_of


@flow(name="check-response-time", flow_run_name="{site.site}: response time", timeout_seconds=900, persist_result=False)
@concluding
async def check_response_time(site: Site) -> list[Verdict]:
    """Is each route within its budget, for hits and for misses, and is it as fast as it was, round after round?"""
    timed = [rule for rule in site.rules if rule.response_time]
    members = await log_in(site) if any(rule.cache.by is Audience.MEMBER for rule in timed) else ()
    verdicts = [judge_health(site, site.health, await glance(site, site.health.path))] if site.health else []
    samples: list[Sample] = []
    for rule in timed:
        visitor = (members or [NO_MEMBER])[0] if rule.cache.by is Audience.MEMBER else STRANGER
        if visitor.problem:
            verdicts.append(could_not_look(site, CHECK, visitor.problem, rule.routes[0]))
        else:
            seen = await sample(site, rule, visitor)
            verdicts += [judge(site, rule, path, exchanges) for path, exchanges in seen.items()]
            samples += [one for path, taken in seen.items() for one in samples_of(site.site, rule, path, taken)]
    await attempt(keep_samples, quote(samples))  # without them the round is still told, and still judged
    if taken := [series for verdict in verdicts for series in verdict.series]:
        past = await look_back(site, quote(taken))
        verdicts += drift.judge(site, past.rounds, past.releases, past.rounds[-1].at)
    return verdicts
