"""The command line: `python -m flows inspect SITE`, `purge SITE ROUTE...`, `compare SITE`, `lint`, `status`..."""

import os
import sys

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
from flows.commands.common import COULD_NOT_LOOK, STOPPED, WRONG_INPUT, Ended, InputError
from flows.commands.parser import CommandParser
from flows.rules.site_file import SiteFileError

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
    try:
        return args.run(args)
    except Ended as early:
        return early.code
    except (SiteFileError, InputError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command prints
        return WRONG_INPUT
    except BrokenPipeError:
        # Whoever read the report has read enough, such as `head`; at its end Python would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return COULD_NOT_LOOK
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:  # noqa: BLE001 - exit code 1 would say that something was found
        print(f"{args.command} broke down: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
        return COULD_NOT_LOOK


if __name__ == "__main__":
    sys.exit(main())
