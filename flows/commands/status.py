"""`roundsman status`: does each site keep its promises, is it up, is it slow, and so on."""

import argparse
import asyncio
from typing import Any

from flows.commands.common import ledger_ready, quiet_prefect
from roundsman.cli.output import COULD_NOT_LOOK, say


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="what is broken and how each site is, from the ledger")
    parser.add_argument("sites", nargs="*", metavar="SITE", help="names or paths; else all of deployments/sites/")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows.tasks.site import all_sites, load
    from flows.tasks.status import find_facts, find_reviews, find_shared_jobs
    from roundsman.ledger.rules.retention import crowded
    from roundsman.report.rules.verdict import Outcome, worst
    from roundsman.status.rules.answers import status
    from roundsman.status.rules.page import headline, lines, ranked

    sites = [load(site) for site in args.sites or map(str, all_sites())]
    if not sites:
        say("no site: write a file in deployments/sites/, or name one", error=True)
        return COULD_NOT_LOOK
    ledger_ready()
    found = [status(asyncio.run(find_facts.fn(site))) for site in sites]
    if not args.sites:
        found += asyncio.run(find_reviews.fn())
    first = [headline(found)] if len(found) > 1 else []
    for line in (*first, *(line for one in ranked(found) for line in lines(one))):
        say(line)
    if full := crowded(asyncio.run(find_shared_jobs.fn()).ledger_bytes):
        say(f"WARN: {full}")
    outcome = worst(one.outcome for one in found)
    return {Outcome.FAIL: 1, Outcome.UNKNOWN: COULD_NOT_LOOK}.get(outcome, 0)
