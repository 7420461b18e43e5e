"""`python -m flows rehearse SITE`: deploy, roll back and deploy again, and prove each."""

import argparse
from datetime import UTC, datetime
from typing import Any

from flows.commands.common import InputError, add_json, carried_out, ledger_ready, quiet_prefect, writable, write_json


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("rehearse", help="rehearse a release and its rollback; a dry run unless --apply")
    parser.add_argument("site", metavar="SITE", help="a name in deployments/sites/, or a path to a site file")
    parser.add_argument("--environment", default="staging", metavar="NAME", help="staging (the default) or production")
    parser.add_argument("--confirm", default="", metavar="SITE:VERSION", help="for production: what runs there now")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--dry-run", action="store_true", help="print the plan and run no command (this is the default)")
    way.add_argument("--apply", action="store_true", help="rehearse it")
    add_json(parser, "plan and report")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal_rehearsal as terminal
    from flows.tasks.site import load
    from roundsman.report.rules.text import without_credentials
    from roundsman.rollback.rules.judge_rehearsal import Rehearsing, rehearsal_json
    from roundsman.rollback.rules.plan import plan_by_file

    if "://" in args.site:
        saw = without_credentials(args.site)
        raise InputError(f"rehearse: saw the URL {saw}, wanted a site file: its commands are written there")
    writable(args.json)
    site = load(args.site)
    foreseen = plan_by_file(site, args.environment, args.confirm)
    if foreseen.refusals:
        refused = Rehearsing(site.site, datetime.now(UTC), foreseen)
        terminal.show_rehearsal(refused)
        write_json(args.json, rehearsal_json(refused))
        return refused.exit_code
    if args.apply:
        ledger_ready()
    done = "the next rehearsal looks where it stands, and ends it" if args.apply else "no command was run"
    how = {"environment": args.environment, "confirm": args.confirm, "dry_run": not args.apply}
    one = carried_out(terminal.rehearse(args.site, **how), "the rehearsal", done)
    terminal.show_rehearsal(one)
    write_json(args.json, rehearsal_json(one))
    return one.exit_code
