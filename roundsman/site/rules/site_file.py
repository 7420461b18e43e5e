"""From the text of a site file to a Site, or to every problem in it with line, column and how to fix it.

Holding a file against its model although parts of it are wrong, so that one mistake does not hide another.
"""

import copy
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import SafeConstructor

from roundsman.report.rules.text import nearest
from roundsman.site.rules.site import Site, conflicts
from roundsman.site.rules.written_secrets import is_secret_name, written_secrets

_MOST_ROUNDS = 50
Place = tuple[str | int, ...]
Promise = typing.TypeVar("Promise", bound=BaseModel)

#: What stands in for something wrong or missing, by its name or that of its list, so that what needs it is not told
#: to lack it. No rule but its own matches such a path.
_STAND_INS: Mapping[str, Callable[[Place], Any]] = {
    "site": lambda _: "x",
    "database": lambda _: "x",
    "base_url": lambda _: "http://x.invalid",
    "origin": lambda _: "http://x.invalid",
    "servers": lambda _: "http://x.invalid",
    "owner": lambda _: "x",
    "expected_result": lambda _: "x",
    "rollback": lambda _: {"note": "x", "command": ["x"]},
    "note": lambda _: "x",
    "command": lambda _: ["x"],
    "edge": lambda _: "x/x",
    "shield": lambda _: "x/x",
    "sessions": lambda place: f"x/x{place[-1]}",
    "channels": lambda place: f"x/x{place[-1]}",
    "name": lambda place: "-".join(map(str, ("x", *place))).lower().replace("_", "-"),
    "paths": lambda place: _path(place) if isinstance(place[-1], int) else [_path(place)],
    "cache": lambda _: {"by": "everyone"},
    "by": lambda _: "everyone",
    "examples": lambda place: {"not_cached": [_path(place)]},
    "cached": lambda place: _path(place) if isinstance(place[-1], int) else [],
    "not_cached": lambda place: _path(place) if isinstance(place[-1], int) else [],
    "catalogue": lambda _: {"feed": "x"},
    "feed": lambda _: "x",
    "url": lambda _: {"env": "X"},
    "env": lambda _: "X",
    "inspect": lambda _: "daily",
    "rules": lambda place: _rule(place) if isinstance(place[-1], int) else [_rule((*place, 0))],
}
#: Where one of these is wrong, nothing that its rule says against itself is certain.
_CLOUDING = frozenset(["paths", "examples", "cached", "not_cached", "rules"])


def validated(data: Any, model: type[Promise]) -> tuple[Promise | None, list[Any], list[Place]]:
    """Hold data against a model.

    What is refused is replaced or left out in a copy, until all the rest can be judged as well.

    Returns:
        The model, made of what was good, or None when nothing can be made; what pydantic refused, as its error
        details; and the places at which nothing more is certain.
    """
    data = copy.deepcopy(data)
    refused: list[Any] = []
    doubtful: list[Place] = []
    for _ in range(_MOST_ROUNDS):
        try:
            return model.model_validate(data), refused, doubtful
        except ValidationError as error:
            details = error.errors()
        # A list may be too short only because what is in it is wrong.
        details = [one for one in details if one["type"] != "too_short" or not _holds_another(one, details)]
        renamed = _rename(data, details, model)
        details = [one for one in details if one["loc"] not in renamed]
        refused += [one for one in details if not any(is_related(one["loc"], place) for place in doubtful)]
        changed = [_repaired(data, detail) for detail in details]
        doubtful += [place for detail in details for place in _doubted(detail["loc"])]
        doubtful += [place for one in changed if one is not None for place in _doubted(one)]
        if None in changed:
            break
    return None, refused, doubtful


def is_related(one: Place, other: Place) -> bool:
    """Whether one of two places is the other, or holds it."""
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _holds_another(detail: Any, details: list[Any]) -> bool:
    return any(one["loc"] != detail["loc"] and is_related(one["loc"], detail["loc"]) for one in details)


def _doubted(place: Place) -> list[Place]:
    if (
        len(place) > 1
        and place[0] == "rules"
        and (place[-1] in _CLOUDING or place[2:3] == ("paths",) or len(place) == 2)
    ):
        return [place, place[:2]]
    return [place]


