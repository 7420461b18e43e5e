"""Which targets a command asks make for, and which of them its makefile has (GNU make's manual, Summary of Options)."""

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

#: What makes make print all it knows and make nothing: its rules without the built-in ones, and a goal of ours with an
#: empty recipe, so that no rule of the makefile is tried for it. One that is older than 3.82 can be given no rule, and
#: gets a goal that nobody has.
_PRINT = ("-pRrq", "--no-print-directory")
LIST, OLD_LIST = (*_PRINT, "--eval=.roundsman:;", ".roundsman"), (*_PRINT, ":")

#: Options with a value that say what is read, others with one, and others without.
_READ = {"-C": "--directory", "-f": "--file", "-I": "--include-dir", "-E": "--eval"}
_VALUED = [("-o", "--old-file", "--assume-old"), ("-W", "--what-if", "--new-file", "--assume-new")]
_PLAIN = "bBdehikLmnpqrRsStvw"
#: Their value may be left out; in the next word only a number is one.
_OPTIONAL = re.compile(
    rf"-(?P<plain>[{_PLAIN}]*)(?:[jl][\d.]*|O[a-z]*)|--(?:jobs|load-average|max-load|output-sync)(?:=.*)?"
)

_COMPLAINT = re.compile(r"\*\*\*|unrecognized option")
_NOBODYS = re.compile(r"No rule to make target [`']:'")
_SECTION = re.compile(r"^# (Implicit Rules|Files|VPATH Search Paths)$", re.MULTILINE)
_TARGETS = re.compile(r"^(?P<not># Not a target:\n)?(?P<names>[^\s#:=][^:=\n]*):(?!:?=)", re.MULTILINE)


def is_make(program: str) -> bool:
    """Whether a program's name is one of make's."""
    return re.fullmatch(r"g?make", program.rpartition("/")[2]) is not None


def reading(argv: Sequence[str], how: Sequence[str] = LIST) -> list[str]:
    """The words with which the same makefile is read that a command would read, for the same goals, and none is made.

    What make makes before it knows its rules, such as a makefile that another one includes, it makes all the same.

    Raises:
        ValueError: It has options that make does not have.
    """
    read, words = _parts(argv)
    variables = [word for word in words if "=" in word]
    # A makefile may ask which they are.
    named = [word for word in words if "=" not in word]
    return [argv[0], *read, *variables, *([f"MAKECMDGOALS={' '.join(named)}"] if named else []), *how]


def goals(argv: Sequence[str]) -> list[str]:
    """The targets that a command names; none is the makefile's first.

    Raises:
        ValueError: It has options that make does not have.
    """
    return [word for word in _parts(argv)[1] if "=" not in word]


def complaint(errors: str) -> str:
    """Why make could not read its makefile, by its own words; that it has no target `:` is what was asked for."""
    return next((line for line in errors.splitlines() if _COMPLAINT.search(line) and not _NOBODYS.search(line)), "")


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
    before = None
    for word in words:
        bare, before = before and re.fullmatch(r"[\d.]+", word), _OPTIONAL.fullmatch(word)
        if before and before["plain"]:
            yield f"-{before['plain']}"
        elif not bare and not before:
            yield word
