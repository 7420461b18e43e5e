"""`roundsman quarantine`: rows that a batch job could not apply; shown, replayed, dismissed."""

import argparse
import asyncio
import getpass
import re
import sys
from typing import TYPE_CHECKING, Any

from flows.commands.common import feed_ready, open_database, quiet_prefect
from roundsman.cli.output import COULD_NOT_LOOK, InputError, say

if TYPE_CHECKING:
    from sqlalchemy import Engine


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("quarantine", help="rows that an import could not apply")
    parser.add_argument(
        "--in", dest="variable", default="ROUNDSMAN_CATALOGUE_URL", metavar="VARIABLE",
        help="of the database in this variable (default: %(default)s)",
    )  # fmt: skip
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--show", default="", metavar="JOB/ROW", help="a row as it came, and why it was refused, in full")
    way.add_argument("--dismiss", default="", metavar="JOB/ROW", help="say that a row needs no replay")
    way.add_argument(
        "--replay", nargs=2, metavar=("SITE", "FEED"), help="apply the rows of a site's feed again, as the code is now"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    one = _place(args.show or args.dismiss)
    quiet_prefect()
    from sqlalchemy.exc import SQLAlchemyError

    from roundsman.batch import BatchError, SourceError
    from roundsman.batch.target import has_tables

    if args.replay:
        feed_ready(args.replay[1])
    engine = open_database("--in", args.variable)
    try:
        if not has_tables(engine):
            raise InputError(f"--in {args.variable}: saw a database without a quarantine, wanted that of a batch job")
        if args.replay:
            return _replay(engine, *args.replay)
        if args.dismiss:
            return _dismiss(engine, *one)
        return _show(engine, *one) if args.show else _list(engine)
    except (BatchError, SourceError) as error:
        raise InputError(str(error)) from None
    except SQLAlchemyError as error:  # its own text may hold the address, or a row
        say(f"the quarantine can't be read: {type(error).__name__}", error=True)
        return COULD_NOT_LOOK
    finally:
        engine.dispose()


def _place(place: str) -> tuple[int, int]:
    if place and not re.fullmatch(r"[0-9]{1,18}/[0-9]{1,18}", place):
        raise InputError(f"saw {place!r}, wanted JOB/ROW as the list has it, such as 3/1042")
    job, _, row = place.partition("/")
    return int(job or 0), int(row or 0)


def _list(engine: "Engine") -> int:
    from roundsman.batch.quarantine import waiting
    from roundsman.report.rules.text import plain

    count, rows = waiting(engine)
    say(f"{count} in quarantine" + (f", the first {len(rows)}:" if len(rows) < count else ""))
    for row in rows:
        part = "" if row.complete else ", kept in part"
        say(f"{f'{row.job}/{row.position}':>12}  {row.kind}  {row.error_class}{part}  {plain(row.source)}")
    return 1 if count else 0


def _show(engine: "Engine", job: int, position: int) -> int:
    from roundsman.batch.quarantine import waiting

    found = [row for row in waiting(engine, sys.maxsize)[1] if (row.job, row.position) == (job, position)]
    if not found:
        raise InputError(f"--show {job}/{position}: no such row is in quarantine")
    say(f"{found[0].error_class}: {found[0].error!r}\n{found[0].payload!r}", most=10**9)
    return 0


def _dismiss(engine: "Engine", job: int, position: int) -> int:
    from roundsman.batch import dismiss

    if not dismiss(engine, job, position, by=getpass.getuser()):
        raise InputError(f"--dismiss {job}/{position}: no such row is in quarantine")
    say(f"{job}/{position} is dismissed")
    return 0


def _replay(engine: "Engine", site: str, feed: str) -> int:
    from flows.tasks.catalogue import catalogue
    from flows.tasks.site import load
    from roundsman.batch import replay
    from roundsman.report.rules.text import plain

    batch = catalogue(load(site), feed, engine)
    done = asyncio.run(replay(batch, by=getpass.getuser()))
    said = f"{done.applied} applied, {done.left} left in quarantine; their purges go out with the next import"
    say(f"{plain(batch.source.name)}: {said}")
    if done.overtaken:
        say(f"{done.overtaken} not tried: a newer edition of the feed is applied; --dismiss what it has right")
    return 1 if done.left or done.overtaken else 0
