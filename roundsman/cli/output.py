"""What all commands share: exit codes, errors of use, and what stands on standard output."""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from roundsman.report.rules.text import MAX_SHOWN_CHARACTERS, for_terminal, hidden

if TYPE_CHECKING:
    from roundsman.report.rules.formats import Place
    from roundsman.report.rules.report import Report

#: Beside 0, all well, and 1, something failed.
COULD_NOT_LOOK, WRONG_INPUT, STOPPED = 2, 3, 130

#: The FILE of `--json` that is standard output.
STDOUT = Path("-")
_real_stdout: ContextVar[TextIO | None] = ContextVar("_real_stdout", default=None)

FORMATS = ("text", "json", "junit", "sarif", "github")


class InputError(ValueError):
    """A command was called with something that it can't use; nothing was run."""


class Ended(Exception):  # noqa: N818 - it may have been stopped by whoever called it
    """A command ended early and has already said why; its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def say(text: object, *, error: bool = False, most: int = MAX_SHOWN_CHARACTERS, style: str = "") -> None:
    """Print lines of which neither a terminal nor a CI system obeys anything, on standard error if it is an `error`.

    `style` is an SGR code of ECMA-48, such as `31` for red; left out where nobody sees colors, or NO_COLOR is set.
    """
    stream = sys.stderr if error else sys.stdout
    shown = for_terminal(str(text), "\n", most)
    if style and stream.isatty() and not os.environ.get("NO_COLOR"):
        shown = f"\x1b[{style}m{shown}\x1b[0m"
    print(shown, file=stream, flush=True)


def say_broken(what: str, error: BaseException) -> None:
    """Say what broke down, with what; an exception may quote a password."""
    say(f"{what} broke down: {type(error).__name__}: {hidden(str(error))}", error=True)


def is_number(text: str) -> bool:
    """Whether it is a whole number that any database can hold."""
    return re.fullmatch("[0-9]{1,18}", text) is not None


def add_json(parser: Any, what: str = "the report") -> None:
    """The option `--json FILE`."""
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help=f"write {what} as JSON; - is standard output, the text on standard error",
    )


def add_report_options(parser: Any, what: str = "the report") -> None:
    """The options `--json FILE` and `--format FORMAT`."""
    add_json(parser, what)
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)}: what stands on standard output; the text then goes to standard error",
    )


@contextmanager
def report_alone_on_stdout(args: argparse.Namespace) -> Iterator[None]:
    """Where another program reads the report from standard output, everything else goes to standard error.

    Raises:
        InputError: two reports were asked for at once.
    """
    json_there, form = getattr(args, "json", None) == STDOUT, getattr(args, "format", "text")
    if json_there and form != "text":
        raise InputError(f"--json -: saw --format {form} as well, wanted one report on standard output")
    if not json_there and form == "text":
        yield
        return
    token = _real_stdout.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _real_stdout.reset(token)


def writable(path: Path | None) -> None:
    """Refuse a file for `--json` that can't be written, before anything runs."""
    if path in {None, STDOUT}:
        return
    shown = str(path)[:300]
    try:
        problem = _unwritable(path)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        problem = f"which can't be written ({said}); wanted a file that can"
    if problem:
        raise InputError(f"--json: saw {shown!r}, {problem}")


def _unwritable(path: Path) -> str:
    """Why a file can't be written; empty when it can, which is tried, as rights are not all that can forbid it."""
    if not path.parent.is_dir():
        return "whose folder is not there; wanted a file in a folder that is"
    if path.is_dir():
        return "which is a folder; wanted a file in it"
    if path.exists():
        return "" if os.access(path, os.W_OK) else "which may not be written; wanted a file that may"
    path.touch()
    path.unlink()
    return ""


def write_json(path: Path | None, read: object) -> None:
    """Write what `--json` asks for.

    Raises:
        Ended: it can't be written after all, such as on a full disk; the report was shown.
    """
    if path:
        text = json.dumps(read, indent=1) + "\n"
        try:
            if path == STDOUT:
                print(text, end="", file=_real_stdout.get(), flush=True)
            else:
                path.write_text(text, encoding="utf-8")
        except BrokenPipeError:
            raise
        except OSError as error:
            say(f"--json: {path} could not be written: {error.strerror}", error=True)
            raise Ended(COULD_NOT_LOOK) from None


def write_report(
    args: argparse.Namespace, report: "Report", read: object = None, places: "Sequence[Place]" = ()
) -> None:
    """Write what `--json` and `--format` ask for.

    Args:
        args: The command's.
        report: What it found.
        read: Its JSON, where that is not the report's.
        places: As for `formatted`.

    Raises:
        Ended: it can't be written after all; the report was shown.
    """
    from roundsman.report.rules.formats import Format, formatted
    from roundsman.report.rules.report import as_json

    if args.format == Format.JSON:
        args.json, args.format = STDOUT, "text"
    if args.json:
        write_json(args.json, read or as_json(report))
    if args.format != Format.TEXT:
        print(formatted(report, Format(args.format), places), end="", file=_real_stdout.get(), flush=True)
