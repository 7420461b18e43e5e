"""A review on a terminal: each finding with the statement that mends it."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from flows.terminal import follow, heading, words
from roundsman.database.rules.report import found, held
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Outcome

_STYLES = {Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.UNKNOWN: "magenta", Outcome.FAIL: "bold red"}


async def review(database: str, only: Sequence[Any] = (), console: Console | None = None) -> Report:
    """Run `review_database` here and now, and say where it is."""

    async def run() -> Any:
        from flows.jobs.review_database import review_database

        return await review_database(database, only=list(only), return_state=True)

    return await follow(run, Report, console)


def show(report: Report, console: Console | None = None) -> None:
    """Print what is wrong, each finding with what mends it and what that costs; then what holds."""
    console = console or Console()
    console.print(heading(f"{report.site}: {report.summary}"))
    for verdict, one in found(report):
        mend, _, cost = one.wanted.partition("; cost: ")
        head = words(f"{one.outcome.upper()} {verdict.subject}  {one.claim}", _STYLES[one.outcome])
        console.print(Text.assemble(head, words(f"  owner {verdict.owner}")), soft_wrap=True)
        told = {"saw": one.saw, "wanted": mend, "cost": cost}
        for name, text in told.items():
            if text:
                console.print(words(f"  {name:6} {text}"), soft_wrap=True)
    for verdict, one in held(report):
        said = words(f"  {verdict.subject}  {one.claim}  {one.saw}")
        said = Text.assemble((one.outcome.value, _STYLES[one.outcome]), said)
        console.print(said, soft_wrap=True)
