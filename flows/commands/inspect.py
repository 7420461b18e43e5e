"""`python -m flows inspect SITE`: look at a site now."""

import argparse
from dataclasses import replace
from typing import Any

from flows.commands.common import InputError, add_json, carried_out, ledger_ready, quiet_prefect, writable, write_json
from flows.commands.parser import not_one_of


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("inspect", help="look at a site now")
    parser.add_argument("site", metavar="SITE", help="a name in deployments/sites/, a path to a site file, or a URL")
    parser.add_argument("--only", action="append", default=[], metavar="CHECK", help="one check; may be repeated")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal
    from flows.jobs.inspect_site import Check
    from flows.tasks.site import load
    from roundsman.report.rules.report import as_json

    known = [check.value for check in Check]
    if unknown := [name for name in args.only if name not in known]:
        raise InputError(f"--only: {not_one_of(unknown[0], known)}")
    writable(args.json)
    load(args.site)
    ledger_ready()
    is_first_look = "://" in args.site
    # Nothing is promised of an address yet, so that there is nothing else to look at.
    only = args.only or ([Check.CACHE_HEADERS.value] if is_first_look else [])
    round_ = terminal.walk(args.site, [Check(name) for name in only])
    report = carried_out(round_, "the round", "the round was not finished, and nothing of it was recorded")
    if is_first_look:
        nobodys = tuple(replace(one, owner="", rollback="") for one in report.verdicts)
        report = replace(report, verdicts=nobodys)
        terminal.show_first_look(report, args.site)
    else:
        terminal.show(report)
    write_json(args.json, as_json(report))
    return report.exit_code
