"""`roundsman watch`: notice what did not run."""

import argparse
import os
from typing import Any

from flows.commands.common import quiet_prefect
from roundsman.cli.output import InputError


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("watch", help="notice what did not run, from outside the Prefect server")
    parser.add_argument(
        "--ping",
        default=os.environ.get("ROUNDSMAN_PING", ""),
        metavar="URL",
        help="report to this address, in the Healthchecks protocol; better kept in $ROUNDSMAN_PING, out of `ps`",
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.ping and not args.ping.startswith(("http://", "https://")):
        raise InputError("--ping: wanted an address that begins with http:// or https://")
    quiet_prefect()
    from prefect.settings import PREFECT_API_URL

    # Without an address Prefect would start a server of its own, on which nothing is ever missing.
    if not PREFECT_API_URL.value():
        raise InputError("watch: saw no PREFECT_API_URL, wanted the address of the server to watch")
    from flows.jobs.watch_jobs import run_watch

    return run_watch(args.ping)
