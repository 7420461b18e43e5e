"""`python -m flows review-database NAME`: indexes, query plans, and a rehearsal of pending migrations."""

import argparse
from typing import Any

from flows.commands.common import InputError, add_json, carried_out, ledger_ready, quiet_prefect, writable, write_json
from flows.commands.parser import not_one_of


def register(commands: Any) -> None:
    """Add the command."""
    says = "review a database: indexes, query plans, pending migrations on a copy; the live one is only read"
    parser = commands.add_parser("review-database", help=says)
    parser.add_argument(
        "database", metavar="DATABASE", help="a name in deployments/databases/, or a path to a database file"
    )
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="one part; may be repeated")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal_database as terminal
    from flows.jobs.review_database import Part
    from roundsman.database.database_file import addresses, load_database
    from roundsman.report.rules.report import as_json

    known = [part.value for part in Part]
    if unknown := [name for name in args.only if name not in known]:
        raise InputError(f"--only: {not_one_of(unknown[0], known)}")
    writable(args.json)
    addresses(load_database(args.database), args.database)
    ledger_ready()
    work = terminal.review(args.database, [Part(name) for name in args.only])
    report = carried_out(work, "the review", "nothing was recorded; a copy that is left is dropped by the next review")
    terminal.show(report)
    write_json(args.json, as_json(report))
    return report.exit_code
