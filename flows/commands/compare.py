"""`roundsman compare SITE`: a new release beside the old one, or the rounds before and after it."""

import argparse
import re
from typing import Any

from flows.commands.common import carried_out, ledger_ready, quiet_prefect
from roundsman.cli.output import InputError, add_report_options, writable, write_report
from roundsman.cli.parser import whole_number

_ADDRESS = re.compile(r"https?://(?:\[[0-9a-fA-F:.]+\]|[^/?#@:\s\[\]]+)(?::(?P<port>[0-9]{1,5}))?")


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare", help="compare a release with the one before it: side by side, or by the rounds before and after"
    )
    parser.add_argument("site", metavar="SITE", help="a name in deployments/sites/, or a path to a site file")
    beside = parser.add_argument_group("side by side: both releases are asked in turn")
    beside.add_argument("--baseline", metavar="URL", help="where the old release answers")
    beside.add_argument("--candidate", metavar="URL", help="where the new release answers")
    beside.add_argument(
        "--samples",
        type=whole_number,
        metavar="N",
        help="of each route, release and state (default: as many as the margin needs, in half an hour)",
    )
    since = parser.add_argument_group("before and after, in production: nothing is asked, the ledger is read")
    since.add_argument("--release", default="", metavar="VERSION", help="the release (default: the last one)")
    since.add_argument(
        "--control", action="append", default=[], metavar="ROUTE", help="a route that the release did not touch"
    )
    parser.add_argument(
        "--margin", metavar="SHARE", help="a smaller change is none (default: 5%% side by side, 20%% before and after)"
    )
    add_report_options(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    how = _how(args)
    quiet_prefect()
    from flows import terminal
    from flows.tasks.site import load
    from roundsman.timing.rules.interleaving import compared

    writable(args.json)
    site = load(args.site)
    for route in args.control:
        if site.rule_for(route) is None:
            raise InputError(f"--control: saw {route!r}, wanted a route that a rule of {site.site} speaks of")
    if "baseline" in how and not any(map(compared, site.rules)):
        raise InputError(f"compare: saw only members' pages in {site.site}, wanted a rule whose pages a stranger gets")
    ledger_ready()
    work = terminal.compare(args.site, **how)
    report = carried_out(work, "the comparison", "nothing was compared, and nothing recorded")
    terminal.show_comparison(report)
    write_report(args, report)
    return report.exit_code


def _how(args: argparse.Namespace) -> dict[str, Any]:
    """The job's parameters. InputError for what can't be meant."""
    how: dict[str, Any] = {}
    if args.margin is not None:
        share = re.fullmatch(r"(\d+(?:\.\d+)?)%", args.margin)
        if not share or not 0 < float(share[1]) <= 100:
            raise InputError(f"--margin: saw {args.margin!r}, wanted a share above 0, such as 5%")
        how["margin"] = float(share[1]) / 100
    if args.baseline is None and args.candidate is None:
        if args.samples is not None:
            raise InputError("--samples: before and after nothing is asked; it goes with --baseline and --candidate")
        return how | {"version": args.release, "controls": args.control}
    for arm in ("baseline", "candidate"):
        address = getattr(args, arm)
        if address is None:
            raise InputError(f"--{arm}: saw only the other address, wanted both, or none for before and after")
        found = _ADDRESS.fullmatch(address)
        if not found or not 0 < int(found["port"] or 80) < 65536:
            saw = re.sub(r"//.*@", "//...@", address)
            raise InputError(f"--{arm}: saw {saw!r}, wanted scheme and host, such as http://10.0.0.5:8080")
        how[arm] = address
    if args.release or args.control:
        raise InputError("--release, --control: side by side the releases are where the addresses say; leave them out")
    samples = args.samples
    if samples is not None and not 1 <= samples <= 10_000:
        raise InputError(f"--samples: saw {samples}, wanted 1 to 10000")
    return how | {"samples": samples}
