"""The command line: `python -m flows inspect SITE`, `purge SITE ROUTE...`, `compare SITE`, `lint`, `status`..."""

import argparse
import asyncio
import json
import logging
import os
import re
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
    purge = commands.add_parser("purge", help="purge some routes of a site, and prove it; a dry run unless --apply")
    purge.add_argument("site", help="a name in deployments/sites/, or a path to a site file")
    purge.add_argument("routes", nargs="+", metavar="ROUTE", help="a path such as /articles/tomatoes, or a URL")
    way = purge.add_mutually_exclusive_group()
    way.add_argument("--dry-run", action="store_true", help="print the plan and purge nothing (this is the default)")
    way.add_argument("--apply", action="store_true", help="purge, and prove it")
    purge.add_argument("--soft", action="store_true", help="make the old copies stale instead of dropping them")
    purge.add_argument("--changed", action="store_true", help="the pages have changed: their old content is a failure")
    purge.add_argument("--json", type=Path, metavar="FILE", help="write plan and report as JSON")
    compare = commands.add_parser("compare", help="compare a new release with the old one, side by side")
    compare.add_argument("site", help="a name in deployments/sites/, or a path to a site file")
    compare.add_argument("--baseline", required=True, metavar="URL", help="where the old release answers")
    compare.add_argument("--candidate", required=True, metavar="URL", help="where the new release answers")
    compare.add_argument("--margin", default="5%", metavar="SHARE", help="a smaller change is none (default: 5%%)")
    compare.add_argument("--samples", type=int, default=300, metavar="N", help="of each route, release and cache state")
    compare.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    lint = commands.add_parser("lint", help="check site files and run nothing")
    watch = commands.add_parser("watch", help="notice what did not run, from outside the Prefect server")
    watch.add_argument("--ping", default="", metavar="URL", help="tell this address, in the Healthchecks protocol")
    outbox = commands.add_parser("outbox", help="messages, purges and webhooks that could not be sent")
    outbox.add_argument("--replay", default="", metavar="ID", help="send a dead one again; `all` for every one")
    outbox.add_argument(
        "--in", dest="variable", default="", metavar="VARIABLE", help="of the database in this variable"
    )
    status = commands.add_parser("status", help="the four questions, answered from the ledger")
    for command in (lint, status):
        command.add_argument("sites", nargs="*", metavar="SITE", help="names or paths; else all of deployments/sites/")
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return WRONG_INPUT if stop.code else 0
    try:
        run = {
            "inspect": _inspect,
            "purge": _purge,
            "compare": _compare,
            "lint": _lint,
            "status": _status,
            "watch": _watch,
            "outbox": _outbox,
        }[args.command]
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


def _outbox(args: argparse.Namespace) -> int:
    if args.replay not in {"", "all"} and not args.replay.isdecimal():
        raise InputError(f"--replay: saw {args.replay!r}, wanted the number of a dead message, or all")
    quiet_prefect()
    from sqlalchemy.exc import SQLAlchemyError

    from flows.rules.notice import plain
    from flows.tasks.batch import BatchError, open_target
    from flows.tasks.batch.target import has_tables
    from flows.tasks.ledger import LedgerError, open_ledger
    from flows.tasks.outbox import dead_letters, replay, undelivered

    try:
        engine = open_target(args.variable) if args.variable else open_ledger()
    except (BatchError, LedgerError) as error:
        raise InputError(str(error)) from None
    try:
        if not has_tables(engine):
            raise InputError(f"--in {args.variable}: saw a database without an outbox, wanted that of a batch job")
        if args.replay:
            again = replay(engine, None if args.replay == "all" else int(args.replay))
            if not again and args.replay != "all":
                raise InputError(f"--replay {args.replay}: no dead message has this number")
            print(f"{again} will be sent again, with the next delivery")
            return 0
        waiting, dead = undelivered(engine)
        print(f"{waiting} wait, {dead} dead")
        for one in dead_letters(engine):
            told = f"{one.attempts} attempts until {one.dead_at:%Y-%m-%d %H:%M} UTC"
            print(f"{one.id:>6}  {one.kind}  {one.channel}  {plain(one.subject)} ({told})\n        {plain(one.error)}")
    except SQLAlchemyError as error:  # its own text may hold the address
        print(f"the outbox can't be read: {type(error).__name__}", file=sys.stderr)
        return COULD_NOT_LOOK
    finally:
        engine.dispose()
    return 1 if dead else 0


