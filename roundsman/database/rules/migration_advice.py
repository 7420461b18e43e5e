"""What to run instead of a statement that keeps others waiting: the safer SQL with the statement's own names.

Source: PostgreSQL, "ALTER TABLE", Notes, and "CREATE INDEX", Building Indexes Concurrently; SQLite, "ALTER TABLE".
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from roundsman.database.rules.migration_facts import MigrationStatement


class SaferStatement(NamedTuple):
    """SQL to run instead, and what that costs."""

    sql: str
    cost: str


#: What a statement looks like, and what to run instead of it.
Advised = tuple[re.Pattern[str], Callable[..., SaferStatement | None]]

_NAME = r'(?:"(?:[^"]|"")*"|[\w$]+)(?:\.(?:"(?:[^"]|"")*"|[\w$]+))*'
#: Strings, quoted names, comments and bodies, in which no separator separates.
_OPAQUE = r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|(?P<tag>\$\w*\$).*?(?P=tag)"""
_TOKENS = re.compile(rf"{_OPAQUE}|.", re.DOTALL)
_NEW = re.compile(
    r"ADD (?!CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY|EXCLUDE)(?:COLUMN )?(?:IF NOT EXISTS )?"
    rf"(?P<name>{_NAME}) (?P<rest>.+)",
    re.IGNORECASE,
)
#: Where a column's type ends.
_TYPE_END = re.compile(
    r" (?:NOT NULL|NULL|DEFAULT|REFERENCES|UNIQUE|PRIMARY KEY|CHECK|CONSTRAINT|GENERATED)\b", re.IGNORECASE
)
#: What fills a column by itself, in each row: nothing that comes afterwards makes the same column.
_GENERATED = re.compile(r"\bGENERATED\b|^(?:BIG|SMALL)?SERIAL\d?\b", re.IGNORECASE)
_NAMED = rf"(?:\bCONSTRAINT (?P<name>{_NAME}) )?"
_PARENT = re.compile(
    rf"{_NAMED}\bREFERENCES (?P<parent>{_NAME}(?: ?\([^)]*\))?(?: MATCH \w+| ON (?:DELETE|UPDATE) "
    r"(?:CASCADE|RESTRICT|NO ACTION|SET NULL|SET DEFAULT)| (?:NOT )?DEFERRABLE| INITIALLY \w+)*)",
    re.IGNORECASE,
)
_BRACKETS = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_COLUMN_CHECK = re.compile(rf"{_NAMED}\bCHECK ?(?P<condition>{_BRACKETS})", re.IGNORECASE)
_DEFAULT = re.compile(
    rf"\bDEFAULT (?P<value>(?:{_BRACKETS}|'(?:[^']|'')*'|[^'(])+?)"
    r"(?= +(?:NOT NULL|NULL|UNIQUE|PRIMARY KEY|CONSTRAINT)\b| *$)",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    rf"(?:UPDATE|DELETE FROM|INSERT INTO) (?:ONLY )?(?P<table>{_NAME})"
    rf"(?: (?:AS )?(?!(?:SET|WHERE|USING|SELECT|VALUES)\b)(?P<alias>{_NAME}))?",
    re.IGNORECASE,
)
_BODY = re.compile(r"(?P<tag>\$\w*\$)(?P<body>.*?)(?P=tag)", re.DOTALL)
#: What leads to a statement of PL/pgSQL, and one that is written as a text.
_CONTROL = re.compile(r"^.*?\b(?:BEGIN|THEN|LOOP|ELSE) (?!.*\b(?:THEN|LOOP|ELSE) )", re.IGNORECASE)
_EXECUTE = re.compile(r"EXECUTE '(?P<text>(?:[^']|'')*)'$", re.IGNORECASE)
#: Of a statement that is read: a longer one is a load of values, for which there is no advice.
_MAX_CHARACTERS = 20_000
#: Of an expression, that are no columns.
_WORDS = frozenset(
    [
        "AND",
        "OR",
        "NOT",
        "IN",
        "IS",
        "NULL",
        "LIKE",
        "ILIKE",
        "BETWEEN",
        "TRUE",
        "FALSE",
        "DISTINCT",
        "FROM",
        "ANY",
        "ALL",
        "SIMILAR",
        "TO",
    ]
)
_OUTSIDE = "it runs outside a transaction (Alembic: `autocommit_block()`), takes longer, and nobody waits"
_CHECKED = "one read of the table in a later transaction, while others read and write"
_NEW_COLUMN = "one more release that writes both columns, and indexes and constraints anew; no table is rewritten"
_REPACK = "room for a second copy of the table meanwhile, and the extension pg_repack"
_BATCHES = "several transactions, outside the migration's; others wait for one batch at most"


