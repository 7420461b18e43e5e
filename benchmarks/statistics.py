"""What the comparisons and the detector say of services whose truth is known: simulated, with fixed seeds.

A service here has a lognormal body (sd .5 of the logarithms), 2 % Pareto spikes, AR(1) on the log scale, and a slow
drift. An arm is asked 300 times in rounds of five, each round shuffled with the other arm's.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from roundsman.report.rules.quantiles import interval
from roundsman.timing.rules.change_points import ChangeKind, changes
from roundsman.timing.rules.drift import ROUNDS as LOOKED_BACK
from roundsman.timing.rules.drift import warns
from roundsman.timing.rules.interleaving import Arm, Rounds, location, shift, tail
from roundsman.timing.rules.judge_before_after import RoundTimes, Timed, compare
from roundsman.timing.rules.judge_side_by_side import ALPHA, Speed, Times, Word, measure, settle
from roundsman.timing.rules.placebo import moved
from roundsman.timing.rules.probabilities import Z, false_discovery, two_sided

Row = tuple[str, str, str, bool]

#: Rounds, requests of each arm in one, and the services simulated of each kind.
ROUNDS, EACH, RUNS = 60, 5, 1000
SIGMA = 0.5
#: Autocorrelation, and the drift's standard deviation at the end.
SERVICES = ((0.0, 0.0), (0.6, 0.10), (0.9, 0.15))


#: Hourly rounds before a release and, at the end of each history, since it; comparisons of each kind and number.
BEFORE, SINCE, COMPARED = 60, (1, 3, 24), 100
#: Series that are compared together, and whether they move together: a route, six with hit and miss, twenty likewise.
TOGETHER = ((1, False), (12, False), (40, True), (40, False))
#: What an unchanged service does from hour to hour, by the name of the row.
UNCHANGED = (
    "white noise", "phi .3", "phi .6", "phi .9", "3 % spikes", "8 % spikes", "sine of 5 %", "sine of 15 %",
    "x1.2 from nine to five", "x1.5 from nine to five", "creeps by 15 %", "creeps by 40 %",
)  # fmt: skip
#: Histories of each kind that drift looks back at, and their days; every third round is judged.
WATCHED, DAYS, EVERY = 10, 20, 3


def rows() -> list[Row]:
    known = [*_side_by_side(), *_tails(), *_coverage(), *_many_routes(), *_before_after(), *_detector()]
    return [*known, *_unchanged_releases(), *_unchanged_days(), *_power()]


def _unchanged_releases() -> Iterator[Row]:
    """How often anything at all is called slower although nothing changed, at any number of rounds since."""
    for place, kind in enumerate(UNCHANGED):
        rng = np.random.default_rng(500 + place)
        called = []
        for series, alike in TOGETHER:
            for since in SINCE:
                for _ in range(COMPARED // 4 if series == 40 else COMPARED):
                    rounds = _rounds_of(_hourly(rng, kind, series, BEFORE + since, alike=alike), rng)
                    called.append(any(one.word is Word.SLOWER for one in compare(rounds[:BEFORE], rounds[BEFORE:])))
        yield _false(f"since a release: called slower, unchanged, {kind}", called, 0.05)


def _unchanged_days() -> Iterator[Row]:
    """On how many days drift warns of a service that stays as it is. What creeps by itself is no false alarm."""
    for place, kind in enumerate(one for one in UNCHANGED if not one.startswith("creeps")):
        rng = np.random.default_rng(600 + place)
        warned: dict[tuple[int, int], bool] = {}
        for history in range(WATCHED):
            rounds = _rounds_of(_hourly(rng, kind, 1, 24 * DAYS), rng)
            for end in range(LOOKED_BACK, len(rounds), EVERY):
                day, seen = (history, end // 24), rounds[end - LOOKED_BACK : end]
                warned[day] = warned.get(day, False) or warns(next(iter(seen[0].times)), seen, seen[-1].at)
        yield _false(f"drift: days with a warning, unchanged, {kind}", list(warned.values()), 0.02)


def _power() -> Iterator[Row]:
    """What is seen of a release that is slower; shown, and bound to nothing."""
    for kind in ("white noise", "phi .6", "8 % spikes", "x1.5 from nine to five"):
        for slower in (0.1, 0.2, 0.3, 0.5):
            said = []
            for since in SINCE[1:]:
                rng = np.random.default_rng(700)
                words = []
                for _ in range(40):
                    logs = _hourly(rng, kind, 12, BEFORE + since)
                    logs[0, BEFORE:] += math.log1p(slower)
                    rounds = _rounds_of(logs, rng)
                    found = compare(rounds[:BEFORE], rounds[BEFORE:])
                    words.append(next(one.word for one in found if (one.path, one.state) == ("/0", "hit")))
                slow = np.mean([one is Word.SLOWER for one in words])
                hint = np.mean([one is Word.PROBABLY_SLOWER for one in words])
                said.append(f"{slow:.0%} slower, {hint:.0%} probably after {since} rounds")
            yield f"since a release: +{slower:.0%}, {kind}", "; ".join(said), "shown only", True


def _hourly(rng: np.random.Generator, kind: str, series: int, rounds: int, *, alike: bool = False) -> np.ndarray:
    """Logarithms of the medians of some series, shape (series, rounds), with the day's hours beginning anywhere."""
    hours = (np.arange(rounds) + rng.integers(24)) % 24
    phi = float(kind.removeprefix("phi ")) if kind.startswith("phi") else 0.0
    own = 1 if alike else series
    new = rng.normal(0, 1, (rounds, own))
    logs = np.empty((rounds, own))
    logs[0] = new[0]
    for place in range(1, rounds):
        logs[place] = phi * logs[place - 1] + math.sqrt(1 - phi * phi) * new[place]
    logs = 0.04 * logs.T
    if "spikes" in kind:
        share = float(kind.partition(" ")[0]) / 100
        logs = logs + (rng.random(logs.shape) < share) * np.log(1.3 + rng.exponential(0.3, logs.shape))
    if kind.startswith("sine"):
        logs = logs + float(kind.split()[2]) / 100 * np.sin(hours / 12 * math.pi)
    if "nine to five" in kind:
        logs = logs + math.log(float(kind[1:4])) * ((hours >= 9) & (hours < 17))
    if kind.startswith("creeps"):
        logs = logs + np.linspace(0, math.log1p(float(kind.split()[2]) / 100), rounds)
    return np.repeat(logs, series, axis=0) + rng.normal(0, 0.01, (series, rounds)) if alike else logs


