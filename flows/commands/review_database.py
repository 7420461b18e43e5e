"""`roundsman review-database NAME`: indexes, query plans, and a rehearsal of pending migrations."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flows.commands.common import carried_out, ledger_ready, quiet_prefect
from roundsman.cli.output import InputError, add_report_options, writable, write_report
from roundsman.cli.parser import not_one_of

if TYPE_CHECKING:
    from rich.console import Console

    from roundsman.report.rules.report import Report


def register(commands: Any) -> None:
    """Add the command."""
    says = "review a database: indexes, query plans, pending migrations on a copy; the live one is only read"
    parser = commands.add_parser("review-database", help=says)
    parser.add_argument(
        "database", metavar="DATABASE", help="a name in deployments/databases/, or a path to a database file"
    )
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="one part; may be repeated")
    add_report_options(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows.jobs.review_database import ReviewPart
    from roundsman.database.database_file import addresses, load_database

    known = [part.value for part in ReviewPart]
    if unknown := [name for name in args.only if name not in known]:
        raise InputError(f"--only: {not_one_of(unknown[0], known)}")
    writable(args.json)
    addresses(load_database(args.database), args.database)
    ledger_ready()
    work = review(args.database, [ReviewPart(name) for name in args.only])
    report = carried_out(work, "the review", "nothing was recorded; a copy that is left is dropped by the next review")
    show(report)
    write_report(args, report)
    return report.exit_code


async def review(database: str, only: Sequence[Any] = (), console: "Console | None" = None) -> "Report":
    """Run `review_database` here and now, and say where it is."""
    from flows.terminal import follow
    from roundsman.report.rules.report import Report

    async def run() -> Any:
        from flows.jobs.review_database import review_database

        return await review_database(database, only=list(only), return_state=True)

    return await follow(run, Report, console)


def show(report: "Report", console: "Console | None" = None) -> None:
    """Print what is wrong, each finding with the statement that repairs it and what that costs; then what holds."""
    from rich.console import Console
    from rich.text import Text

    from flows.terminal import STYLES, heading, words
    from roundsman.database.rules.report import found, held

    console = console or Console()
    console.print(heading(f"{report.site}: {report.summary}"))
    for verdict, finding in found(report):
        repair, _, cost = finding.wanted.partition("; cost: ")
        head = words(f"{finding.outcome.upper()} {verdict.subject}  {finding.claim}", STYLES[finding.outcome])
        console.print(Text.assemble(head, words(f"  owner {verdict.owner}")), soft_wrap=True)
        for name, text in {"saw": finding.saw, "wanted": repair, "cost": cost}.items():
            if text:
                console.print(words(f"  {name:6} {text}"), soft_wrap=True)
    for verdict, finding in held(report):
        line = words(f"  {verdict.subject}  {finding.claim}  {finding.saw}")
        console.print(Text.assemble((finding.outcome.value, STYLES[finding.outcome]), line), soft_wrap=True)
