"""How much room rows and index entries need, by their average widths.

Source: PostgreSQL, "Database Page Layout", table 73.2, and "B-Tree Indexes", Implementation.
How a schema is built: indexes that are missing, doubled or broken, keys that are missing or do not fit.
How a database has been doing: indexes nobody uses, waste, numbers that run out, statistics that are old.
Indexes, keys and statistics: what would make a database slow, large, or stop.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from roundsman.database.rules.acceptance import Acceptance, useless
from roundsman.database.rules.index_facts import (
    BLOAT,
    CHECK,
    DUPLICATE,
    FOREIGN,
    INVALID,
    NO_KEY,
    PREFIX,
    QUIET_FOREIGN,
    STATISTICS,
    TYPES,
    UNPROVEN,
    UNUSED,
    USED_UP,
    Fault,
    ForeignKey,
    Index,
    Indexes,
    IndexFacts,
    Table,
    WatchedIndex,
    plural,
    size,
    unused_for,
)
from roundsman.database.rules.migration_facts import listed
from roundsman.database.rules.promise import Database
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict

PAGE_BYTES = 8192
_HEADER_BYTES = 24
#: Before each row on a page, and before its values.
_POINTER, _ROW = 4, 23
#: Of a B-tree page, beside the header.
_SPECIAL_BYTES = 16
_UNKNOWN_BYTES = 16.0


def entry_size(table: Table, columns: Sequence[str]) -> float:
    """Bytes of a B-tree's entry, with its part of the page. Equal keys are stored once, which needs less."""
    widths = sum(table.widths.get(column, _UNKNOWN_BYTES) for column in columns)
    return (_aligned(8 + widths) + _POINTER) / 0.9


def table_needs(table: Table) -> int:
    """Bytes of a table's rows, written tightly."""
    row = _aligned(_ROW + math.ceil(len(table.widths) / 8)) + _aligned(sum(table.widths.values())) + _POINTER
    return _pages(table.rows * row, (PAGE_BYTES - _HEADER_BYTES) * table.fill)


def index_needs(index: Index, table: Table) -> int | None:
    """Bytes of a B-tree as it is when new; None for what can't be told: expressions, parts of a table, other kinds."""
    known = index.method == "btree" and not index.predicate and all(one in table.widths for one in index.columns)
    if not known or not all(one in table.widths for one in index.included):
        return None
    entry = _aligned(8 + sum(table.widths[one] for one in (*index.columns, *index.included))) + _POINTER
    return _pages(table.rows * entry, (PAGE_BYTES - _HEADER_BYTES - _SPECIAL_BYTES) * index.fill) + PAGE_BYTES


def _aligned(size: float) -> int:
    return math.ceil(size / 8) * 8


def _pages(size: float, room: float) -> int:
    return math.ceil(size / room) * PAGE_BYTES


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


#: An index of a small table that is larger than this is full of waste.
_SMALL_INDEX_BYTES = 2**20
_FULL = "rewrites {}, and readers and writers wait for it; pg_repack does it beside them"


def unused(
    facts: IndexFacts, promised: Indexes, nodes: Mapping[str, Mapping[str, WatchedIndex]], now: datetime
) -> Iterator[Fault]:
    """DB104. Only what no node ever used by its own count, watched for so long; what makes unique is used by that."""
    for index in facts.indexes:
        quiet = unused_for(nodes, index.name, now)
        if _could_go(index, facts, promised) and quiet is not None and quiet.total_seconds() >= promised.unused_after:
            where = f" on any of {len(nodes)} nodes" if len(nodes) > 1 else ""
            since = f"since its counts began, which were watched for {plural(quiet.days, 'day')}"
            saw = f"{index.name} on {index.table} was never used{where} {since}"
            mend = f"DROP INDEX CONCURRENTLY {index.name}"
            cost = f"frees {size(index.size)} and each write the upkeep; what runs once a year may miss it"
            yield Fault(UNUSED, index.table, index.name, saw, mend, cost)


