"""The schema of an SQLite database, as facts. No table is read: rows are as many as ANALYZE counted, or numbers."""

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row

from roundsman.database.read_only import analyzed, numbered
from roundsman.database.rules.index_facts import ForeignKey, Index, IndexFacts, Table

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: The end of an index's text, after the bracket that closes its columns.
_PART = re.compile(r"\) ?(WHERE\b.*)", re.IGNORECASE)


def look(connection: Connection) -> IndexFacts:
    """The facts of the database."""
    say = connection.exec_driver_sql
    ask = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY name"
    names = [name for name in say(ask).scalars() if not _is_virtual(connection, name)]
    counted = analyzed(connection)
    columns = {name: _columns(connection, name) for name in names}
    indexes = tuple(index for name in names for index in _indexes(connection, name, columns[name]))
    keys = tuple(key for name in names for key in _foreign_keys(connection, name, columns))
    indexed = {index.table for index in indexes}
    tables = tuple(_table(connection, name, columns[name], counted, indexed) for name in names)
    pages, free, page = (say(f"PRAGMA {one}").scalar_one() for one in ("page_count", "freelist_count", "page_size"))
    return IndexFacts("sqlite", tables, indexes, keys, waste=free * page, size=pages * page)


def _is_virtual(connection: Connection, name: str) -> bool:
    sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).scalar() or ""
    return sql.upper().startswith("CREATE VIRTUAL")


def _table(
    connection: Connection, name: str, columns: dict[str, tuple[str, int]], counted: dict[str, int], indexed: set[str]
) -> Table:
    rows = counted[name] if name in counted else numbered(connection, name) or 0
    has_key = any(place for _, place in columns.values())
    # Where there is no index there is nothing to choose from.
    looked_at = name in counted or quoted(name) not in indexed
    return Table(quoted(name), rows, has_key=has_key, looked_at=looked_at)


def _columns(connection: Connection, table: str) -> dict[str, tuple[str, int]]:
    """Type, and place in the primary key or 0, by column."""
    told = connection.exec_driver_sql(f"PRAGMA table_xinfo({quoted(table, always=True)})")
    return {row[1]: (row[2].upper(), row[5]) for row in told}


def _indexes(connection: Connection, table: str, columns: dict[str, tuple[str, int]]) -> Iterator[Index]:
    say = connection.exec_driver_sql
    for _, name, unique, origin, partial in say(f"PRAGMA index_list({quoted(table, always=True)})").all():
        parts = [row for row in say(f"PRAGMA index_xinfo({quoted(name, always=True)})") if row[5]]
        sql = say("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", (name,)).scalar() or ""
        # An expression is told in the text of the index only.
        keys = tuple(f"{one[2] or sql} {one[4]}{' DESC' if one[3] else ''}".removesuffix(" BINARY") for one in parts)
        part = _PART.search(" ".join(sql.split())) if partial else None
        named = tuple(quoted(one[2]) if one[2] else "" for one in parts)
        yield Index(
            quoted(name), quoted(table), keys, named, unique=bool(unique), constraint=origin != "c",
            predicate=part[1] if part else "",
        )  # fmt: skip
    if key := sorted((place, column) for column, (_, place) in columns.items() if place):
        only = len(key) == 1 and columns[key[0][1]][0] == "INTEGER"
        if only:  # the table itself is sorted by it, and no index is listed
            yield Index(
                "the rowid", quoted(table), (key[0][1],), (quoted(key[0][1]),), unique=True, constraint=True
            )  # fmt: skip


def _foreign_keys(
    connection: Connection, table: str, columns: dict[str, dict[str, tuple[str, int]]]
) -> Iterator[ForeignKey]:
    parts: dict[int, list[Row[Any]]] = {}
    for row in connection.exec_driver_sql(f"PRAGMA foreign_key_list({quoted(table, always=True)})"):
        parts.setdefault(row[0], []).append(row)
    for rows in parts.values():
        ordered = sorted(rows, key=lambda row: row[1])
        parent = next((name for name in columns if name.lower() == ordered[0][2].lower()), ordered[0][2])
        theirs = columns.get(parent, {})
        key = [column for _, column in sorted((place, column) for column, (_, place) in theirs.items() if place)]
        # Without a column the primary key is meant.
        mine = [row[3] for row in ordered]
        other = [row[4] or (key[place] if place < len(key) else "") for place, row in enumerate(ordered)]
        types = tuple(_kind(columns[table].get(column)) for column in mine)
        yield ForeignKey(
            f"{table} to {parent}",
            quoted(table),
            tuple(map(quoted, mine)),
            types,
            quoted(parent),
            tuple(map(quoted, other)),
            tuple(_kind(theirs.get(column)) or kind for column, kind in zip(other, types, strict=True)),
        )


def _kind(column: tuple[str, int] | None) -> str:
    """How values of a column are kept, by the rules of SQLite; types of one kind fit each other."""
    if column is None:
        return ""
    declared = column[0]
    for kind, marks in (("integer", ("INT",)), ("text", ("CHAR", "CLOB", "TEXT")), ("real", ("REAL", "FLOA", "DOUB"))):
        if any(mark in declared for mark in marks):
            return kind
    return "blob" if not declared or "BLOB" in declared else "numeric"


def quoted(name: str, *, always: bool = False) -> str:
    """A name as SQL takes it."""
    return name if _PLAIN.fullmatch(name) and not always else '"' + name.replace('"', '""') + '"'
