"""The questions: does it keep its promises, is it up, is it slow, are jobs failing, did the last deployment change it.

Without fresh facts an answer is `unknown`: nothing is well because nobody looked.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypedDict
from urllib.parse import quote

from roundsman.ledger.rules.releases import deployments
from roundsman.ledger.rules.retention import crowded
from roundsman.report.rules.rehearsed import ago
from roundsman.report.rules.text import clipped
from roundsman.report.rules.verdict import Outcome, worst
from roundsman.site.rules.promises import AlertPolicy
from roundsman.site.rules.site import RELEASE
from roundsman.status.rules.change import compare, milliseconds, with_speeds
from roundsman.status.rules.facts import (
    LOOK_EVERY_SECONDS,
    Answer,
    Facts,
    HealthLook,
    JobFacts,
    Mark,
    Question,
    RecordedFinding,
    Round,
    SiteStatus,
)
from roundsman.status.rules.jobs import judge_jobs
from roundsman.status.rules.promises import judge as judge_promises
from roundsman.status.rules.promises import rollback_of
from roundsman.status.rules.standing import Promises
from roundsman.timing.rules.judge import CHECK as TIMED
from roundsman.timing.rules.judge import UP as SAYS_UP
from roundsman.timing.rules.slowness import SlownessState, remembered

#: Lines of details, at most.
MAX_DETAILS = 12


class HowToGoBack(TypedDict):
    """How to go back, and when that was rehearsed."""

    rollback: str
    rehearsed: str


class Guidance(HowToGoBack):
    """What an answer tells whoever has to act."""

    owner: str
    expected: str


def status(facts: Facts) -> SiteStatus:
    """Answer the questions of a site, the one that matters most first."""
    answers = (promises(facts), _up(facts), _slow(facts), _jobs(facts), _release(facts))
    return SiteStatus(facts.site.site, facts.now, answers)


def promises(facts: Facts) -> Answer:
    """Whether a site keeps its promises: by the last look at each claim, whichever job looked."""
    judgement = judge_promises(facts.promises, facts.now)
    guidance = _guidance(facts, "Every claim of a round holds.")
    if judgement.worst:
        group = judgement.worst.group
        back = _rollback(facts, group.rollback, group.rule)
        guidance = {"owner": group.owner, "expected": judgement.worst.expected, **back}
    return Answer(
        Question.PROMISES,
        judgement.outcome,
        judgement.says,
        judgement.since,
        link=_link(facts.ui, judgement.worst.flow_run if judgement.worst else facts.flow_run),
        history=facts.rounds,
        details=(*_ahead(facts), *_few(judgement.others, 400)),
        fault=judgement.worst,
        **guidance,
    )


def _ahead(facts: Facts) -> Iterator[str]:
    """That some rounds are dated ahead of now, so that a clock was wrong."""
    count, last = facts.ahead
    if count and last:
        rounds = "1 round is" if count == 1 else f"{count} rounds are"
        yield f"{rounds} dated ahead of now, up to {last:%Y-%m-%d %H:%M} UTC, and left out: a clock was wrong"


def unreviewed(database: str, now: datetime, why: str) -> SiteStatus:
    """The status of a database about which nothing can be known."""
    return SiteStatus(database, now, (Answer(Question.PROMISES, Outcome.UNKNOWN, clipped(f"Unknown: {why}", 240)),))


def reviewed(database: str, owner: str, known: Promises, now: datetime, ui: str = "") -> SiteStatus:
    """The status of a database: whether it keeps its promises, by its last review."""
    judgement = judge_promises(known, now)
    worst = judgement.worst
    answer = Answer(
        Question.PROMISES,
        judgement.outcome,
        judgement.says,
        judgement.since,
        owner=worst.group.owner if worst else owner,
        expected=worst.expected if worst else "Every claim of a review holds.",
        rollback=worst.group.rollback if worst else "",
        link=_link(ui, worst.flow_run if worst else ""),
        details=_few(judgement.others, 400),
        fault=worst,
    )
    return SiteStatus(database, now, (answer,))


def broken(site: str, now: datetime, why: str, owner: str = "") -> SiteStatus:
    """The status of a site about which nothing can be known."""
    says = clipped(f"Unknown: {why}", 240)
    return SiteStatus(site, now, tuple(Answer(one, Outcome.UNKNOWN, says, owner=owner) for one in Question))


def shared(jobs: JobFacts, now: datetime, owner: str, ui: str = "") -> SiteStatus:
    """The status of the jobs that are no single site's, and of the ledger that they keep."""
    answer = _about_jobs(jobs, now, owner, ui)
    if full := crowded(jobs.ledger_bytes):
        says = f"{answer.says} And {full}."
        answer = replace(answer, outcome=worst((answer.outcome, Outcome.WARN)), says=says)
    return SiteStatus("", now, (answer,))