def _could_go(index: Index, facts: IndexFacts, promised: Indexes) -> bool:
    """Whether it would be worth dropping. A small table is read from end to end, whatever indexes it has."""
    costs_nothing = facts.is_small(index.table, promised.small) and index.size < _SMALL_INDEX_BYTES
    return index.counted and index.valid and not index.unique and not index.constraint and not costs_nothing


def quiet_for(
    facts: IndexFacts, promised: Indexes, nodes: Mapping[str, Mapping[str, WatchedIndex]], now: datetime
) -> dict[str, timedelta]:
    """The indexes that could go and that no node was seen to use, each with how long it has been watched on all."""
    used = {name for node in nodes.values() for name, one in node.items() if one.scans}
    return {
        index.name: unused_for(nodes, index.name, now) or timedelta()
        for index in facts.indexes
        if _could_go(index, facts, promised) and index.name not in used
    }


def bloated(facts: IndexFacts, promised: Indexes) -> Iterator[Fault]:
    """DB106. An estimate from the average width of each column; what has no statistics is not judged."""
    for table in facts.tables:
        if table.widths and not table.unknown and (saw := _waste(table.name, table.size, table_needs(table), promised)):
            mend = f"VACUUM (FULL, ANALYZE) {table.name}"
            yield Fault(BLOAT, table.name, table.name, saw, mend, _FULL.format(size(table.size)))
    for index in facts.indexes:
        needs = index_needs(index, facts.table(index.table))
        if needs is not None and (saw := _waste(index.name, index.size, needs, promised)):
            mend = f"REINDEX INDEX CONCURRENTLY {index.name}"
            yield Fault(BLOAT, index.table, index.name, saw, mend, f"{size(needs)} more meanwhile, nobody waits")
    if facts.dialect == "sqlite" and (saw := _waste("the file", facts.size, facts.size - facts.waste, promised)):
        cost = f"rewrites {size(facts.size)}, and everybody waits for it"
        yield Fault(BLOAT, "", "the file", saw, "VACUUM", cost)


def _waste(name: str, holds: int, needs: int, promised: Indexes) -> str:
    waste = holds - needs
    if waste < promised.bloat_bytes or waste < promised.bloat_share * holds:
        return ""
    return f"{name} takes {size(holds)}, of which about {size(waste)} ({waste / holds:.0%}) is waste"


def used_up(facts: IndexFacts, promised: Indexes) -> Iterator[Fault]:
    """DB108."""
    for one in facts.counters:
        part = one.last / one.most
        if part <= promised.used_up:
            continue
        saw = f"{one.name} is at {one.last} of {one.most} ({one.kind}): {part:.0%} used"
        if one.column:
            mend = f"ALTER TABLE {one.table} ALTER {one.column} TYPE bigint"
            mend += f"; ALTER SEQUENCE {one.sequence} AS bigint" if one.sequence else ""
            room = size(facts.table(one.table).size)
            cost = (
                f"rewrites {room} and its indexes, and readers and writers wait for it; a new column, filled in "
                "batches and renamed, lets them go on"
            )
        else:
            mend, cost = f"ALTER SEQUENCE {one.name} AS bigint NO MAXVALUE", "nothing to speak of"
        yield Fault(USED_UP, one.table or one.name, one.name, saw, mend, cost)


def old_statistics(facts: IndexFacts, promised: Indexes) -> Iterator[Fault]:
    """DB111. A column that a migration brought or changed has none, until somebody looks at its table."""
    for table in facts.tables:
        saw = _unknown(table, promised) if table.rows > promised.small else ""
        if saw:
            cost = "a read of 30,000 rows at most, nobody waits"
            if facts.dialect == "sqlite":
                cost = "one read of its indexes, and writers wait for it"
            yield Fault(STATISTICS, table.name, table.name, f"{table.name}: {saw}", f"ANALYZE {table.name}", cost)


def _unknown(table: Table, promised: Indexes) -> str:
    if not table.looked_at:
        return f"no statistics at all of {plural(table.rows, 'row')}"
    if table.unknown:
        return f"no statistics of {', '.join(table.unknown)}: a migration came after them"
    if table.changed > promised.changed * table.rows:
        return f"{plural(table.changed, 'row')} of {table.rows} changed since its statistics were made"
    return ""