def safer(
    statements: Iterable[MigrationStatement], dialect: str, keys: Mapping[str, Sequence[str]], most: int = 2
) -> str:
    """What to run instead of some statements, the slowest first, as `SQL; cost: ...`; "" when nothing is known.

    `keys` are the columns of each table's primary key, to go through a table in batches.
    """
    found: dict[str, str] = {}
    for one in sorted(statements, key=lambda one: -one.seconds):
        advice = safer_statement(one.sql, dialect, keys, rewrites=bool(one.rewritten))
        if advice and len(found) < most:
            found[advice.sql] = advice.cost
    return f"{'; '.join(found)}; cost: {'; '.join(dict.fromkeys(found.values()))}" if found else ""


def safer_statement(
    sql: str, dialect: str, keys: Mapping[str, Sequence[str]] | None = None, *, rewrites: bool = True
) -> SaferStatement | None:
    """What to run instead of a statement; None when it keeps nobody waiting, or nothing better is known.

    `rewrites` says whether its table was written anew, which the text of an ADD COLUMN does not tell.
    """
    if len(sql) > _MAX_CHARACTERS:
        return None
    pieces = split(sql, ";")
    known = [_inside(piece, dialect, keys or {}, rewrites=rewrites) for piece in pieces]
    if not any(known):
        return None
    parts = [advice.sql if advice else piece for advice, piece in zip(known, pieces, strict=True)]
    return SaferStatement("; ".join(parts), _together(known))


def _inside(sql: str, dialect: str, keys: Mapping[str, Sequence[str]], *, rewrites: bool) -> SaferStatement | None:
    """What to run instead of a statement, or of those in a DO block that are known: the others only lead to them."""
    body = _BODY.search(sql) if sql.upper().startswith("DO ") else None
    if body is None:
        return _one(sql, dialect, keys, rewrites=rewrites)
    inner = [_CONTROL.sub("", piece) for piece in split(body["body"], ";")]
    texts = [found["text"].replace("''", "'") if (found := _EXECUTE.match(piece)) else piece for piece in inner]
    known = [advice for one in texts if (advice := _one(one, dialect, keys, rewrites=rewrites))]
    return SaferStatement("; ".join(advice.sql for advice in known), _together(known)) if known else None


def _together(known: Iterable[SaferStatement | None]) -> str:
    return "; ".join(dict.fromkeys(advice.cost for advice in known if advice))


def split(sql: str, separator: str) -> list[str]:
    """The parts of a text between separators that stand in no bracket, string, comment or body."""
    parts, depth = [""], 0
    for token in _TOKENS.finditer(sql):
        text = token[0]
        depth += {"(": 1, ")": -1}.get(text, 0)
        if text == separator and depth == 0:
            parts.append("")
        elif not text.startswith(("--", "/*")):
            parts[-1] += text
    return [" ".join(part.split()) for part in parts if part.strip()]


def _one(sql: str, dialect: str, keys: Mapping[str, Sequence[str]], *, rewrites: bool) -> SaferStatement | None:
    for pattern, advise in _SQLITE if dialect == "sqlite" else _POSTGRESQL:
        if found := pattern.match(sql):
            return advise(found)
    if batches := _batches(sql, dialect, keys):
        return batches
    altered = re.match(rf"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(?P<table>{_NAME}) (?P<actions>.+)", sql, re.IGNORECASE)
    return (
        _altered(altered["table"], altered["actions"], rewrites=rewrites) if altered and dialect != "sqlite" else None
    )


def _altered(table: str, actions: str, *, rewrites: bool) -> SaferStatement | None:
    """What to run instead of an ALTER TABLE; actions that cost nothing stay as they are."""
    pieces = split(actions, ",")
    known = [_action(table, action, rewrites=rewrites) for action in pieces]
    if not any(known):
        return None
    parts = [
        advice.sql if advice else f"ALTER TABLE {table} {action}" for advice, action in zip(known, pieces, strict=True)
    ]
    return SaferStatement("; ".join(parts), _together(known))


def _action(table: str, action: str, *, rewrites: bool) -> SaferStatement | None:
    for pattern, advise in _ACTIONS:
        if found := pattern.match(action):
            return advise(table, found)
    column = _NEW.match(action)
    return _column(table, column["name"], column["rest"], rewrites=rewrites) if column else None


