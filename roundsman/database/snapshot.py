"""The schema of a copy and what its rows add up to, before and after a migration."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DBAPIError

from roundsman.database.copied_database import Copy, connected, quoted
from roundsman.database.rules.migration_facts import ColumnShape, Snapshot
from roundsman.database.rules.migration_return import EMPTY

#: The schema without the server's own, and without Alembic's table, which says where it is and is expected to differ.
_SCHEMA = """
WITH n AS (SELECT oid, nspname, nspacl FROM pg_namespace
    WHERE nspname !~ '^(pg_|information_schema)'),
c AS (SELECT c.oid AS id, c.relkind, c.relrowsecurity, c.reloptions, c.relacl, n.nspname || '.' || c.relname AS called
    FROM pg_class c JOIN n ON n.oid = c.relnamespace WHERE c.relname !~ '^alembic_version')
SELECT concat_ws(' ', 'schema', nspname, nspacl) FROM n
UNION ALL SELECT concat_ws(' ', 'relation', called, relkind, relrowsecurity, reloptions, relacl,
    obj_description(id, 'pg_class')) FROM c WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
UNION ALL SELECT concat_ws(' ', 'column', called || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attnotnull THEN 'not null' END, a.attidentity::text || a.attgenerated::text,
    'default ' || pg_get_expr(d.adbin, d.adrelid), 'collate ' || o.collname, a.attacl, col_description(c.id, a.attnum))
    FROM c JOIN pg_attribute a ON a.attrelid = c.id AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.id AND d.adnum = a.attnum
    LEFT JOIN pg_collation o ON o.oid = a.attcollation WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION ALL SELECT concat_ws(' ', 'constraint', called, t.conname, pg_get_constraintdef(t.oid))
    FROM c JOIN pg_constraint t ON t.conrelid = c.id
UNION ALL SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), CASE WHEN NOT i.indisvalid THEN 'INVALID' END)
    FROM c JOIN pg_index i ON i.indrelid = c.id
UNION ALL SELECT concat_ws(' ', 'view', called, pg_get_viewdef(id)) FROM c WHERE relkind IN ('v', 'm')
UNION ALL SELECT concat_ws(' ', 'sequence', called, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement,
    s.seqmax, s.seqmin, s.seqcache, s.seqcycle) FROM c JOIN pg_sequence s ON s.seqrelid = c.id
UNION ALL SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled)
    FROM c JOIN pg_trigger t ON t.tgrelid = c.id WHERE NOT t.tgisinternal
UNION ALL SELECT concat_ws(' ', 'policy', called, p.polname, p.polcmd, pg_get_expr(p.polqual, p.polrelid),
    pg_get_expr(p.polwithcheck, p.polrelid)) FROM c JOIN pg_policy p ON p.polrelid = c.id
UNION ALL SELECT concat_ws(' ', 'function', pg_get_functiondef(p.oid)) FROM pg_proc p JOIN n ON n.oid = p.pronamespace
    WHERE p.prokind IN ('f', 'p') AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