def _inspect(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal
    from flows.jobs.inspect_site import Check
    from flows.tasks.ledger import LedgerError, ready
    from flows.tasks.site_file import load

    known = [check.value for check in Check]
    if unknown := [name for name in args.only if name not in known]:
        raise InputError(f"--only: saw {unknown[0]!r}, wanted one of {', '.join(known)}")
    _writable(args.json)
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


def _purge(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal
    from flows.tasks.ledger import LedgerError, ready
    from flows.tasks.site_file import load

    _writable(args.json)
    load(args.site)
    try:
        if args.apply:
            ready()
    except LedgerError as error:
        raise InputError(str(error)) from None
    how = {"dry_run": not args.apply, "soft": args.soft, "changed": args.changed}
    try:
        purging = asyncio.run(terminal.purge(args.site, args.routes, **how))
    except KeyboardInterrupt:
        done = "what was sent until then is purged, and not proven" if args.apply else "nothing was purged"
        print(f"stopped; {done}", file=sys.stderr)
        return STOPPED
    except Exception as error:  # noqa: BLE001 - whatever it was, nothing is proven
        print(f"the purge broke down: {type(error).__name__}: {error}", file=sys.stderr)
        return COULD_NOT_LOOK
    terminal.show_purge(purging)
    if args.json:
        from flows.rules.purge_report import purge_json

        args.json.write_text(json.dumps(purge_json(purging), indent=1) + "\n", encoding="utf-8")
    return purging.exit_code


def _compare(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows import terminal
    from flows.tasks.ledger import LedgerError, ready
    from flows.tasks.site_file import load

    how = {"baseline": args.baseline, "candidate": args.candidate, "samples": args.samples}
    for arm in ("baseline", "candidate"):
        if not re.fullmatch(r"https?://[^/?#@\s]+", how[arm]):
            raise InputError(f"--{arm}: saw {how[arm]!r}, wanted scheme and host, such as http://10.0.0.5:8080")
    if not (share := re.fullmatch(r"(\d+(?:\.\d+)?)%", args.margin)) or not 0 < float(share[1]) <= 100:
        raise InputError(f"--margin: saw {args.margin!r}, wanted a share above 0, such as 5%")
    if not 1 <= args.samples <= 10_000:
        raise InputError(f"--samples: saw {args.samples}, wanted 1 to 10000")
    _writable(args.json)
    load(args.site)
    try:
        ready()
    except LedgerError as error:
        raise InputError(str(error)) from None
    try:
        report = asyncio.run(terminal.compare(args.site, margin=float(share[1]) / 100, **how))
    except KeyboardInterrupt:
        print("stopped; nothing was compared, and nothing recorded", file=sys.stderr)
        return STOPPED
    except Exception as error:  # noqa: BLE001 - whatever it was, nobody could look
        print(f"the comparison broke down: {type(error).__name__}: {error}", file=sys.stderr)
        return COULD_NOT_LOOK
    terminal.show_comparison(report)
    if args.json:
        from flows.rules.report import as_json

        args.json.write_text(json.dumps(as_json(report), indent=1) + "\n", encoding="utf-8")
    return report.exit_code


def _writable(path: Path | None) -> None:
    if path and not path.parent.is_dir():
        raise InputError(f"--json: saw {path}, whose folder is not there; wanted a file in a folder that is")
    if path and path.is_dir():
        raise InputError(f"--json: saw the folder {path}, wanted a file in it")


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
