"""Before and after a release in the words of verdicts."""

from collections.abc import Iterator, Sequence

from roundsman.report.rules.durations import spoken
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import could_not_look, verdict_on
from roundsman.timing.rules.judge_before_after import Since
from roundsman.timing.rules.judge_side_by_side import Word
from roundsman.timing.rules.placebo import HISTORY
from roundsman.timing.rules.side_by_side_verdict import CHECK, HIT_RATIO, OUTCOMES, counts

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
