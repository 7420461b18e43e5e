"""Indexes, keys and statistics: what would make a database slow, large, or stop."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from flows.rules import index_shape as shape
from flows.rules import index_state as state
from flows.rules.acceptance import Acceptance, useless
from flows.rules.database import Database
from flows.rules.index_claims import (
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
from flows.rules.index_facts import IndexFacts
from flows.rules.index_promise import Indexes
from flows.rules.index_usage import Watched
from flows.rules.migration_claims import listed
from flows.rules.verdict import Finding, Verdict

#: Uses of each index by node.
Nodes = Mapping[str, Mapping[str, Watched]]
#: Each claim that needs nothing but the catalogue, with what looks for its breaches.
_CHECKS = (
    (FOREIGN, shape.foreign_keys),
    (DUPLICATE, shape.duplicates),
    (PREFIX, shape.prefixes),
    (NO_KEY, shape.without_key),
    (TYPES, shape.key_types),
    (BLOAT, state.bloated),
    (STATISTICS, state.old_statistics),
)
#: What SQLite has not: an index is there or not, a constraint holds, and numbers have 64 bits.
_POSTGRESQL = ((INVALID, shape.invalid), (UNPROVEN, shape.unproven), (USED_UP, state.used_up))


def judge(database: Database, facts: IndexFacts, nodes: Nodes, now: datetime) -> list[Verdict]:
    """Judge a database: first the whole of it, with every claim that holds, then each table with a fault."""
    name, promised = database.database, database.indexes
    faults = list(_faults(promised, facts, nodes, now))
    wrong = [_late(one, promised, now) for one in faults if one.name not in _accepted(promised, now)]
    tables = dict.fromkeys(one.table for one in wrong)
    about = [
        (name, (*_held(promised, facts, nodes, now, faults), *_useless(promised, facts, faults))),
        *((f"{name} {table}".strip(), tuple(one.finding() for one in wrong if one.table == table)) for table in tables),
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


def _useless(promised: Indexes, facts: IndexFacts, faults: Sequence[Fault]) -> Iterator[Finding]:
    """Names that are accepted and that the database does not have."""
    there = {one.name for one in (*facts.tables, *facts.indexes, *facts.foreign_keys, *facts.unproven, *facts.counters)}
    there |= {*facts.unread, *(one.name for one in faults)}
    return useless(CHECK, ((name, "there is nothing of that name") for name in promised.accept if name not in there))


def _faults(promised: Indexes, facts: IndexFacts, nodes: Nodes, now: datetime) -> Iterator[Fault]:
    for _, look in _checks(facts):
        yield from look(facts, promised)
    if facts.dialect != "sqlite" and not facts.unseen:
        yield from state.unused(facts, promised, nodes, now)


def _checks(facts: IndexFacts) -> tuple:
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
    quiet = state.quiet_for(facts, nodes, now)
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
