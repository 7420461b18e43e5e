"""Many findings, one sentence: the same fault on three hundred routes is told once, with a count and three examples."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from heapq import nsmallest

from roundsman.report.rules.verdict import Finding, Outcome, Severity, Verdict

#: Subjects that are named of a group; the others are counted.
EXAMPLES = 3

#: Numbers that name a kind of answer, and so do not fall together as other numbers do.
_STATUSES = frozenset(
    str(status)
    for low, high in ((100, 103), (200, 208), (226, 226), (300, 308), (400, 431), (451, 451), (499, 511), (520, 530))
    for status in range(low, high + 1)
)
#: Unless they count something, or are ages.
_UNIT = "§"
_COUNTED, _AGES, _NUMBER = re.compile(rf"\d+(?= {_UNIT})"), re.compile(r"\bAge\b.*"), re.compile(r"\d+")
_UNITS = frozenset(
    f"{unit}{end}"
    for unit in ("ms", "s", "m", "h", "d", "%", "second", "minute", "hour", "day", "sample", "request", "byte", "time")
    for end in ("", "s")
)
#: What of a word belongs to one route: a path or an address, a made-up host, a number with its unit, a hash or a
#: token. But a lifetime of zero stays.
_PARTICULAR = re.compile(
    r"""
      (?: https?:/ | (?<![\w.<*]) \.{0,2} ) /.*
    | [\w.-]+\.invalid\b
    | (?<![\w.]) (?! 0(?:ms|[smhd]) (?![\w.]) ) (?! (?<==) 0 (?![\w.]) ) \d[\w.]*
    | \b (?=[^\W\d]\w*\d) \w{6,}
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Group:
    """One fault, wherever it was found. `saw` and `wanted` are those of the first example."""

    check: str
    rule: str
    owner: str
    rollback: str
    claim: str
    """Empty in a group of subjects in which nothing is wrong."""
    says: str
    outcome: Outcome
    severity: Severity | None
    saw: str
    wanted: str
    varied: bool
    """Whether the other findings say it with other numbers."""
    count: int
    """Findings; a subject can have several with the same fault."""
    subjects: int
    examples: tuple[str, ...]
    """The first subjects by name, three at most."""
    by_rfc: str = ""
    observed: str = ""
    rollback_fault: str = ""
    """Why the rollback can't be run; empty when nothing is known against it."""

    @property
    def more(self) -> str:
        """How many subjects there are beside the examples: `and 297 more`."""
        others = self.subjects - len(self.examples)
        return f"and {others} more" if others else ""

    @property
    def where(self) -> str:
        """The examples, and how many more there are: `/a, /b, /c and 297 more`."""
        return f"{', '.join(self.examples)} {self.more}".rstrip()


def group(verdicts: Iterable[Verdict]) -> list[Group]:
    """The findings that are not a pass by their fault, the worst and then the most frequent first.

    Findings fall together when check, rule, claim, outcome and what was seen and wanted are the same but for what is
    particular to one route: `shape`. No order of verdicts changes the result.
    """
    piles: dict[tuple[object, ...], _Pile] = {}
    for verdict in verdicts:
        for place, finding in enumerate(verdict.findings):
            if finding.outcome is not Outcome.PASS:
                key = (
                    verdict.check, verdict.rule, verdict.owner, verdict.rollback, finding.claim, finding.outcome.value,
                    finding.severity and finding.severity.value, shape(finding.saw), shape(finding.wanted),
                )  # fmt: skip
                pile = piles.get(key) or piles.setdefault(key, _Pile(verdict, finding))
                pile.add(verdict, finding.saw, finding.wanted, place)
    return _sorted(piles.values())


def passed(verdicts: Iterable[Verdict]) -> list[Group]:
    """The verdicts in which nothing is wrong, by check, rule and what holds."""
    piles: dict[tuple[object, ...], _Pile] = {}
    for verdict in verdicts:
        if all(finding.outcome is Outcome.PASS for finding in verdict.findings):
            says = held(verdict)
            key = verdict.check, verdict.rule, verdict.owner, verdict.rollback, shape(says)
            pile = piles.get(key) or piles.setdefault(key, _Pile(verdict, Finding("", "", Outcome.PASS, says, "")))
            pile.add(verdict, says, "")
    return _sorted(piles.values())


def merged(groups: Iterable[Group]) -> list[Group]:
    """Groups that were made apart, of subjects that none of them shares, as if they had been made together."""
    piles: dict[tuple[object, ...], list[Group]] = {}
    for one in groups:
        key = (
            one.check, one.rule, one.owner, one.rollback, one.claim, one.outcome, one.severity, shape(one.saw),
            shape(one.wanted),
        )  # fmt: skip
        piles.setdefault(key, []).append(one)
    return sorted(map(_merged, piles.values()), key=lambda one: _order(0, one))


