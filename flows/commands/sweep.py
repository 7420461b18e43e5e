"""`roundsman sweep SITE`: look at every page of the sitemaps, here and now."""

import argparse
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.commands.common import carried_out, ledger_ready, quiet_prefect
from roundsman.cli.output import COULD_NOT_LOOK, add_report_options, writable, write_report

if TYPE_CHECKING:
    from rich.console import Console

    from roundsman.sweep.rules.judge import Swept


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("sweep", help="look at every page of a site's sitemaps")
    parser.add_argument("site", metavar="SITE", help="a name in deployments/sites/, or a path to a site file")
    parser.add_argument(
        "--edition",
        default="",
        metavar="WORD",
        help="begin the sweep of this name, or go on with it; the unfinished one, else a new one, when left out",
    )
    add_report_options(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows.tasks.site import load
    from roundsman.report.rules.verdict import Outcome
    from roundsman.sweep.rules.judge import as_json, as_report

    writable(args.json)
    load(args.site)
    ledger_ready()
    work = sweep(args.site, args.edition)
    swept = carried_out(work, "the sweep", "what was looked at is kept; the same command goes on from there")
    show(swept)
    write_report(args, as_report(swept, datetime.now(UTC)), as_json(swept))
    return {Outcome.FAIL: 1, Outcome.UNKNOWN: COULD_NOT_LOOK}.get(swept.outcome, 0)


async def sweep(site: str, edition: str, console: "Console | None" = None) -> "Swept":
    """Run `sweep_site` here and now, and say how far it is."""
    from flows.terminal import follow
    from roundsman.sweep.rules.judge import Swept

    async def run() -> Any:
        from flows.jobs.sweep_site import sweep_site

        return await sweep_site(site, edition, here=True, return_state=True)

    chunks = logging.getLogger("roundsman.batch")
    before = chunks.level
    chunks.setLevel(logging.WARNING)  # how far the sweep is, it says itself
    try:
        return await follow(run, Swept, console)
    finally:
        chunks.setLevel(before)


def show(swept: "Swept", console: "Console | None" = None) -> None:
    """Print what is wrong, with a count and three examples each, then what was not looked at."""
    from rich.console import Console

    from flows.terminal import heading, show_groups, words

    console = console or Console()
    console.print(heading(f"{swept.site}: {swept.summary}"))
    if swept.groups:
        show_groups(swept.groups, console)
    if swept.listing:
        console.print(words(swept.listing), soft_wrap=True)
    for note in swept.notes:
        console.print(words(f"not looked at: {note}"), soft_wrap=True)