def timing(claims: Iterable[tuple[str, Outcome]]) -> Outcome | None:
    """What a round's response-time claims and their outcomes say of its speed; None when none is about a budget.

    A page that answers otherwise than promised was not timed, so nobody can tell whether it is slow.
    """
    outcomes = [_speed(claim, outcome) for claim, outcome in claims if claim != SAYS_UP.id]
    return worst(outcomes) if outcomes else None


def _speed(claim: str, outcome: Outcome) -> Outcome:
    timed = claim.endswith(("-p50", "-p95", "-p99"))
    return outcome if timed or outcome is Outcome.PASS else Outcome.UNKNOWN


def _since(marks: Sequence[Mark], longest_gap: float = float("inf")) -> datetime | None:
    """When the last unbroken run of one outcome began; a gap in looking (in seconds) breaks it."""
    since = None
    for mark in reversed(marks):
        if since and (mark.outcome is not marks[-1].outcome or (since - mark.at).total_seconds() > longest_gap):
            break
        since = mark.at
    return since


def _guidance(facts: Facts, expected: str) -> Guidance:
    """Whose the site is, what is expected of it, and how its release goes back."""
    command = shlex.join(facts.site.release.rollback) if facts.site.release else ""
    return {"owner": facts.site.owner, "expected": expected, **_rollback(facts, command, RELEASE)}


def _rollback(facts: Facts, command: str, rule: str) -> HowToGoBack:
    back, proof = rollback_of(command, rule, facts.rollback_faults, facts.rehearsals, facts.now)
    return {"rollback": back, "rehearsed": proof}


def _link(ui: str, flow_run: str) -> str:
    return f"{ui.rstrip('/')}/runs/flow-run/{quote(flow_run)}" if ui and flow_run else ""


def _stale(looks: Sequence[HealthLook], now: datetime) -> bool:
    return not looks or (now - looks[-1].at).total_seconds() > 2 * LOOK_EVERY_SECONDS


def _up(facts: Facts) -> Answer:
    health, looks, now = facts.site.health, facts.looks, facts.now
    marks = tuple(Mark(one.at, Outcome.PASS if one.up else Outcome.FAIL, one.first_byte_ms) for one in looks)

    def answer(outcome: Outcome, says: str, since: datetime | None = None) -> Answer:
        expected = f"{health.path} answers {health.expect}." if health else "The site file names a health path."
        link, guidance = _link(facts.ui, facts.flow_run), _guidance(facts, expected)
        return Answer(Question.UP, outcome, says, since, link=link, history=marks, **guidance)

    if health is None:
        return answer(Outcome.UNKNOWN, "Unknown: the site file names no health path.")
    if not looks:
        return answer(Outcome.UNKNOWN, "Unknown: nobody has looked this week.")
    last, since = looks[-1], _since(marks, 3 * LOOK_EVERY_SECONDS)
    if _stale(looks, now):
        was = "up" if last.up else "down"
        return answer(Outcome.UNKNOWN, f"Unknown: the last look was {ago(last.at, now)}; it was {was}.", last.at)
    if not last.up:
        observed = f"answers {last.status}" if last.status else f"does not answer: {last.detail or 'no reason given'}"
        return answer(Outcome.FAIL, f"No: {health.path} {observed}.", since)
    day = [one for one in looks if one.at > now - timedelta(days=1)]
    downs = sum(not one.up for one in day)
    rest = f"; it was down in {downs} of {len(day)} looks of the last day" if downs else ""
    took = milliseconds(last.first_byte_ms)
    return answer(Outcome.PASS, f"Yes: {health.path} answers {last.status} in {took}{rest}.", since)


