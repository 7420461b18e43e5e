"""`python -m flows sweep SITE`: look at every page of the sitemaps, here and now."""

import argparse
from typing import Any

from flows.commands.common import (
    COULD_NOT_LOOK,
    add_json,
    carried_out,
    ledger_ready,
    quiet_prefect,
    writable,
    write_json,
)


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
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal_sweep
    from flows.tasks.site import load
    from roundsman.report.rules.verdict import Outcome
    from roundsman.sweep.rules.judge import as_json

    writable(args.json)
    load(args.site)
    ledger_ready()
    work = terminal_sweep.sweep(args.site, args.edition)
    swept = carried_out(work, "the sweep", "what was looked at is kept; the same command goes on from there")
    terminal_sweep.show(swept)
    write_json(args.json, as_json(swept))
    return {Outcome.FAIL: 1, Outcome.UNKNOWN: COULD_NOT_LOOK}.get(swept.outcome, 0)
