"""The schema and the statistics of a database and its standbys, as facts.

Tables are not read, but for the end of short keys. What belongs to a partition is reported of its table.
SQLite counts as many rows as ANALYZE did, or numbers.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import URL, Connection, Row

from roundsman.database.copied_database import RehearsalError, address
from roundsman.database.read_only import analyzed, numbered, reading
from roundsman.database.rules.index_facts import (
    ForeignKey,
    Index,
    IndexFacts,
    IndexUses,
    NumberCounter,
    Table,
    UnvalidatedConstraint,
)
from roundsman.database.rules.promise import Database

_TABLES = """
SELECT c.oid::regclass::text, coalesce(nullif(greatest(c.reltuples, 0), 0), s.n_live_tup, 0)::bigint,
    pg_relation_size(c.oid), coalesce(s.n_tup_del, 0),
    c.relispartition OR EXISTS (SELECT FROM pg_constraint p WHERE p.conrelid = c.oid AND p.contype = 'p'),
    coalesce(s.n_mod_since_analyze, 0),
    coalesce((SELECT option_value::float / 100 FROM pg_options_to_table(c.reloptions)
        WHERE option_name = 'fillfactor'), 1.0),
    has_table_privilege(c.oid, 'SELECT') AND NOT c.relrowsecurity,
    ARRAY(SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
        AND NOT a.attisdropped AND a.attstattarget <> 0 ORDER BY a.attnum),
    coalesce((SELECT json_object_agg(quote_ident(v.attname), v.avg_width * (1 - v.null_frac)) FROM pg_stats v
        WHERE v.schemaname = n.nspname AND v.tablename = c.relname AND v.inherited = (c.relkind = 'p')), '{}')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 1
"""
_INDEXES = """
SELECT c.oid::regclass::text, i.indrelid::regclass::text,
    ARRAY(SELECT concat_ws(' ', pg_get_indexdef(c.oid, k, true),
        'collation ' || nullif(i.indcollation[k - 1], t.typcollation),
        'class ' || nullif(i.indclass[k - 1], o.oid), CASE i.indoption[k - 1] WHEN 1 THEN 'DESC NULLS LAST'
        WHEN 2 THEN 'NULLS FIRST' WHEN 3 THEN 'DESC' END)
        FROM generate_series(1, i.indnkeyatts) k
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k
        LEFT JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_opclass o ON o.oid = i.indclass[k - 1] AND o.opcdefault ORDER BY k),
    ARRAY(SELECT coalesce(quote_ident(a.attname), '') FROM generate_series(1, i.indnkeyatts) k
        LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = nullif(i.indkey[k - 1], 0) ORDER BY k),
    m.amname, i.indisunique,
    i.indisprimary OR i.indisreplident
        OR EXISTS (SELECT FROM pg_constraint p WHERE p.conindid = c.oid AND p.contype IN ('p', 'u', 'x')),
    i.indisvalid AND i.indisready, coalesce(pg_get_expr(i.indpred, i.indrelid, true), ''),
    ARRAY(SELECT quote_ident(a.attname) FROM generate_series(i.indnkeyatts + 1, i.indnatts) k
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k - 1] ORDER BY k),
    pg_relation_size(c.oid), c.relkind = 'i',
    coalesce((SELECT option_value::float / 100 FROM pg_options_to_table(c.reloptions)
        WHERE option_name = 'fillfactor'), 0.9)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 1
"""
_FOREIGN_KEYS = """
SELECT quote_ident(p.conname), p.conrelid::regclass::text, k.columns, k.types, p.confrelid::regclass::text,
    f.columns, f.types
FROM pg_constraint p JOIN pg_class c ON c.oid = p.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
LATERAL (SELECT array_agg(quote_ident(a.attname) ORDER BY u.place) AS columns,
    array_agg(format_type(a.atttypid, NULL) ORDER BY u.place) AS types
    FROM unnest(p.conkey) WITH ORDINALITY u(number, place)
    JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = u.number) k,
LATERAL (SELECT array_agg(quote_ident(a.attname) ORDER BY u.place) AS columns,
    array_agg(format_type(a.atttypid, NULL) ORDER BY u.place) AS types
    FROM unnest(p.confkey) WITH ORDINALITY u(number, place)
    JOIN pg_attribute a ON a.attrelid = p.confrelid AND a.attnum = u.number) f
WHERE p.contype = 'f' AND p.conparentid = 0 AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 2, 1
"""
_UNPROVEN = """
SELECT quote_ident(p.conname), p.conrelid::regclass::text, pg_get_constraintdef(p.oid)
FROM pg_constraint p JOIN pg_class c ON c.oid = p.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT p.convalidated AND p.conparentid = 0 AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 2, 1
"""
#: Sequences that end, with the column that they number, if they belong to one.
_SEQUENCES = """
SELECT s.seqrelid::regclass::text, coalesce(d.refobjid::regclass::text, ''), coalesce(quote_ident(a.attname), ''),
    format_type(s.seqtypid, NULL), coalesce(format_type(a.atttypid, NULL), ''), s.seqmax::bigint,
    has_sequence_privilege(s.seqrelid, 'USAGE, SELECT'),
    CASE WHEN has_sequence_privilege(s.seqrelid, 'USAGE, SELECT') THEN pg_sequence_last_value(s.seqrelid) END
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_depend d ON d.objid = s.seqrelid AND d.classid = 'pg_class'::regclass
    AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE s.seqincrement > 0 AND NOT s.seqcycle AND c.relpersistence <> 't'
    AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 1
