"""`roundsman releases SITE [VERSION]`: the releases that are known of a site, and telling of one."""

import argparse
from typing import Any

from flows.commands.common import quiet_prefect
from roundsman.cli.output import InputError, add_json, say, writable, write_json


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("releases", help="the releases that are known of a site; with a version, tell of one")
    parser.add_argument("site", metavar="SITE", help="a name in deployments/sites/, or a path to a site file")
    parser.add_argument("version", nargs="?", default="", help="the version that is out; shows all when left out")
    parser.add_argument("--at", default="", metavar="TIME", help="since when, such as 2026-03-01T14:30+01:00; else now")
    add_json(parser, "what is known")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from datetime import UTC, datetime

    from sqlalchemy.orm import Session

    from flows.tasks.site import load
    from roundsman.ledger.ledger import LedgerError, open_ledger
    from roundsman.ledger.releases import keep_release, read_releases
    from roundsman.ledger.rules.releases import reported_release
    from roundsman.report.rules.text import plain
    from roundsman.site.rules.release import ReleaseSource

    if args.at and not args.version:
        raise InputError("--at: saw a time without a version, wanted both: the version that is out since then")
    writable(args.json)
    site = load(args.site).site
    try:
        release = (
            reported_release(args.version, args.at, datetime.now(UTC), ReleaseSource.COMMAND) if args.version else None
        )
        engine = open_ledger()
    except (ValueError, LedgerError) as error:
        raise InputError(str(error)) from None
    try:
        with Session(engine.execution_options(writes=True)) as session, session.begin():
            if release:
                new = keep_release(session, site, release)
                say(f"{site}: {plain(release.version)} {'is written down' if new else 'was known already'}")
            known = read_releases(session, site)
    finally:
        engine.dispose()
    if not args.version:
        for one in known:
            say(f"{one.seen_at:%Y-%m-%d %H:%M:%S} UTC  {one.source.value:8}{plain(one.version) or 'not to be read'}")
        if not known:
            say(f"{site}: no release is known")
    rows = [{"version": one.version, "since": one.seen_at.isoformat(), "source": one.source.value} for one in known]
    write_json(args.json, {"schema": 1, "site": site, "releases": rows})
    return 0