def _rename(data: Any, details: list[Any], model: type[BaseModel]) -> set[Place]:
    """Take a misspelled key for the one that is missing. Returns the places that are missing no longer."""
    found: set[Place] = set()
    for detail in details:
        place: Place = detail["loc"]
        holder = _at(data, place[:-1])
        if detail["type"] != "extra_forbidden" or not isinstance(holder, dict):
            continue
        known = fields_at(place[:-1], model)
        near = [one for one in nearest(str(place[-1]), known, 1) if one not in holder]
        key = _key(holder, place[-1])
        if near and key in holder:
            holder[near[0]] = holder[key]
            found.add((*place[:-1], near[0]))
    return found


def _repaired(data: Any, detail: Any) -> Place | None:
    """Replace or leave out what was refused. Returns the place that was changed; None when nothing can be."""
    place: Place = tuple(part for part in detail["loc"] if part != "[key]")
    is_extra = detail["type"] in {"extra_forbidden", "invalid_key"}
    while place:
        holder, last = _at(data, place[:-1]), place[-1]
        named = last if isinstance(last, str) else next((one for one in reversed(place) if isinstance(one, str)), "")
        make = None if is_extra else _STAND_INS.get(named)
        key: Any = _key(holder, last) if isinstance(holder, dict) else last
        there = isinstance(holder, dict | list) and _has(holder, key)
        if make and (there or isinstance(holder, dict)):
            stand_in = make(place)
            if not there or holder[key] != stand_in:
                holder[key] = stand_in
                return place
        if there and isinstance(holder, dict):
            del holder[key]
            return place
        is_extra, place = False, place[:-1]
    return None


def _at(data: Any, place: Place) -> Any:
    for part in place:
        key: Any = _key(data, part) if isinstance(data, dict) else part
        if not isinstance(data, dict | list) or not _has(data, key):
            return None
        data = data[key]
    return data


def _has(holder: Any, key: Any) -> bool:
    if isinstance(holder, list):
        return isinstance(key, int) and key < len(holder)
    return key in holder


def _key(holder: Mapping[Any, Any], part: str | int) -> Any:
    """A key as it is in the data, where YAML may have made a number or true of a word."""
    return next((key for key in holder if key == part or str(key) == str(part)), part)


def fields_at(place: Place, model: type[BaseModel]) -> list[str]:
    """The keys that may stand at a place."""
    for part in place:
        if isinstance(part, str) and (field := _by_key(model).get(part)) is not None:
            model = next(_models(field), model)
    return list(_by_key(model))