#: Uses of each index by node.
Nodes = Mapping[str, Mapping[str, WatchedIndex]]
#: Tables that one statement, or one line, names.
_FEW_TABLES = 5
_Look = tuple[Claim, Callable[[IndexFacts, Indexes], Iterator[Fault]]]
#: Each claim that needs nothing but the catalogue, with what looks for its breaches.
_CHECKS: tuple[_Look, ...] = (
    (FOREIGN, foreign_keys),
    (DUPLICATE, duplicates),
    (PREFIX, prefixes),
    (NO_KEY, without_key),
    (TYPES, key_types),
    (BLOAT, bloated),
    (STATISTICS, old_statistics),
)
#: What SQLite has not: an index is there or not, a constraint holds, and numbers have 64 bits.
_POSTGRESQL: tuple[_Look, ...] = ((INVALID, invalid), (UNPROVEN, unproven), (USED_UP, used_up))


def judge(database: Database, facts: IndexFacts, nodes: Nodes, now: datetime) -> list[Verdict]:
    """Judge a database: first the whole of it, with every claim that holds, then each table with a fault."""
    name, promised = database.database, database.indexes
    faults = list(_faults(promised, facts, nodes, now))
    accepted = _accepted(promised, now)
    wrong = _grouped([_late(one, promised, now) for one in faults if one.name not in accepted], promised, facts)
    tables = dict.fromkeys(one.table for one in wrong if one.table)
    of_all = [one.finding() for one in wrong if not one.table]
    about = [
        (name, (*_held(promised, facts, nodes, now, faults), *of_all, *_useless(promised, facts, faults))),
        *((f"{name} {table}", tuple(one.finding() for one in wrong if one.table == table)) for table in tables),
    ]
    said = (database.team, database.expected_result, database.back)
    return [Verdict(CHECK, subject, "", *said, found) for subject, found in about if found]


def _accepted(promised: Indexes, now: datetime) -> dict[str, Acceptance]:
    """What the file accepts today, by name."""
    return {name: one for name, one in promised.accept.items() if not one.is_over(now.date())}


def _late(fault: Fault, promised: Indexes, now: datetime) -> Fault:
    """A fault with the word that it was accepted for a time, if it was."""
    entry = promised.accept.get(fault.name)
    if entry is None or not entry.is_over(now.date()):
        return fault
    return replace(fault, saw=f"{fault.saw}; it was accepted {entry}, which is over")


def _grouped(faults: Sequence[Fault], promised: Indexes, facts: IndexFacts) -> list[Fault]:
    """The faults, but one for all small tables with the same one, and one for all tables without good statistics."""
    alike: dict[str, list[Fault]] = {}
    for one in faults:
        small = one.claim.breach is Outcome.WARN and facts.is_small(one.table, promised.small)
        if small or one.claim is STATISTICS:
            alike.setdefault(one.claim.id, []).append(one)
    many = {name: several for name, several in alike.items() if len(several) > 1}
    inside = {id(one) for several in many.values() for one in several}
    grouped = [_one_for_all(several, promised, facts) for several in many.values()]
    return [*(one for one in faults if id(one) not in inside), *grouped]


def _one_for_all(faults: Sequence[Fault], promised: Indexes, facts: IndexFacts) -> Fault:
    """Several faults as one that has no table of its own."""
    first = faults[0]
    tables = list(dict.fromkeys(one.table for one in faults))
    if first.claim is STATISTICS:
        named = f"ANALYZE {', '.join(tables)}"
        whole = facts.dialect == "sqlite" or len(tables) > _FEW_TABLES
        saw = f"{plural(len(tables), 'table')} without statistics, or with old ones: {listed(tables)}"
        return replace(first, table="", name="", saw=saw, mend="ANALYZE" if whole else named)
    saw = f"{plural(len(faults), 'time')} on tables of at most {plural(promised.small, 'row')}: "
    saw += "; ".join(one.saw for one in faults[:_FEW_TABLES])
    more = len(faults) - _FEW_TABLES
    saw += f"; and {more} more" if more > 0 else ""
    mend = "; ".join(dict.fromkeys(one.mend for one in faults))
    return replace(first, table="", name="", saw=saw, mend=mend, cost="next to nothing, since there are so few rows")