def _column(table: str, name: str, rest: str, *, rewrites: bool) -> SaferStatement | None:
    """A new column: what is written into each row, and what each row is held against, comes afterwards."""
    if _GENERATED.search(rest):
        return None
    parent, check = _PARENT.search(rest), _COLUMN_CHECK.search(rest)
    plain = _PARENT.sub("", _COLUMN_CHECK.sub("", rest))
    default, unique = _DEFAULT.search(plain), re.search(r"\b(UNIQUE|PRIMARY KEY)\b", plain, re.IGNORECASE)
    required = re.search(r"\bNOT NULL\b", _DEFAULT.sub("", plain), re.IGNORECASE)
    held = bool(parent or check or unique)
    steps = {f"ALTER TABLE {table} ADD COLUMN {name} {_TYPE_END.split(plain, maxsplit=1)[0].strip()}": ""}
    if default and rewrites:
        steps[f"ALTER TABLE {table} ALTER COLUMN {name} SET DEFAULT {default['value']}"] = ""
    elif default:
        steps = {f"{next(iter(steps))} DEFAULT {default['value']}{' NOT NULL' if required else ''}": ""}
    if rewrites and (default or required or not held):
        steps[_filled(table, name, "DEFAULT" if default else "...")] = _BATCHES
    if parent:
        key = f"FOREIGN KEY ({name}) REFERENCES {parent['parent']}"
        steps[_validated(table, parent["name"] or _called(table, name, "fkey"), key)] = _CHECKED
    if check:
        condition = f"CHECK {check['condition']}"
        steps[_validated(table, check["name"] or _called(table, name, "check"), condition)] = _CHECKED
    if unique:
        steps[_using_index(table, unique[1].upper(), name)] = _OUTSIDE
    if required and (rewrites or not default):
        steps[_proven(table, name)] = _CHECKED
    if len(steps) == 1:
        return None
    return SaferStatement("; ".join(steps), "; ".join(dict.fromkeys(filter(None, steps.values()))))


def _filled(table: str, column: str, value: str) -> str:
    return f"UPDATE {table} SET {column} = {value} WHERE {column} IS NULL, in batches"  # noqa: S608 - it is shown, not run


def _batches(sql: str, dialect: str, keys: Mapping[str, Sequence[str]]) -> SaferStatement | None:
    """A change of many rows, in pieces."""
    found = _CHANGE.match(sql)
    if not found or found["table"].strip('"').startswith(("alembic_version", "_alembic_tmp_")):
        return None
    if sql.upper().startswith("INSERT"):
        if not re.search(r"\bSELECT\b", sql, re.IGNORECASE):
            return None
        return SaferStatement(f"{sql}, for a range of the source's key at a time", _BATCHES)
    table = found["table"].strip('"').removeprefix("public.")
    key = "rowid" if dialect == "sqlite" else next(iter(keys.get(table, ())), "id")
    if re.search(r" (?:FROM|USING) ", sql[found.end() :], re.IGNORECASE):  # the other table may have such a column too
        key = f"{found['alias'] or found['table']}.{key}"
    joint = "AND" if re.search(r"\bWHERE\b", sql, re.IGNORECASE) else "WHERE"
    whole = f"({sql.partition(' WHERE ')[2]})" if " WHERE " in sql else ""
    text = f"{sql.partition(' WHERE ')[0]} WHERE {whole} AND" if whole else f"{sql} {joint}"
    return SaferStatement(f"{text} {key} BETWEEN :first AND :last, 10000 rows at a time", _BATCHES)


def _bare(name: str) -> str:
    return name.rpartition(".")[2].strip('"')


def _called(table: str, columns: str, end: str) -> str:
    """The name that PostgreSQL would give a constraint."""
    return "_".join([_bare(table), *re.findall(r"\w+", columns), end])


def _validated(table: str, name: str, constraint: str) -> str:
    add = f"ALTER TABLE {table} ADD CONSTRAINT {name} {constraint} NOT VALID"
    return f"{add}; ALTER TABLE {table} VALIDATE CONSTRAINT {name}"


def _using_index(table: str, kind: str, columns: str, name: str = "") -> str:
    name = name or (f"{_bare(table)}_pkey" if kind == "PRIMARY KEY" else _called(table, columns, "key"))
    build = f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({columns})"
    return f"{build}; ALTER TABLE {table} ADD CONSTRAINT {name} {kind} USING INDEX {name}"


def _foreign_key(table: str, found: re.Match[str]) -> SaferStatement | None:
    if re.search(r"\bNOT VALID$", found["rest"], re.IGNORECASE):
        return None
    name = found["name"] or _called(table, found["columns"], "fkey")
    return SaferStatement(_validated(table, name, f"FOREIGN KEY ({found['columns']}) {found['rest']}"), _CHECKED)


