"""The command line: `python -m flows inspect SITE`, `purge SITE ROUTE...`, `compare SITE`, `lint`, `status`..."""

import argparse
import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from flows.commands import (
    compare,
    import_feed,
    inspect,
    lint,
    move_ledger,
    outbox,
    purge,
    purges,
    quarantine,
    rehearse,
    releases,
    review_database,
    status,
    sweep,
    watch,
)
from flows.commands.common import (
    COULD_NOT_LOOK,
    STOPPED,
    WRONG_INPUT,
    Ended,
    InputError,
    only_json_on_stdout,
    say,
    say_broken,
)
from flows.commands.home import home_ready
from flows.commands.parser import CommandParser
from roundsman.site.rules.site_file import SiteFileError

#: In the order of the help.
COMMANDS = (
    inspect,
    sweep,
    purge,
    purges,
    compare,
    releases,
    rehearse,
    review_database,
    lint,
    watch,
    import_feed,
    quarantine,
    outbox,
    move_ledger,
    status,
)


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0 all well, 1 something failed, 2 unknown, 3 wrong input."""
    parser = CommandParser(prog="python -m flows", description="Walk the round of a site behind a CDN.")
    parser.add_version()
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.register(commands)
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return WRONG_INPUT if stop.code else 0
    with _ended_by_signal() as ended:
        code = _run(args)
    return 128 + ended[0] if ended and code == STOPPED else code


def _run(args: argparse.Namespace) -> int:
    try:
        home_ready()
        with only_json_on_stdout(getattr(args, "json", None)):
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


if __name__ == "__main__":
    exit_code = main()
    if exit_code > 128:
        # Who pressed Ctrl-C does not wait until Python has taken all its modules apart.
        atexit._run_exitfuncs()  # noqa: SLF001 - as sys.exit does; it has no public name
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)
