"""From the text of a site file to a Site, or to every problem in it with its line and how to mend it."""

import difflib
import re
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import SafeConstructor

from flows.rules.site import Site, conflicts

Place = tuple[str | int, ...]
Promise = typing.TypeVar("Promise", bound=BaseModel)

#: Nodes and levels of a file. YAML's anchors can make a few lines endless, or more than any memory holds.
MOST_NODES, DEEPEST = 100_000, 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a site file."""

    file: str
    line: int
    field: str
    saw: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.field}: saw {self.saw}; {self.mend}"


class SiteFileError(ValueError):
    """The site file can't be used; nothing was run."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def read(text: str, file: str) -> tuple[Site, "Lines"]:
    """Read a site file, with a map back to its lines.

    Raises:
        SiteFileError: with every problem found.
    """
    return read_as(text, file, Site, conflicts)


def read_as(
    text: str,
    file: str,
    model: type[Promise],
    conflicts: Callable[[Promise], Iterable[tuple[Place, str, str]]],
    first: str = "site, base_url, owner and one rule",
) -> tuple[Promise, "Lines"]:
    """Read a file of another kind in the same way. `conflicts` says what it holds against itself.

    Raises:
        SiteFileError: with every problem found.
    """
    lines = Lines(text, file, first)
    try:
        promised = model.model_validate(lines.data)
    except ValidationError as error:
        raise SiteFileError(_explain(error, lines, model)) from None
    if problems := [lines.problem(place, repr(saw), mend) for place, saw, mend in conflicts(promised)]:
        raise SiteFileError(problems)
    return promised, lines


class Lines:
    """A YAML document that remembers on which line each of its fields stands."""

    def __init__(self, text: str, file: str, first: str = "site, base_url, owner and one rule") -> None:
        self.file = file
        self._at: dict[Place, int] = {(): 1}
        self._nodes = 0
        twice: list[Problem] = []
        try:
            # libyaml's loader is several times as fast, and deep nesting ends the process.
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if node is not None:
                twice = list(self._walk(node, ()))
                self.data = SafeConstructor().construct_document(node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            saw = f"no YAML: {(error.problem or 'it does not parse').replace(NEWLINE, ' ')}"
            mend = "mend the YAML there: often a missing quote, colon or a tab for indentation"
            raise SiteFileError([Problem(file, line, "YAML", saw, mend)]) from None
        except (yaml.YAMLError, ValueError) as error:
            raise SiteFileError(
                [Problem(file, 1, "YAML", str(error).splitlines()[0], "save it as plain UTF-8 text")]
            ) from None
        except RecursionError:
            raise SiteFileError([self._too_much(1)]) from None
        if node is None:
            raise SiteFileError([Problem(file, 1, "file", "nothing", f"write at least {first}")])
        if not isinstance(self.data, dict):
            kind = type(self.data).__name__
            raise SiteFileError(
                [
                    Problem(
                        file,
                        1,
                        "file",
                        f"a {kind}",
                        f"write a mapping that starts with `{first.partition(',')[0]}: NAME`",
                    )
                ]
            )
        if twice:
            raise SiteFileError(twice)

    def _too_much(self, line: int) -> Problem:
        saw = f"more than {MOST_NODES} values, or {DEEPEST} levels"
        return Problem(self.file, line, "YAML", saw, "write it out: an anchor (`&name`) may repeat itself without end")

    def _walk(self, node: yaml.Node, place: Place) -> Iterator[Problem]:
        self._nodes += 1
        if self._nodes > MOST_NODES or len(place) > DEEPEST:
            raise SiteFileError([self._too_much(node.start_mark.line + 1)])
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._at[(*place, index)] = item.start_mark.line + 1
                yield from self._walk(item, (*place, index))
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*place, str(key.value))
                if here in self._at:
                    line, field = key.start_mark.line + 1, dotted(here)
                    yield Problem(self.file, line, field, f"the key again (first on line {self._at[here]})", "keep one")
                self._at[here] = key.start_mark.line + 1
                yield from self._walk(value, here)

    def problem(self, place: Place, saw: str, mend: str) -> Problem:
        """A problem at a place, on the line of the nearest thing that is written there."""
        written = next(place[:length] for length in range(len(place), -1, -1) if place[:length] in self._at)
        return Problem(self.file, self._at[written], dotted(place), saw, mend)