def _check(table: str, found: re.Match[str]) -> SaferStatement | None:
    if re.search(r"\bNOT VALID$", found["rest"], re.IGNORECASE):
        return None
    words = re.sub(r"'(?:[^']|'')*'|::\w+|\b\w+ ?\(", " ", found["rest"])
    columns = {word for word in re.findall(r'"[^"]+"|[a-z_]\w*', words, re.IGNORECASE) if word.upper() not in _WORDS}
    name = found["name"] or _called(table, next(iter(columns)) if len(columns) == 1 else "", "check")
    return SaferStatement(_validated(table, name, f"CHECK {found['rest']}"), _CHECKED)


def _unique(table: str, found: re.Match[str]) -> SaferStatement:
    kind = " ".join(found["kind"].upper().split())
    return SaferStatement(_using_index(table, kind, found["columns"], found["name"] or ""), _OUTSIDE)


def _not_null(table: str, found: re.Match[str]) -> SaferStatement:
    return SaferStatement(_proven(table, found["column"]), f"{_CHECKED}; SET NOT NULL then reads nothing")


def _proven(table: str, column: str) -> str:
    """NOT NULL, by a constraint that proves it."""
    name, alter = _called(table, column, "not_null"), f"ALTER TABLE {table}"
    proven = _validated(table, name, f"CHECK ({column} IS NOT NULL)")
    return f"{proven}; {alter} ALTER COLUMN {column} SET NOT NULL; {alter} DROP CONSTRAINT {name}"


def _retyped(table: str, found: re.Match[str]) -> SaferStatement:
    column, kind = found["column"], found["kind"]
    new = f'"{_bare(column)}_new"' if column.startswith('"') else f"{column}_new"
    cast = found["using"] or f"{column}::{kind}"
    alter = f"ALTER TABLE {table}"
    swap = f"{alter} DROP COLUMN {column}; {alter} RENAME COLUMN {new} TO {column}"
    return SaferStatement(
        f"{alter} ADD COLUMN {new} {kind}{found['collation'] or ''}; {_filled(table, new, cast)}; {swap}", _NEW_COLUMN
    )


def _attached(table: str, found: re.Match[str]) -> SaferStatement | None:
    bound = re.match(r"FOR VALUES FROM \((?P<low>[^)]*)\) TO \((?P<high>[^)]*)\)", found["bound"], re.IGNORECASE)
    values = (
        f"KEY >= {bound['low']} AND KEY < {bound['high']}" if bound else f"the partition's bounds, {found['bound']}"
    )
    part = found["part"]
    sql = _validated(part, f"{_bare(part)}_bounds", f"CHECK ({values} AND KEY IS NOT NULL)")
    return SaferStatement(f"{sql}; ALTER TABLE {table} {found[0]}", f"{_CHECKED}; KEY is the column of PARTITION BY")


def _dropped_indexes(found: re.Match[str]) -> SaferStatement:
    names = split(re.sub(r" (?:CASCADE|RESTRICT)$", "", found["names"], flags=re.IGNORECASE), ",")
    sql = "; ".join(f"DROP INDEX CONCURRENTLY {found['exists'] or ''}{name}" for name in names)
    return SaferStatement(sql, _OUTSIDE)


def _fixed(sql: str, cost: str) -> Callable[[re.Match[str]], SaferStatement]:
    """The same words for each statement of a kind; `{name}` stands for a group of its pattern."""
    return lambda found: SaferStatement(
        sql.format(**{key: text or "" for key, text in found.groupdict().items()}), cost
    )


def _detached(table: str, found: re.Match[str]) -> SaferStatement:
    return SaferStatement(f"ALTER TABLE {table} DETACH PARTITION {found['part']} CONCURRENTLY", _OUTSIDE)


def _moved(table: str, found: re.Match[str]) -> SaferStatement:
    space = f" --tablespace={found['space']}" if found["space"] else ""
    return SaferStatement(f"pg_repack --table={table}{space}", _REPACK)


def _compiled(*rows: tuple[str, Callable[..., SaferStatement | None]]) -> list[Advised]:
    return [(re.compile(pattern, re.IGNORECASE | re.DOTALL), advise) for pattern, advise in rows]


