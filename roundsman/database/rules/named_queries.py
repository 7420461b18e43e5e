"""Named queries: a file of SQL in which each query has a name, values for its parameters, and limits.

-- name: latest_pages  params: {author: 42}  max_rows_examined: 2000  max_cost: 500  allow_scan: [tag]
SELECT id, title FROM page WHERE author_id = :author ORDER BY id DESC LIMIT 20;
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from roundsman.site.rules.field_types import Model
from roundsman.site.rules.site_file import Problem, SiteFileError

_KEY = re.compile(r"(?:^|\s{2,})([A-Za-z_]+):(?=\s|$)")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
#: What is no parameter although it has a colon: texts, names, comments, casts. And what is one, or ends a statement.
_PIECES = re.compile(
    r"""(?P<kept>'(?:[^']|'')*' | "(?:[^"]|"")*" | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | --[^\n]* | /\*.*?\*/ | ::)
    | :(?P<name>[A-Za-z_]\w*) | (?P<end>;)""",
    re.VERBOSE | re.DOTALL,
)
_FIRST = re.compile(r"[\s(]*(\w+)")
_KINDS = ("select", "with", "values", "insert", "update", "delete", "merge")


class QueryLimits(Model):
    """What is promised of a query."""

    params: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    max_rows_examined: int | None = Field(default=None, ge=0)
    """Rows that it may look at, those it throws away included."""
    max_cost: float | None = Field(default=None, gt=0)
    """By the planner, in its own unit."""
    allow_scan: tuple[str, ...] = ()
    """Large tables that it may read from end to end."""

    @field_validator("allow_scan", mode="before")
    @classmethod
    def _one(cls, said: object) -> object:
        return (said,) if isinstance(said, str) else said


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """A query of the application, as it is promised."""

    name: str
    sql: str
    limits: QueryLimits = field(default_factory=QueryLimits)

    @property
    def digest(self) -> str:
        """What its text is recognised by, however it is laid out."""
        return hashlib.sha256(" ".join(self.sql.split()).encode()).hexdigest()

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in it, in the order in which they first stand."""
        return tuple(dict.fromkeys(name for name in _names(self.sql)))

    def spelled(self, put: Callable[[str], str], kept: Callable[[str], str] = lambda text: text) -> str:
        """Its text with something else for each parameter's name; `kept` spells what lies between."""
        parts, last = [], 0
        for found in _PIECES.finditer(self.sql):
            if found["name"]:
                parts += [kept(self.sql[last : found.start()]), put(found["name"])]
                last = found.end()
        return "".join([*parts, kept(self.sql[last:])])


def _names(sql: str) -> Iterator[str]:
    return (found["name"] for found in _PIECES.finditer(sql) if found["name"])


def read_queries(text: str, file: str) -> tuple[NamedQuery, ...]:
    """Read a file of named queries.

    Raises:
        SiteFileError: with every problem found.
    """
    found: list[NamedQuery] = []
    problems: list[Problem] = []
    for line, head, sql in _pieces(text):
        try:
            found.append(_query(head, sql, {one.name for one in found}))
        except ValueError as error:
            field_, _, rest = str(error).partition(": saw ")
            saw, _, mend = rest.partition("; ")
            problems.append(Problem(file, line, field_, saw, mend))
    if not found and not problems:
        mend = "write `-- name: latest_pages  params: {author: 42}` above each query"
        problems.append(Problem(file, 1, "file", "no named query", mend))
    if problems:
        raise SiteFileError(problems)
    return tuple(found)


def _pieces(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, head and SQL of each query. What stands before the first name is left aside."""
    line, head, sql = 0, "", list[str]()
    for number, written in enumerate(text.splitlines(), 1):
        said = written.strip().removeprefix("--").strip() if written.strip().startswith("--") else None
        if said is not None and said.startswith("name:"):
            if line:
                yield line, head, "\n".join(sql)
            # `name:latest` without a blank is a name as well, as for aiosql.
            line, head, sql = number, f"name: {said.removeprefix('name:').strip()}", []
        elif said is not None and line and not "".join(sql).strip():
            head += f"  {said}" if _KEY.match(said) else ""
        elif line:
            sql.append(written)
    if line:
        yield line, head, "\n".join(sql)


def _query(head: str, sql: str, taken: set[str]) -> NamedQuery:
    """One query. A ValueError reads `field: saw ...; what to do`."""
    keys = _head(head)
    given = keys.pop("name")
    name = "" if given is None else str(given)
    if not _NAME.fullmatch(name):
        saw = repr(name) if name else "nothing"
        raise ValueError(f"name: saw {saw}; wanted letters, digits, - and _, such as latest_pages")
    if name in taken:
        raise ValueError(f"name: saw {name} again; give each query a name of its own")
    try:
        limits = QueryLimits.model_validate(keys)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][:2])
        if first["type"] == "extra_forbidden":
            known = ", ".join(["name", *QueryLimits.model_fields])
            raise ValueError(f"{name}: saw the unknown key {place!r}; wanted one of {known}") from None
        raise ValueError(f"{name}.{place}: saw {first['input']!r}; {first['msg']}") from None
    query = NamedQuery(name, _statement(sql).strip(), limits)
    _refuse(query)
    return query


def _statement(sql: str) -> str:
    """What stands before the `;` that ends it, when nothing but comments comes after."""
    end = next((found.start() for found in _PIECES.finditer(sql) if found["end"]), len(sql))
    return sql if _uncommented(sql[end:]).strip("; \t\n") else sql[:end]


def _uncommented(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", " ", sql, flags=re.DOTALL).strip()


def _refuse(query: NamedQuery) -> None:
    bare = _uncommented(query.sql)
    if not bare:
        raise ValueError(f"{query.name}: saw no SQL; write its statement below the name")
    word = _FIRST.match(bare)
    if word is None or word[1].lower() not in _KINDS:
        begins = word[1] if word else bare.split()[0]
        raise ValueError(f"{query.name}: saw a statement that begins with {begins}; wanted {', '.join(_KINDS)}")
    if any(found["end"] for found in _PIECES.finditer(query.sql)):
        raise ValueError(f"{query.name}: saw more than one statement; give each a name of its own")
    given, asked = set(query.limits.params), set(query.parameters)
    if missing := sorted(asked - given):
        raise ValueError(f"{query.name}.params: saw no value for :{missing[0]}; write params: {{{missing[0]}: ...}}")
    if more := sorted(given - asked):
        raise ValueError(f"{query.name}.params: saw {more[0]}, which is nowhere in the query; take it out")


def _head(head: str) -> dict[str, Any]:
    parts = _KEY.split(head)
    keys: dict[str, Any] = {}
    for key, value in zip(parts[1::2], parts[2::2], strict=True):
        try:
            keys[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(f"{key}: saw {value.strip()!r}; wanted a value as YAML writes it") from None
    return keys
