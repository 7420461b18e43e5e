"""Holding a file against its model although parts of it are wrong, so that one mistake does not hide another."""

import copy
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from roundsman.report.rules.nearest import nearest

Place = tuple[str | int, ...]
Promise = typing.TypeVar("Promise", bound=BaseModel)

_MOST_ROUNDS = 50
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