_CONSTRAINT = rf"ADD (?:CONSTRAINT (?P<name>{_NAME}) )?"
_COLUMN = rf"ALTER (?:COLUMN )?(?P<column>{_NAME})"
_WEAK_MODES = "ACCESS SHARE|ROW SHARE|ROW EXCLUSIVE|SHARE UPDATE EXCLUSIVE"
_ACTIONS = _compiled(
    (rf"{_CONSTRAINT}FOREIGN KEY ?\((?P<columns>[^)]*)\) (?P<rest>REFERENCES .+)", _foreign_key),
    (rf"{_CONSTRAINT}CHECK ?(?P<rest>\(.+)", _check),
    (rf"{_CONSTRAINT}(?P<kind>UNIQUE|PRIMARY KEY) ?\((?P<columns>[^)]*)\)", _unique),
    (rf"{_COLUMN} SET NOT NULL", _not_null),
    (rf"{_COLUMN} (?:SET DATA )?TYPE (?P<kind>.+?)(?P<collation> COLLATE \S+)?(?: USING (?P<using>.+))?$", _retyped),
    (rf"ATTACH PARTITION (?P<part>{_NAME}) (?P<bound>.+)", _attached),
    (rf"DETACH PARTITION (?P<part>{_NAME})$", _detached),
    (rf"SET (?:TABLESPACE (?P<space>{_NAME})|LOGGED|UNLOGGED|ACCESS METHOD .+)", _moved),
)
_POSTGRESQL = _compiled(
    (
        r"CREATE (?P<unique>UNIQUE )?INDEX (?!CONCURRENTLY\b)(?P<rest>.+)",
        _fixed("CREATE {unique}INDEX CONCURRENTLY {rest}", _OUTSIDE),
    ),
    (r"DROP INDEX (?!CONCURRENTLY\b)(?P<exists>IF EXISTS )?(?P<names>.+)", _dropped_indexes),
    (
        rf"REINDEX (?:\([^)]*\) )?(?P<kind>INDEX|TABLE|SCHEMA|DATABASE) (?!CONCURRENTLY\b)(?P<name>{_NAME})",
        _fixed("REINDEX {kind} CONCURRENTLY {name}", _OUTSIDE),
    ),
    (
        rf"REFRESH MATERIALIZED VIEW (?!CONCURRENTLY\b)(?P<name>{_NAME})",
        _fixed(
            "REFRESH MATERIALIZED VIEW CONCURRENTLY {name}",
            "the view needs a unique index, and it takes longer; readers go on",
        ),
    ),
    (
        rf"VACUUM (?:\([^)]*\bFULL\b[^)]*\)|FULL(?: VERBOSE| ANALYZE| FREEZE)*) ?(?P<name>{_NAME})",
        _fixed("VACUUM (ANALYZE) {name}", "nobody waits; it keeps the room for new rows, and pg_repack gives it back"),
    ),
    (rf"CLUSTER (?:VERBOSE )?(?P<name>{_NAME})", _fixed("pg_repack --table={name}", _REPACK)),
    (
        rf"LOCK (?:TABLE )?(?:ONLY )?(?!(?:TABLE|ONLY) )(?P<name>{_NAME})(?![\w$\".])(?! IN (?:{_WEAK_MODES}) MODE)",
        _fixed(
            "LOCK TABLE {name} IN SHARE UPDATE EXCLUSIVE MODE NOWAIT",
            "others read and write; it fails at once when another migration holds it",
        ),
    ),
    (
        rf"ALTER TYPE (?P<name>{_NAME}) ALTER ATTRIBUTE (?P<attribute>{_NAME}) (?:SET DATA )?TYPE (?P<kind>\S+)",
        _fixed("ALTER TYPE {name} ADD ATTRIBUTE {attribute}_new {kind}", _NEW_COLUMN),
    ),
    (
        rf"TRUNCATE (?:TABLE )?(?:ONLY )?(?P<name>{_NAME})",
        _fixed("DELETE FROM {name}, in batches; VACUUM {name}", _BATCHES),
    ),
)
_SQLITE = _compiled(
    (
        r"INSERT INTO \"?_alembic_tmp_(?P<name>\w+)",
        _fixed(
            "ALTER TABLE {name} ADD COLUMN ... or RENAME COLUMN ... without batch mode, where that is all that changes",
            "no row is written; whatever only a new table can do needs batch mode, and a time when few write",
        ),
    ),
    (
        r"(?P<sql>CREATE (?:UNIQUE )?INDEX .+|REINDEX\b.*|DROP TABLE (?!\"?_alembic_tmp_).+|ALTER TABLE \S+ DROP .+)",
        _fixed("BEGIN IMMEDIATE; {sql}; COMMIT", "writers wait for this one statement and for nothing else"),
    ),
    (
        r"VACUUM\b(?! INTO)",
        _fixed(
            "PRAGMA incremental_vacuum(1000), again and again",
            "needs PRAGMA auto_vacuum = INCREMENTAL once; writers wait for 1000 pages at a time",
        ),
    ),
)