UNION ALL SELECT concat_ws(' ', 'type', n.nspname || '.' || t.typname, t.typtype,
    format_type(nullif(t.typbasetype, 0), t.typtypmod),
    (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
    FROM pg_type t JOIN n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r')
UNION ALL SELECT concat_ws(' ', 'extension', extname, extversion) FROM pg_extension
"""
_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    coalesce(a.attnum = ANY (i.indkey::int2[]), false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)'
    AND c.relname !~ '^alembic_version'
ORDER BY n.nspname, c.relname, a.attname
"""
_RELATIONS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), coalesce(a.attnotnull, false),
    coalesce(a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '', false)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^(pg_|information_schema)'
    AND c.relname !~ '^alembic_version' ORDER BY 1, 2, a.attnum
"""
#: Things with a name: kind, name, and the table that they belong to.
_THINGS = """
WITH n AS (SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)')
SELECT 'schema', nspname, '', '' FROM n
UNION ALL SELECT 'function', p.oid::regprocedure::text, '', '' FROM pg_proc p JOIN n ON n.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
UNION ALL SELECT 'type', format_type(t.oid, NULL), '', '' FROM pg_type t JOIN n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd', 'r')
UNION ALL SELECT 'value', quote_literal(e.enumlabel) || ' of ' || format_type(e.enumtypid, NULL), '', '' FROM pg_enum e
    JOIN pg_type t ON t.oid = e.enumtypid JOIN n ON n.oid = t.typnamespace
UNION ALL SELECT 'sequence', c.oid::regclass::text, '', '' FROM pg_class c JOIN n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i'))
UNION ALL SELECT 'unique key', c.relname || ' (' || (SELECT string_agg(pg_get_indexdef(i.indexrelid, k, true), ', '
        ORDER BY k) FROM generate_series(1, i.indnkeyatts) k) || ')', n.nspname, c.relname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN n ON n.oid = c.relnamespace
    WHERE i.indisunique AND i.indpred IS NULL AND c.relname !~ '^alembic_version'
"""
_GUARDS = """
SELECT n.nspname, c.relname, replace(pg_get_constraintdef(t.oid), ' NOT VALID', '')
FROM pg_constraint t JOIN pg_class c ON c.oid = t.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.contype IN ('c', 'f', 'x') AND n.nspname !~ '^(pg_|information_schema)'
"""
_STATISTICS = "SELECT schemaname, tablename, attname FROM pg_stats WHERE schemaname !~ '^(pg_|information_schema)'"


def _look_at_postgresql(connection: Connection, first: Mapping[str, Sequence[str]]) -> Snapshot:
    """Read the catalogue, and every row of every table once. `first`: keys by table that rows are told apart by."""
    say = connection.exec_driver_sql
    schema = tuple(sorted(" ".join(line.split()) for line in say(_SCHEMA).scalars()))
    kinds: dict[tuple[str, str], dict[str, str]] = {}
    keys: dict[str, tuple[str, ...]] = {}
    for space, name, column, kind, is_key in say(_COLUMNS):
        kinds.setdefault((space, name), {})[column] = kind
        if is_key:
            keys[shown(space, name)] = (*keys.get(shown(space, name), ()), column)
    rows, sums, types = dict[str, int](), dict[str, str](), dict[str, str]()
    for (space, name), columns in kinds.items():
        table = shown(space, name)
        # The key's own column may have another name since then.
        key = [column for column in first.get(table, ()) if column in columns] or list(keys.get(table, ()))
        rows[table], *found = say(_checksum(space, name, list(columns), key)).one()
        sums |= {f"{table}.{column}": str(total) for column, total in zip(columns, found, strict=True)}
        types |= {f"{table}.{column}": kind for column, kind in columns.items()}
    known = frozenset(f"{shown(space, table)}.{column}" for space, table, column in say(_STATISTICS))
    size = say("SELECT pg_database_size(current_database())").scalar_one()
    relations, things, guards = _seen_by_releases(connection)
    return Snapshot(
        schema, rows, sums, types, known, size, keys=keys, relations=relations, things=things, guards=guards
    )  # fmt: skip


def _seen_by_releases(
    connection: Connection,
) -> tuple[dict[str, dict[str, ColumnShape]], frozenset[tuple[str, str, str]], frozenset[tuple[str, str]]]:
    """What a release may name or write to: relations, other things, and what refuses rows."""
    say = connection.exec_driver_sql
    relations: dict[str, dict[str, ColumnShape]] = {}
    for space, name, column, kind, required, filled in say(_RELATIONS):
        columns = relations.setdefault(shown(space, name), {})
        if column is not None:
            columns[column] = ColumnShape(kind, required, filled)
    things = {(kind, name, shown(space, table) if table else "") for kind, name, space, table in say(_THINGS)}
    guards = {(f"{says} of {shown(space, table)}", shown(space, table)) for space, table, says in say(_GUARDS)}
    guards |= {(f"{kind} {name}", table) for kind, name, table in things if kind == "unique key"}
    return relations, frozenset(things), frozenset(guards)


def shown(space: str, table: str) -> str:
    """A table as it is called in all that is seen of a rehearsal."""
    return table if space == "public" else f"{space}.{table}"


def _checksum(space: str, table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """One pass for all columns. A row's key seeds the hash of its values, so that values that change places show.

    Without a key two equal rows would cancel each other out, so there the hashes are added up, which takes longer.
    """
    put = "bit_xor({})" if key else "sum({}::numeric)"
    own = next(f"seed{number}" for number in count() if f"seed{number}" not in columns)
    each = [f"coalesce({put.format(f'hashtextextended({quoted(column)}::text, {own})')}, 0)" for column in columns]
    seed = f"hashtextextended(concat_ws(',', {', '.join(map(quoted, key))}), 0)" if key else "0"
    # OFFSET keeps the server from hashing the key for each column again.
    rows = f"(SELECT *, {seed} AS {own} FROM {quoted(space)}.{quoted(table)} OFFSET 0) AS rows"  # noqa: S608 - quoted
    return f"SELECT {', '.join(['count(*)', *each])} FROM {rows}"  # noqa: S608 - quoted names


#: Rows that are read at a time; a checksum depends on it, so it is the same for all.
_CHUNK_ROWS = 2000
_TEXT = re.compile(r"('(?:[^']|'')*')")
_TOKENS = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|\w+|\s+|.""", re.DOTALL
)
_COLLATE = re.compile(r"\bCOLLATE\s+[\"`\[]?(\w+)", re.IGNORECASE)
_GENERATED = re.compile(r"\bAS\s*\(", re.IGNORECASE)


