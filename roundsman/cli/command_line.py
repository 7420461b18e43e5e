"""The command `roundsman`: `inspect URL`, `inspect SITE`, `purge SITE ROUTE...`, `lint`, `status`..."""

import argparse
import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from roundsman.cli import explain, init, inspect
from roundsman.cli.output import (
    COULD_NOT_LOOK,
    STOPPED,
    WRONG_INPUT,
    Ended,
    InputError,
    report_alone_on_stdout,
    say,
    say_broken,
)
from roundsman.cli.parser import CommandParser
from roundsman.cli.project import children_find_project, from_project
from roundsman.folders import wrong_folder
from roundsman.site.rules.site_file import SiteFileError

#: The commands of the Prefect project, each a module of `flows.commands`, in the order of the help.
PROJECT_COMMANDS = (
    "sweep",
    "purge",
    "purges",
    "compare",
    "releases",
    "rehearse",
    "review_database",
    "lint",
    "watch",
    "import_feed",
    "quarantine",
    "outbox",
    "move_ledger",
    "status",
)

#: Programs of the Prefect project that run for long or speak to its server: module, first words, line of the help.
PROGRAMS = {
    "up": ("deployments.up", (), "Prefect server, worker, deployments and board in one terminal"),
    "worker": ("deployments.worker", (), "take runs from a work pool, and let them finish at the end"),
    "board": ("deployments.board.__main__", (), "serve the board"),
    "deploy": ("deployments.__main__", ("deploy",), "bring every site's jobs to the Prefect server"),
    "automations": ("deployments.__main__", ("automations",), "settle what notifies when a job breaks down"),
    "prune": ("deployments.__main__", ("prune",), "show what the Prefect server has and your files no longer have"),
}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 all well, 1 something failed, 2 unknown, 3 wrong input."""
    parser = CommandParser(prog="roundsman", description="Prove that a site behind a CDN keeps its promises.")
    parser.add_version()
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (inspect, explain, init):
        command.register(commands)
    for name in PROJECT_COMMANDS:
        from_project(f"flows.commands.{name}").register(commands)
    for name, (_, _, says) in PROGRAMS.items():
        commands.add_parser(name, help=says, add_help=False)
    words = sys.argv[1:] if argv is None else argv
    is_program = bool(words) and words[0] in PROGRAMS
    try:
        args = None if is_program else parser.parse_args(words)
    except SystemExit as stop:
        return WRONG_INPUT if stop.code else 0
    if wrong := wrong_folder():
        say(wrong, error=True)
        return WRONG_INPUT
    if args is None:
        return _run_program(*words)
    with _ended_by_signal() as ended:
        code = _run(args)
    return 128 + ended[0] if ended and code == STOPPED else code


def _run_program(name: str, *words: str) -> int:
    module, first, _ = PROGRAMS[name]
    children_find_project()
    code: int = from_project(module).main([*first, *words])
    return code


def _run(args: argparse.Namespace) -> int:
    try:
        from_project("flows.commands.home").home_ready()
        with report_alone_on_stdout(args):
            _refuse_wrong_file(args)
            code: int = args.run(args)
            return code
    except Ended as early:
        return early.code
    except (SiteFileError, InputError) as error:
        say(error, error=True)
        return WRONG_INPUT
    except BrokenPipeError:
        # Whoever read the report has read enough, such as `head`; at its end Python would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COULD_NOT_LOOK
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:  # noqa: BLE001 - exit code 1 would say that something was found
        say_broken(args.command, error)
        return COULD_NOT_LOOK


def _refuse_wrong_file(args: argparse.Namespace) -> None:
    """Refuse what the site file alone can tell is wrong, before a command imports Prefect, which takes its time."""
    named = getattr(args, "site", None)
    if named and isinstance(named, str):
        from roundsman.site.site_file import load

        load(named)


@contextmanager
def _ended_by_signal() -> Iterator[list[int]]:
    """Take a request to end, as of `kill`, for a Ctrl-C: Python itself would leave an embedded server behind.

    Gives a list that holds the signal's number once one came.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def end(number: int, frame: FrameType | None) -> None:
        came.append(number)
        stop = signal.getsignal(signal.SIGINT)
        (stop if callable(stop) else signal.default_int_handler)(signal.SIGINT, frame)

    # What is ignored stays so, as under nohup.
    heard = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]
    kept = {number: signal.signal(number, end) for number in heard}
    try:
        yield came
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def run() -> None:
    """Run the command of this process, and end it."""
    exit_code = main()
    if exit_code > 128:
        # Who pressed Ctrl-C does not wait until Python has taken all its modules apart.
        atexit._run_exitfuncs()  # noqa: SLF001 - as sys.exit does; it has no public name
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)
