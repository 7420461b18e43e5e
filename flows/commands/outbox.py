"""`roundsman outbox`: what could not be sent, and sending it again."""

import argparse
from typing import Any

from flows.commands.common import open_database, quiet_prefect
from roundsman.cli.output import COULD_NOT_LOOK, InputError, is_number, say


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("outbox", help="messages, purges and webhooks that could not be sent")
    parser.add_argument("--replay", default="", metavar="ID", help="send a dead one again; `all` for every one")
    parser.add_argument(
        "--in", dest="variable", default="", metavar="VARIABLE", help="of the database in this variable"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.replay not in {"", "all"} and not is_number(args.replay):
        raise InputError(f"--replay: saw {args.replay!r}, wanted the number of a dead message, or all")
    quiet_prefect()
    from sqlalchemy.exc import SQLAlchemyError

    from roundsman.alerts.outbox import dead_letters, replay, undelivered
    from roundsman.batch.target import has_tables
    from roundsman.ledger.ledger import LedgerError, open_ledger
    from roundsman.report.rules.text import plain

    try:
        engine = open_database("--in", args.variable) if args.variable else open_ledger()
    except LedgerError as error:
        raise InputError(str(error)) from None
    try:
        if not has_tables(engine):
            raise InputError(f"--in {args.variable}: saw a database without an outbox, wanted that of a batch job")
        if args.replay:
            again = replay(engine, None if args.replay == "all" else int(args.replay))
            if not again and args.replay != "all":
                raise InputError(f"--replay {args.replay}: no dead message has this number")
            say(f"{again} will be sent again, with the next delivery")
            return 0
        waiting, dead = undelivered(engine)
        say(f"{waiting} wait, {dead} dead")
        for one in dead_letters(engine):
            tries = f"{one.attempts} attempts until {one.dead_at:%Y-%m-%d %H:%M} UTC"
            say(f"{one.id:>6}  {one.kind}  {one.channel}  {plain(one.subject)} ({tries})\n        {plain(one.error)}")
    except SQLAlchemyError as error:  # its own text may hold the address
        say(f"the outbox can't be read: {type(error).__name__}", error=True)
        return COULD_NOT_LOOK
    finally:
        engine.dispose()
    return 1 if dead else 0