def _look_at_sqlite(connection: Connection, first: Mapping[str, Sequence[str]]) -> Snapshot:
    """Read the schema, and every row of every table once. `first`: keys by table that rows are put in order by."""
    say = connection.exec_driver_sql
    master = [tuple(row) for row in say("SELECT type, name, tbl_name, sql FROM sqlite_master")]
    mine = [one for one in master if not one[2].startswith(("sqlite_", "alembic_version"))]
    lines, rows = [f"user_version {say('PRAGMA user_version').scalar()}"], dict[str, int]()
    sums, types, keys = dict[str, str](), dict[str, str](), dict[str, tuple[str, ...]]()
    for kind, name, _, sql in mine:
        if kind != "table":
            if sql and kind != "index":
                lines.append(f"{kind} {name} {_plain(sql)}")
            continue
        columns = [tuple(row) for row in say(f"PRAGMA table_xinfo({quoted(name)})")]
        lines += _table(connection, name, columns, sql)
        kinds = {column[1]: column[2] for column in columns if not column[6]}
        keys[name] = tuple(column[1] for column in sorted(columns, key=lambda one: one[5]) if column[5])
        # The key's own column may have another name since then.
        order = [one for one in first.get(name, ()) if one in kinds] or list(keys[name])
        rows[name], digests = _digests(connection, name, sorted(kinds), order)
        sums |= {f"{name}.{column}": digest for column, digest in digests.items()}
        types |= {f"{name}.{column}": kinds[column] for column in kinds}
    there = {one[1] for one in master}
    known = set(say("SELECT DISTINCT tbl FROM sqlite_stat1").scalars()) if "sqlite_stat1" in there else set()
    size = say("PRAGMA page_count").scalar_one() * say("PRAGMA page_size").scalar_one()
    broken = [f"{row[0]}: a row refers to none of {row[2]}" for row in say("PRAGMA foreign_key_check")]
    broken += [line for line in say("PRAGMA integrity_check").scalars() if line != "ok"]
    names = [one[1] for one in mine if one[0] in {"table", "view"}]
    relations = {name: shapes for name in names if (shapes := _columns(connection, name)) is not None}
    things, guards = _keys_and_checks(connection, mine)
    return Snapshot(
        tuple(sorted(lines)), rows, sums, types, frozenset(known), size, tuple(dict.fromkeys(broken)), keys=keys,
        relations=relations, things=things, guards=guards,
    )  # fmt: skip


