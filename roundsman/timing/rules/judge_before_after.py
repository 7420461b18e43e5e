"""Before and after a release in production: did it make a route slower than the route makes itself?

Nothing can be interleaved there, so rounds are compared: those since the release with those before it, in the route's
own earlier changes (`roundsman.timing.rules.placebo`), inside each cache state.

"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from roundsman.report.rules.durations import spoken
from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import could_not_look, verdict_on
from roundsman.timing.rules.judge_side_by_side import (
    ALPHA,
    CHECK,
    HIT_RATIO,
    OUTCOMES,
    TICK_SECONDS,
    Shares,
    Word,
    counts,
)
from roundsman.timing.rules.placebo import HISTORY, Moved, moved
from roundsman.timing.rules.probabilities import false_discovery, fisher

#: A change within this factor is none that matters; a route moves by itself by more than that from day to day.
MARGIN = 0.2
#: Rounds of either side that are compared, at most: what was long ago says little.
MAX_ROUNDS = 60
#: Which share of the rounds a route must have been timed in; one that was not is compared with nothing.
WHOLE = 0.9

#: The chance with which spikes alone may make any route slower, of all that are compared together.
SPIKES = 0.01

#: A route and its cache state.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Timed:
    """What one round took of one route in one cache state: quantiles in seconds.

    `hits` of `asked` plain visits were answered from the store; both are 0 where nobody counted.
    """

    p50: float
    p95: float
    hits: int = 0
    asked: int = 0


@dataclass(frozen=True, slots=True)
class RoundTimes:
    """One round: when it began, and its times."""

    at: datetime
    times: Mapping[Key, Timed]


@dataclass(frozen=True, slots=True)
class Since:
    """One route and cache state since a release. `typical` is its median before it, in seconds.

    `slow` is the median and `tail` the p95, each against its history; None where there is too little of one. `q` and
    `q_tail` are false-discovery rates over all that was tested with it. `need` is how many rounds more it takes, 0
    where no number of rounds would do.
    """

    path: str
    state: str
    control: bool
    before: int
    after: int
    typical: float = 0.0
    slow: Moved | None = None
    tail: Moved | None = None
    hits: Shares | None = None
    q: float = 1.0
    q_tail: float = 1.0
    word: Word = Word.NOT_ENOUGH
    need: int = 0

    def margin(self, share: float) -> float:
        """The share within which a change is none: as asked for, or a quarter of a millisecond if that is more."""
        return max(share, TICK_SECONDS / self.typical) if self.typical else share

    @property
    def ratio(self) -> Ratio | None:
        """As a picture takes it."""
        if self.slow is None:
            return None
        return Ratio(self.path, self.state, self.slow.ratio, self.slow.low, self.slow.high, self.word)


def compare(
    before: Sequence[RoundTimes], after: Sequence[RoundTimes], margin: float = MARGIN, controls: Sequence[str] = ()
) -> list[Since]:
    """Compare the rounds since a release with those before it, for each route and cache state that was timed.

    All rounds are of the same routes, so that what all of them did alike in one round (a network, a host) is taken off;
    with `controls`, routes that the release did not touch, what these did. That is told for each cache state by itself:
    a busy host doubles what takes half a millisecond, and adds nothing that counts to a second. All tests are corrected
    together.
    """
    before, after = before[-MAX_ROUNDS:], after[:MAX_ROUNDS]
    every = sorted({key for timed_round in (*before, *after) for key in timed_round.times})
    keys = _whole(every, before, after)
    rows = [timed_round for timed_round in before if keys.issubset(timed_round.times)]
    later = [timed_round for timed_round in after if keys.issubset(timed_round.times)]
    plain = {
        key: Since(
            *key, key[0] in controls, sum(key in one.times for one in before), sum(key in one.times for one in after)
        )
        for key in every
    }
    if not keys or len(rows) < HISTORY or not later:
        return [replace(one, need=max(0, HISTORY - one.before) + (not one.after)) for one in plain.values()]
    tested = sorted(keys)
    slow, tail = (_moved(tested, rows, later, controls, name) for name in ("p50", "p95"))
    made = [
        replace(
            plain[key],
            before=len(rows),
            after=len(later),
            typical=float(np.median([timed_round.times[key].p50 for timed_round in rows])),
            slow=slow[key],
            tail=tail[key],
            hits=_hits(key, rows[-len(later) :], later),
        )
        for key in tested
    ]
    rest = [replace(plain[key], need=max(1, HISTORY - plain[key].before)) for key in every if key not in keys]
    return sorted([*_settled(made, margin), *rest], key=lambda one: (one.path, one.state))


def _whole(every: Sequence[Key], before: Sequence[RoundTimes], after: Sequence[RoundTimes]) -> set[Key]:
    """What was timed in nearly every round of both sides."""
    return {
        key
        for key in every
        if all(
            some and sum(key in timed_round.times for timed_round in some) >= WHOLE * len(some)
            for some in (before, after)
        )
    }


def _moved(
    keys: Sequence[Key], before: Sequence[RoundTimes], after: Sequence[RoundTimes], controls: Sequence[str], name: str
) -> dict[Key, Moved]:
    """The median of the rounds since, which are never less alike than one of them alone is to the others."""

    def logs(some: Sequence[Key], timed_rounds: Sequence[RoundTimes]) -> np.ndarray:
        return np.log(
            [[max(getattr(timed_round.times[key], name), 1e-6) for timed_round in timed_rounds] for key in some]
        )

    found: dict[Key, Moved] = {}
    for state in {state for _, state in keys}:
        some = [key for key in keys if key[1] == state]
        fixed = [place for place, (path, _) in enumerate(some) if path in controls]
        told = moved(logs(some, before), logs(some, after), fixed)
        found |= zip(some, told, strict=True)
    return found


def _hits(key: Key, before: Sequence[RoundTimes], after: Sequence[RoundTimes]) -> Shares | None:
    """How many plain visits came from the store, in as many rounds before as there were since."""

    def counted(timed_rounds: Sequence[RoundTimes]) -> tuple[int, int]:
        return sum(timed_round.times[key].hits for timed_round in timed_rounds), sum(
            timed_round.times[key].asked for timed_round in timed_rounds
        )

    shares = Shares(counted(before), counted(after))
    return shares if shares.baseline[1] and shares.candidate[1] else None


def _settled(made: Sequence[Since], margin: float) -> list[Since]:
    ps = [p for one in made for p in (one.slow.p if one.slow else 1.0, one.tail.p if one.tail else 1.0)]
    hits = [one.hits for one in made if one.hits]
    qs = false_discovery(ps + [fisher(*(_table(side) for side in (one.candidate, one.baseline))) for one in hits])
    of_hits = iter(qs[len(ps) :])
    found = []
    for place, one in enumerate(made):
        own = replace(one.hits, q=next(of_hits)) if one.hits else None
        named = replace(one, q=qs[2 * place], q_tail=qs[2 * place + 1], hits=own)
        word, need = _word(named, margin, len(made))
        found.append(replace(named, word=word, need=need))
    return found


def _table(side: tuple[int, int]) -> tuple[int, int]:
    return side[0], side[1] - side[0]


def _word(one: Since, margin: float, tests: int) -> tuple[Word, int]:
    """What is said of a route, and how many rounds more it takes where spikes could explain what was seen.

    One round in twelve or thirty of many services is slower by a third for no reason. So a route is slower only when
    more rounds since are so than spikes, as often as the rounds before had them, would bring about; in all `tests`
    together at most with the chance SPIKES.
    """
    bound, slow, tail = math.log1p(one.margin(margin)), one.slow, one.tail
    if slow is None or tail is None:
        return Word.NOT_ENOUGH, 0
    level = SPIKES / tests
    # Each round since is held against the near end of the interval, where the busy hours of a day are no spikes.
    near, near_tail = (max(bound, math.log(moved.low)) for moved in (slow, tail))
    slower = one.q <= ALPHA and math.log(slow.ratio) >= bound
    slower_tail = one.q_tail <= ALPHA and math.log(tail.ratio) >= bound
    if slower and slow.lasts(near, level):
        return (Word.SLOWER if math.log(slow.low) >= bound else Word.PROBABLY_SLOWER), 0
    if slower_tail and tail.lasts(near_tail, level):
        return Word.PROBABLY_SLOWER, 0
    if slower or slower_tail:
        return Word.NOT_ENOUGH, slow.windows_needed(near, level) if slower else tail.windows_needed(near_tail, level)
    if math.log(slow.low) >= -bound and math.log(slow.high) <= bound:
        return Word.UNCHANGED, 0
    if one.q <= ALPHA and math.log(slow.ratio) <= -bound:
        return Word.FASTER, 0
    return Word.NOT_ENOUGH, 0


CLAIMS = Claim(f"{CHECK}/claims", "No claim of a round came out worse.")


def judge(site: Site, found: Sequence[Since], margin: float) -> list[Verdict]:
    """The verdicts on all routes that a rule speaks of."""
    paths = dict.fromkeys(one.path for one in found)
    return [
        verdict_on(
            site, rule, CHECK, path, [each for one in found if one.path == path for each in _findings(one, margin)]
        )
        for path in paths
        if (rule := site.rule_for(path))
    ]


def judge_claims(site: Site, outcome: Outcome, says: str) -> Verdict:
    """The verdict on everything else that rounds say: caching, privacy, purges."""
    plain = could_not_look(site, CHECK, "")
    finding = Finding(CLAIMS.id, CLAIMS.says, outcome, says, "none worse than before")
    return Verdict(CHECK, site.site, "", plain.owner, CLAIMS.says, plain.rollback, (finding,))


def _findings(one: Since, margin: float) -> Iterator[Finding]:
    says = f"The release made it no slower where the answer is {_OF[one.state]}."
    wanted = f"{HISTORY} rounds before it"
    if one.typical:
        wanted = f"within {one.margin(margin):.0%} of {spoken(_digits(one.typical))}"
    if one.need:
        wanted += f"; needs {one.need} more round{'s' if one.need > 1 else ''}"
    yield Finding(f"{CHECK}/{one.state}-speed", says, OUTCOMES[one.word], told(one), wanted)
    if one.hits:
        fewer = one.hits.differs and one.hits.change < 0
        yield HIT_RATIO.against(counts(one.hits), "as many as before", holds=not fewer)


def told(one: Since) -> str:
    """What was measured, in words: `slower: x1.31 (1.20 to 1.43), p95 x1.40, 12 rounds since and 60 before`."""
    rounds = f"{one.after} round{'' if one.after == 1 else 's'} since and {one.before} before"
    if one.slow is None or one.tail is None:
        return f"{one.word}: timed in {rounds}"
    control = "a control, " if one.control else ""
    measured = f"x{one.slow.ratio:.2f} ({one.slow.low:.2f} to {one.slow.high:.2f}), p95 x{one.tail.ratio:.2f}"
    hides = one.tail if one.tail.usual and not one.slow.usual else one.slow
    can_not = f"; {hides.sentence}" if one.word is Word.NOT_ENOUGH else ""
    return f"{one.word}: {control}{measured}, {rounds}{can_not}"


def _digits(seconds: float) -> float:
    """Three digits are all that such a time is worth."""
    return float(f"{seconds:.3g}")


_OF = {"hit": "a hit", "miss": "a miss", "origin": "the origin's"}
