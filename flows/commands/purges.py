"""`roundsman purges`: the purge queue, what can't be purged, and purging it again, or all of it at once."""

import argparse
from typing import Any

from flows.commands.common import carried_out, ledger_ready, quiet_prefect
from roundsman.cli.output import COULD_NOT_LOOK, InputError, is_number, say


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("purges", help="the purge queue: what waits, and what could not be purged")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--now", default="", metavar="SITE", help="purge what waits at a site now, and prove a sample")
    way.add_argument("--replay", default="", metavar="ID", help="purge a quarantined one again; `all` for every one")
    way.add_argument("--dismiss", default="", metavar="ID", help="give a quarantined one up")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.replay not in {"", "all"} and not is_number(args.replay):
        raise InputError(f"--replay: saw {args.replay!r}, wanted the number of a quarantined change, or all")
    if args.dismiss and not is_number(args.dismiss):
        raise InputError(f"--dismiss: saw {args.dismiss!r}, wanted the number of a quarantined change")
    quiet_prefect()
    if args.now:
        return _purged(args.now)
    from sqlalchemy.exc import SQLAlchemyError

    from roundsman.ledger.ledger import LedgerError, open_ledger

    try:
        engine = open_ledger()
    except LedgerError as error:
        raise InputError(str(error)) from None
    try:
        return _changed(engine, args) if args.replay or args.dismiss else _shown(engine)
    except SQLAlchemyError as error:  # its own text may hold the address
        say(f"the purge queue can't be read: {type(error).__name__}", error=True)
        return COULD_NOT_LOOK
    finally:
        engine.dispose()


def _purged(site: str) -> int:
    from flows import terminal
    from flows.tasks.site import load
    from roundsman.purge.rules.report import proven

    if not load(site).edge:
        raise InputError(f"--now: saw {site}, which has no edge; wanted one with `edge: TYPE/NAME` in its file")
    ledger_ready()
    stopped = "what was not settled is purged again when its lease is over"
    done = carried_out(terminal.published(site), "the purge queue", stopped)
    say("\n".join(proven(done.verdicts)) or done)
    return done.exit_code


def _changed(engine: Any, args: argparse.Namespace) -> int:
    from roundsman.purge.queue import dismiss, replay

    if args.dismiss:
        many, said = dismiss(engine, int(args.dismiss)), "given up"
    else:
        many = replay(engine, None if args.replay == "all" else int(args.replay))
        said = f"{many} will be purged again, with the next run"
    if not many and args.replay != "all":
        raise InputError(f"{args.dismiss or args.replay}: no quarantined change has this number")
    say(said)
    return 0


def _shown(engine: Any) -> int:
    from roundsman.purge.queue import counts, oldest, quarantined
    from roundsman.report.rules.durations import spoken
    from roundsman.report.rules.text import plain

    found, age = counts(engine), oldest(engine)
    since = f", the oldest for {spoken(round(age))}" if found["waiting"] or found["claimed"] else ""
    say(
        f"{found['waiting']} wait, {found['claimed']} are being purged{since}; "
        f"{found['done']} done, {found['quarantined']} quarantined"
    )
    for one in quarantined(engine):
        say(f"{one.id:>6}  {one.site}  {one.kind} {plain(one.item)} ({one.attempts} attempts)")
        say(f"        {plain(one.error)}")
    return 1 if found["quarantined"] else 0