def _rounds_of(logs: np.ndarray, rng: np.random.Generator) -> list[RoundTimes]:
    """The rounds of some series, two to a route, hour by hour."""
    begun = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=int(rng.integers(24)))
    keys = [(f"/{number // 2}", ("hit", "miss")[number % 2]) for number in range(len(logs))]
    tails = logs + 0.5 + rng.normal(0, 0.05, logs.shape)
    return [
        RoundTimes(
            begun + timedelta(hours=hour), dict(zip(keys, map(Timed, *np.exp([row, tail]).tolist()), strict=True))
        )
        for hour, (row, tail) in enumerate(zip(logs.T - 4, tails.T - 4, strict=True))
    ]


def _false(what: str, called: Sequence[bool], wanted: float) -> Row:
    """A share of false alarms with its 95 % interval (Wilson 1927)."""
    share, count = float(np.mean(called)), len(called)
    centre = share + Z * Z / 2 / count
    half = Z * math.sqrt(share * (1 - share) / count + Z * Z / 4 / count**2)
    low, high = ((centre + side * half) / (1 + Z * Z / count) for side in (-1, 1))
    measured = f"{share:.1%} ({max(0.0, low):.1%} to {high:.1%}) of {count:,}"
    return what, measured, f"at most {wanted:.0%}", share <= wanted


def _side_by_side() -> Iterator[Row]:
    """The verdict itself, with no margin at all, so that only chance stands between it and a false alarm."""
    for place, ((phi, drift), power) in enumerate(zip(SERVICES, (0.55, 0.65, 0.9), strict=True)):
        service = f"phi {phi:g}, drift {drift:.0%}"
        words = [_word(run, margin=0.0) for run in _pairs(100 + place, phi, drift)]
        alarms = np.mean([word in {Word.SLOWER, Word.PROBABLY_SLOWER, Word.FASTER} for word in words])
        yield _at_most(f"side by side: false alarms, {service}", alarms, 0.06)
        logs = _pairs(110 + place, phi, drift, slower=0.1)
        found = np.mean([two_sided(location(_rounds(run))) <= ALPHA for run in logs])
        yield _at_least(f"side by side: +10 % is seen, {service}", found, power)
    words = [_word(run, margin=0.05) for run in _pairs(119, 0.6, 0.1, slower=0.2, runs=300)]
    said = np.mean([word in {Word.SLOWER, Word.PROBABLY_SLOWER} for word in words])
    yield _at_least("side by side: +20 % is called slower, or probably so, margin 5%", said, 0.95)
    yield _at_most(
        "side by side: +20 % is called unchanged, margin 5%", np.mean([w == Word.UNCHANGED for w in words]), 0
    )


