"""Is a candidate slower than the baseline it was asked beside? Inside each cache state, and only where it can be told.

Pooled times answer another question: a release that empties the cache looks slower (88 % of the time in a simulation)
and one that slows every miss by 30 % does not (5 %), as nine in ten requests are hits. So states are compared apart,
and the hit ratio is a measurement of its own.

"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from roundsman.http.cache_status import cache_state
from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import verdict_on
from roundsman.timing.rules.content import BODY, POLICY, STATUS, FieldDifference, differences
from roundsman.timing.rules.interleaving import Arm, ArmExchange, Rounds, Shift, Tail, needed, shift, spread_of, tail
from roundsman.timing.rules.probabilities import NORMAL, Z, false_discovery, fisher

#: A change within this factor, up or down, is none that matters.
MARGIN = 0.05
#: Nor is one within so many seconds, however large its share: a hit next door takes little more than that.
TICK_SECONDS = 0.00025
#: The share of wrongly called changes among all called ones that is put up with.
ALPHA = 0.05
#: Samples of one cache state that each arm needs for a comparison to be tried at all.
LEAST = 6
#: What a state is called where no cache says what it did: a visit with a query of its own, and a plain one.
FRESH_QUERY, UNLABELLED = "fresh query", "unlabelled"
#: Plain visits that are quicker by this factor than those with a query of their own come from a cache.
SILENT_FACTOR = 1.25
#: How much more it takes to see something four times in five than every other time.
_POWER = ((Z + NORMAL.inv_cdf(0.8)) / Z) ** 2


class Word(StrEnum):
    """What became of a route's speed in one cache state."""

    SLOWER = "slower"
    PROBABLY_SLOWER = "probably slower"
    UNCHANGED = "unchanged"
    FASTER = "faster"
    NOT_ENOUGH = "not enough data"


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """First-byte times of one route and state: `seconds`, `rounds` and `arms` (places in `Arm`) have shape (n,)."""

    path: str
    state: str
    seconds: np.ndarray
    rounds: np.ndarray
    arms: np.ndarray


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast the candidate is on one route in one cache state.

    `typical` is the baseline's median in seconds. `shift` and `tail` are the candidate against both baselines, and
    `between` is the second baseline against the first, None without a second one. `q` and `q_tail` are false-discovery
    rates over all that was tested with it. `need` is how many samples of each release it takes, 0 when there were
    enough.
    """

    path: str
    state: str
    baseline: int
    candidate: int
    typical: float
    shift: Shift
    tail: Tail
    between: Shift | None
    q: float = 1.0
    q_tail: float = 1.0
    word: Word = Word.NOT_ENOUGH
    need: int = 0
    biased: bool = False
    """Whether the two baselines, which are the same release, differ: then nothing can be told from these times."""

    @property
    def told(self) -> Ratio:
        """As a picture and the ledger take it."""
        return Ratio(self.path, self.state, self.shift.ratio, self.shift.low, self.shift.high, self.word)

    def margin(self, share: float) -> float:
        """The share within which a change is none: as asked for, or a quarter of a millisecond if that is more."""
        return max(share, TICK_SECONDS / self.typical)


@dataclass(frozen=True, slots=True)
class Shares:
    """How many of the baselines' and of the candidate's answers were so, of how many; and how likely by chance."""

    baseline: tuple[int, int]
    candidate: tuple[int, int]
    q: float = 1.0

    @property
    def change(self) -> float:
        """The candidate's share less the baseline's."""
        (one, whole), (other, all_others) = self.candidate, self.baseline
        return one / max(whole, 1) - other / max(all_others, 1)

    @property
    def differs(self) -> bool:
        """Whether chance hardly makes such a difference."""
        return self.q <= ALPHA and self.change != 0


@dataclass(frozen=True, slots=True)
class Compared:
    """Everything that differs on one route. Errors are no answers and those of the server; hits are of plain visits."""

    path: str
    speeds: tuple[Speed, ...]
    errors: Shares
    hits: Shares
    differences: tuple[FieldDifference, ...]
    silent: float = 0.0
    """By what factor plain visits were quicker than those with a query of their own, where no cache says that it
    answered them; 0 where none is there, or where each says what it did."""


def compare(answers: Mapping[str, Sequence[ArmExchange]], margin: float = MARGIN) -> list[Compared]:
    """Compare routes, by their answers in all arms. All tests are corrected together (Benjamini and Hochberg)."""
    measured = [measure(times) for path, seen in answers.items() for times in _times(path, seen)]
    errors = [_shares([(one.arm, _failed(one.exchange)) for one in seen]) for seen in answers.values()]
    hits = [_shares(_stored(seen)) for seen in answers.values()]
    speeds, shares = settle(measured, [*errors, *hits], margin)
    found = differences(answers)
    return [
        Compared(
            path,
            tuple(one for one in speeds if one.path == path),
            errors_here,
            hits_here,
            found[path],
            _silent_cache(_kept(answers[path])),
        )
        for path, errors_here, hits_here in zip(answers, shares[: len(answers)], shares[len(answers) :], strict=True)
    ]


def measure(times: Times) -> Speed:
    """The numbers of one route and state, before anything is concluded from them.

    Raises:
        ValueError: the candidate or the baseline has no sample.
    """
    own = times.arms == Arm.CANDIDATE
    rounds = Rounds.of(times.seconds, times.rounds, own)
    again = times.arms == Arm.AGAIN
    between = None
    if again.any() and (times.arms == Arm.BASELINE).any():
        between = shift(Rounds.of(times.seconds[~own], times.rounds[~own], again[~own]))
    count = int(own.sum())
    typical = max(float(np.median(times.seconds[~own])), TICK_SECONDS / 100)
    return Speed(times.path, times.state, len(own) - count, count, typical, shift(rounds), tail(rounds), between)


def settle(measured: Sequence[Speed], shares: Sequence[Shares], margin: float) -> tuple[list[Speed], list[Shares]]:
    """Say what the numbers mean, after correcting for how many were looked at."""
    ps = [p for one in measured for p in (one.shift.p, one.tail.p)]
    ps += [_fisher(one) for one in shares]
    qs = false_discovery(ps)
    controls = iter(false_discovery([one.between.p for one in measured if one.between]))
    speeds = []
    for place, one in enumerate(measured):
        apart = (
            one.between is not None and next(controls) <= ALPHA and not _within(one.between.ratio, one.margin(margin))
        )
        speeds.append(
            _worded(replace(one, q=qs[2 * place], q_tail=qs[2 * place + 1], biased=apart), one.margin(margin))
        )
    rest = qs[2 * len(measured) :]
    return speeds, [replace(one, q=q) for one, q in zip(shares, rest, strict=True)]


def _worded(one: Speed, margin: float) -> Speed:
    word = _word(one, margin)
    need = _needed(one, margin) if word is Word.NOT_ENOUGH and not one.biased else 0
    return replace(one, word=word, need=need)


def _word(one: Speed, margin: float) -> Word:
    bound = 1 + margin
    if one.biased:
        return Word.NOT_ENOUGH
    if one.q <= ALPHA and one.shift.low >= bound:
        return Word.SLOWER
    tail_grew = one.tail.candidate > one.tail.baseline and one.tail.ratio >= bound
    if (one.q <= ALPHA and one.shift.ratio >= bound) or (one.q_tail <= ALPHA and tail_grew):
        return Word.PROBABLY_SLOWER
    if _within(one.shift.low, margin) and _within(one.shift.high, margin):
        return Word.UNCHANGED
    if one.q <= ALPHA and one.shift.ratio <= 1 / bound:
        return Word.FASTER
    return Word.NOT_ENOUGH


def _within(ratio: float, margin: float) -> bool:
    return 1 / (1 + margin) <= ratio <= 1 + margin


def _needed(one: Speed, margin: float) -> int:
    """Samples of the candidate until its interval, which narrows with their square root, is clear of the margin."""
    bound = math.log1p(margin) or 0.01
    half = one.shift.half_width
    if math.isinf(half):
        # Nothing is known of how the times spread: as many as for times that spread as widely as a page's may.
        return max(2 * one.candidate, needed(0.5, margin or 0.01))
    gap = max(abs(abs(math.log(one.shift.ratio)) - bound), bound / 2)
    return max(one.candidate + 1, math.ceil(one.candidate * (half / gap) ** 2 * _POWER))


def _times(path: str, answers: Sequence[ArmExchange]) -> Iterator[Times]:
    """The times of each cache state of which both sides have enough, of answers on connections that were open.

    Not counted from the due time: arms that are asked in turn would pay for each other's slow answers.
    """
    kept = _kept(answers)
    states: dict[str, list[ArmExchange]] = {}
    for one in kept:
        states.setdefault(_state(one), []).append(one)
    # One release's cache may be warm where the other's is cold, and nobody can tell a hit from a miss.
    if _silent_cache(kept):
        del states[UNLABELLED]
    for state, seen in sorted(states.items()):
        own = sum(one.arm is Arm.CANDIDATE for one in seen)
        if min(own, len(seen) - own) >= LEAST:
            yield Times(
                path,
                state,
                np.array([one.exchange.phases.first_byte for one in seen]),
                np.array([one.round for one in seen]),
                np.array([int(one.arm) for one in seen]),
            )


def spread_within(answers: Sequence[ArmExchange]) -> float:
    """How widely the times of one release spread within a cache state, as a standard deviation of logarithms."""
    states: dict[tuple[bool, str], list[float]] = {}
    for one in _kept(answers):
        states.setdefault((one.arm is Arm.CANDIDATE, _state(one)), []).append(one.exchange.phases.first_byte)
    return max((spread_of(times) for times in states.values() if len(times) >= LEAST), default=0.0)


def _kept(answers: Sequence[ArmExchange]) -> list[ArmExchange]:
    return [one for one in answers if one.exchange.reused and not _failed(one.exchange)]


def _silent_cache(kept: Sequence[ArmExchange]) -> float:
    """By what factor plain visits of either release are quicker than fresh ones, if a cache shows by that alone."""
    times: dict[tuple[bool, str], list[float]] = {}
    for one in kept:
        release = one.arm is Arm.CANDIDATE
        times.setdefault((release, _state(one)), []).append(one.exchange.phases.first_byte)
    factors = []
    for release in (False, True):
        plain, fresh = times.get((release, UNLABELLED), []), times.get((release, FRESH_QUERY), [])
        if min(len(plain), len(fresh)) >= LEAST:
            quick, slow = float(np.median(plain)), float(np.median(fresh))
            if slow - quick > TICK_SECONDS and slow / max(quick, TICK_SECONDS / 100) >= SILENT_FACTOR:
                factors.append(slow / max(quick, TICK_SECONDS / 100))
    return max(factors, default=0.0)


def _state(one: ArmExchange) -> str:
    """Where no cache says what it did, what was asked for must do."""
    stored = cache_state(one.exchange).from_store
    if stored is None:
        return FRESH_QUERY if one.fresh else UNLABELLED
    return "hit" if stored else "miss"


def _failed(exchange: Exchange) -> bool:
    return not exchange.answered or exchange.status >= 500


def _stored(answers: Sequence[ArmExchange]) -> list[tuple[Arm, bool]]:
    """What plain visits met, where a cache says it."""
    told = [(one.arm, cache_state(one.exchange).from_store) for one in answers if not one.fresh]
    return [(arm, stored) for arm, stored in told if stored is not None]


def _shares(seen: Sequence[tuple[Arm, bool]]) -> Shares:
    own = [yes for arm, yes in seen if arm is Arm.CANDIDATE]
    other = [yes for arm, yes in seen if arm is not Arm.CANDIDATE]
    return Shares((sum(other), len(other)), (sum(own), len(own)))


def _fisher(shares: Shares) -> float:
    (one, whole), (other, all_others) = shares.candidate, shares.baseline
    return fisher((one, whole - one), (other, all_others - other))


CHECK = "compare-release"

ERRORS = Claim(f"{CHECK}/errors", "The candidate fails no more often than the baseline.")
HIT_RATIO = Claim(f"{CHECK}/hit-ratio", "As many plain visits come from the store.", breach=Outcome.WARN)
_STATUS = Claim(f"{CHECK}/status", "The status is that of the baseline.")
_CACHE_HEADERS = Claim(f"{CHECK}/cache-headers", "The headers that rule caches stay.", breach=Outcome.WARN)
_HEADERS = Claim(f"{CHECK}/headers", "The other headers stay.", breach=Outcome.WARN)
_BODY = Claim(f"{CHECK}/body", "The body stays.", breach=Outcome.WARN)

OUTCOMES = {
    Word.SLOWER: Outcome.FAIL,
    Word.PROBABLY_SLOWER: Outcome.WARN,
    Word.UNCHANGED: Outcome.PASS,
    Word.FASTER: Outcome.PASS,
    Word.NOT_ENOUGH: Outcome.UNKNOWN,
}


def judge_site(site: Site, found: Sequence[Compared], margin: float) -> list[Verdict]:
    """The verdicts on all routes that a rule speaks of."""
    rules = [(site.rule_for(one.path), one) for one in found]
    return [judge(site, rule, one, margin) for rule, one in rules if rule]


def judge(site: Site, rule: Rule, compared: Compared, margin: float) -> Verdict:
    """The verdict on one route of a candidate.

    Slower fails, probably slower warns, too little data is unknown. More errors and another status fail; other headers,
    another body and fewer hits only warn, since a release may be made to change them.
    """
    findings = [_speed(one, margin) for one in compared.speeds] or [_no_times()]
    if compared.silent:
        findings.append(_silent(compared.silent))
    findings += [_errors(compared.errors), *_hits(compared.hits), *_content(compared.differences)]
    return verdict_on(site, rule, CHECK, compared.path, findings)


def _speed(one: Speed, margin: float) -> Finding:
    name = one.state.replace(" ", "-")
    says = f"The candidate is no slower where the answer is a {one.state}."
    least = one.margin(margin)
    wanted = f"within {least:.0%} of the baseline's {spoken(one.typical)}"
    if one.biased and one.between:
        wanted += ", and a baseline that agrees with itself"
    elif one.need:
        wanted += f"; needs about {_rounded(one.need)} samples of each release"
    return Finding(f"{CHECK}/{name}-speed", says, OUTCOMES[one.word], speed(one), wanted)


def speed(one: Speed) -> str:
    """What was measured, in words: `slower: x1.31 (1.27 to 1.36), p95 x1.40, 300 samples`."""
    if one.biased and one.between:
        return f"not to be told: the same release differs from itself by x{one.between.ratio:.2f}"
    measured = f"x{one.shift.ratio:.2f} ({one.shift.low:.2f} to {one.shift.high:.2f})"
    tail = f"p95 x{one.tail.ratio:.2f}"
    return f"{one.word}: {measured}, {tail}, {one.candidate} samples"


def _rounded(count: int) -> str:
    """Two digits are all that such an estimate is worth."""
    digits = max(0, len(str(count)) - 2)
    return f"{round(count, -digits):,}"


def _silent(factor: float) -> Finding:
    claim = Claim(f"{CHECK}/unlabelled-speed", "Plain visits of the candidate are no slower.")
    saw = f"plain visits {factor:.1f} times as quick as those with a query of their own: a cache that does not say so"
    return claim.against(saw, "`status_header` in the site file, so that hits are compared with hits", holds=None)


def _no_times() -> Finding:
    claim = Claim(f"{CHECK}/speed", "The candidate is no slower.")
    return claim.against("too few answers of one arm on an open connection", "some of each arm", holds=None)


def _errors(errors: Shares) -> Finding:
    worse = errors.differs and errors.change > 0
    silent = errors.candidate[0] == errors.candidate[1]
    holds = False if worse else None if silent else True
    return ERRORS.against(counts(errors), "no more than before", holds=holds)


def _hits(hits: Shares) -> Iterator[Finding]:
    if hits.baseline[1] and hits.candidate[1]:
        fewer = hits.differs and hits.change < 0
        yield HIT_RATIO.against(counts(hits), "as many as before", holds=not fewer)


def counts(shares: Shares) -> str:
    """Both shares in words."""
    (before, whole), (now, all_now) = shares.baseline, shares.candidate
    return f"{before} of {whole} before, {now} of {all_now} now"


def _content(differences: tuple[FieldDifference, ...]) -> Iterator[Finding]:
    for one in differences:
        saw = f"{one.field} differs in {one.apart} of {one.pairs} requests"
        if one.before or one.now:
            saw += f": {one.before or 'absent'} before, {one.now or 'absent'} now"
        yield _claim(one.field).against(saw, f"no more than the baseline's own {one.noise}", holds=False)


def _claim(field: str) -> Claim:
    if field in POLICY:
        return _CACHE_HEADERS
    return {STATUS: _STATUS, BODY: _BODY}.get(field, _HEADERS)