def _slow(facts: Facts) -> Answer:
    """By the last round, and then by what the rounds before it say as well."""
    last = _last_slow(facts)
    if facts.timed is None or facts.timed.stale_at < facts.now or not facts.memory:
        return last
    policy = AlertPolicy.of(facts.site.slow_after, 1, 1.0)
    state, says, lines = remembered(facts.memory, policy)
    details = (*last.details, *lines)
    if state.outcome is last.outcome or state is SlownessState.UNKNOWN:
        return replace(last, details=details)
    if state is SlownessState.OK:
        if last.outcome is not Outcome.FAIL:
            return replace(last, details=details)
        says = f"Perhaps: {last.says.partition(': ')[2]} It takes {facts.site.slow_after} rounds to be called slow."
        return replace(last, outcome=Outcome.WARN, says=says, details=details)
    word = "Perhaps" if state is SlownessState.DEGRADED else "Yes"
    return replace(last, outcome=state.outcome, says=f"{word}: {says}.", details=details)


def _last_slow(facts: Facts) -> Answer:
    timed, now = facts.timed, facts.now
    findings = [one for one in timed.findings if one.check == TIMED and one.claim != SAYS_UP.id] if timed else []
    guidance = _guidance(facts, "Every route is within its response-time budget.")
    history, link = facts.times, _link(facts.ui, timed.flow_run if timed else "")
    if timed is None or not findings:
        budgets = any(rule.response_time for rule in facts.site.rules)
        why = "no round has taken response times this week" if budgets else "no rule has a response-time budget"
        return Answer(Question.SLOW, Outcome.UNKNOWN, f"Unknown: {why}.", history=history, link=link, **guidance)
    heavy = max(findings, key=lambda one: _speed(one.claim, one.outcome).weight)
    outcome = _speed(heavy.claim, heavy.outcome)
    if timed.stale_at < now:
        says = f"Unknown: the last round that took times began {ago(timed.started, now)}."
        return Answer(Question.SLOW, Outcome.UNKNOWN, says, timed.started, history=history, link=link, **guidance)
    if outcome is not Outcome.PASS:
        back = _rollback(facts, heavy.rollback, heavy.rule)
        guidance = {"owner": heavy.owner, "expected": heavy.expected, **back}
    off = [one for one in findings if _speed(one.claim, one.outcome) is not Outcome.PASS]
    lines = [f"{one.subject} {_name(one)}: saw {one.saw}, wanted {one.wanted}" for one in off]
    details = (*_few(lines), *_day(facts))
    says = _how_slow(timed, findings, heavy, outcome)
    since = _since(facts.times) or timed.started
    return Answer(Question.SLOW, outcome, says, since, details=details, history=history, link=link, **guidance)


def _how_slow(timed: Round, findings: Sequence[RecordedFinding], heavy: RecordedFinding, outcome: Outcome) -> str:
    if outcome is Outcome.PASS:
        one = max(timed.latencies, key=lambda one: one.p95_ms, default=None)
        rest = f"; the slowest is a {one.state} of {one.path}, p95 {milliseconds(one.p95_ms)}" if one else ""
        kept = f"all {len(findings)} budgets are kept" if len(findings) > 1 else "its budget is kept"
        return f"No: {kept}{rest}."
    count = sum(_speed(one.claim, one.outcome) is outcome for one in findings)
    what = f"{heavy.subject} {_name(heavy)}: saw {heavy.saw.partition(' (')[0]}, wanted {heavy.wanted}"
    word, how = {
        Outcome.FAIL: ("Yes", "exceeded"),
        Outcome.WARN: ("Perhaps", "exceeded, within the sample's doubt"),
    }.get(outcome, ("Unknown", "not to be judged"))
    return f"{word}: {count} of {len(findings)} budgets {'is' if count == 1 else 'are'} {how}. {what}."


