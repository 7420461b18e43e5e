"""Response time: within budget, by what the cache did, and only where the sample can tell."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

from roundsman.http.copies import kept
from roundsman.ledger.rules.samples import EDGE, ORIGIN
from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.quantiles import Series, interval, needed, quantile
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Health, Site
from roundsman.site.rules.wording import could_not_look, example_status, unanswered, verdict_on
from roundsman.timing.rules.sampling import is_warm, kind, state_of, took, wants

CHECK = "response-time"

UP = Claim(f"{CHECK}/up", "The site says that it is up.")
SENT = Claim(f"{CHECK}/sent", "Every sample could be sent in its time.", breach=Outcome.WARN)

#: Seconds after its due time that a sample may be started without a word.
LATE_SECONDS = 0.02
_OF = {"hit": "a hit", "miss": "a miss", ORIGIN: "the origin"}


def split(rule: Rule, path: str, seen: Sequence[Exchange]) -> tuple[Series, Series, Series]:
    """One route's answers as series of hits, of misses and of the origin's, those on new connections kept apart.

    Where no cache says what it did an answer is in neither, unless the page is not for everyone: then it is a miss.
    A probe that got no answer in its time, or was too late to be sent, took at least so long: it is in the series that
    it was made for.
    """
    found: dict[str, list[Exchange]] = {"hit": [], "miss": [], ORIGIN: []}
    for exchange in seen:
        state = state_of(rule, path, exchange)
        if state in found:
            found[state].append(exchange)
    hits, misses, origin = (_series(path, state, some) for state, some in found.items())
    asked = [one for one in seen if one.answered and kind(rule, path, one.probe) == (EDGE, "hit")]
    return replace(hits, hits=len(kept(asked)), asked=len(asked)), misses, origin


def _series(path: str, state: str, seen: Sequence[Exchange]) -> Series:
    cold = [one for one in seen if not is_warm(one)]
    times = tuple(sorted(took(one) for one in seen if is_warm(one)))
    return Series(path, state, times, tuple(took(one) for one in cold if one.answered))


def judge(site: Site, rule: Rule, path: str, seen: Sequence[Exchange]) -> Verdict:
    """Judge one route by all the samples taken of it."""
    silent = unanswered(CHECK, [exchange for exchange in seen if exchange.error != "dropped"])
    answered = [exchange for exchange in seen if exchange.answered]
    if silent and len(answered) < len(seen) / 2:
        findings = [silent]
    elif other := example_status(CHECK, rule, path, answered):
        findings = [other]
    else:
        findings = [*_budgets(site, rule, path, seen), *_dropped(seen), *([silent] if silent else [])]
    series = tuple(one for one in split(rule, path, seen) if one.times)
    return replace(verdict_on(site, rule, CHECK, path, findings), series=series)


def _budgets(site: Site, rule: Rule, path: str, seen: Sequence[Exchange]) -> Iterator[Finding]:
    series = {one.state: one for one in split(rule, path, seen)}
    for want in wants(rule, path, origin=bool(site.origin)):
        budget = rule.response_time
        if want.series == EDGE or (budget and budget.origin):
            name = want.state or ORIGIN
            mine = [one for one in seen if state_of(rule, path, one) == name]
            yield from (_within(share, bound, series[name], mine) for share, bound in want.bounds.bounds.items())


def _within(share: float, bound: float, series: Series, seen: Sequence[Exchange]) -> Finding:
    """A sample above the bound fails only when its whole interval is; else it is a warning."""
    name, of = f"p{share * 100:.0f}", _OF[series.state]
    claim = Claim(f"{CHECK}/{series.state}-{name}", f"The {name} of {of} is within its budget.")
    wanted = f"at most {spoken(bound)}"
    if len(series.times) < needed(share):
        takes = f"{needed(share)} of them, which a {name} needs"
        return claim.against(f"{len(series.times)} samples of {of}", takes, holds=None, evidence=seen[:1])
    value, (low, high) = quantile(series.times, share), interval(series.times, share)
    late = max(one.phases.late for one in seen)
    told = [f"{_ms(low)} to {_ms(high)}, {len(series.times)} samples"]
    told += [f"started up to {_ms(late)} late"] if late > LATE_SECONDS else []
    apart = f"; on a new connection p50 {_ms(quantile(sorted(series.first), 0.5))}" if series.first else ""
    saw = f"{name} {_ms(value)} ({'; '.join(told)}{apart})"
    slowest = sorted(filter(is_warm, seen), key=took)[-3:]
    if value > bound >= low:
        takes = f"{wanted}; about {_needed(len(series.times), value, low, high, bound)} samples would tell"
        return Finding(claim.id, claim.says, Outcome.WARN, saw, takes, tuple(slowest))
    return claim.against(saw, wanted, holds=value <= bound, evidence=slowest)


def _needed(count: int, value: float, low: float, high: float, bound: float) -> int:
    """Samples until the interval, which narrows with their square root, ends at the bound; two digits are enough."""
    gap = max(value - bound, (high - low) / 20)
    more = max(count + 1, ceil(count * ((value - low) / gap) ** 2))
    digits = max(0, len(str(more)) - 2)
    step = int(10**digits)
    return ceil(more / step) * step


def _dropped(seen: Sequence[Exchange]) -> Iterator[Finding]:
    """Those that were not even sent; they are in the series, with the time that they had waited by then."""
    if lost := [one for one in seen if one.error == "dropped"]:
        saw = f"{len(lost)} of {len(seen)} were not sent, as all connections waited for answers"
        yield SENT.against(saw, "none too late to be sent", holds=False, evidence=lost[:1])


def judge_health(site: Site, health: Health, seen: Exchange) -> Verdict:
    """Judge the page on which the site says that it is up."""
    if silent := unanswered(CHECK, [seen]):
        finding = silent
    else:
        finding = UP.against(seen.status, health.expect, holds=seen.status == health.expect, evidence=[seen])
    expected = f"{health.path} answers {health.expect}."
    blank = could_not_look(site, CHECK, "", health.path)
    return replace(blank, expected_result=expected, findings=(finding,))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}ms"
