"""Which targets a command asks make for, and which of them its makefile has (GNU make's manual, Summary of Options)."""

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

#: What makes make print all it knows and run no recipe: its rules without the built-in ones, then a target nobody has.
LIST = ("-pRrq", "--no-print-directory", ":")

#: Options with a value that say what is read, others with one, and others without.
_READ = {"-C": "--directory", "-f": "--file", "-I": "--include-dir", "-E": "--eval"}
_VALUED = [("-o", "--old-file", "--assume-old"), ("-W", "--what-if", "--new-file", "--assume-new")]
_PLAIN = "bBdehikLmnpqrRsStvw"
#: Their value may stand in the next word, and only a number is one.
_NUMBERED = re.compile(r"-[jl][\d.]*|--(?:jobs|load-average|max-load)(?:=.*)?")

_NOBODYS = re.compile(r"No rule to make target [`']:'")
_SECTION = re.compile(r"^# (Implicit Rules|Files|VPATH Search Paths)$", re.MULTILINE)
_TARGETS = re.compile(r"^(?P<not># Not a target:\n)?(?P<names>[^\s#:=][^:=\n]*):(?!:?=)", re.MULTILINE)


def is_make(program: str) -> bool:
    """Whether a program's name is one of make's."""
    return re.fullmatch(r"g?make", program.rpartition("/")[2]) is not None


def reading(argv: Sequence[str]) -> list[str]:
    """The words with which the same makefile is read that a command would read, and nothing is made.

    Raises:
        ValueError: It has options that make does not have.
    """
    read, words = _parts(argv)
    return [argv[0], *read, *(word for word in words if "=" in word), *LIST]


def goals(argv: Sequence[str]) -> list[str]:
    """The targets that a command names; none is the makefile's first.

    Raises:
        ValueError: It has options that make does not have.
    """
    return [word for word in _parts(argv)[1] if "=" not in word]


def complaint(said: str) -> str:
    """Why make could not read its makefile, by what it said; that it has no target `:` is what was asked for."""
    return next((line for line in said.splitlines() if "***" in line and not _NOBODYS.search(line)), "")


def missing(listing: str, wanted: Iterable[str]) -> list[str] | None:
    """The targets for which a listing has no rule; None when it is no listing of GNU make's."""
    if "# Make data base" not in listing:
        return None
    _, *sections = _SECTION.split(listing)
    named = dict(zip(sections[::2], sections[1::2], strict=True))
    known = set(_names(named.get("Files", "")))
    patterns = [re.escape(name).replace("%", ".+", 1) for name in _names(named.get("Implicit Rules", ""))]
    if ".DEFAULT" in known:
        return []
    return [one for one in wanted if one not in known and not any(re.fullmatch(each, one) for each in patterns)]


def _names(section: str) -> Iterator[str]:
    for found in _TARGETS.finditer(section):
        if not found["not"]:
            yield from found["names"].split()


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parts(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options that say what is read, and the words: variables and targets."""
    parser = _Options(add_help=False)
    for short, long in _READ.items():
        parser.add_argument(short, long, *(["--makefile"] if short == "-f" else []), action="append", default=[])
    for names in _VALUED:
        parser.add_argument(*names, action="append")
    for letter in _PLAIN:
        parser.add_argument(f"-{letter}", action="store_true")
    parser.add_argument("words", nargs="*")
    before, after = _split(argv[1:])
    known, others = parser.parse_known_intermixed_args(list(_without_numbers(before)))
    if bad := [other for other in others if not other.startswith("--")]:
        raise ValueError(f"{argv[0]} has no option {bad[0]}")
    options = vars(known)
    read = [f"{long}={value}" for long in _READ.values() for value in options[long.strip("-").replace("-", "_")]]
    return read, [*known.words, *after]


def _split(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What stands before `--`, and what stands after it, which are no options."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def _without_numbers(words: Sequence[str]) -> Iterator[str]:
    numbered = False
    for word in words:
        bare, numbered = numbered and re.fullmatch(r"[\d.]+", word) is not None, _NUMBERED.fullmatch(word) is not None
        if not bare and not numbered:
            yield word
