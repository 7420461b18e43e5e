import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from prefect import State, flow
from prefect.utilities.annotations import quote

from flows.jobs.inspect_site import run_id
from flows.tasks.alerts import notify_now
from flows.tasks.ledger import record
from flows.tasks.report import attempt, conclude, log_faults
from flows.tasks.rollback import find_rollback_faults
from flows.tasks.site import load
from flows.tasks.status import find_around
from flows.tasks.timing import ask_in_turn, keep_ratios, publish_comparison
from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import SITE_OWNER, NothingToUndo, job
from roundsman.ledger.ledger import ready
from roundsman.probe.ask import Clock, looking
from roundsman.report.rules.grouping import group
from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Outcome, Verdict
from roundsman.rollback.rules.judge import warned
from roundsman.site.rules.field_types import Address
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import could_not_look
from roundsman.timing.rules import judge_before_after
from roundsman.timing.rules import judge_before_after as before_after
from roundsman.timing.rules import judge_side_by_side as comparison
from roundsman.timing.rules.interleaving import (
    EACH,
    PILOT_SAMPLES,
    USUAL_SAMPLES,
    ArmExchange,
    compared,
    requests,
    samples_needed,
)
from roundsman.timing.rules.judge_side_by_side import CHECK, judge_site

log = logging.getLogger("roundsman")

#: Seconds that a comparison side by side may take when nobody said how many samples it takes.
MAX_SECONDS = 1800.0

Compared = tuple[list[Verdict], list[Ratio], str]


@job(
    owner=SITE_OWNER,
    expects="No route of a new release is slower than before, fails more often, or answers another status.",
    on_fail="A release that waits for this should not go out. First look: the run's artifact, which names the routes.",
    rollback=NothingToUndo("releases are only asked, or read about; which one serves readers is not changed"),
    max_runtime=3600.0,
    start_grace=60.0,
)
@flow(
    name="compare-release",
    flow_run_name="{site}",
    persist_result=False,
    timeout_seconds=3540,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def compare_release(  # noqa: PLR0913, PLR0917 - two ways of comparing
    site: str,
    baseline: Address | None = None,
    candidate: Address | None = None,
    version: str = "",
    margin: float | None = None,
    samples: int | None = None,
    controls: Sequence[str] = (),
) -> State[Report]:
    """Compare a release with the one before it: side by side at two addresses, or by the rounds before and after it.

    Args:
        site: A name in deployments/sites/, or a path to a site file.
        baseline: Where the old release answers, such as http://10.0.0.5:8080; with it, a candidate.
        candidate: Where the new one does.
        version: Without addresses: the release whose rounds are compared; the last one when empty.
        margin: A change within this share is none that matters; 5 % side by side, 20 % before and after.
        samples: Side by side: how often each route is asked, of each release and for each cache state. When left out,
            as often as the margin needs for times that spread as these do, in half an hour at most.
        controls: Before and after: routes that the release did not touch; what they did is taken off the others.
    """
    promised, clock = load(site), Clock()
    await asyncio.to_thread(ready)
    looking.set(clock)
    started = datetime.now(UTC)
    if baseline and candidate:
        margin = margin or comparison.MARGIN
        verdicts, ratios, version = await _side_by_side(promised, baseline, candidate, margin, samples)
    elif baseline or candidate:
        raise ValueError("saw one address, wanted those of both releases, or none to compare before and after")
    else:
        margin = margin or before_after.MARGIN
        verdicts, ratios, version = await _before_after(promised, version, margin, controls)
    honest = warned(verdicts, await find_rollback_faults(promised))
    report = Report(run_id(), promised.site, started, datetime.now(UTC), honest, looking=clock.seconds)
    written = await attempt(record, quote(report), job="compare-release")
    if written.is_completed():
        await attempt(keep_ratios, report.run, ratios, margin, version)
        await notify_now(promised, _telling(report), full=False)
    else:
        lost = could_not_look(promised, "ledger", f"the comparison was not recorded: {written.message}")
        report = replace(report, verdicts=(*report.verdicts, lost))
    log_faults(promised.site, group(report.verdicts))
    await attempt(publish_comparison, report, ratios, margin, version if ratios else "")
    return conclude(report)


def _telling(report: Report) -> Report:
    """What the owner is told of: that too few rounds tell nothing yet is no trouble of the site."""
    return replace(report, verdicts=tuple(one for one in report.verdicts if one.outcome is not Outcome.UNKNOWN))


async def _side_by_side(site: Site, baseline: str, candidate: str, margin: float, samples: int | None) -> Compared:
    answers: dict[str, list[ArmExchange]] = {}
    rules = [rule for rule in site.rules if compared(rule)]
    for rule in site.rules:
        if rule not in rules:
            log.info("%s: %s is left out: a member's pages are not compared", site.site, rule.name)
    if samples is None:
        samples = await _enough(site, rules, baseline, candidate, margin)
    for rule in rules:
        log.info("%s: asking for %s in turn", site.site, rule.name)
        answers |= await ask_in_turn(site, rule, baseline, candidate, samples)
    found = await asyncio.to_thread(comparison.compare, answers, margin)
    verdicts = judge_site(site, found, margin) or [could_not_look(site, CHECK, "no route can be compared")]
    return verdicts, [speed.told for one in found for speed in one.speeds], ""


async def _enough(site: Site, rules: Sequence[Rule], baseline: str, candidate: str, margin: float) -> int:
    """The samples that the margin needs, by a few that are taken first; as many as fit into the time. It says so."""
    spread = 0.0
    for rule in rules:
        for seen in (await ask_in_turn(site, rule, baseline, candidate, PILOT_SAMPLES)).values():
            spread = max(spread, comparison.spread_within(seen))
    wanted = samples_needed(spread, margin)
    each = sum(requests(rule, EACH) for rule in rules) / EACH / site.manners.rate
    fit = max(USUAL_SAMPLES, int(MAX_SECONDS / each))
    samples = min(wanted, fit)
    minutes = math.ceil(samples * each / 60)
    said = f"{samples:,} samples of each release, about {minutes} minutes, as times spread by {spread:.0%}"
    if samples < wanted:
        said += (
            f"; to show that nothing changed by more than {margin:.0%} would take {wanted:,}: `--margin` or `--samples`"
        )
    log.info("%s: %s", site.site, said)
    return samples


async def _before_after(site: Site, version: str, margin: float, controls: Sequence[str]) -> Compared:
    known = await find_around(site, version)
    if known.release is None:
        return [could_not_look(site, CHECK, known.why)], [], version
    log.info("%s: comparing the rounds around %s", site.site, known.release.version)
    found = before_after.compare(known.before, known.after, margin, controls)
    verdicts = judge_before_after.judge(site, found, margin)
    if not verdicts:
        verdicts = [could_not_look(site, CHECK, "no round has taken response times")]
    if known.claims:
        verdicts.append(judge_before_after.judge_claims(site, *known.claims))
    return verdicts, [one.ratio for one in found if one.ratio], known.release.version
