"""`python -m flows compare SITE`: a new release beside the old one."""

import argparse
import re
from typing import Any

from flows.commands.common import InputError, add_json, carried_out, ledger_ready, quiet_prefect, writable, write_json


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("compare", help="compare a new release with the old one, side by side")
    parser.add_argument("site", help="a name in deployments/sites/, or a path to a site file")
    parser.add_argument("--baseline", required=True, metavar="URL", help="where the old release answers")
    parser.add_argument("--candidate", required=True, metavar="URL", help="where the new release answers")
    parser.add_argument("--margin", default="5%", metavar="SHARE", help="a smaller change is none (default: 5%%)")
    parser.add_argument("--samples", type=int, default=300, metavar="N", help="of each route, release and cache state")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal
    from flows.rules.report import as_json
    from flows.tasks.site_file import load

    how = {"baseline": args.baseline, "candidate": args.candidate, "samples": args.samples}
    for arm in ("baseline", "candidate"):
        if not re.fullmatch(r"https?://[^/?#@\s]+", how[arm]):
            raise InputError(f"--{arm}: saw {how[arm]!r}, wanted scheme and host, such as http://10.0.0.5:8080")
    if not (share := re.fullmatch(r"(\d+(?:\.\d+)?)%", args.margin)) or not 0 < float(share[1]) <= 100:
        raise InputError(f"--margin: saw {args.margin!r}, wanted a share above 0, such as 5%")
    if not 1 <= args.samples <= 10_000:
        raise InputError(f"--samples: saw {args.samples}, wanted 1 to 10000")
    writable(args.json)
    load(args.site)
    ledger_ready()
    work = terminal.compare(args.site, margin=float(share[1]) / 100, **how)
    report = carried_out(work, "the comparison", "nothing was compared, and nothing recorded")
    terminal.show_comparison(report)
    write_json(args.json, as_json(report))
    return report.exit_code