def _by_key(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _path(place: Place) -> str:
    return "/x.invalid/" + "-".join(map(str, place))


def _rule(place: Place) -> dict[str, Any]:
    path = _path(place)
    return {
        "name": f"x-{place[-1]}",
        "paths": [path],
        "cache": {"by": "nobody"},
        "examples": {"not_cached": [path]},
        "expected_result": "x",
        "rollback": {"note": "x", "command": ["x"]},
    }


Conflict = tuple[Place, str, str]

#: Nodes and levels of a file. YAML's anchors can make a few lines endless, or more than any memory holds.
MAX_NODES, MAX_DEPTH = 100_000, 50
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file. Line and column count from 1; 0 where it is about the file as a whole."""

    file: str
    line: int
    field: str
    saw: str
    remedy: str
    column: int = 0

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{where}: {self.field}: saw {self.saw}; {self.remedy}"


class SiteFileError(ValueError):
    """The site file can't be used; nothing was run."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _nothing(_: object) -> Iterable[Conflict]:
    return ()


def read(text: str, file: str, also: Callable[[Site], Iterable[Conflict]] = _nothing) -> tuple[Site, "Lines"]:
    """Read a site file, with a map back to its lines. `also` is as for `read_as`.

    Raises:
        SiteFileError: with every problem found.
    """
    return read_as(text, file, Site, conflicts, also)


def read_as(  # noqa: PLR0913, PLR0917 - what makes another kind of file
    text: str,
    file: str,
    model: type[Promise],
    conflicts: Callable[[Promise], Iterable[Conflict]],
    also: Callable[[Promise], Iterable[Conflict]] = _nothing,
    first: str = "site, base_url, owner and one rule",
) -> tuple[Promise, "Lines"]:
    """Read a file of another kind in the same way.

    Args:
        text: What is written in it.
        file: What it is called in messages.
        model: What it is read as.
        conflicts: What it says against itself: place, the value that was seen, what to do.
        also: What else is wrong with it where this runs; what was seen is in words.
        first: What an empty file should have.

    Raises:
        SiteFileError: with every problem found.
    """
    lines = Lines(text, file, first)
    secrets = {place: (saw, remedy) for place, saw, remedy in written_secrets(lines.data)}
    problems = [*lines.twice, *(lines.problem(place, *said) for place, said in secrets.items())]

    def tell(place: Place, saw: str, remedy: str) -> None:
        if place not in secrets:
            holds_secret = any(is_related(place, one) for one in secrets)
            problems.append(lines.problem(place, "a value with a secret in it" if holds_secret else saw, remedy))

    promised, refused, doubtful = validated(lines.data, model)
    for detail in refused:
        tell(*_explain(detail, model))
    if promised is not None:
        found = [*((place, repr(saw), remedy) for place, saw, remedy in conflicts(promised)), *also(promised)]
        for place, saw, remedy in found:
            if not any(is_related(place, one) for one in doubtful):
                tell(place, saw, remedy)
    if problems or promised is None:
        raise SiteFileError(dict.fromkeys(problems))
    return promised, lines


class Lines:
    """A YAML document that remembers at which line and column each of its fields stands."""

    def __init__(self, text: str, file: str, first: str = "site, base_url, owner and one rule") -> None:
        self.file = file
        self.twice: list[Problem] = []
        """Keys that stand there more than once."""
        self._at: dict[Place, tuple[int, int]] = {(): (1, 1)}
        self._nodes = 0
        node = None
        try:
            # libyaml's loader is several times as fast, and deep nesting ends the process.
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if node is not None:
                self.twice = list(self._walk(node, ()))
                self.data = SafeConstructor().construct_document(node)
        except yaml.MarkedYAMLError as error:
            raise SiteFileError([self._no_yaml(error, text)]) from None
        except yaml.reader.ReaderError as error:
            raise SiteFileError([self._no_text(error, text)]) from None
        except RecursionError:
            raise SiteFileError([self._too_deep((1, 1))]) from None
        except SiteFileError:
            raise
        except (yaml.YAMLError, ValueError):
            raise SiteFileError([self._no_value(node)]) from None
        if node is None:
            raise SiteFileError([Problem(file, 1, "file", "nothing", f"write at least {first}")])
        if not isinstance(self.data, dict):
            kind, name = type(self.data).__name__, first.partition(",")[0]
            remedy = f"write a mapping that starts with `{name}: NAME`"
            raise SiteFileError([Problem(file, 1, "file", f"a {kind}", remedy, 1)])

    def _no_yaml(self, error: yaml.MarkedYAMLError, text: str) -> Problem:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = (error.problem or "it does not parse").replace("\n", " ")
        written = text.splitlines()[line - 1 : line]
        if written and any(is_secret_name(word) for word in re.findall(r"[\w-]+", written[0])):
            said = re.sub(r"'.*'|\".*\"", "...", said)  # it may quote what stands there
        if "\t" in said or "\\t" in said:
            remedy = "indent with spaces: YAML takes no tab"
        elif "could not determine a constructor for the tag" in said:
            remedy = "take the tag (`!...`) away: only plain values are read"
        elif "undefined alias" in said:
            remedy = "name an anchor (`&name`) that stands above it, or put quotes around the value"
        elif "found another document" in said:
            return Problem(self.file, line, "YAML", "a second document", "keep one of them", column)
        else:
            remedy = "correct the YAML there: often a quote, colon or bracket is missing"
        return Problem(self.file, line, "YAML", f"no YAML: {said}", remedy, column)

    def _no_text(self, error: yaml.reader.ReaderError, text: str) -> Problem:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - (before.rfind("\n") + 1) + 1
        saw = f"the control character U+{ord(text[error.position]):04X}"
        return Problem(self.file, line, "YAML", saw, "take it out: a file is plain UTF-8 text", column)

    def _no_value(self, node: yaml.Node | None) -> Problem:
        """What stands for a date or a number that there is none of."""
        line, column = _position(next(_unreadable(node), node)) if node else (1, 1)
        return Problem(self.file, line, "YAML", "a date or number that can't be", "put quotes around it", column)

    def _too_deep(self, at: tuple[int, int]) -> Problem:
        remedy = "write it in fewer levels, and no anchor (`&name`) within itself"
        return Problem(self.file, at[0], "YAML", f"more than {MAX_DEPTH} levels", remedy, at[1])

    def _too_many(self, at: tuple[int, int]) -> Problem:
        remedy = "write it out: anchors (`&name`) that repeat each other multiply"
        return Problem(self.file, at[0], "YAML", f"more than {MAX_NODES} values", remedy, at[1])

    def _walk(self, node: yaml.Node, place: Place) -> Iterator[Problem]:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise SiteFileError([self._too_many(_position(node))])
        if len(place) > MAX_DEPTH:
            raise SiteFileError([self._too_deep(_position(node))])
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._at[(*place, index)] = _position(item)
                yield from self._walk(item, (*place, index))
        elif isinstance(node, yaml.MappingNode):
            merged = [value for key, value in node.value if key.tag == _MERGE]
            for key, value in node.value:
                if key.tag == _MERGE:
                    continue
                here = (*place, str(key.value))
                line, column = _position(key)
                if here in self._at:
                    saw = f"the key again (first on line {self._at[here][0]})"
                    yield Problem(self.file, line, dotted(here), saw, "keep one", column)
                self._at[here] = line, column
                yield from self._walk(value, here)
            for value in merged:
                self._merge(value, place)

    def _merge(self, node: yaml.Node, place: Place) -> None:
        """Remember where the fields stand that `<<` brings in; what is written here wins, and the first of several."""
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            known, self._at = self._at, {}
            list(self._walk(one, place))
            self._at = self._at | known

    def problem(self, place: Place, saw: str, remedy: str) -> Problem:
        """A problem at a place, where the nearest thing to it is written."""
        written = next(place[:length] for length in range(len(place), -1, -1) if place[:length] in self._at)
        line, column = self._at[written]
        return Problem(self.file, line, dotted(place), saw, remedy, column)


def _unreadable(node: yaml.Node) -> Iterator[yaml.Node]:
    """The scalars that YAML's own types can't be made of."""
    if isinstance(node, yaml.ScalarNode):
        try:
            SafeConstructor().construct_object(node)
        except (yaml.YAMLError, ValueError):
            yield node
    else:
        for one in node.value:
            for part in one if isinstance(one, tuple) else (one,):
                yield from _unreadable(part)


def _position(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def dotted(place: Place) -> str:
    """A place as people write it: rules[0].cache.by."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or "file"


_MISSING = {
    "owner": "write who answers for it, such as `owner: web-platform <web-oncall@example.com>`",
    "expected_result": "write in a sentence what a visitor gets when all is well",
    "rollback": "write how to go back: `rollback: {note: ..., command: [make, cdn-rollback]}`",
}


def _explain(detail: Any, model: type[BaseModel]) -> Conflict:
    """What pydantic refused, in words: place, what was seen, what to do."""
    place: Place = detail["loc"]
    if place and place[-1] == "[key]":
        place = place[:-1]
    name = str(place[-1]) if place else ""
    if detail["type"] == "missing":
        return place, "nothing", _MISSING.get(name, f"write {name}; it is required")
    if detail["type"] == "extra_forbidden":
        known = fields_at(place[:-1], model)
        near = nearest(name, known, 1)
        remedy = f"did you mean `{near[0]}`?" if near else f"wanted one of {', '.join(known)}"
        return place, f"the unknown key `{name}`", remedy
    return place, _short(detail["input"]), _mend(detail, place, name, model)


def _mend(detail: Any, place: Place, name: str, model: type[BaseModel]) -> str:
    """What was wanted, in words of this file instead of Python's."""
    kind, given = detail["type"], detail["input"]
    if given is None or (kind == "string_too_short" and not given.strip()):
        return _MISSING.get(name, f"write {name}, or leave the key out")
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        known = f" with some of {', '.join(fields_at(place, model))}" if kind != "dict_type" else ""
        return f"wanted a mapping{known}"
    if kind == "tuple_type":
        return _LIST_OF_WORDS if name in _COMMANDS else "wanted a list, such as [one, other]"
    if kind == "too_short":
        return f"wanted at least {detail['ctx']['min_length']}"
    if kind == "too_long":
        return f"wanted at most {detail['ctx']['max_length']}"
    if kind in _KINDS:
        return _KINDS[kind]
    message: str = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
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


#: Who logs in, and with what.
_LOGIN = re.compile(r"//[^\s]*@")


def _short(value: Any) -> str:
    text = _LOGIN.sub("//...@", repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."
