"""How a schema is built: indexes that are missing, doubled or broken, keys that are missing or do not fit."""

import re
from collections.abc import Iterator

from roundsman.database.rules.index_claims import (
    DUPLICATE,
    FOREIGN,
    INVALID,
    NO_KEY,
    PREFIX,
    QUIET_FOREIGN,
    TYPES,
    UNPROVEN,
    Fault,
    plural,
    size,
)
from roundsman.database.rules.index_facts import ForeignKey, Index, IndexFacts
from roundsman.database.rules.index_promise import Indexes
from roundsman.database.rules.index_space import entry_size

#: What PostgreSQL calls the halves of an index that is being built anew.
_LEFT_OVER = re.compile(r"_cc(new|old)\d*\"?$")
#: Types that one index serves alike.
_ALIKE = {"character varying": "text"}
_NOT_NULL = re.compile(r"\(*(\w+|\"[^\"]+\") IS NOT NULL\)*", re.IGNORECASE)


def foreign_keys(facts: IndexFacts, promised: Indexes) -> Iterator[Fault]:
    """DB101. Deleting a parent's row reads its child table once for each row, unless an index leads there."""
    for key in facts.foreign_keys:
        child, parent = facts.table(key.table), facts.table(key.parent)
        if child.rows <= promised.small or any(_serves(index, key) for index in facts.indexes):
            continue
        columns = ", ".join(key.columns)
        busy = f"{plural(parent.deletes, 'row')} of {key.parent} deleted, each read" if parent.deletes else "no index"
        saw = f"{key.table} ({columns}) refers to {key.parent}: {busy} {'all ' if parent.deletes else 'for '}"
        saw += f"{plural(child.rows, 'row')} of {key.table}"
        claim = FOREIGN if parent.deletes else QUIET_FOREIGN
        room = child.rows * entry_size(child, key.columns)
        yield Fault(claim, key.table, key.name, saw, *_built(facts, f"{key.table} ({columns})", room, child.size))


def _serves(index: Index, key: ForeignKey) -> bool:
    leading = index.columns[: len(key.columns)]
    whole = index.valid and _holds_all(index, key) and index.method in {"btree", "hash"}
    return index.table == key.table and whole and sorted(leading) == sorted(key.columns)


def _holds_all(index: Index, key: ForeignKey) -> bool:
    """Whether an index has every row that refers to a parent: `=` finds no null, and each database knows that."""
    if not index.predicate:
        return True
    said = re.sub(r"^WHERE ", "", " ".join(index.predicate.split()), flags=re.IGNORECASE)
    found = [_NOT_NULL.fullmatch(one) for one in re.split(" AND ", said, flags=re.IGNORECASE)]
    return all(one and one[1] in key.columns for one in found)


def _built(facts: IndexFacts, on: str, room: float, reads: int) -> tuple[str, str]:
    """The statement that builds an index, and what it costs."""
    if facts.dialect == "sqlite":
        table, _, columns = on.partition(" ")
        name = "_".join(re.findall(r"\w+", f"{table} {columns}"))
        return f"CREATE INDEX {name}_idx ON {on}", "writers wait while it is built"
    cost = f"about {size(room)}, one read of {size(reads)}, nobody waits; each write keeps one index more"
    return f"CREATE INDEX CONCURRENTLY ON {on}", cost


def duplicates(facts: IndexFacts, _: Indexes) -> Iterator[Fault]:
    """DB102. Of two that are the same, the one that no constraint needs can go."""
    kept: list[Index] = []
    for index in sorted(facts.indexes, key=lambda one: (not one.constraint, not one.unique, one.name)):
        twin = next((one for one in kept if _same(one, index)), None)
        if twin is None:
            kept.append(index)
        elif not index.constraint:
            saw = f"{index.name} is the same index as {twin.name} on {index.table} ({', '.join(index.keys)})"
            yield Fault(DUPLICATE, index.table, index.name, saw, *_dropped(facts, index))


def _same(one: Index, other: Index) -> bool:
    """Whether the first does all that the other does."""
    return (
        one.valid and other.valid and (one.unique or not other.unique)
        and (one.table, one.method, one.keys, one.predicate) == (other.table, other.method, other.keys, other.predicate)
        and set(other.included) <= set(one.included)
    )  # fmt: skip


def _dropped(facts: IndexFacts, index: Index) -> tuple[str, str]:
    if facts.dialect == "sqlite":
        return f"DROP INDEX {index.name}", "writers wait for a moment"
    cost = f"frees {size(index.size)} and each write the upkeep; it waits for queries under way, and nobody for it"
    return f"DROP INDEX CONCURRENTLY {index.name}", cost