def _tails() -> Iterator[Row]:
    """Six requests in a hundred become four times as slow."""
    seen = [tail(_rounds(run)).p <= ALPHA for run in _pairs(120, 0.0, 0.0, tail_share=0.06, tail_factor=4)]
    yield _at_least("tail: 6 % of requests four times as slow are seen", np.mean(seen), 0.5)
    null = [tail(_rounds(run)).p <= ALPHA for run in _pairs(121, 0.6, 0.1)]
    yield _at_most("tail: false alarms, phi 0.6, drift 10%", np.mean(null), 0.06)


def _coverage() -> Iterator[Row]:
    """Intervals that should hold the truth 95 times in 100."""
    for place, (phi, drift) in enumerate(SERVICES):
        found = [shift(_rounds(run)) for run in _pairs(130 + place, phi, drift, slower=0.1)]
        share = np.mean([one.low <= 1.1 <= one.high for one in found])
        width = np.median([one.high - one.low for one in found])
        what = f"interval of the ratio: coverage, phi {phi:g}, drift {drift:.0%} (median width {width:.0%})"
        yield _between(what, share, 0.93, 0.97)
    # A sample's places are whole numbers, so that exactly 95 % can't be had.
    samples = np.sort(np.random.default_rng(140).lognormal(-3, SIGMA, (2000, 300)))
    for share, z in ((0.5, 0.0), (0.95, 1.644854)):
        truth = math.exp(-3 + SIGMA * z)
        ends = [interval(one, share) for one in samples]
        held = np.mean([low <= truth <= high for low, high in ends])
        yield _between(f"interval of p{share * 100:.0f} by order statistics: coverage", held, 0.93, 0.97)


def _many_routes() -> Iterator[Row]:
    """Twenty routes asked 200 times, of which three became slower by a quarter; false discoveries among the found."""
    routes, slow, runs = 20, 3, 150
    found, false = [], []
    logs = iter(_pairs(150, 0.3, 0.1, runs=runs * routes, rounds=40))
    for _ in range(runs):
        truth = np.arange(routes) < slow
        ps = []
        for slower in truth:
            run = next(logs)
            run[:, EACH:] += math.log(1.25) * slower
            rounds = _rounds(run)
            ps += [two_sided(location(rounds)), tail(rounds).p]
        called = np.array(false_discovery(ps)).reshape(routes, 2).min(axis=1) <= ALPHA
        found.append(called[truth].mean())
        false.append(called[~truth].sum() / max(1, called.sum()))
    yield _at_most("20 routes, 3 slower by 25 %: false share of what is called", np.mean(false), 0.05)
    yield _at_least("20 routes, 3 slower by 25 %: found", np.mean(found), 0.9)


def _before_after() -> Iterator[Row]:
    """In production: 30 windows of 200 requests before, one after; between windows the service moves by itself."""
    windows, requests, runs = 30, 200, 400
    for place, tau in enumerate((0.0, 0.02, 0.05, 0.10)):
        rng = np.random.default_rng(160 + place)
        logs = _service(rng, (runs * (windows + 1), requests), 0.3, 0.0).reshape(runs, windows + 1, requests)
        medians = np.median(logs, axis=2) + rng.normal(0, tau, (runs, windows + 1))
        history, after = medians[:, None, :-1], medians[:, None, -1:]
        null = np.mean([moved(*one)[0].p <= ALPHA for one in zip(history, after, strict=True)])
        more = np.mean([moved(*one)[0].p <= ALPHA for one in zip(history, after + math.log(1.2), strict=True)])
        what = f"before and after: false alarms, windows move by {tau:.0%} (+20 % seen {more:.0%})"
        yield _at_most(what, null, 0.1)
    rng = np.random.default_rng(170)
    routes = 20
    own = rng.normal(0, 0.03, (runs, routes, windows + 1)) + rng.normal(0, 0.05, (runs, 1, windows + 1))
    null = np.mean([one.p <= ALPHA for run in own for one in moved(run[:, :-1], run[:, -1:])])
    yield _at_most("before and after: false alarms, all routes move together by 5%", null, 0.1)
    yield from _time_of_day(runs)


def _time_of_day(runs: int) -> Iterator[Row]:
    """Sixty hourly rounds until nine o'clock, half as slow again from nine to five, and three rounds since."""
    hours, since = (np.arange(63) + 21) % 24, 3
    season = np.log(1.5) * ((hours >= 9) & (hours < 17))
    logs = np.random.default_rng(171).normal(0, 0.05, (runs, len(hours))) + season
    for what, slower, row in (("false alarms", 1.0, _at_most), ("+30% is seen", 1.3, _at_least)):
        both = zip(logs[:, None, :-since], logs[:, None, -since:] + math.log(slower), strict=True)
        found = np.mean([moved(*one)[0].p <= ALPHA for one in both])
        yield row(f"before and after: {what} at nine, x1.5 from nine to five", found, 0.05 if slower == 1 else 0.85)


