"""What came out otherwise in the first round after a deployment than in the last one before it."""

from collections.abc import Iterator, Mapping, Sequence

from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.verdict import Outcome, worst
from roundsman.status.rules.facts import RecordedFinding, Round

Claims = Mapping[tuple[str, str, str], RecordedFinding]
#: An outcome, a sentence, and details.
Comparison = tuple[Outcome, str, tuple[str, ...]]

_SLOWER = {"slower": Outcome.FAIL, "probably slower": Outcome.WARN}


def compare(version: str, before: Round, after: Round) -> Comparison:
    """Which claims changed with a version: the outcome, a sentence, and details.

    Response times stand side by side without a verdict: one round before and one after can't tell a change from chance.
    """
    old, new = _claims(before), _claims(after)
    unlooked = sorted({key[:2] for key in old} - {key[:2] for key in new})
    changed = sorted(
        (key for key in new if _was(old, key) is not new[key].outcome),
        key=lambda key: (-new[key].outcome.weight, key),
    )
    worse = [key for key in changed if new[key].outcome.weight > _was(old, key).weight]
    outcome = worst([*(new[key].outcome for key in worse), *([Outcome.UNKNOWN] if unlooked else [])])
    details = [_changed(old.get(key), new[key]) for key in changed]
    details += [f"{subject}: {check} was not looked at again" for check, subject in unlooked]
    if outcome is Outcome.UNKNOWN:
        check, subject = unlooked[0] if unlooked else worse[0][:2]
        says = f"Unknown: {check} on {subject} could not be judged since {version}."
    elif worse:
        _, subject, claim = worse[0]
        count = f"{len(worse)} of {len(new)} claims came out worse with {version}"
        says = f"Yes: {count}; {claim} on {subject} now {outcome}s."
    elif changed:
        says = f"Yes, for the better: {len(changed)} of {len(new)} claims came out better with {version}."
    else:
        says = f"No: none of {len(new)} claims changed with {version}."
    return outcome, says, (*details, *_side_by_side(before, after))


def with_speeds(version: str, made: Comparison, ratios: Sequence[Ratio]) -> Comparison:
    """What changed with a version, and what `compare_release` made of its speed, when somebody had it compared."""
    outcome, says, details = made
    lines = [
        f"{one.state} of {one.path}: {one.word} with {version}, x{one.ratio:.2f} ({one.low:.2f} to {one.high:.2f})"
        for one in sorted(ratios, key=lambda one: -one.ratio)
    ]
    known = {f"p95 of a {one.state} of {one.path}:" for one in ratios}
    rest = [line for line in details if not line.startswith(tuple(known))] if known else details
    heavy = [one for one in ratios if one.word in _SLOWER]
    if heavy:
        worst_one = max(heavy, key=lambda one: (_SLOWER[one.word].weight, one.ratio))
        slower = _SLOWER[worst_one.word]
        if slower.weight > outcome.weight:
            word = "Yes" if slower is Outcome.FAIL else "Perhaps"
            what = f"{worst_one.word}, x{worst_one.ratio:.2f}"
            outcome, says = slower, f"{word}: a {worst_one.state} of {worst_one.path} is {what} with {version}."
    return outcome, says, (*lines, *rest)


def _claims(inspected: Round) -> Claims:
    """The heaviest finding of each claim, by check, subject and claim."""
    by_weight = sorted(inspected.findings, key=lambda one: one.outcome.weight)
    return {(one.check, one.subject, one.claim): one for one in by_weight}


def _was(old: Claims, key: tuple[str, str, str]) -> Outcome:
    """What a claim was before; one that nobody had made was no trouble."""
    return old[key].outcome if key in old else Outcome.PASS


def _changed(old: RecordedFinding | None, new: RecordedFinding) -> str:
    was = f"{old.outcome} before" if old else "not claimed before"
    return f"{new.subject} {new.claim}: {was}, {new.outcome} now: saw {new.saw}, wanted {new.wanted}"


def _side_by_side(before: Round, after: Round) -> Iterator[str]:
    old = {(one.path, one.state): one for one in before.latencies}
    for one in after.latencies:
        if was := old.get((one.path, one.state)):
            pair = f"{milliseconds(was.p95_ms)} before, {milliseconds(one.p95_ms)} after"
            yield f"p95 of a {one.state} of {one.path}: {pair}; not compared"


def milliseconds(value: float) -> str:
    """A time as people read it."""
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"