def prefixes(facts: IndexFacts, _: Indexes) -> Iterator[Fault]:
    """DB103. A longer index answers what its beginning does; one that makes unique is another matter."""
    for index in facts.indexes:
        longer = next((one for one in facts.indexes if _covers(one, index)), None)
        if longer and not index.unique and not index.constraint:
            saw = f"{index.name} ({', '.join(index.keys)}) is the beginning of {longer.name} ({', '.join(longer.keys)})"
            yield Fault(PREFIX, index.table, index.name, saw, *_dropped(facts, index))


def _covers(longer: Index, index: Index) -> bool:
    return (
        longer.valid and index.valid and longer.method == index.method == "btree"
        and (longer.table, longer.predicate) == (index.table, index.predicate)
        and len(longer.keys) > len(index.keys) and longer.keys[: len(index.keys)] == index.keys
        and set(index.included) <= {*longer.included, *longer.columns}
    )  # fmt: skip


def invalid(facts: IndexFacts, _: Indexes) -> Iterator[Fault]:
    """DB105. An index that failed to be built is kept up by every write, and never used."""
    for index in facts.indexes:
        left_over = bool(_LEFT_OVER.search(index.name))
        if index.valid and not left_over:
            continue
        what = "left over from REINDEX CONCURRENTLY" if left_over else "invalid: it failed to be built, or still is"
        mend, cost = _dropped(facts, index)
        if not left_over:
            mend = f"REINDEX INDEX CONCURRENTLY {index.name} (or {mend})"
            cost = "it is built again, nobody waits"
        yield Fault(INVALID, index.table, index.name, f"{index.name} on {index.table} is {what}", mend, cost)


def unproven(facts: IndexFacts, _: Indexes) -> Iterator[Fault]:
    """DB107."""
    for one in facts.unproven:
        mend = f"ALTER TABLE {one.table} VALIDATE CONSTRAINT {one.name}"
        rows = plural(facts.table(one.table).rows, "row")
        saw = f"{one.name} of {one.table} was never held against old rows: {one.says}"
        yield Fault(UNPROVEN, one.table, one.name, saw, mend, f"one read of {rows}, nobody waits")


def without_key(facts: IndexFacts, _: Indexes) -> Iterator[Fault]:
    """DB109."""
    for table in facts.tables:
        if table.has_key:
            continue
        unique = next((one for one in facts.indexes if _could_be_key(one, table.name)), None)
        postgres = facts.dialect != "sqlite"
        if unique and postgres:
            mend = f"ALTER TABLE {table.name} ADD PRIMARY KEY USING INDEX {unique.name}"
            cost = "readers and writers wait for one read of the table, unless its columns are NOT NULL already"
        elif postgres:
            column = "id" if "id" not in table.columns else "row_id"
            mend = f"ALTER TABLE {table.name} ADD COLUMN {column} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
            cost = f"rewrites {size(table.size)}, and readers and writers wait for it"
        else:
            mend = f"make {table.name} anew with a PRIMARY KEY, as Alembic's batch mode does"
            cost = "rewrites the table, and writers wait for it"
        yield Fault(NO_KEY, table.name, table.name, f"{table.name} has no primary key", mend, cost)


def _could_be_key(index: Index, table: str) -> bool:
    plain = all(index.columns) and not index.predicate and not index.included and index.method == "btree"
    return index.table == table and index.unique and index.valid and not index.constraint and plain


def key_types(facts: IndexFacts, _: Indexes) -> Iterator[Fault]:
    """DB110. Types that differ are converted for each row, and the smaller one ends first."""
    for key in facts.foreign_keys:
        for column, kind, other, wanted in zip(
            key.columns, key.types, key.parent_columns, key.parent_types, strict=True
        ):
            if _ALIKE.get(kind, kind) == _ALIKE.get(wanted, wanted):
                continue
            saw = f"{key.table}.{column} is {kind}, and {key.parent}.{other}, which it refers to, is {wanted}"
            table = facts.table(key.table)
            if facts.dialect == "sqlite":
                mend, cost = f"make {key.table} anew with {column} {wanted}", "rewrites the table, writers wait for it"
            else:
                mend = f"ALTER TABLE {key.table} ALTER {column} TYPE {wanted}"
                cost = f"rewrites {size(table.size)} and its indexes, and readers and writers wait for it"
            yield Fault(TYPES, key.table, key.name, saw, mend, cost)
