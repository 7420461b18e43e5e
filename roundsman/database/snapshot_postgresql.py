"""PostgreSQL at rest. The catalogue's own functions spell each thing, so that what is equal reads equal.

The order of a table's columns is left out: what was dropped and made again stands last, and nothing can change that.
"""

from collections.abc import Mapping, Sequence
from itertools import count

from sqlalchemy import Connection

from roundsman.database.rules.migration_facts import ColumnShape, Snapshot

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


def look(connection: Connection, first: Mapping[str, Sequence[str]]) -> Snapshot:
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
    each = [f"coalesce({put.format(f'hashtextextended({_quoted(column)}::text, {own})')}, 0)" for column in columns]
    seed = f"hashtextextended(concat_ws(',', {', '.join(map(_quoted, key))}), 0)" if key else "0"
    # OFFSET keeps the server from hashing the key for each column again.
    rows = f"(SELECT *, {seed} AS {own} FROM {_quoted(space)}.{_quoted(table)} OFFSET 0) AS rows"  # noqa: S608 - quoted
    return f"SELECT {', '.join(['count(*)', *each])} FROM {rows}"  # noqa: S608 - quoted names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
