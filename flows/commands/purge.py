"""`roundsman purge SITE ROUTE...`: purge some routes, and prove it."""

import argparse
from datetime import UTC, datetime
from typing import Any

from flows.commands.common import carried_out, ledger_ready, quiet_prefect
from roundsman.cli.output import add_json, writable, write_json


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("purge", help="purge some routes of a site, and prove it; a dry run unless --apply")
    parser.add_argument("site", metavar="SITE", help="a name in deployments/sites/, or a path to a site file")
    parser.add_argument("routes", nargs="+", metavar="ROUTE", help="a path such as /articles/tomatoes, or a URL")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--dry-run", action="store_true", help="print the plan and purge nothing (this is the default)")
    way.add_argument("--apply", action="store_true", help="purge, and prove it")
    parser.add_argument("--soft", action="store_true", help="make the old copies stale instead of dropping them")
    parser.add_argument("--changed", action="store_true", help="the pages have changed: their old content is a failure")
    add_json(parser, "plan and report")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal
    from flows.tasks.purge import refused_by_file
    from flows.tasks.site import load
    from roundsman.purge.rules.report import Purging, purge_json

    writable(args.json)
    site = load(args.site)
    if refused := refused_by_file(site, args.routes, soft=args.soft):
        purging = Purging(site.site, datetime.now(UTC), refused)
    else:
        if args.apply:
            ledger_ready()
        done = "what was sent until then is purged, and not proven" if args.apply else "nothing was purged"
        work = terminal.purge(args.site, args.routes, dry_run=not args.apply, soft=args.soft, changed=args.changed)
        purging = carried_out(work, "the purge", done)
    terminal.show_purge(purging)
    write_json(args.json, purge_json(purging))
    return purging.exit_code
