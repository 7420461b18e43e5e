"""`roundsman inspect URL...` or `inspect SITE`: look now, at an address or at all that a site promises."""

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from roundsman.cli.output import InputError, add_report_options, say, writable, write_report
from roundsman.cli.project import from_project
from roundsman.report.rules.verdict import Outcome

_STYLES = {Outcome.PASS: "32", Outcome.WARN: "33", Outcome.UNKNOWN: "35", Outcome.FAIL: "1;31"}


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "inspect",
        help="look now: at one or more addresses, or at a site",
        description="Look now. An address is judged by what it answers; a site by all that its file promises.",
    )
    parser.add_argument("targets", nargs="*", metavar="URL|SITE", help="addresses, or the name or file of one site")
    parser.add_argument("--only", action="append", default=[], metavar="CHECK", help="of a site: one check; repeatable")
    address = parser.add_argument_group("of addresses")
    address.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="send it; repeatable")
    address.add_argument("--status-header", default="", metavar="NAME", help="where the edge says what its cache did")
    address.add_argument("--har", type=Path, metavar="FILE", help="judge responses that a browser saved; ask nobody")
    add_report_options(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    writable(args.json)
    if args.har or _are_addresses(args.targets):
        return _first_looks(args)
    if len(args.targets) != 1:
        saw = f"{len(args.targets)} names" if args.targets else "nothing to look at"
        raise InputError(f"inspect: saw {saw}, wanted one site, or addresses such as https://www.example.com/")
    if args.header or args.status_header:
        raise InputError("inspect: saw --header or --status-header with a site, wanted them in its site file")
    args.site = args.targets[0]
    code: int = from_project("flows.commands.inspect").inspect_site(args)
    return code


def _are_addresses(targets: Sequence[str]) -> bool:
    """Whether what is to be looked at are addresses. A word is one when no site and no file has that name."""
    from roundsman.site.rules.first_look import address_meant
    from roundsman.site.site_file import is_known

    return bool(targets) and all("://" in one or (address_meant(one) and not is_known(one)) for one in targets)


def _first_looks(args: argparse.Namespace) -> int:
    # Judging takes half a second to import, which nobody waits for who misspelt an option.
    from roundsman.cli.first_look import from_har, header_name, lines, look, report_of, visitor_of
    from roundsman.report.rules.text import without_credentials
    from roundsman.site.rules.first_look import address_meant, infer

    if args.only:
        raise InputError("--only: saw an address, of which only the cache headers are judged; wanted a site")
    begun = datetime.now(UTC)
    visitor, status_header = visitor_of(args.header), header_name(args.status_header)
    if args.har:
        if args.targets:
            raise InputError("--har: saw addresses as well; wanted one or the other: with a file nobody is asked")
        looks = from_har(args.har, status_header)
    else:
        urls = [one if "://" in one else address_meant(one) for one in args.targets]
        for url in urls:
            try:
                infer(url)
            except ValueError as error:
                saw, _, remedy = str(error).rpartition("; ")
                raise InputError(f"{without_credentials(url)}: saw {saw}; {remedy}") from None

        async def each() -> list[Any]:
            return [await look(url, visitor, status_header) for url in urls]

        looks = asyncio.run(each())
    report = report_of(looks, begun)
    for number, one in enumerate(looks):
        if number:
            say("")
        for text, outcome in lines(one):
            say(text, style=_STYLES[outcome] if outcome else "")
    write_report(args, report)
    return report.exit_code