def _day(facts: Facts) -> Iterator[str]:
    """The slowest route of the last day for each cache state, from every sample that was taken."""
    for state in sorted({one.state for one in facts.lately}):
        one = max((one for one in facts.lately if one.state == state), key=lambda one: one.p95_ms)
        kind = f"a {state} of {one.path}" if state else one.path
        week = f", {milliseconds(one.week_p95_ms)} in the week before" if one.week_p95_ms is not None else ""
        yield f"in the last day the slowest is {kind}: p95 {milliseconds(one.p95_ms)} in {one.samples:,} samples{week}"


def _name(finding: RecordedFinding) -> str:
    return finding.claim.partition("/")[2]


def _jobs(facts: Facts) -> Answer:
    return _about_jobs(facts.jobs, facts.now, facts.site.owner, facts.ui)


def _about_jobs(jobs: JobFacts, now: datetime, owner: str, ui: str) -> Answer:
    verdict = judge_jobs(jobs, now)
    return Answer(
        Question.JOBS,
        verdict.outcome,
        verdict.says,
        verdict.since,
        owner=owner,
        expected="Every scheduled run starts in time, does its work and ends.",
        rollback=verdict.rollback,
        rehearsed=verdict.rehearsed,
        link=_link(ui, verdict.flow_run),
        history=verdict.history,
        details=_few(verdict.details),
    )


def _release(facts: Facts) -> Answer:
    releases, now = facts.releases, facts.now
    made = deployments(releases)
    guidance = _guidance(facts, "No claim comes out worse than before it.")
    link = _link(facts.ui, facts.after.flow_run if facts.after else facts.flow_run)

    def answer(outcome: Outcome, says: str, since: datetime | None = None, details: Sequence[str] = ()) -> Answer:
        return Answer(
            Question.RELEASE,
            outcome,
            says,
            since,
            link=link,
            history=facts.rounds,
            moments=tuple(release.seen_at for release in made),
            details=_few(details),
            **guidance,
        )

    asked = facts.site.release and facts.site.release.version
    if not asked and not releases:
        says = "Unknown: the site file does not say where the site's version stands, and nobody told of a release."
        return answer(Outcome.UNKNOWN, says)
    known = next((one for one in reversed(releases) if one.version), None)
    if known is None:
        return answer(Outcome.UNKNOWN, "Unknown: the site's version was never read.")
    if not releases[-1].version:
        says = f"Unknown: its version can't be read; it was {known.version}."
        return answer(Outcome.UNKNOWN, says, releases[-1].seen_at)
    if asked and _stale(facts.looks, now):
        cut = facts.looks[-1].at if facts.looks else None
        return answer(Outcome.UNKNOWN, f"Unknown: nobody has looked lately; it was {known.version}.", cut)
    if not made:
        first = next(one for one in releases if one.version)
        return answer(Outcome.PASS, f"No: it runs {known.version} as it did when first looked at.", first.seen_at)
    last = made[-1]
    if facts.after is None or facts.before is None:
        missing = "walked since" if facts.after is None else "to compare with came before it"
        what = f"it runs {last.version} since {ago(last.seen_at, now)}, and no whole round {missing}"
        return answer(Outcome.UNKNOWN, f"Unknown: {what}.", last.seen_at)
    found = compare(last.version, facts.before, facts.after)
    outcome, says, details = with_speeds(last.version, found, facts.compared)
    return answer(outcome, says, last.seen_at, details)


def _few(lines: Sequence[str], most: int = 240) -> tuple[str, ...]:
    rest = len(lines) - MAX_DETAILS
    return (*(clipped(line, most) for line in lines[:MAX_DETAILS]), *([f"and {rest} more"] if rest > 0 else []))
