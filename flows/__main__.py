"""The command line: `python -m flows inspect SITE`, `lint`, `status`, `watch`."""

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path

from flows.rules.site_file import SiteFileError

COULD_NOT_LOOK, WRONG_INPUT, STOPPED = 2, 3, 130


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 all well, 1 something failed, 2 unknown, 3 wrong input."""
    parser = argparse.ArgumentParser(prog="python -m flows", description="Walk the round of a site behind a CDN.")
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser("inspect", help="look at a site now")
    inspect.add_argument("site", help="a name in deployments/sites/, a path to a site file, or a URL")
    inspect.add_argument("--only", action="append", default=[], metavar="CHECK", help="one check; may be repeated")
    inspect.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    lint = commands.add_parser("lint", help="check site files and run nothing")
    watch = commands.add_parser("watch", help="notice what did not run, from outside the Prefect server")
    watch.add_argument("--ping", default="", metavar="URL", help="tell this address, in the Healthchecks protocol")
    status = commands.add_parser("status", help="the four questions, answered from the ledger")
    for command in (lint, status):
        command.add_argument("sites", nargs="*", metavar="SITE", help="names or paths; else all of deployments/sites/")
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return WRONG_INPUT if stop.code else 0
    try:
        run = {"inspect": _inspect, "lint": _lint, "status": _status, "watch": _watch}[args.command]
        return run(args)
    except (SiteFileError, InputError) as error:
        print(error, file=sys.stderr)
        return WRONG_INPUT


class InputError(ValueError):
    """A command was called with something that it can't use; nothing was run."""


def _lint(args: argparse.Namespace) -> int:
    from flows.tasks.site_file import all_sites, load

    wrong = 0
    for site in args.sites or [os.path.relpath(path) for path in all_sites()]:
        try:
            read = load(site)
        except SiteFileError as error:
            print(error, file=sys.stderr)
            wrong = WRONG_INPUT
        else:
            kept = [name for name in (read.edge, *read.sessions) if name and name not in read.blocks]
            note = f"; not looked up, because Prefect keeps them: {', '.join(kept)}" if kept else ""
            print(
                f"{site}: {len(read.rules)} rules, {sum(len(rule.routes) for rule in read.rules)} examples: fine{note}"
            )
    return wrong


def _status(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows.rules.status import status
    from flows.rules.verdict import Outcome, worst
    from flows.tasks.site_file import all_sites, load
    from flows.tasks.status import find_facts

    found = [status(asyncio.run(find_facts.fn(load(site)))) for site in args.sites or map(str, all_sites())]
    for one in found:
        print(one.site)
        for answer in one.answers:
            print(f"  {answer.outcome.upper():8}{answer.question.words}  {answer.says}")
    outcome = worst(one.outcome for one in found)
    return {Outcome.FAIL: 1, Outcome.UNKNOWN: COULD_NOT_LOOK}.get(outcome, 0)


def _watch(args: argparse.Namespace) -> int:
    if args.ping and not args.ping.startswith(("http://", "https://")):
        raise InputError("--ping: wanted an address that begins with http:// or https://")
    quiet_prefect()
    from prefect.settings import PREFECT_API_URL

    # Without an address Prefect would start a server of its own, on which nothing is ever missing.
    if not PREFECT_API_URL.value():
        raise InputError("watch: saw no PREFECT_API_URL, wanted the address of the server to watch")
    from flows.jobs.watch_jobs import run_watch

    return run_watch(args.ping)


def _inspect(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal
    from flows.jobs.inspect_site import Check
    from flows.tasks.ledger import LedgerError, ready
    from flows.tasks.site_file import load

    known = [check.value for check in Check]
    if unknown := [name for name in args.only if name not in known]:
        raise InputError(f"--only: saw {unknown[0]!r}, wanted one of {', '.join(known)}")
    if args.json and not args.json.parent.is_dir():
        raise InputError(f"--json: saw {args.json}, whose folder is not there; wanted a file in a folder that is")
    if args.json and args.json.is_dir():
        raise InputError(f"--json: saw the folder {args.json}, wanted a file in it")
    load(args.site)
    try:
        ready()
    except LedgerError as error:
        raise InputError(str(error)) from None
    try:
        report = asyncio.run(terminal.walk(args.site, [Check(name) for name in args.only]))
    except KeyboardInterrupt:
        print("stopped; the round was not finished, and nothing of it was recorded", file=sys.stderr)
        return STOPPED
    except Exception as error:  # noqa: BLE001 - whatever it was, nobody could look
        print(f"the round broke down: {type(error).__name__}: {error}", file=sys.stderr)
        return COULD_NOT_LOOK
    terminal.show(report)
    if args.json:
        from flows.rules.report import as_json

        args.json.write_text(json.dumps(as_json(report), indent=1) + "\n", encoding="utf-8")
    return report.exit_code


#: Settings of the server that Prefect embeds when PREFECT_API_URL names none, unless the environment says otherwise.
_EMBEDDED = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # While one writer is at work, a subflow's creation finds SQLite locked, and is tried again only 2 s later. So a
    # round's task runs are written together, at the latest when the server ends; nobody reads its event feed.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "30",
}


def quiet_prefect() -> None:
    """Leave the terminal to the report. To be called before Prefect is imported."""
    for name, value in _EMBEDDED.items():
        os.environ.setdefault(name, value)
    logging.captureWarnings(capture=True)


if __name__ == "__main__":
    sys.exit(main())
