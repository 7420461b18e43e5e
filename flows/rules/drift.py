"""Is each route as fast as it was, round after round? Steps and creeping, and which release a step came with."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from flows.rules.before_after import Key, Walk
from flows.rules.change_points import LEAST, SHORTEST, Change, Kind, changes, released
from flows.rules.comparison import TICK
from flows.rules.notice import Release
from flows.rules.quantity import spoken
from flows.rules.site import Site
from flows.rules.subject import verdict_on
from flows.rules.verdict import Claim, Finding, Outcome, Verdict

CHECK = "drift"

#: Rounds that are looked back at.
ROUNDS = 120
#: For so long a new level is news; then it is what the route takes.
NEWS = timedelta(days=7)
#: Steps that are told one by one, at most.
_TOLD = 3

_OF = {"hit": "a hit", "miss": "a miss", "origin": "the origin"}
_CLAIMS: Mapping[tuple[str, Kind], Claim] = {
    (state, kind): Claim(f"{CHECK}/{state}-{kind}", f"The median of {of} {keeps}.", breach=Outcome.WARN)
    for state, of in _OF.items()
    for kind, keeps in ((Kind.STEP, "stays on its level"), (Kind.DRIFT, "does not creep up"))
}


def judge(site: Site, rounds: Sequence[Walk], releases: Sequence[Release], now: datetime) -> list[Verdict]:
    """A verdict on each route that enough rounds have timed; on the others there is none yet.

    Slower than before all that is news warns; faster is told and passes. Rounds are ascending, the newest at the end.
    """
    found: dict[str, list[Finding]] = {}
    for key in sorted({key for walk in rounds for key in walk.times}):
        own = [walk for walk in rounds if key in walk.times]
        if len(own) >= 2 * SHORTEST:
            found.setdefault(key[0], []).extend(_findings(key, own, releases, now))
    return [
        verdict_on(site, rule, CHECK, path, findings)
        for path, findings in found.items()
        if (rule := site.rule_for(path))
    ]


def changed(key: Key, rounds: Sequence[Walk]) -> list[Change]:
    """The changes of one route and cache state that are more than a clock can tell."""
    times = [walk.times[key].p50 for walk in rounds]
    typical = sorted(times)[len(times) // 2]
    return [one for one in changes([max(time, 1e-6) for time in times]) if abs(one.ratio - 1) * typical >= TICK]


def attributed(change: Change, rounds: Sequence[Walk], releases: Sequence[Release]) -> str:
    """In words: when a change came, and with which release."""
    if change.kind is Kind.DRIFT:
        return f"from {_day(rounds[change.first].at)} to {_day(rounds[change.last - 1].at)}"
    versions = released(change, [walk.at for walk in rounds], [(one.seen_at, one.version) for one in releases])
    came = f"with release {' or '.join(versions)}" if versions else "without a release"
    return f"since {_day(rounds[change.first].at)}, {came}"


def _findings(key: Key, rounds: Sequence[Walk], releases: Sequence[Release], now: datetime) -> Iterator[Finding]:
    news = [one for one in changed(key, rounds) if _is_news(one, rounds, now)]
    for kind in Kind:
        told, claim = [one for one in news if one.kind is kind], _CLAIMS[key[1], kind]
        level = _level(rounds, key, told[0].first if told else 0)
        saw = _seen(told, rounds, releases) if told else f"no change in {len(rounds)} rounds"
        more = _whole(told) - 1
        wanted = f"within {LEAST:.0%} of {spoken(float(f'{level:.3g}'))}"
        yield claim.against(saw, wanted, holds=more < LEAST or more * level < TICK)


def _is_news(change: Change, rounds: Sequence[Walk], now: datetime) -> bool:
    newest = change.last - 1 if change.kind is Kind.DRIFT else change.first
    return rounds[newest].at >= now - NEWS


def _whole(steps: Sequence[Change]) -> float:
    """The level after all steps over that before the first: a recovery by half is still slower than before."""
    return math.prod(one.ratio for one in steps)


def _seen(steps: Sequence[Change], rounds: Sequence[Walk], releases: Sequence[Release]) -> str:
    told = [f"x{one.ratio:.2f} {attributed(one, rounds, releases)}" for one in steps[-_TOLD:]]
    if len(steps) == 1:
        return told[0]
    last = ", at last" if len(steps) > _TOLD else ""
    return f"x{_whole(steps):.2f} in {len(steps)} steps{last}: {'; '.join(told)}"


def _level(rounds: Sequence[Walk], key: Key, until: int) -> float:
    """What a route took before a change, or took in the middle of all rounds, in seconds."""
    before = sorted(walk.times[key].p50 for walk in (rounds[max(0, until - 20) : until] or rounds))
    return before[len(before) // 2]


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
