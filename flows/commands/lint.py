"""`roundsman lint`: check site files and database files."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roundsman.cli.output import WRONG_INPUT, InputError, add_report_options, say, writable, write_report
from roundsman.site import site_file
from roundsman.site.rules.site_file import Problem, SiteFileError

if TYPE_CHECKING:
    from roundsman.site.rules.site import Site


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("lint", help="check site files and run nothing")
    parser.add_argument(
        "sites",
        nargs="*",
        metavar="SITE",
        help="names, files, folders of files, or - for standard input; all sites and databases when left out",
    )
    add_report_options(parser, "what was found")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    writable(args.json)
    begun = datetime.now(UTC)
    fine: list[str] = []
    problems: list[Problem] = []
    for checked in (_sites(args.sites), () if args.sites else _databases()):
        for name, found in checked:
            if isinstance(found, SiteFileError):
                say(found, error=True)
                problems += found.problems
            else:
                say(f"{name}: {found}")
                fine.append(name)
    _write(args, begun, fine, problems)
    return WRONG_INPUT if problems else 0


def _sites(names: Iterable[str]) -> Iterator[tuple[str, str | SiteFileError]]:
    for name in list(_files(names)) or [os.path.relpath(path) for path in site_file.all_sites()]:
        try:
            yield name, _in_words(_checked(name))
        except SiteFileError as error:
            yield name, error


def _checked(name: str) -> "Site":
    """The site of a file. What is wrong with the file itself is reported before Prefect is imported for its blocks."""
    text = sys.stdin.read() if name == "-" else ""
    if name == "-":
        site_file.check_text("standard input", text, Path(name))
    else:
        site_file.load(name)
    from flows.tasks.site import check_text, load

    return check_text(text) if name == "-" else load(name)


def _files(names: Iterable[str]) -> Iterator[str]:
    """The names, and in the place of a folder its files."""
    sites = {path.stem for path in site_file.all_sites()}
    for name in names:
        if name in sites or not Path(name).is_dir():
            yield name
            continue
        found = sorted(map(str, Path(name).glob("*.y*ml")))
        if not found:
            raise InputError(f"lint: saw no site file in the folder {name}, wanted one that ends in .yaml")
        yield from found


def _in_words(site: "Site") -> str:
    kept = [name for name in (site.edge, *site.sessions) if name and name not in site.blocks]
    note = f"; not looked up, because Prefect keeps them: {', '.join(kept)}" if kept else ""
    note += "" if site.schedule else "; not deployed, because it has no schedule"
    return f"{len(site.rules)} rules, {sum(len(rule.routes) for rule in site.rules)} examples: fine{note}"


def _databases() -> Iterator[tuple[str, str | SiteFileError]]:
    from roundsman.database.database_file import all_databases, check_database, expired

    for path in all_databases():
        name = os.path.relpath(path)
        try:
            late = expired(check_database(path), datetime.now(UTC).date())
        except SiteFileError as error:
            yield name, error
        else:
            yield name, "; warning: ".join(["fine", *late])


def _write(args: argparse.Namespace, begun: datetime, fine: list[str], problems: list[Problem]) -> None:
    from roundsman.report.rules.formats import Place
    from roundsman.report.rules.report import Report
    from roundsman.report.rules.verdict import Claim, Verdict

    claim = Claim("lint/usable", "The file can be read and used.")
    passed = [(name, Place(name), claim.against("a file", "a file that can be used", holds=True)) for name in fine]
    failed = []
    for one in problems:
        wanted = f"a file that can be used: {one.remedy}"
        finding = claim.against(f"{one.field}: {one.saw}", wanted, holds=False)
        failed.append((one.file, Place(one.file, one.line), finding))
    found = [*failed, *passed]
    verdicts = tuple(Verdict("lint", name, "", "", "", "", (finding,)) for name, _, finding in found)
    report = Report("", "site files", begun, datetime.now(UTC), verdicts)
    write_report(args, report, places=[place for _, place, _ in found])
