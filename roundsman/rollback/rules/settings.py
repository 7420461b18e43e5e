"""Do staging and production have the same settings? Told by name and keyed hash; a value is never shown."""

import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

#: Shown of a hash. It is keyed with a random key that lives as long as one comparison, so that a short value can't be
#: found by trying all of them, and so that hashes of two reports tell nothing together.
SHOWN_HASH_DIGITS = 10
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


class SettingsError(ValueError):
    """An output is no list of settings. Its words say where, and nothing of what was there."""


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """One setting that is not the same. A hash is empty where the setting is not there."""

    name: str
    staging: str
    production: str

    def __str__(self) -> str:
        if not self.staging:
            return f"{self.name} only in production"
        if not self.production:
            return f"{self.name} only in staging"
        return f"{self.name} ({self.staging} in staging, {self.production} in production)"


def hashed(output: bytes, key: bytes) -> dict[str, str]:
    """Settings by name, each value as HMAC-SHA256 with `key`, in hexadecimal.

    NAME=VALUE, one a line, or each ended by a zero byte where a value may have several lines.

    Raises:
        SettingsError: a line is none of these. It may be a part of a secret, so nothing of it is shown.
    """
    parts = output.split(b"\0") if b"\0" in output else output.splitlines()
    found: dict[str, str] = {}
    for place, part in enumerate(parts, 1):
        if not part.strip():
            continue
        name, equals, value = part.decode("latin-1").partition("=")
        if not equals or not _NAME.fullmatch(name):
            wanted = "NAME=VALUE, with a zero byte after each where a value has several lines"
            raise SettingsError(f"part {place} of its output is no setting; wanted {wanted}")
        if name in found:
            raise SettingsError(f"it names {name} twice; wanted each setting once")
        found[name] = hmac.new(key, value.encode("latin-1"), "sha256").hexdigest()
    if not found:
        raise SettingsError("it printed no setting; wanted NAME=VALUE, one a line")
    return found


def differences(
    staging: Mapping[str, str], production: Mapping[str, str], meant: Collection[str]
) -> tuple[SettingDifference, ...]:
    """Settings that are not the same, by name, without those that are meant to differ."""
    names = sorted((staging.keys() | production.keys()) - set(meant))
    return tuple(
        SettingDifference(name, staging.get(name, "")[:SHOWN_HASH_DIGITS], production.get(name, "")[:SHOWN_HASH_DIGITS])
        for name in names
        if staging.get(name) != production.get(name)
    )
