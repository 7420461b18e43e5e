"""Which blocks there are, and how to make one from the plain settings of a site file."""

import difflib
import importlib
import inspect
import os
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

from prefect.blocks.core import Block
from pydantic import SecretStr, ValidationError

import blocks
from blocks.edge import Edge


class BlockError(ValueError):
    """A block that cannot be made: which setting, what was seen there, and how to mend it.

    `setting` is `type/name.field.inner`.
    """

    def __init__(self, setting: str, saw: str, mend: str) -> None:
        super().__init__(setting, saw, mend)
        self.setting = setting
        self.saw = saw
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.setting}: saw {self.saw}; {self.mend}"


def kinds() -> dict[str, type[Block]]:
    """Every type of block by its slug: whatever the modules of `blocks` define."""
    found: dict[str, type[Block]] = {}
    for info in pkgutil.iter_modules(blocks.__path__, "blocks."):
        for kind in vars(importlib.import_module(info.name)).values():
            if inspect.isclass(kind) and issubclass(kind, Block) and kind.__module__ == info.name:
                found |= {} if inspect.isabstract(kind) else {kind.get_block_type_slug(): kind}
    return dict(sorted(found.items()))


def edges() -> dict[str, type[Edge]]:
    """The types of block that can purge, by slug."""
    return {slug: kind for slug, kind in kinds().items() if issubclass(kind, Edge)}


class _AnySecret(dict[str, str]):
    """An environment in which every variable is set."""

    def __missing__(self, name: str) -> str:
        return name

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 - a dict's signature
        return self[name]


def check(kind_and_name: str, settings: Mapping[str, Any]) -> None:
    """Hold a block's settings against its type, wherever its secrets are; BlockError as for `make`."""
    make(kind_and_name, settings, _AnySecret())


def make(kind_and_name: str, settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Block:
    """Build a block such as `varnish/shop`. `{"env": "NAME"}` stands for a secret from the environment.

    Raises:
        BlockError: An unknown type or setting, an environment variable that is not set, or a value that does not fit.
    """
    slug = kind_and_name.partition("/")[0]
    known = kinds()
    if slug not in known:
        raise BlockError(kind_and_name, f"the type {slug!r}", _hint(slug, known))
    kind = known[slug]
    for name in settings:
        if name not in kind.model_fields:
            raise BlockError(
                f"{kind_and_name}.{name}", "a setting that it does not have", _hint(str(name), kind.model_fields)
            )
    values = {name: _resolved(f"{kind_and_name}.{name}", value, environ) for name, value in settings.items()}
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
    setting = ".".join(map(str, (kind_and_name, *first["loc"])))
    raise BlockError(setting, _seen(kind, first), first["msg"].removeprefix("Value error, "))


def _resolved(setting: str, value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {"env"} and isinstance(value["env"], str):
            return _secret(setting, value["env"], environ)
        return {name: _resolved(f"{setting}.{name}", inner, environ) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_resolved(f"{setting}.{place}", inner, environ) for place, inner in enumerate(value)]
    return value


def _secret(setting: str, name: str, environ: Mapping[str, str]) -> SecretStr:
    if value := environ.get(name):
        return SecretStr(value)
    near = difflib.get_close_matches(name, environ, n=1, cutoff=0.8)
    seen = "an empty" if name in environ else "no"
    hint = f" (did you mean {near[0]}?)" if near and near[0] != name else ""
    raise BlockError(setting, f"{seen} environment variable {name}", f"set it where this runs{hint}")


def _seen(kind: type[Block], error: Mapping[str, Any]) -> str:
    """What was given, unless it is or could be a secret."""
    if error["type"] == "missing":
        return "nothing"
    secret = {str(field).partition(".")[0] for field in kind.model_json_schema()["secret_fields"]}
    value = error["input"]
    if isinstance(value, SecretStr):
        return "a secret"
    return f"a value of type {type(value).__name__}" if error["loc"][0] in secret else repr(value)[:80]


def _hint(seen: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(seen, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
