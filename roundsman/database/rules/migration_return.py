"""The way back: the old release on the new schema, down, up again, and what all that does to the values."""

from collections.abc import Iterator, Sequence

from roundsman.database.rules.migration_breaks import breaks, cause, lost
from roundsman.database.rules.migration_claims import (
    BACK,
    DATA,
    DOWN,
    SCHEMA,
    SMOKE,
    SOUND,
    TWICE,
    UNTRIED,
    difference,
    listed,
    seconds,
    short,
)
from roundsman.database.rules.migration_facts import MigrationFacts, MigrationRun, Snapshot
from roundsman.database.rules.migration_plan import Migrations
from roundsman.report.rules.verdict import Claim, Finding

#: Breaks of the old release that one finding names.
_MAX_BREAKS = 5
_KEEPS = "nothing changes but what `lossy` names"
#: What only looks, or only marks a transaction.
_LOOKS = ("SELECT", "SHOW", "PRAGMA", "BEGIN", "COMMIT", "SET", "WITH")


def judge_return(plan: Migrations, facts: MigrationFacts) -> Iterator[Finding]:
    """Judge what came after the upgrade. What was not reached is told as that."""
    before, upgraded = facts.before, facts.upgraded
    if before is None or upgraded is None:
        for claim in (SMOKE, DOWN, DATA):
            yield claim.against("not reached: the upgrade failed", "an upgrade", holds=None)
        return
    yield _old_release(facts, before, upgraded)
    gone = [
        f"{saw}{cause(facts.up, _names(name))}"
        for name, saw in lost(before, upgraded, facts.live_rows)
        if not _may_change(name, before, plan)
    ]
    yield _values(DATA, before, upgraded, plan, retyped=True, gone=gone, up=facts.up)
    if upgraded.broken or facts.dialect == "sqlite":
        new = sorted(set(upgraded.broken) - set(before.broken))
        yield SOUND.against(listed(new, 3) or "sound", "nothing that was not wrong before", holds=not new)
    yield from _down(plan, facts, before, upgraded)


def _old_release(facts: MigrationFacts, before: Snapshot, upgraded: Snapshot) -> Finding:
    """Only a smoke test shows that the old release works; without one it is taken to use all that it could."""
    found = breaks(before, upgraded, facts.dialect)
    sure = [one for one in found if one.sure]
    named = "; ".join(f"{one.saw}{cause(facts.up, one.names)}" for one in (sure or found)[:_MAX_BREAKS])
    more = len(sure or found) - _MAX_BREAKS
    named += f"; and {more} more" if more > 0 else ""
    if facts.smoke is not None:
        saw = facts.smoke and f"{facts.smoke}{f' ({named})' if named else ''}"
        return SMOKE.against(saw or "its smoke test went well", "it works", holds=not facts.smoke)
    wanted = "`smoke:` with a command of the old release"
    if not found:
        return UNTRIED.against("no smoke test is written", wanted, holds=False)
    instead = "; ".join(dict.fromkeys(one.instead for one in (sure or found)[:_MAX_BREAKS]))
    claim, breaks_it = (SMOKE, "breaks where it uses them") if sure else (UNTRIED, "may break")
    saw = f"no smoke test is written, and the old release {breaks_it}: {named}"
    return claim.against(saw, f"{instead}; or {wanted} that shows that it works", holds=False)


def _names(name: str) -> tuple[str, ...]:
    table, _, column = name.rpartition(".")
    bare = table.rpartition(".")[2]
    return (bare,) if column == "*" else (bare, column)


def _may_change(name: str, before: Snapshot, plan: Migrations) -> bool:
    """Whether the plan has a column in `lossy`, or all of a table's."""
    table, _, column = name.rpartition(".")
    lossy = set(plan.lossy)
    if f"{table}.*" in lossy or name in lossy:
        return True
    columns = before.relations.get(table, {}) if column == "*" else {}
    return bool(columns) and all(f"{table}.{one}" in lossy for one in columns)


def _down(plan: Migrations, facts: MigrationFacts, before: Snapshot, upgraded: Snapshot) -> Iterator[Finding]:
    down, again = facts.down, facts.again
    if down is None or facts.downgraded is None:
        yield DOWN.against(_stopped(down), "they run down to where they began", holds=False)
        for claim in (SCHEMA, BACK):
            yield claim.against("not reached: the downgrade failed", "a downgrade", holds=None)
        return
    yield DOWN.against(f"down in {seconds(down.seconds)}", "they run down to where they began", holds=True)
    changed = difference(before.schema, facts.downgraded.schema)
    yield SCHEMA.against(f"after up and down {changed or 'equal'}", "equal to before", holds=not changed)
    yield _values(BACK, before, facts.downgraded, plan)
    if again is None or facts.upgraded_again is None:
        yield SCHEMA.against(f"up again: {_stopped(again)}", "it runs up again", holds=False)
        return
    changed = difference(upgraded.schema, facts.upgraded_again.schema)
    yield SCHEMA.against(f"after up, down and up {changed or 'equal'}", "equal to after up", holds=not changed)
    if facts.once_more and facts.after_all:
        yield _twice(facts.once_more, facts.upgraded_again, facts.after_all)


def _stopped(leg: MigrationRun | None) -> str:
    if leg is None:
        return "it was not run"
    return f"{leg.error} (in {leg.revisions[-1]})" if leg.revisions else leg.error


def _twice(leg: MigrationRun, was: Snapshot, now: Snapshot) -> Finding:
    wrote = [one.sql for one in leg.statements if not one.sql.upper().startswith(_LOOKS)]
    changed = difference(was.schema, now.schema)
    values = sorted({name for name, _ in set(was.sums.items()) ^ set(now.sums.items())})
    saw = leg.error or changed or listed(values) or (f"it ran {short(wrote[0])}" if wrote else "nothing changed")
    holds = not (leg.error or changed or values or wrote)
    return TWICE.against(saw, "no statement that writes", holds=holds)


def _values(  # noqa: PLR0913 - two looks, and what may differ
    claim: Claim,
    was: Snapshot,
    now: Snapshot,
    plan: Migrations,
    *,
    retyped: bool = False,
    gone: Sequence[str] = (),
    up: MigrationRun | None = None,
) -> Finding:
    """Rows and values of what is there in both. `retyped`: a column with another type is the migration's business."""
    lossy = set(plan.lossy)
    counted = [
        f"{table} has {now.rows[table]} rows, had {rows}{cause(up, (table.rpartition('.')[2],))}"
        for table, rows in was.rows.items()
        if table in now.rows and now.rows[table] != rows and f"{table}.*" not in lossy
    ]
    other = {table for table, rows in was.rows.items() if now.rows.get(table, rows) != rows}
    changed = [
        name
        for name, digest in was.sums.items()
        if name in now.sums
        and now.sums[name] != digest
        and not (retyped and now.types[name] != was.types[name])
        and name not in lossy
        and f"{name.rpartition('.')[0]}.*" not in lossy
        and name.rpartition(".")[0] not in other
    ]
    told = [*gone, *counted, *([f"other values in {listed(changed)}"] if changed else [])]
    return claim.against("; ".join(told) or "all values are the same", _KEEPS, holds=not told)
