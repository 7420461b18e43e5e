"""A comparison in the words of a verdict, for reports, the ledger, and a release that waits for its exit code."""

from collections.abc import Iterator, Sequence

from roundsman.report.rules.durations import spoken
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.site.rules.promises import Rule
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import verdict_on
from roundsman.timing.rules.content import BODY, POLICY, STATUS, FieldDifference
from roundsman.timing.rules.judge_side_by_side import Compared, Shares, Speed, Word

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
