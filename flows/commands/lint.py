"""`python -m flows lint`: check site files."""

import argparse
import os
from datetime import UTC, datetime
from typing import Any

from roundsman.cli.output import WRONG_INPUT, say
from roundsman.site.rules.site_file import SiteFileError


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("lint", help="check site files and run nothing")
    parser.add_argument("sites", nargs="*", metavar="SITE", help="names or paths; else all of deployments/sites/")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from flows.tasks.site import all_sites, load

    wrong = 0 if args.sites else _databases()
    for site in args.sites or [os.path.relpath(path) for path in all_sites()]:
        try:
            read = load(site)
        except SiteFileError as error:
            say(error, error=True)
            wrong = WRONG_INPUT
        else:
            kept = [name for name in (read.edge, *read.sessions) if name and name not in read.blocks]
            note = f"; not looked up, because Prefect keeps them: {', '.join(kept)}" if kept else ""
            note += "" if read.schedule else "; not deployed, because it has no schedule"
            examples = sum(len(rule.routes) for rule in read.rules)
            say(f"{site}: {len(read.rules)} rules, {examples} examples: fine{note}")
    return wrong


def _databases() -> int:
    """Check all of deployments/databases/."""
    from roundsman.database.database_file import all_databases, check_database, expired

    wrong = 0
    for path in all_databases():
        try:
            promised = check_database(path)
        except SiteFileError as error:
            say(error, error=True)
            wrong = WRONG_INPUT
        else:
            late = expired(promised, datetime.now(UTC).date())
            say(f"{os.path.relpath(path)}: {'; warning: '.join(['fine', *late])}")
    return wrong
