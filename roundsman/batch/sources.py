"""What every source of rows has, and the SQL query as a source. Sources are read outside any transaction."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Engine, text

from roundsman.batch.errors import BatchError


class Row(NamedTuple):
    """One row as it was read. With a `problem` it has no value; `complete` says whether `raw` is all of it."""

    raw: str
    value: Any
    problem: str = ""
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that follow each other. `cursor`: where the next ones begin; `ended`: there are none."""

    rows: list[Row]
    cursor: str
    digest: str
    """SHA-256 of what was read."""
    ended: bool


class Source(Protocol):
    """Where rows come from. Reading twice from the same cursor gives the same rows, or the job is stopped."""

    @property
    def name(self) -> str:
        """What people call it; two editions of it have the same name. Without secrets."""

    def prepare(self, *, fresh: bool) -> None:
        """Get ready to be read; `fresh`: look whether there is a newer edition than what was fetched before."""

    def fingerprint(self) -> str:
        """What tells two editions apart."""

    def read(self, cursor: str, most: int) -> Chunk:
        """Up to `most` rows from a cursor on; "" is the beginning."""

    def parse(self, raw: str) -> Any:
        """A row's value from its raw text, for a replay.

        Raises:
            ValueError: the text is no row.
        """

    def share(self, cursor: str) -> float | None:
        """How much lies before a cursor, 0..1; None when nobody knows."""


def digest(source: Source, cursor: str, rows: int) -> str:
    """The digest of rows that were read before. A source that can tell it without reading has `digest_of`."""
    told = getattr(source, "digest_of", None)
    return told(cursor, rows) if told else source.read(cursor, rows).digest


@dataclass(frozen=True)
class SqlQuery:
    """Rows of a query, page by page along a key: it has the parameters `:after` and `:limit`.

    `SELECT id, name FROM article WHERE id > :after ORDER BY id LIMIT :limit`, with `key="id"` and `start=0`.
    `edition` says what makes two runs of it different, such as a date: rows that come late into a stretch that was
    already read are not seen.
    """

    engine: Engine = field(repr=False)
    query: str
    key: str
    edition: str
    start: Any = 0
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The database and the query, shortly."""
        return f"{self.engine.url.database}: {' '.join(self.query.split())[:80]}"

    def prepare(self, *, fresh: bool) -> None:
        """Nothing to do."""

    def fingerprint(self) -> str:
        """Of query, parameters and edition: the rows themselves are only known once they were read."""
        told = json.dumps([self.query, self.key, self.edition, self.start, self.params], sort_keys=True, default=str)
        return hashlib.sha256(told.encode()).hexdigest()

    def read(self, cursor: str, most: int) -> Chunk:
        """The next page; all rows of a page are in memory."""
        after = json.loads(cursor) if cursor else self.start
        with self.engine.connect() as connection:
            page = connection.execute(text(self.query), {**self.params, "after": after, "limit": most}).mappings()
            values = [dict(row) for row in page]
        if values and self.key not in values[0]:
            raise BatchError(f"saw no column {self.key} in the query's rows; wanted the key that it is ordered by")
        keys = [value[self.key] for value in values]
        if any(later <= earlier for earlier, later in zip([after, *keys], keys, strict=False)):
            raise BatchError(f"the query's rows are not in the order of {self.key}, each once, after :after")
        rows = [Row(json.dumps(value, default=str), value) for value in values]
        digest = hashlib.sha256("\n".join(row.raw for row in rows).encode()).hexdigest()
        return Chunk(rows, json.dumps(keys[-1]) if keys else cursor, digest, ended=len(rows) < most)

    def parse(self, raw: str) -> Any:
        """From JSON: what JSON has no type for, such as a date, comes back as text."""
        return json.loads(raw)

    def share(self, cursor: str) -> float | None:  # noqa: ARG002 - a query does not say how much there is
        """Nobody knows."""
        return None