"""
#: Short keys, whose end is found through the index of the primary key.
_SHORT_KEYS = """
SELECT c.oid::regclass::text, quote_ident(a.attname), format_type(a.atttypid, NULL),
    has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
WHERE i.indisprimary AND i.indnkeyatts = 1 AND a.atttypid IN ('int2'::regtype, 'int4'::regtype)
    AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname !~ '^(pg_|information_schema)'
"""
_COUNTS = """
SELECT c.oid::regclass::text, pg_stat_get_numscans(c.oid),
    (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database())
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'i' AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname !~ '^(pg_|information_schema)'
"""
_MAX_VALUES = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def _look_at_postgresql(connection: Connection) -> tuple[IndexFacts, dict[str, IndexUses]]:
    """The facts of the database, and how often each index was used on this node."""
    say = connection.exec_driver_sql
    indexes = tuple(
        Index(
            name,
            table,
            tuple(keys),
            tuple(columns),
            method,
            unique,
            constraint,
            valid,
            predicate,
            tuple(included),
            *size,
        )
        for name, table, keys, columns, method, unique, constraint, valid, predicate, included, *size in say(_INDEXES)
    )
    keys = tuple(
        ForeignKey(name, table, tuple(columns), tuple(types), parent, tuple(theirs), tuple(their_types))
        for name, table, columns, types, parent, theirs, their_types in say(_FOREIGN_KEYS)
    )
    counters, unread = _counters(connection)
    facts = IndexFacts(
        "postgresql",
        tuple(_tables(connection)),
        indexes,
        keys,
        tuple(UnvalidatedConstraint(*row) for row in say(_UNPROVEN)),
        counters,
        unread,
    )
    return facts, counts(connection)


def counts(connection: Connection) -> dict[str, IndexUses]:
    """How often each index was used on this node."""
    return {name: IndexUses(scans, reset) for name, scans, reset in connection.exec_driver_sql(_COUNTS)}


def _tables(connection: Connection) -> Iterator[Table]:
    for name, rows, size, deletes, key, changed, fill, readable, columns, widths in connection.exec_driver_sql(_TABLES):
        # Without the right to read a table its statistics are hidden, which is no fault of theirs.
        unknown = tuple(one for one in columns if one not in widths) if readable else ()
        looked_at = bool(widths) or not readable
        yield Table(name, rows, size, deletes, key, changed, unknown, widths, fill, looked_at, tuple(columns))


def _counters(connection: Connection) -> tuple[tuple[NumberCounter, ...], tuple[str, ...]]:
    """What runs out of numbers, by its name; and what the role may not read. A sequence tells of the key it numbers."""
    say = connection.exec_driver_sql
    found, unread = dict[str, NumberCounter](), dict[str, None]()
    for name, table, column, kind, holds, most, readable, last in say(_SEQUENCES):
        ends = _MAX_VALUES.get(holds, most)
        its_key = bool(column) and ends <= most
        called = f"{table}.{column}" if its_key else name
        if not readable:
            unread[called] = None
        elif last is not None and its_key:
            found[called] = NumberCounter(called, table, holds, last, ends, column, name)
        elif last is not None:
            found[called] = NumberCounter(called, table, kind, last, most)
    for table, column, kind, readable in say(_SHORT_KEYS).all():
        called = f"{table}.{column}"
        if not readable and called not in found:
            unread[called] = None
        elif called not in found:
            last = say(f"SELECT max({column}) FROM {table}").scalar()  # noqa: S608 - quoted by the server
            found[called] = NumberCounter(called, table, kind, last or 0, _MAX_VALUES[kind], column)
    return tuple(found.values()), tuple(unread)


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: The end of an index's text, after the bracket that closes its columns.
_PART = re.compile(r"\) ?(WHERE\b.*)", re.IGNORECASE)


def _look_at_sqlite(connection: Connection) -> IndexFacts:
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


async def look_at_indexes(database: Database) -> IndexFacts:
    """Read the catalogue and the statistics of a database, and the counts of its standbys. Nothing is written.

    Raises:
        RehearsalError: the live database can't be reached or read.
    """
    return await asyncio.to_thread(look, database)


def look(database: Database) -> IndexFacts:
    """The same, in this thread."""
    url = address(database.url.env)
    if url.get_backend_name() == "sqlite":
        with reading(url) as connection:
            return _look_at_sqlite(connection)
    with reading(url) as connection:
        facts, counts = _look_at_postgresql(connection)
    nodes, unseen = {database.url.env: counts}, {}
    for node in database.nodes:
        try:
            nodes[node.env] = _counts(address(node.env))
        except RehearsalError as error:
            unseen[node.env] = str(error)
    return replace(facts, nodes=nodes, unseen=unseen)


def _counts(url: URL) -> dict[str, IndexUses]:
    if url.get_backend_name() != "postgresql":
        raise RehearsalError(f"saw a URL of {url.get_backend_name()}; wanted a standby of the same database")
    with reading(url) as connection:
        return counts(connection)
