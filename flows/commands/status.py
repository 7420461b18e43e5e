"""`python -m flows status`: the four questions."""

import argparse
import asyncio
import sys
from typing import Any

from flows.commands.common import COULD_NOT_LOOK, ledger_ready, quiet_prefect


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="the four questions, answered from the ledger")
    parser.add_argument("sites", nargs="*", metavar="SITE", help="names or paths; else all of deployments/sites/")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows.rules.ledger_size import crowded
    from flows.rules.status import status
    from flows.rules.verdict import Outcome, worst
    from flows.tasks.site_file import all_sites, load
    from flows.tasks.status import find_facts, find_shared_jobs

    sites = [load(site) for site in args.sites or map(str, all_sites())]
    if not sites:
        print("no site: write a file in deployments/sites/, or name one", file=sys.stderr)
        return COULD_NOT_LOOK
    ledger_ready()
    found = [status(asyncio.run(find_facts.fn(site))) for site in sites]
    for one in found:
        print(one.site)
        for answer in one.answers:
            print(f"  {answer.outcome.upper():8}{answer.question.words}  {answer.says}")
    if full := crowded(asyncio.run(find_shared_jobs.fn()).ledger_bytes):
        print(f"WARN: {full}")
    outcome = worst(one.outcome for one in found)
    return {Outcome.FAIL: 1, Outcome.UNKNOWN: COULD_NOT_LOOK}.get(outcome, 0)