def _merged(parts: Sequence[Group]) -> Group:
    first = min(parts, key=lambda one: one.examples)
    return replace(
        first,
        varied=any(one.varied or (one.saw, one.wanted) != (first.saw, first.wanted) for one in parts),
        count=sum(one.count for one in parts),
        subjects=sum(one.subjects for one in parts),
        examples=tuple(nsmallest(EXAMPLES, (example for one in parts for example in one.examples))),
        by_rfc=_one_or_other(sorted({one.by_rfc for one in parts if one.by_rfc})),
        observed=_one_or_other(sorted({one.observed for one in parts if one.observed})),
    )


@lru_cache(maxsize=16384)
def shape(text: str) -> str:
    """A sentence without what is particular to one route: `max-age 61 s` and `max-age 73 s` have the same shape.

    Statuses and lifetimes of zero stay, as does every other word: a 404 is another fault than a 500.
    """
    said = " ".join(map(_word, text.split()))
    if _UNIT in said:
        said = _COUNTED.sub("*", said)
    if "Age" in said:
        said = _AGES.sub(lambda found: _NUMBER.sub("*", found[0]), said)
    return said


@lru_cache(maxsize=16384)
def _word(word: str) -> str:
    bare = word.strip("(\"'`),.:;")
    if bare in _UNITS:
        return _UNIT
    return word if bare.isalpha() or bare in _STATUSES else _PARTICULAR.sub("*", word)


def urgency(finding: Finding | Group) -> tuple[int, int]:
    """What to sort by so that the worst comes first: the outcome, and then whom it harms."""
    return -finding.outcome.weight, _SEVERITIES.index(finding.severity)


def held(verdict: Verdict) -> str:
    """What to say of a verdict in which nothing is wrong."""
    count = len(verdict.findings)
    return f"{count} claims hold" if count > 1 else f"1 claim holds: {verdict.findings[0].saw}"


_SEVERITIES = (*Severity, None)


@dataclass(slots=True)
class _Pile:
    """What is gathered of a group: whose it is stands in the first verdict, what is the same in all in the finding."""

    verdict: Verdict
    finding: Finding
    count: int = 0
    subjects: set[str] = field(default_factory=set)
    first: tuple[str, str, str] | None = None
    varied: bool = False
    place: int = 0
    by_rfc: dict[str, str] = field(default_factory=dict)
    observed: dict[str, str] = field(default_factory=dict)

    def add(self, verdict: Verdict, saw: str, wanted: str, place: int = 0) -> None:
        one = verdict.subject, saw, wanted
        self.count += 1
        self.subjects.add(verdict.subject)
        if self.first is None:
            self.first, self.place = one, place
        else:
            self.varied = self.varied or (saw, wanted) != self.first[1:]
            self.first, self.place = min(self.first, one), min(self.place, place)
        for kept, text in ((self.by_rfc, verdict.by_rfc), (self.observed, verdict.observed)):
            if text:
                form = shape(text)
                kept[form] = min(kept.get(form, text), text)

    def ended(self) -> Group:
        verdict, finding = self.verdict, self.finding
        _, saw, wanted = self.first or ("", finding.saw, finding.wanted)
        return Group(
            verdict.check,
            verdict.rule,
            verdict.owner,
            verdict.rollback,
            finding.claim,
            finding.says,
            finding.outcome,
            finding.severity,
            saw,
            wanted,
            self.varied,
            self.count,
            len(self.subjects),
            tuple(nsmallest(EXAMPLES, self.subjects)),
            _one_or_other(sorted(self.by_rfc.values())),
            _one_or_other(sorted(self.observed.values())),
            verdict.rollback_fault,
        )


def _one_or_other(texts: Sequence[str]) -> str:
    return " or ".join(texts[:2]) + (" and others" if len(texts) > 2 else "")


def _sorted(piles: Iterable[_Pile]) -> list[Group]:
    """The worst first, then the widest; a check's findings otherwise in its own order, which tells the cause first."""
    ended = [(pile.place, pile.ended()) for pile in piles]
    return [one for _, one in sorted(ended, key=lambda pair: _order(*pair))]


def _order(place: int, one: Group) -> tuple[object, ...]:
    names = (one.claim, one.saw, one.wanted, one.owner, one.rollback, one.examples)
    return *urgency(one), -one.subjects, one.check, one.rule, place, *names
