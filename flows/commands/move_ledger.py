"""`roundsman move-ledger FILE`: from an SQLite file to the PostgreSQL that ROUNDSMAN_LEDGER_URL names."""

import argparse
from pathlib import Path
from typing import Any

from roundsman.cli.output import InputError, say


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("move-ledger", help="copy an SQLite ledger into the empty PostgreSQL ledger")
    parser.add_argument("file", type=Path, metavar="FILE", help="the SQLite ledger, such as .roundsman/ledger.db")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from roundsman.ledger.ledger import LedgerError, ledger_url, use_ledger
    from roundsman.upkeep.move import check, move

    try:
        check(args.file, ledger_url().get_backend_name())
        with use_ledger() as engine:
            moved = move(args.file, engine)
    except LedgerError as error:
        raise InputError(str(error)) from None
    say(f"copied {sum(moved.values()):,} rows, {moved['run']:,} rounds among them; {args.file} keeps them")
    return 0
