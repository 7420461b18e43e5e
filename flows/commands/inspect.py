"""`roundsman inspect SITE`: walk the round of a site now."""

import argparse

from flows.commands.common import carried_out, ledger_ready, quiet_prefect
from roundsman.cli.output import InputError, write_report
from roundsman.cli.parser import not_one_of


def inspect_site(args: argparse.Namespace) -> int:
    """Look at all that a site promises, and return the exit code."""
    quiet_prefect()
    from flows import terminal
    from flows.jobs.inspect_site import Check
    from flows.tasks.site import load

    known = [check.value for check in Check]
    if unknown := [name for name in args.only if name not in known]:
        raise InputError(f"--only: {not_one_of(unknown[0], known)}")
    load(args.site)
    ledger_ready()
    round_ = terminal.walk(args.site, [Check(name) for name in args.only])
    report = carried_out(round_, "the round", "the round was not finished, and nothing of it was recorded")
    terminal.show(report)
    write_report(args, report)
    return report.exit_code
