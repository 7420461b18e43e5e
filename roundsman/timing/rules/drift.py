"""Is each route as fast as it was, round after round? Steps and creeping, and which release a step came with."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from roundsman.report.rules.durations import spoken
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import verdict_on
from roundsman.timing.rules.change_points import LEAST, SHORTEST, ChangeKind, TimingChange, changes, released
from roundsman.timing.rules.judge_before_after import Key, RoundTimes
from roundsman.timing.rules.judge_side_by_side import TICK_SECONDS
from roundsman.timing.rules.placebo import HISTORY, moved
from roundsman.timing.rules.probabilities import student

CHECK = "drift"

#: Rounds that are looked back at.
ROUNDS = 120
#: For so long a new level is news; then it is what the route takes.
NEWS = timedelta(days=7)
#: Steps that are told one by one, at most.
_TOLD = 3
#: Days on which an hour has to be seen before what is usual at it is known.
DAYS = 3
#: The hours of the day explain much when what is left has less than this share of the standard deviation.
EXPLAINED = 0.75
#: The chance with which a change may be the route's own movement. Every round looks back at each place, so it is small.
CHANCE = 0.002

_OF = {"hit": "a hit", "miss": "a miss", "origin": "the origin"}
_CLAIMS: Mapping[tuple[str, ChangeKind], Claim] = {
    (state, kind): Claim(f"{CHECK}/{state}-{kind}", f"The median of {of} {keeps}.", breach=Outcome.WARN)
    for state, of in _OF.items()
    for kind, keeps in ((ChangeKind.STEP, "stays on its level"), (ChangeKind.DRIFT, "does not creep up"))
}


def judge(site: Site, rounds: Sequence[RoundTimes], releases: Sequence[Release], now: datetime) -> list[Verdict]:
    """A verdict on each route that enough rounds have timed; on the others there is none yet.

    Slower than before all that is news warns; faster is told and passes. Rounds are ascending, the newest at the end.
    """
    found: dict[str, list[Finding]] = {}
    for key in sorted({key for timed_round in rounds for key in timed_round.times}):
        own = [timed_round for timed_round in rounds if key in timed_round.times]
        if len(own) >= 2 * SHORTEST:
            found.setdefault(key[0], []).extend(_findings(key, own, releases, now))
    return [
        verdict_on(site, rule, CHECK, path, findings)
        for path, findings in found.items()
        if (rule := site.rule_for(path))
    ]


def changed(key: Key, rounds: Sequence[RoundTimes]) -> list[TimingChange]:
    """The changes of one route and cache state that are no time of day, and more than the route and a clock do.

    The detector looks at the times without what each hour of the day takes, and each of its changes is held against
    the rounds before it, as a release is (`roundsman.timing.rules.placebo`).
    """
    times = np.array([max(timed_round.times[key].p50, 1e-6) for timed_round in rounds])
    logs = _without_hours(np.log(times), [timed_round.at for timed_round in rounds])
    typical = float(np.median(times))
    found = [one for one in changes(np.exp(logs)) if abs(one.ratio - 1) * typical >= TICK_SECONDS]
    starts = [0, *(one.first for one in found)]
    return [one for one, start in zip(found, starts, strict=False) if _is_beyond(one, logs, start)]


def _without_hours(logs: np.ndarray, moments: Sequence[datetime]) -> np.ndarray:
    """Logarithms of times less what is usual at their hour of the day, where that explains much of what they do.

    Where it explains little it would only blur a step.
    """
    hours = np.array([moment.hour for moment in moments])
    days = np.array([moment.toordinal() for moment in moments])
    usual = np.zeros(len(logs))
    for hour in set(hours.tolist()):
        here = hours == hour
        if len(set(days[here].tolist())) >= DAYS:
            usual[here] = np.median(logs[here]) - np.median(logs)
    rest = logs - usual
    return rest if np.std(rest) < EXPLAINED * np.std(logs) else logs


def _is_beyond(change: TimingChange, logs: np.ndarray, start: int) -> bool:
    """Whether a change to the slower is more than the route does by itself: on its last level, and on all before.

    `start`: where the level before the change began.
    """
    if change.ratio < 1:
        return True
    if change.kind is ChangeKind.DRIFT:
        return _creeps(logs)
    if change.first < HISTORY:
        return False
    since = logs[None, change.first : change.last]
    before = logs[start if change.first - start >= HISTORY else 0 : change.first]
    own = _independent(before - np.median(before))
    [found], [ever] = moved(before[None, :], since, independent=own), moved(logs[None, : change.first], since)
    return found.p <= CHANCE and not ever.usual and found.lasts(math.log1p(LEAST), CHANCE)


def _creeps(logs: np.ndarray) -> bool:
    """Whether a straight line through all rounds rises by more than rounds that are alike do by chance."""
    runs = np.arange(len(logs))
    slope, level = np.polyfit(runs, logs, 1)
    rest = logs - level - slope * runs
    count = len(logs) * _independent(rest)
    error = max(float(np.std(rest)), 1e-9) * math.sqrt(12 / count)
    return student(slope * len(logs) / error, max(1, round(count - 2))) <= CHANCE


def _independent(rest: np.ndarray) -> float:
    """The share of some rounds that tell something new, by how alike neighbours are: (1 - rho) / (1 + rho).

    Of few rounds rho is estimated too low, by (1 + 4 rho) / n on average (Kendall 1954), so its upper end is taken.
    """
    spread = 1.4826 * float(np.median(np.abs(rest)))
    calm = np.clip(rest, -2.5 * spread, 2.5 * spread)
    power, count = float((calm * calm).sum()), len(calm)
    rho = max(0.0, float((calm[1:] * calm[:-1]).sum()) / power) if power else 0.0
    rho = min(rho + (1 + 4 * rho) / count + math.sqrt((1 - rho * rho) / count), 0.95)
    return (1 - rho) / (1 + rho)


def warns(key: Key, rounds: Sequence[RoundTimes], now: datetime) -> bool:
    """Whether a round at some time warns of one route and cache state."""
    return any(one.outcome is Outcome.WARN for one in _findings(key, rounds, (), now))


def attributed(change: TimingChange, rounds: Sequence[RoundTimes], releases: Sequence[Release]) -> str:
    """In words: when a change came, and with which release."""
    if change.kind is ChangeKind.DRIFT:
        return f"from {_day(rounds[change.first].at)} to {_day(rounds[change.last - 1].at)}"
    versions = released(
        change, [timed_round.at for timed_round in rounds], [(one.seen_at, one.version) for one in releases]
    )
    came = f"with release {' or '.join(versions)}" if versions else "without a release"
    return f"since {_day(rounds[change.first].at)}, {came}"


def _findings(key: Key, rounds: Sequence[RoundTimes], releases: Sequence[Release], now: datetime) -> Iterator[Finding]:
    news = [one for one in changed(key, rounds) if _is_news(one, rounds, now)]
    for kind in ChangeKind:
        told, claim = [one for one in news if one.kind is kind], _CLAIMS[key[1], kind]
        level = _level(rounds, key, told[0].first if told else 0)
        saw = _seen(told, rounds, releases) if told else f"no change in {len(rounds)} rounds"
        more = _whole(told) - 1
        wanted = f"within {LEAST:.0%} of {spoken(float(f'{level:.3g}'))}"
        yield claim.against(saw, wanted, holds=more < LEAST or more * level < TICK_SECONDS)


def _is_news(change: TimingChange, rounds: Sequence[RoundTimes], now: datetime) -> bool:
    newest = change.last - 1 if change.kind is ChangeKind.DRIFT else change.first
    return rounds[newest].at >= now - NEWS


def _whole(steps: Sequence[TimingChange]) -> float:
    """The level after all steps over that before the first: a recovery by half is still slower than before."""
    return math.prod(one.ratio for one in steps)


def _seen(steps: Sequence[TimingChange], rounds: Sequence[RoundTimes], releases: Sequence[Release]) -> str:
    told = [f"x{one.ratio:.2f} {attributed(one, rounds, releases)}" for one in steps[-_TOLD:]]
    if len(steps) == 1:
        return told[0]
    last = ", at last" if len(steps) > _TOLD else ""
    return f"x{_whole(steps):.2f} in {len(steps)} steps{last}: {'; '.join(told)}"


def _level(rounds: Sequence[RoundTimes], key: Key, until: int) -> float:
    """What a route took before a change, or took in the middle of all rounds, in seconds."""
    before = sorted(timed_round.times[key].p50 for timed_round in (rounds[max(0, until - 20) : until] or rounds))
    return before[len(before) // 2]


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
