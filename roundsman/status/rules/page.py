"""The answers to the questions in words: for a terminal, for a page of Markdown, and beside a picture."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from roundsman.report.rules.grouping import urgency
from roundsman.report.rules.rehearsed import ago
from roundsman.report.rules.text import code_for_markdown, for_markdown, markdown_table
from roundsman.report.rules.verdict import Outcome, summary, worst
from roundsman.status.rules.change import milliseconds
from roundsman.status.rules.facts import DAYS, Answer, Mark, Question, SiteStatus

#: Seconds of a history in one cell of a picture.
CELL_SECONDS = 3 * 3600
#: A shape for each outcome, for those who do not see its colour.
SHAPES = {Outcome.PASS: "✓", Outcome.WARN: "▲", Outcome.UNKNOWN: "?", Outcome.FAIL: "✕"}
#: What the marks of a question's history are.
_SEEN = {
    Question.PROMISES: "rounds",
    Question.UP: "looks at it",
    Question.SLOW: "rounds that timed it",
    Question.JOBS: "runs",
    Question.RELEASE: "rounds",
}
#: What is said of jobs that are no single site's.
SHARED = "Shared jobs"


@dataclass(frozen=True, slots=True)
class Cell:
    """Some hours of a history: the worst outcome in them, and the longest time; None when there was none."""

    outcome: Outcome | None = None
    ms: float | None = None


def strip(marks: Iterable[Mark], now: datetime) -> list[Cell]:
    """The last days in cells of `CELL` seconds, the oldest first."""
    cells = [Cell() for _ in range(DAYS * 86400 // CELL_SECONDS)]
    for mark in marks:
        place = len(cells) - 1 - max(0, int((now - mark.at).total_seconds() // CELL_SECONDS))
        if place >= 0:
            was = cells[place]
            outcome = worst((was.outcome or mark.outcome, mark.outcome))
            times = [ms for ms in (was.ms, mark.ms) if ms is not None]
            cells[place] = Cell(outcome, max(times, default=None))
    return cells


def caption(answer: Answer) -> str:
    """What the picture of an answer's history shows."""
    if not answer.history:
        return f"Nothing was seen in the last {DAYS} days."
    counts = summary([mark.outcome for mark in answer.history])
    times = [mark.ms for mark in answer.history if mark.ms is not None]
    line = f"; the line is the time, {milliseconds(max(times))} at most" if times else ""
    count = len(answer.moments)
    deployed = f"; {count} deployment{'s' * (count > 1)} (marked ▼)" if count else ""
    return f"Last {DAYS} days, {_SEEN[answer.question]}: {counts}{line}{deployed}."


def lasted(since: datetime, now: datetime) -> str:
    """How long something has been so: `for 2 days`."""
    age = ago(since, now)
    return f"for {age.removesuffix(' ago')}" if age.endswith(" ago") else "for less than a minute"


def title(status: SiteStatus) -> str:
    """The name under which a status is shown."""
    return status.site or SHARED


def headline(statuses: Sequence[SiteStatus]) -> str:
    """All sites in one sentence, for whoever has a second."""
    bad = {outcome: [title(one) for one in ranked(statuses) if one.outcome is outcome] for outcome in Outcome}
    if failing := bad[Outcome.FAIL]:
        needs = f"{', '.join(failing)} {'needs' if len(failing) == 1 else 'need'} somebody now"
        breaking = [title(one) for one in ranked(statuses) if one.breaks_promises]
        if not breaking:
            return needs
        who = ("it" if len(failing) == 1 else "all") if len(breaking) == len(failing) else ", ".join(breaking)
        return f"{needs}: {who} {'breaks' if len(breaking) == 1 else 'break'} promises"
    if unknown := bad[Outcome.UNKNOWN]:
        return f"Nothing fails, but not all is known of {', '.join(unknown)}"
    if warned := bad[Outcome.WARN]:
        return f"Nothing fails; have a look at {', '.join(warned)}"
    return "All is well" if statuses else "There is no site yet"


def markdown(status: SiteStatus, pictures: Mapping[Question, str]) -> str:
    """A site's answers for Prefect's UI. `pictures` are data URIs, or empty."""
    parts = [f"# {for_markdown(title(status))}: {_badge(status.outcome)}", f"{status.at:%Y-%m-%d %H:%M:%S} UTC"]
    for answer in status.answers:
        picture = pictures.get(answer.question, "")
        parts += [
            f"## {answer.question.words}",
            f"**{_badge(answer.outcome)}** {for_markdown(answer.says)}",
            f"![{for_markdown(caption(answer))}]({picture})" if picture else "",
            "\n".join(f"- {line}" for line in _lines(answer, status.at)),
        ]
    return "\n\n".join(filter(None, parts))


def overview(statuses: Sequence[SiteStatus]) -> str:
    """All sites' answers as one table for Prefect's UI."""
    rows = [
        (_badge(one.outcome), *map(for_markdown, (title(status), one.question.words, one.says, one.owner)))
        for status in ranked(statuses)
        for one in status.answers
    ]
    table = markdown_table(("outcome", "site", "question", "answer", "owner"), rows)
    return f"# {for_markdown(headline(statuses))}\n\n{table}"


def ranked(statuses: Iterable[SiteStatus]) -> list[SiteStatus]:
    """The heaviest first, of these the broken promises by their harm, then by name; shared jobs after the sites."""
    return sorted(statuses, key=lambda one: (-one.outcome.weight, *_harm(one), not one.site, one.site))


def _harm(status: SiteStatus) -> tuple[bool, tuple[int, int]]:
    fault = next((answer.fault for answer in status.answers if answer.fault), None)
    return not status.breaks_promises, urgency(fault.group) if fault and status.breaks_promises else (0, 0)


def lines(status: SiteStatus) -> Iterable[str]:
    """A site's answers for a terminal; what is no pass with all that whoever reads it needs next."""
    yield title(status)
    for answer in status.answers:
        yield f"  {answer.outcome.upper():8}{answer.question.words}  {answer.says}"
        if answer.outcome in {Outcome.FAIL, Outcome.UNKNOWN}:
            yield from (f"{'':10}{line}" for line in _next(answer, status.at))
        if answer.question is Question.PROMISES:
            yield from (f"{'':10}also: {line}" for line in answer.details)


def _next(answer: Answer, now: datetime) -> Iterable[str]:
    if answer.since:
        yield f"since {answer.since:%Y-%m-%d %H:%M} UTC, {lasted(answer.since, now)}"
    if answer.owner:
        yield f"owner: {answer.owner}"
    if answer.rollback and answer.outcome is Outcome.FAIL:
        yield f"rollback: {answer.rollback}{answer.rehearsed and f' ({answer.rehearsed})'}"
    if answer.link:
        yield f"run: {answer.link}"


def _badge(outcome: Outcome) -> str:
    return f"{SHAPES[outcome]} {outcome.upper()}"


def _lines(answer: Answer, now: datetime) -> Iterable[str]:
    if answer.since:
        yield f"Since {answer.since:%Y-%m-%d %H:%M} UTC, {lasted(answer.since, now)}"
    yield f"Owner: {for_markdown(answer.owner)}"
    yield f"Expected: {for_markdown(answer.expected)}"
    if answer.rollback:
        command = f"{code_for_markdown(answer.rollback)} ({for_markdown(answer.rehearsed)})"
        yield f"Rollback: {command if answer.rehearsed else for_markdown(answer.rollback)}"
    if answer.link:
        yield f"[Run in Prefect](<{answer.link}>)"
    yield from map(for_markdown, answer.details)
