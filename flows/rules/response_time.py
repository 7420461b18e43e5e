"""Response time: within budget, by what the cache did, and only where the sample can tell."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from flows.rules.cache_status import cache_state
from flows.rules.exchange import Exchange
from flows.rules.order_statistics import interval, needed, quantile
from flows.rules.promises import Audience, Quantiles, Rule
from flows.rules.quantity import spoken
from flows.rules.series import Series
from flows.rules.site import Health, Site
from flows.rules.subject import could_not_look, unanswered, verdict_on, wrong_status
from flows.rules.verdict import Claim, Finding, Outcome, Verdict

CHECK = "response-time"

UP = Claim(f"{CHECK}/up", "The site says that it is up.")


def states(rule: Rule, path: str) -> tuple[str, ...]:
    """The cache states whose budgets apply to a path: only a page that is cached for everyone can be a hit."""
    budget = rule.response_time
    if budget is None:
        return ()
    shared = rule.cache.by is Audience.EVERYONE and path in rule.examples.cached
    applies = {"hit": shared and _bounded(budget.hit), "miss": path in rule.routes and _bounded(budget.miss)}
    return tuple(state for state, yes in applies.items() if yes)


def _bounded(bounds: Quantiles | None) -> bool:
    return bounds is not None and (bounds.p50, bounds.p95) != (None, None)


def split(rule: Rule, path: str, seen: Sequence[Exchange]) -> tuple[Series, Series]:
    """One route's answers as a series of hits and one of misses, the first of each connection kept apart.

    Where no cache says what it did an answer is in neither, unless the page is not for everyone: then it is a miss.
    """
    told = [(cache_state(exchange).from_store, exchange) for exchange in seen if exchange.answered]
    hits = [exchange for stored, exchange in told if stored]
    everyone = rule.cache.by is Audience.EVERYONE
    misses = [exchange for stored, exchange in told if stored is False or (stored is None and not everyone)]
    return _series(path, "hit", hits), _series(path, "miss", misses)


def _series(path: str, state: str, seen: Sequence[Exchange]) -> Series:
    times = tuple(sorted(_time(exchange) for exchange in seen if exchange.reused))
    first = tuple(_time(exchange) for exchange in seen if not exchange.reused)
    return Series(path, state, times, first)


def _time(exchange: Exchange) -> float:
    """From the due time: a probe that had to wait behind a slow answer is as late as its user would be."""
    return exchange.phases.late + exchange.phases.first_byte


def judge(site: Site, rule: Rule, path: str, seen: Sequence[Exchange]) -> Verdict:
    """Judge one route by all the samples taken of it. A path without `states` has no verdict: ValueError."""
    silent = unanswered(CHECK, seen)
    answered = [exchange for exchange in seen if exchange.answered]
    if silent and len(answered) < len(seen) / 2:
        findings = [silent]
    elif other := wrong_status(CHECK, answered, rule.status):
        findings = [other]
    else:
        findings = [*_budgets(rule, path, answered), *([silent] if silent else [])]
    series = tuple(one for one in split(rule, path, answered) if one.times)
    return replace(verdict_on(site, rule, CHECK, path, findings), series=series)


def _budgets(rule: Rule, path: str, seen: Sequence[Exchange]) -> Iterator[Finding]:
    budget, applies = rule.response_time, states(rule, path)
    if budget is None:
        return
    hits, misses = split(rule, path, seen)
    for series, bounds in ((hits, budget.hit), (misses, budget.miss)):
        if bounds is not None and series.state in applies:
            yield from _quantiles(series, bounds, seen)


def _quantiles(series: Series, bounds: Quantiles, seen: Sequence[Exchange]) -> Iterator[Finding]:
    for share, bound in ((0.5, bounds.p50), (0.95, bounds.p95)):
        if bound is not None:
            yield _within(share, bound, series, seen)


def _within(share: float, bound: float, series: Series, seen: Sequence[Exchange]) -> Finding:
    """A sample above the bound fails only when its whole interval is; else it is a warning."""
    name = f"p{share * 100:.0f}"
    claim = Claim(f"{CHECK}/{series.state}-{name}", f"The {name} of a {series.state} is within its budget.")
    wanted = f"at most {spoken(bound)}"
    if len(series.times) < needed(share):
        saw = f"{len(series.times)} samples of a {series.state}"
        return claim.against(saw, f"{needed(share)} of them, which a {name} needs", holds=None, evidence=seen[:1])
    value, (low, high) = quantile(series.times, share), interval(series.times, share)
    apart = f"; first of a connection {_ms(max(series.first))} apart" if series.first else ""
    saw = f"{name} {_ms(value)} ({_ms(low)} to {_ms(high)}, {len(series.times)} samples{apart})"
    slowest = sorted(seen, key=_time)[-3:]
    if value > bound >= low:
        return Finding(claim.id, claim.says, Outcome.WARN, saw, wanted, tuple(slowest))
    return claim.against(saw, wanted, holds=value <= bound, evidence=slowest)


def judge_health(site: Site, health: Health, seen: Exchange) -> Verdict:
    """Judge the page on which the site says that it is up."""
    plain = could_not_look(site, CHECK, "", health.path)
    if silent := unanswered(CHECK, [seen]):
        finding = silent
    else:
        finding = UP.against(seen.status, health.expect, holds=seen.status == health.expect, evidence=[seen])
    expected = f"{health.path} answers {health.expect}."
    return Verdict(CHECK, health.path, "", plain.owner, expected, plain.rollback, (finding,))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}ms"