def dotted(place: Place) -> str:
    """A place as people write it: rules[0].cache.by."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or "file"


NEWLINE = "\n"

_MISSING = {
    "owner": "write who answers for it, such as `owner: web-platform <web-oncall@example.com>`",
    "expected_result": "write in a sentence what a visitor gets when all is well",
    "rollback": "write how to go back: `rollback: {note: ..., command: [make, cdn-rollback]}`",
}


def _explain(error: ValidationError, lines: Lines, model: type[BaseModel]) -> Iterator[Problem]:
    places = [detail["loc"] for detail in error.errors()]
    for detail in error.errors():
        place: Place = detail["loc"]
        if detail["type"] == "too_short" and any(other[: len(place)] == place != other for other in places):
            continue  # it is short only because what is in it does not parse
        if place and place[-1] == "[key]":
            place = place[:-1]
        name = str(place[-1]) if place else ""
        if detail["type"] == "missing":
            yield lines.problem(place, "nothing", _MISSING.get(name, f"write {name}; it is required"))
        elif detail["type"] == "extra_forbidden":
            known = _fields(place[:-1], model)
            near = difflib.get_close_matches(name, known, 1)
            mend = f"did you mean `{near[0]}`?" if near else f"wanted one of {', '.join(known)}"
            yield lines.problem(place, f"the unknown key `{name}`", mend)
        else:
            yield lines.problem(place, _short(detail["input"]), _mend(detail, place, name, model))


def _mend(detail: Any, place: Place, name: str, model: type[BaseModel]) -> str:
    """What was wanted, in words of this file instead of Python's."""
    kind, given = detail["type"], detail["input"]
    if given is None or (kind == "string_too_short" and not given.strip()):
        return _MISSING.get(name, f"write {name}, or leave the key out")
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        known = f" with some of {', '.join(_fields(place, model))}" if kind != "dict_type" else ""
        return f"wanted a mapping{known}"
    if kind == "tuple_type":
        return _LIST_OF_WORDS if name in _COMMANDS else "wanted a list, such as [one, other]"
    if kind == "too_short":
        return f"wanted at least {detail['ctx']['min_length']}"
    if kind == "too_long":
        return f"wanted at most {detail['ctx']['max_length']}"
    if kind in _KINDS:
        return _KINDS[kind]
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message[:1].lower() + message[1:]


_COMMANDS = frozenset(["command", "deploy", "rollback", "settings", "touch"])
_LIST_OF_WORDS = "wanted a command as a list of words, such as [make, rollback]; no shell reads it"
_KINDS = {
    "string_type": "wanted text; put quotes around it, so that YAML takes it for nothing else",
    "bool_type": "wanted true or false",
    "bool_parsing": "wanted true or false",
    "int_type": "wanted a whole number",
    "int_parsing": "wanted a whole number",
    "int_from_float": "wanted a whole number",
    "float_type": "wanted a number",
    "float_parsing": "wanted a number",
    "invalid_key": "wanted a key that is a word",
    **dict.fromkeys(("date_type", "date_parsing", "date_from_datetime_parsing"), "wanted a day, such as 2027-01-31"),
    "date_from_datetime_inexact": "wanted a day without a time, such as 2027-01-31",
}


#: Who logs in to a database, and with what.
_LOGIN = re.compile(r"(?<!http:)(?<!https:)//[^\s/@]*@")


def _short(value: Any) -> str:
    text = _LOGIN.sub("//...@", repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fields(place: Place, model: type[BaseModel]) -> list[str]:
    """The keys that may stand at a place."""
    for part in place:
        if isinstance(part, str) and (field := _by_key(model).get(part)) is not None:
            model = next(iter(_models(field)), model)
    return list(_by_key(model))


def _by_key(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)