def _detector() -> Iterator[Row]:
    """Histories of a hundred runs: sd .04 of the logarithms, phi .3, three runs in a hundred with a spike."""
    false = np.mean([bool(changes(one)) for one in _histories(180, 600)])
    yield _at_most("detector: stable histories with a change point", false, 0.02)
    for after, step, least in ((5, 0.2, 0.95), (12, 0.1, 0.8)):
        found = [
            any(one.kind is ChangeKind.STEP and abs(one.first - (100 - after)) <= 5 for one in changes(history))
            for history in _histories(180 + after, 400, step, after)
        ]
        yield _at_least(f"detector: +{step:.0%} found after {after} runs", np.mean(found), least)
    crept = [[one.kind for one in changes(one)] == [ChangeKind.DRIFT] for one in _histories(199, 300, creep=0.3)]
    yield _at_least("detector: a creep of 30% over all runs is called a drift", np.mean(crept), 0.9)


def _service(rng: np.random.Generator, shape: tuple[int, int], phi: float, drift: float) -> np.ndarray:
    """Logarithms of a service's times, one service a row, in the order of its requests."""
    runs, length = shape
    new = rng.normal(0, 1, (length, runs))
    body = np.empty((length, runs))
    body[0] = new[0]
    for place in range(1, length):
        body[place] = phi * body[place - 1] + math.sqrt(1 - phi * phi) * new[place]
    spikes = (rng.random(shape) < 0.02) * np.log(3 / rng.random(shape) ** 0.5)
    # Brownian: nobody knows where it goes, and it goes slowly.
    slow = np.cumsum(rng.normal(0, drift / math.sqrt(length), shape), axis=1)
    return SIGMA * body.T + spikes + slow


def _pairs(  # noqa: PLR0913 - what two arms may differ in
    seed: int,
    phi: float,
    drift: float,
    *,
    slower: float = 0.0,
    tail_share: float = 0.0,
    tail_factor: float = 1.0,
    runs: int = RUNS,
    rounds: int = ROUNDS,
) -> Iterator[np.ndarray]:
    """Logarithms of both arms' times, shape (rounds, 2 * EACH), the candidate's in the right half."""
    rng = np.random.default_rng(seed)
    logs = _service(rng, (runs, rounds * 2 * EACH), phi, drift).reshape(runs, rounds, 2 * EACH)
    logs = rng.permuted(logs, axis=2)
    hit = rng.random((runs, rounds, EACH)) < tail_share
    logs[:, :, EACH:] += math.log1p(slower) + hit * math.log(tail_factor)
    yield from logs


def _rounds(logs: np.ndarray) -> Rounds:
    return Rounds.of(np.exp(logs).ravel(), *_labels(logs))


def _labels(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rounds, places = np.indices(logs.shape)
    return rounds.ravel(), places.ravel() >= EACH


def _word(logs: np.ndarray, margin: float) -> Word:
    rounds, candidate = _labels(logs)
    arms = np.where(candidate, Arm.CANDIDATE, Arm.BASELINE)
    measured: list[Speed] = [measure(Times("/", "miss", np.exp(logs).ravel(), rounds, arms))]
    (speed,), _ = settle(measured, [], margin)
    return speed.word


def _histories(seed: int, runs: int, step: float = 0.0, after: int = 0, creep: float = 0.0) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    length, phi = 100, 0.3
    logs = np.empty((runs, length))
    logs[:, 0] = rng.normal(0, 1, runs)
    for place in range(1, length):
        logs[:, place] = phi * logs[:, place - 1] + math.sqrt(1 - phi * phi) * rng.normal(0, 1, runs)
    logs *= 0.04
    logs += (rng.random(logs.shape) < 0.03) * rng.uniform(0.2, 1.0, logs.shape)
    logs[:, length - after :] += math.log1p(step)
    logs += np.linspace(0, math.log1p(creep), length)
    yield from np.exp(logs - 3)


def _at_most(what: str, measured: float, wanted: float) -> Row:
    return what, f"{measured:.1%}", f"at most {wanted:.0%}", bool(measured <= wanted)


def _at_least(what: str, measured: float, wanted: float) -> Row:
    return what, f"{measured:.1%}", f"at least {wanted:.0%}", bool(measured >= wanted)


def _between(what: str, measured: float, low: float, high: float) -> Row:
    return what, f"{measured:.1%}", f"{low:.0%} to {high:.0%}", bool(low <= measured <= high)