def _columns(connection: Connection, name: str) -> dict[str, ColumnShape] | None:
    """The columns of a table or view; None of a view that asks for what is not there."""
    try:
        told = connection.exec_driver_sql(f"PRAGMA table_xinfo({quoted(name)})").all()
    except DBAPIError:
        return None
    # SQLite numbers a key by itself, and makes what has an expression.
    return {
        column: ColumnShape(
            kind.lower(), bool(required), default is not None or bool(key and "INT" in kind.upper()) or bool(hidden)
        )
        for _, column, kind, required, default, key, hidden in told
    }


def _keys_and_checks(
    connection: Connection, master: Sequence[tuple[Any, ...]]
) -> tuple[frozenset[tuple[str, str, str]], frozenset[tuple[str, str]]]:
    """What a release may count on to be unique, and what refuses rows."""
    say = connection.exec_driver_sql
    things, guards = set(), set()
    for kind, name, _, sql in master:
        if kind != "table":
            continue
        for _, index, unique, _, partial in say(f"PRAGMA index_list({quoted(name)})").all():
            if unique and not partial:
                columns = [row[2] or "an expression" for row in say(f"PRAGMA index_xinfo({quoted(index)})") if row[5]]
                things.add(("unique key", f"{name} ({', '.join(columns)})", name))
        guards |= {(f"CHECK ({check}) of {name}", name) for check in _checks(sql or "")}
        for key in say(f"PRAGMA foreign_key_list({quoted(name)})"):
            guards.add((f"FOREIGN KEY ({key[3]}) REFERENCES {key[2]} of {name}", name))
    guards |= {(f"unique key {name}", table) for _, name, table in things}
    return frozenset(things), frozenset(guards)


def _table(connection: Connection, name: str, columns: Sequence[tuple[Any, ...]], sql: str) -> Iterator[str]:
    say, table = connection.exec_driver_sql, quoted(name)
    options = [
        word for word in ("AUTOINCREMENT", "WITHOUT ROWID", "STRICT") if re.search(rf"\b{word}\b", sql, re.IGNORECASE)
    ]
    yield " ".join(["table", name, *options])
    for _, column, kind, required, default, key, hidden in columns:
        yield f"column {name}.{column} {kind.upper()} notnull={required} default={default} key={key} hidden={hidden}"
    for key in say(f"PRAGMA foreign_key_list({table})"):
        yield f"foreign key {name}.{key[3]} to {key[2]}.{key[4]} on update {key[5]} on delete {key[6]}"
    for index in say(f"PRAGMA index_list({table})").all():
        parts = [
            f"{one[2]} {one[3]} {str(one[4]).upper()}"
            for one in say(f"PRAGMA index_xinfo({quoted(index[1])})")
            if one[5]
        ]
        # One that a constraint brings is called by its place in the list.
        called = index[1] if index[3] == "c" else index[3]
        line = f"index {name} {called} unique={index[2]} partial={index[4]} {', '.join(parts)}"
        yield f"{line} {_part(connection, index[1])}".strip()
    for check in _checks(sql):
        yield f"check {name} {check}"
    for column, said, bare in _definitions(sql):
        if (collation := _COLLATE.search(bare)) and collation[1].upper() != "BINARY":
            yield f"collation {name}.{column} {collation[1].upper()}"
        if generated := _GENERATED.search(said):
            yield f"generated {name}.{column} {_tight(_inside(said, generated.end()))}"


