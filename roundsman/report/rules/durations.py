"""Durations and ranges as people write them in a site file: `80ms`, `10m`, `10m..24h`, `<=5m`."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, GetCoreSchemaHandler, PlainSerializer, WithJsonSchema
from pydantic_core import core_schema

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
#: From these on, three digits of milliseconds and six of seconds would be written with an exponent.
_MILLISECONDS, _DIGITS = 0.9995, 999_999.5
_WANTED = "a number with a unit (ms, s, m, h or d), such as 80ms or 10m"


def duration(text: object) -> float:
    """Read a duration in seconds; ValueError when it has no unit."""
    if match := _DURATION.fullmatch(str(text).strip()):
        return float(match[1]) * _UNITS[match[2]]
    raise ValueError(f"wanted {_WANTED}")


@lru_cache(maxsize=1024)
def spoken(seconds: float) -> str:
    """Write a duration in the largest unit that keeps it whole; milliseconds below one second. `duration` reads it."""
    if seconds and abs(seconds) < _MILLISECONDS:
        return f"{seconds * 1000:.3g}ms"
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds:.0f}s" if abs(seconds) >= _DIGITS else f"{seconds:g}s"


def rounded(seconds: float) -> str:
    """Write a duration for a reader: in the largest unit of which it has two, such as 2d of 175,000 seconds."""
    unit = next((unit for unit in ("d", "h", "m") if seconds >= 2 * _UNITS[unit]), "")
    exact = spoken(seconds)
    return exact if not unit or len(exact) <= 4 else f"{seconds / _UNITS[unit]:.0f}{unit}"


#: A duration in seconds, written with its unit.
Duration = Annotated[
    float,
    BeforeValidator(duration),
    PlainSerializer(spoken, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION.pattern, "examples": ["80ms", "10m"]}),
]


@dataclass(frozen=True, slots=True)
class Span:
    """A range of durations in seconds, both ends included; an open end is infinite."""

    low: float
    high: float
    written: str = field(compare=False)

    @classmethod
    def read(cls, text: object) -> Self:
        """Read `10m..24h`, `<=5m`, `>=1h` or `10m`; ValueError when it is none of them or upside down."""
        if isinstance(text, cls):
            return text
        said = str(text).strip()
        try:
            if said.startswith("<="):
                return cls(0.0, duration(said[2:]), said)
            if said.startswith(">="):
                return cls(duration(said[2:]), float("inf"), said)
            low, dots, high = said.partition("..")
            span = cls(duration(low), duration(high if dots else low), said)
        except ValueError as error:
            raise ValueError(f"wanted a range such as 10m..24h, <=5m or >=1h, where each end is {_WANTED}") from error
        if span.low > span.high:
            raise ValueError(f"the range is upside down; did you mean {high.strip()}..{low.strip()}?")
        return span

    def __contains__(self, seconds: float) -> bool:
        return self.low <= seconds <= self.high

    def __str__(self) -> str:
        return self.written

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.read, serialization=core_schema.plain_serializer_function_ser_schema(str, return_schema=None)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string", "examples": ["10m..24h", "<=5m", ">=1h"]}
