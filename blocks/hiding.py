"""Keeping secrets out of what is told of a block."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import SecretStr


def struck_out(text: str, secrets: Iterable[str], instead: str) -> str:
    """A text with something else in the place of each secret."""
    # The longest first: one secret may begin as another does.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, instead)
    return text


def secrets_in(value: Any) -> Iterator[str]:
    """Every secret in some settings, however deep."""
    if isinstance(value, SecretStr):
        if secret := value.get_secret_value():
            yield secret
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from secrets_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets_in(inner)
