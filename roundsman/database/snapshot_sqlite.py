"""SQLite at rest. Tables are spelled from the pragmas: the text of a table that was rebuilt reads otherwise.

What no pragma tells (CHECK, AUTOINCREMENT, COLLATE, how a column is generated, which rows an index has) is taken out of
the text.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from roundsman.database.rules.migration_breaks import EMPTY
from roundsman.database.rules.migration_facts import ColumnShape, Snapshot

#: Rows that are read at a time; a checksum depends on it, so it is the same for all.
_CHUNK_ROWS = 2000
_TEXT = re.compile(r"('(?:[^']|'')*')")
_TOKENS = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|\w+|\s+|.""", re.DOTALL
)
_COLLATE = re.compile(r"\bCOLLATE\s+[\"`\[]?(\w+)", re.IGNORECASE)
_GENERATED = re.compile(r"\bAS\s*\(", re.IGNORECASE)


def look(connection: Connection, first: Mapping[str, Sequence[str]]) -> Snapshot:
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
        columns = [tuple(row) for row in say(f"PRAGMA table_xinfo({_quoted(name)})")]
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
        told = connection.exec_driver_sql(f"PRAGMA table_xinfo({_quoted(name)})").all()
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
        for _, index, unique, _, partial in say(f"PRAGMA index_list({_quoted(name)})").all():
            if unique and not partial:
                columns = [row[2] or "an expression" for row in say(f"PRAGMA index_xinfo({_quoted(index)})") if row[5]]
                things.add(("unique key", f"{name} ({', '.join(columns)})", name))
        guards |= {(f"CHECK ({check}) of {name}", name) for check in _checks(sql or "")}
        for key in say(f"PRAGMA foreign_key_list({_quoted(name)})"):
            guards.add((f"FOREIGN KEY ({key[3]}) REFERENCES {key[2]} of {name}", name))
    guards |= {(f"unique key {name}", table) for _, name, table in things}
    return frozenset(things), frozenset(guards)


def _table(connection: Connection, name: str, columns: Sequence[tuple[Any, ...]], sql: str) -> Iterator[str]:
    say, table = connection.exec_driver_sql, _quoted(name)
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
            for one in say(f"PRAGMA index_xinfo({_quoted(index[1])})")
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
    order = f" ORDER BY {', '.join(map(_quoted, key))}" if key else ""
    wanted = ", ".join(map(_quoted, columns))
    driver: Any = connection.connection.driver_connection
    # Not every text is UTF-8. As an array its bytes are not those of a blob.
    driver.text_factory = bytearray
    raw = driver.cursor()
    raw.execute(f"SELECT {wanted} FROM {_quoted(table)}{order}")  # noqa: S608 - quoted names
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


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
