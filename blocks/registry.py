"""Which blocks there are, and how to make one from the plain settings of a site file."""

import difflib
import importlib
import inspect
import os
import pkgutil
from abc import ABC
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any

from prefect.blocks import notifications
from prefect.blocks.abstract import NotificationBlock
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.types import SecretDict
from pydantic import SecretStr, ValidationError

import blocks
from blocks.edge import Edge
from blocks.member import Member
from roundsman.alerts.rules.alert_event import AlertEvent

#: What to write in place of a secret.
ENV = "wanted `{env: NAME}`, with the value in that environment variable where this runs; rotate the secret"


class BlockError(ValueError):
    """A block that cannot be made: which setting, what was seen there, and how to correct it.

    `setting` is `type/name.field.inner`.
    """

    permanent = False
    """A setting can be corrected; so what could not be sent for want of the block is tried again."""

    def __init__(self, setting: str, saw: str, remedy: str) -> None:
        super().__init__(setting, saw, remedy)
        self.setting = setting
        self.saw = saw
        self.remedy = remedy
        self.others: tuple[BlockError, ...] = ()
        """What else is wrong with the same block."""

    def __str__(self) -> str:
        return f"{self.setting}: saw {self.saw}; {self.remedy}"


@cache
def kinds() -> Mapping[str, type[Block]]:
    """Every type of block by its slug: whatever the modules of `blocks` define, and Prefect's own notifications."""
    names = [info.name for info in pkgutil.iter_modules(blocks.__path__, "blocks.")]
    modules = [*map(importlib.import_module, names), notifications]
    found = {kind.get_block_type_slug(): kind for module in modules for kind in _defined(module)}
    return MappingProxyType(dict(sorted(found.items())))


def _defined(module: ModuleType) -> Iterator[type[Block]]:
    for kind in vars(module).values():
        mine = inspect.isclass(kind) and issubclass(kind, Block) and kind.__module__ == module.__name__
        # Prefect's bases have no abstract method, and say that they are bases.
        if mine and not inspect.isabstract(kind) and ABC not in kind.__bases__:
            yield kind


def edges() -> dict[str, type[Edge]]:
    """The types of block that can purge, by slug."""
    return {slug: kind for slug, kind in kinds().items() if issubclass(kind, Edge)}


def members() -> dict[str, type[Member]]:
    """The types of block that can log in, by slug."""
    return {slug: kind for slug, kind in kinds().items() if issubclass(kind, Member)}


def channels() -> dict[str, type[NotificationBlock]]:
    """The types of block that can tell people something, by slug."""
    return {slug: kind for slug, kind in kinds().items() if issubclass(kind, NotificationBlock)}


def alert_fields(event: AlertEvent) -> dict[str, str]:
    """What a custom webhook can place in its JSON beside subject and body: `{{alert_status}}` and others."""
    return {f"alert_{name}": value for name, value in event.fields().items() if name not in {"subject", "body"}}


class _StartError(BlockError):
    """Settings of the right form that a block could not be started with."""


class _AnySecret(dict[str, str]):
    """An environment in which every variable is set."""

    asked = False

    def __missing__(self, name: str) -> str:
        return name

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 - a dict's signature
        self.asked = True
        return self[name]


def faults(kind_and_name: str, settings: Mapping[str, Any]) -> list[BlockError]:
    """Everything that is wrong with a block's settings, wherever its secrets are; empty when it can be made."""
    slug = kind_and_name.partition("/")[0]
    known = kinds()
    if slug not in known:
        return [BlockError(kind_and_name, f"the type {slug!r}", _hint(slug, known))]
    kind = known[slug]
    found = [_unknown(kind_and_name, name, kind) for name in settings if name not in kind.model_fields]
    good = {name: value for name, value in settings.items() if name in kind.model_fields}
    plain = set(_in_plain_text(kind, good))
    found += [BlockError(f"{kind_and_name}.{setting}", "a secret in plain text", ENV) for setting in sorted(plain)]
    environ = _AnySecret()
    try:
        _made(kind_and_name, kind, good, environ)
    except _StartError as error:
        # With the real secret, such as a webhook's address, it may start.
        if not environ.asked and not plain:
            found.append(error)
    except BlockError as error:
        found += [one for one in (error, *error.others) if one.setting.partition(".")[2] not in plain]
    return found


