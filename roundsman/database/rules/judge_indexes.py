"""Indexes, keys and statistics: what would make a database slow, large, or stop."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from roundsman.database.rules import index_shape as shape
from roundsman.database.rules import index_state as state
from roundsman.database.rules.acceptance import Acceptance, useless
from roundsman.database.rules.index_claims import (
    BLOAT,
    CHECK,
    DUPLICATE,
    FOREIGN,
    INVALID,
    NO_KEY,
    PREFIX,
    STATISTICS,
    TYPES,
    UNPROVEN,
    UNUSED,
    USED_UP,
    Fault,
    plural,
)
from roundsman.database.rules.index_facts import IndexFacts
from roundsman.database.rules.index_promise import Indexes
from roundsman.database.rules.index_usage import WatchedIndex
from roundsman.database.rules.migration_claims import listed
from roundsman.database.rules.promise import Database
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict

#: Uses of each index by node.
Nodes = Mapping[str, Mapping[str, WatchedIndex]]
#: Tables that one statement, or one line, names.
_FEW_TABLES = 5
_Look = tuple[Claim, Callable[[IndexFacts, Indexes], Iterator[Fault]]]
#: Each claim that needs nothing but the catalogue, with what looks for its breaches.
_CHECKS: tuple[_Look, ...] = (
    (FOREIGN, shape.foreign_keys),
    (DUPLICATE, shape.duplicates),
    (PREFIX, shape.prefixes),
    (NO_KEY, shape.without_key),
    (TYPES, shape.key_types),
    (BLOAT, state.bloated),
    (STATISTICS, state.old_statistics),
)
#: What SQLite has not: an index is there or not, a constraint holds, and numbers have 64 bits.
_POSTGRESQL: tuple[_Look, ...] = ((INVALID, shape.invalid), (UNPROVEN, shape.unproven), (USED_UP, state.used_up))


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
        yield from state.unused(facts, promised, nodes, now)


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
    quiet = state.quiet_for(facts, promised, nodes, now)
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