def _part(connection: Connection, index: str) -> str:
    """What an index that was written as one is of: its columns, and which rows it has."""
    ask = "SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?"
    sql = connection.exec_driver_sql(ask, (index,)).scalar() or ""
    return re.sub(r" asc\b", "", _tight(sql[sql.find("(") :])) if sql else ""


def _definitions(sql: str) -> Iterator[tuple[str, str, str]]:
    """What stands between the commas in the brackets of a table's text.

    Yields:
        A column's name, what is said of it, and that without what stands in brackets and texts.
    """
    depth, pieces = 0, list[list[tuple[str, int]]]()
    for token in _TOKENS.findall(sql):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth == 1 and token in {"(", ","}:
            pieces.append([])
        elif depth and not token.isspace() and not token.startswith(("--", "/*")):
            pieces[-1].append((token, depth))
    for (name, _), *said in filter(None, pieces):
        bare = (token for token, deep in said if deep == 1 and not token.startswith("'"))
        yield name.strip('"`[]').lower(), " ".join(token for token, _ in said), " ".join(bare)


def _tight(sql: str) -> str:
    """A text without what does not change its meaning, in one spelling; texts within it stay as they are."""
    parts = _TEXT.split(sql)
    parts[::2] = [re.sub(r" ?([^\w ]) ?", r"\1", _plain(part).lower()) for part in parts[::2]]
    return "".join(parts).strip()


def _checks(sql: str) -> Iterator[str]:
    """What stands in the brackets of each CHECK."""
    for match in re.finditer(r"\bCHECK\s*\(", sql, re.IGNORECASE):
        yield _plain(_inside(sql, match.end()))


def _inside(sql: str, start: int) -> str:
    """What stands in a bracket, from behind it to the one that closes it."""
    depth, end = 1, start
    while depth and end < len(sql):
        depth += {"(": 1, ")": -1}.get(sql[end], 0)
        end += 1
    return sql[start : end - 1]


def _plain(sql: str) -> str:
    """A text without what does not change its meaning: line ends, and quotes around names."""
    return " ".join(sql.replace('"', "").replace("`", "").split())


def _digests(
    connection: Connection, table: str, columns: Sequence[str], key: Sequence[str]
) -> tuple[int, dict[str, str]]:
    """A count of rows and a digest of each column, in the order of the key, so that values that change places show."""
    hashes = [hashlib.blake2b(digest_size=16) for _ in columns]
    order = f" ORDER BY {', '.join(map(quoted, key))}" if key else ""
    wanted = ", ".join(map(quoted, columns))
    driver: Any = connection.connection.driver_connection
    # Not every text is UTF-8. As an array its bytes are not those of a blob.
    driver.text_factory = bytearray
    raw = driver.cursor()
    raw.execute(f"SELECT {wanted} FROM {quoted(table)}{order}")  # noqa: S608 - quoted names
    count, filled = 0, set[str]()
    while chunk := raw.fetchmany(_CHUNK_ROWS):
        count += len(chunk)
        for column, digest, values in zip(columns, hashes, zip(*chunk, strict=True), strict=True):
            digest.update(repr(values).encode())
            if column not in filled and any(value is not None for value in values):
                filled.add(column)
    raw.close()
    driver.text_factory = str
    digests = zip(columns, hashes, strict=True)
    return count, {column: digest.hexdigest() if column in filled else EMPTY for column, digest in digests}


def snapshot(copy: Copy, first: Snapshot | None = None) -> Snapshot:
    """Look at a copy. `first`: the look that this one will be held against; rows are told apart by its keys.

    Blocks, and reads every row; to be called in a thread.

    Raises:
        RehearsalError: it can't be read.
    """
    url = make_url(copy.url)
    with connected(url) as connection:
        look = _look_at_sqlite if url.get_backend_name() == "sqlite" else _look_at_postgresql
        return look(connection, first.keys if first else {})