def _in_plain_text(kind: type[Block], settings: Mapping[str, Any]) -> Iterator[str]:
    """Settings that are secret by their type and are written out."""
    for field in map(str, kind.model_json_schema()["secret_fields"]):
        name, _, inner = field.partition(".")
        value = settings.get(name)
        if isinstance(value, str | int) and value not in {"", True, False}:
            yield name
        # What a form or a header holds is judged by its own name: a user's is none.
        elif inner and name == "secrets" and isinstance(value, Mapping):
            yield from (f"{name}.{key}" for key, one in value.items() if isinstance(one, str | int) and one != "")


def _unknown(kind_and_name: str, name: str, kind: type[Block]) -> BlockError:
    saw, hint = "a setting that it does not have", _hint(str(name), kind.model_fields)
    return BlockError(f"{kind_and_name}.{name}", saw, hint)


def shaped(kind_and_name: str, settings: Mapping[str, Any] | None) -> Block:
    """A block as its settings shape it, with made-up secrets: to ask what it can, and never to ask it.

    Without settings, as Prefect may keep them, it has those of its type alone, which can what any such block can.

    Raises:
        BlockError: as for `make`, but that no environment variable is wanted.
    """
    kind = kinds().get(kind_and_name.partition("/")[0])
    if kind and settings is None:
        return kind.model_construct(**(kind.assumed if issubclass(kind, Edge) else {}))
    return make(kind_and_name, settings or {}, _AnySecret())


def make(kind_and_name: str, settings: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Block:
    """Build a block such as `varnish/shop`. `{"env": "NAME"}` stands for a secret from the environment.

    Raises:
        BlockError: An unknown type or setting, an environment variable that is not set, or a value that does not fit.
    """
    slug = kind_and_name.partition("/")[0]
    known = kinds()
    if slug not in known:
        raise BlockError(kind_and_name, f"the type {slug!r}", _hint(slug, known))
    for name in settings:
        if name not in known[slug].model_fields:
            raise _unknown(kind_and_name, name, known[slug])
    return _made(kind_and_name, known[slug], settings, environ)


def _made(kind_and_name: str, kind: type[Block], settings: Mapping[str, Any], environ: Mapping[str, str]) -> Block:
    values = {name: _resolved(f"{kind_and_name}.{name}", value, environ) for name, value in settings.items()}
    # This kind of field is a secret as a whole, and would send the stars of a secret inside it.
    values |= {name: _bare(values[name]) for name in values if kind.model_fields[name].annotation is SecretDict}
    if kind is CustomWebhookNotificationBlock and isinstance(values.get("secrets", {}), Mapping):
        # Else it could not be made with a placeholder that only a message fills.
        values["secrets"] = dict.fromkeys(alert_fields(AlertEvent("", "", "")), "") | dict(values.get("secrets", {}))
    try:
        return kind(**values)
    except ValidationError as error:
        details = error.errors()
    except (KeyError, TypeError, ValueError) as error:
        saw = f"settings that it can't be started with ({_without_secrets(str(error), kind, values)})"
        # A placeholder that no setting fills does not hang on the value of a secret.
        refusal = BlockError if isinstance(error, KeyError) else _StartError
        raise refusal(kind_and_name, saw, "correct its settings") from None
    found = [
        BlockError(
            ".".join(map(str, (kind_and_name, *one["loc"]))), _seen(kind, one), one["msg"].removeprefix("Value error, ")
        )
        for one in details
    ]
    found[0].others = tuple(found[1:])
    raise found[0]


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


def _bare(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _bare(inner) for name, inner in value.items()}
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def _secret_fields(kind: type[Block]) -> set[str]:
    return {str(field).partition(".")[0] for field in kind.model_json_schema()["secret_fields"]}


def _without_secrets(text: str, kind: type[Block], values: Mapping[str, Any]) -> str:
    secret = _secret_fields(kind)
    for value in _texts([value for name, value in values.items() if name in secret]):
        text = text.replace(value, "...")
    return text


def _texts(value: Any) -> Iterator[str]:
    """Every text in some settings, hidden or not."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _seen(kind: type[Block], error: Mapping[str, Any]) -> str:
    """What was given, unless it is or could be a secret."""
    if error["type"] == "missing":
        return "nothing"
    value = error["input"]
    if isinstance(value, SecretStr):
        return "a secret"
    return f"a value of type {type(value).__name__}" if error["loc"][0] in _secret_fields(kind) else repr(value)[:80]


def _hint(seen: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(seen, names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