def _useless(promised: Indexes, facts: IndexFacts, faults: Sequence[Fault]) -> Iterator[Finding]:
    """Names that are accepted and that the database does not have."""
    named = (facts.tables, facts.indexes, facts.foreign_keys, facts.unproven, facts.counters)
    there = {thing.name for things in named for thing in things}
    there |= {*facts.unread, *(one.name for one in faults)}
    return useless(CHECK, ((name, "there is nothing of that name") for name in promised.accept if name not in there))


def _faults(promised: Indexes, facts: IndexFacts, nodes: Nodes, now: datetime) -> Iterator[Fault]:
    for _, look in _checks(facts):
        yield from look(facts, promised)
    if facts.dialect != "sqlite" and not facts.unseen:
        yield from unused(facts, promised, nodes, now)


def _checks(facts: IndexFacts) -> tuple[_Look, ...]:
    return _CHECKS if facts.dialect == "sqlite" else (*_CHECKS, *_POSTGRESQL)


def _held(
    promised: Indexes, facts: IndexFacts, nodes: Nodes, now: datetime, faults: Sequence[Fault]
) -> Iterator[Finding]:
    """What holds of all, what was accepted, and what could not be told."""
    accepted = _accepted(promised, now)
    wrong = {one.claim.id for one in faults if one.name not in accepted}
    unread = [name for name in facts.unread if name not in accepted]
    if unread:
        saw = f"{plural(len(unread), 'key or sequence', 'keys and sequences')} that this role may not read: "
        yield USED_UP.against(saw + listed(unread), "GRANT pg_read_all_data to it", holds=None)
    for claim, _ in _checks(facts):
        if claim.id not in wrong and not (claim is USED_UP and unread):
            names = dict.fromkeys(one.name for one in faults if one.claim.id == claim.id)
            but = _but(accepted, names)
            yield claim.against(f"{_looked_at(claim.id, facts)}{but}", claim.says, holds=True)
    if facts.dialect == "sqlite":
        return
    wanted = "every index used on some node"
    if facts.unseen:
        why = "; ".join(f"{node}: {trouble}" for node, trouble in sorted(facts.unseen.items()))
        yield UNUSED.against(f"a node could not be asked: {why}", wanted, holds=None)
    elif UNUSED.id not in wrong:
        yield UNUSED.against(_in_use(promised, facts, nodes, now), wanted, holds=True)


def _but(accepted: Mapping[str, Acceptance], names: Iterable[str]) -> str:
    """Those of some names that are accepted, with the reasons."""
    shown = ", ".join(f"{name} {accepted[name]}" for name in names if name in accepted)
    return f", accepted: {shown}" if shown else ""


def _in_use(promised: Indexes, facts: IndexFacts, nodes: Nodes, now: datetime) -> str:
    quiet = quiet_for(facts, promised, nodes, now)
    accepted = _accepted(promised, now)
    waiting = [one.days for name, one in quiet.items() if name not in accepted]
    but = _but(accepted, quiet)
    says = f"{plural(len(facts.indexes), 'index', 'indexes')}{but}"
    if not waiting:
        return f"{says}, all others in use" if but else f"{says}, all in use"
    days = plural(max(waiting), "day")
    return f"{says}, {len(waiting)} not used in the {days} of watching: too short to call one unused"


def _looked_at(claim: str, facts: IndexFacts) -> str:
    counts = {
        FOREIGN.id: plural(len(facts.foreign_keys), "foreign key"),
        TYPES.id: plural(len(facts.foreign_keys), "foreign key"),
        NO_KEY.id: plural(len(facts.tables), "table"),
        STATISTICS.id: plural(len(facts.tables), "table"),
        USED_UP.id: plural(len(facts.counters), "key or sequence", "keys and sequences"),
    }
    return counts.get(claim, plural(len(facts.indexes), "index", "indexes"))
