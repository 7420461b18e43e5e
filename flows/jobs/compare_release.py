import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime

from prefect import State, flow

from flows.jobs.inspect_site import run_id
from flows.rules.comparison import MARGIN, compare
from flows.rules.comparison_verdict import CHECK, judge_site
from flows.rules.interleaving import compared
from flows.rules.report import Report
from flows.rules.runbook import SITE_OWNER, NothingToUndo, job
from flows.rules.site_words import Address
from flows.rules.subject import could_not_look
from flows.rules.trial import Trial
from flows.tasks.ask import Clock, looking
from flows.tasks.hooks import speak_for
from flows.tasks.ledger import ready, record
from flows.tasks.report import conclude
from flows.tasks.side_by_side import ask_in_turn, publish_comparison
from flows.tasks.site_file import load

log = logging.getLogger("roundsman")


@job(
    owner=SITE_OWNER,
    expects="No route of the candidate is slower than the baseline, fails more often, or answers another status.",
    on_fail="A release that waits for this should not go out. First look: the run's artifact, which names the routes.",
    rollback=NothingToUndo("both releases are only asked; which one serves readers is not changed"),
    max_runtime=3600.0,
    start_grace=60.0,
)
@flow(
    name="compare-release",
    flow_run_name="{site}",
    persist_result=False,
    timeout_seconds=3540,
    on_failure=[speak_for],
    on_crashed=[speak_for],
)
async def compare_release(
    site: str, baseline: Address, candidate: Address, margin: float = MARGIN, samples: int = 300
) -> State[Report]:
    """Compare a candidate with the release it replaces, side by side: speed, errors, cache headers and content.

    Args:
        site: A name in deployments/sites/, or a path to a site file.
        baseline: Where the old release answers, such as http://10.0.0.5:8080.
        candidate: Where the new one does.
        margin: A change within this share is none that matters.
        samples: How often each route is asked, of each release and for each cache state.
    """
    promised, clock = load(site), Clock()
    await asyncio.to_thread(ready)
    looking.set(clock)
    started = datetime.now(UTC)
    trials: dict[str, list[Trial]] = {}
    for rule in promised.rules:
        if not compared(rule):
            log.info("%s: %s is left out: a member's pages are not compared", promised.site, rule.name)
            continue
        log.info("%s: asking for %s in turn", promised.site, rule.name)
        trials |= await ask_in_turn(promised, rule, baseline, candidate, samples)
    found = await asyncio.to_thread(compare, trials, margin)
    verdicts = judge_site(promised, found, margin) or [could_not_look(promised, CHECK, "no route can be compared")]
    report = Report(run_id(), promised.site, started, datetime.now(UTC), tuple(verdicts), looking=clock.seconds)
    written = await record(report, job="compare-release", return_state=True)
    if not written.is_completed():
        lost = could_not_look(promised, "ledger", f"the comparison was not recorded: {written.message}")
        report = replace(report, verdicts=(*report.verdicts, lost))
    speeds = [speed for one in found for speed in one.speeds]
    await publish_comparison(report, speeds, margin, return_state=True)
    return conclude(report)
