"""The command line's parser: what was seen, what was wanted, and the nearest word that is known."""

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from roundsman.report.rules.text import did_you_mean, nearest, visible

_REQUIRED = "the following arguments are required: "
_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")


class CommandParser(argparse.ArgumentParser):
    """A parser that answers a wrong word with the usage of its own command and the nearest word that is known."""

    def add_version(self) -> None:
        """The options `--version` and `-V`."""
        self.add_argument("-V", "--version", action=_Version, nargs=0, help="show the version and exit")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """As argparse does, but a word too many is this command's own error and not its caller's."""
        if args is not None:
            self._refuse_unknown_options(args)
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"saw {rest[0]!r}, which is one word too many")
        return parsed, rest

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As argparse does; on the words of this process when `args` is None."""
        import sys

        return super().parse_args(sys.argv[1:] if args is None else args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the usage and what is wrong, and end with argparse's exit code, which `main` makes 3."""
        said = message.removeprefix("argument ")
        if said.startswith(_REQUIRED):
            said = f"saw no {said.removeprefix(_REQUIRED)}, which is required"
        usage = "" if self._commands() else self.format_usage()
        more = f" (`{self.prog} --help` lists the commands)" if self._commands() else ""
        self.exit(2, visible(f"{usage}{self.prog}: {said}{more}\n", keep="\n"))

    def _refuse_unknown_options(self, args: Sequence[str]) -> None:
        """A misspelled option is the error, and not what is missing because of it."""
        known = self._option_string_actions
        for word in args:
            if word == "--" or (self._commands() and not word.startswith("-")):
                return
            option = word.partition("=")[0]
            if not option.startswith("-") or option == "-" or " " in word or _NEGATIVE_NUMBER.fullmatch(word):
                continue
            begins = any(one.startswith(option) for one in known) if option.startswith("--") else option[:2] in known
            if not begins:
                # Without the dashes, which are what all options have in common.
                near = nearest(option.lstrip("-"), [one.lstrip("-") for one in known if len(one) > 2])
                hint = f"; did you mean {' or '.join(f'--{one}' for one in near)}?" if near else ""
                self.error(f"saw the unknown option {option}{hint}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Argparse's hook for a value that is not one of the choices."""
        if action.choices is None or value in action.choices:
            return
        known = list(map(str, action.choices))
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no public name for it
            self.error(f"saw the unknown command {value!r}" + _hint(str(value), known))
        raise argparse.ArgumentError(action, not_one_of(str(value), known))

    def _commands(self) -> bool:
        return any(isinstance(one, argparse._SubParsersAction) for one in self._actions)  # noqa: SLF001


class _Version(argparse.Action):
    """Says the version, and looks it up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        import platform
        from importlib.metadata import version

        from roundsman.version import VERSION

        print(f"roundsman {VERSION} (Prefect {version('prefect')}, Python {platform.python_version()})")
        parser.exit()


def not_one_of(value: str, known: Sequence[str]) -> str:
    """The error for a value that is none of those that are known."""
    near = did_you_mean(value, known)
    return f"saw {value!r}, wanted one of {', '.join(known)}" + (f"; {near}" if near else "")


def whole_number(text: str) -> int:
    """A whole number of the command line."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"saw {text!r}, wanted a whole number") from None


def port_number(text: str) -> int:
    """A port of the command line."""
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"saw {text!r}, wanted a port from 1 to 65535")
    return int(text)


def _hint(word: str, known: Sequence[str]) -> str:
    return f"; {near}" if (near := did_you_mean(word, known)) else ""
