"""How a database has been doing: indexes nobody uses, waste, numbers that run out, statistics that are old."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from roundsman.database.rules.index_claims import BLOAT, STATISTICS, UNUSED, USED_UP, Fault, plural, size
from roundsman.database.rules.index_facts import Index, IndexFacts, Table
from roundsman.database.rules.index_promise import Indexes
from roundsman.database.rules.index_space import index_needs, table_needs
from roundsman.database.rules.index_usage import WatchedIndex, unused_for

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
