"""Whether data is still there after the way up, and everything is as before after the way back."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from roundsman.database.rules.index_facts import plural
from roundsman.database.rules.migration_facts import (
    BACK,
    DATA,
    DOWN,
    SCHEMA,
    SMOKE,
    SOUND,
    TWICE,
    UNTRIED,
    ColumnShape,
    MigrationFacts,
    MigrationRun,
    Migrations,
    Snapshot,
    difference,
    listed,
    seconds,
    short,
)
from roundsman.report.rules.verdict import Claim, Finding

#: Types that each hold all values of those before; a client takes them alike.
_WIDER = (
    ("smallint", "integer", "bigint", "numeric"),
    ("real", "double precision"),
    ("character", "character varying", "text"),
)
#: Types that a client may not take alike, though most values of one are values of the other.
_NEAR = (
    {"smallint", "integer", "bigint", "numeric", "real", "double precision"},
    {"timestamp without time zone", "timestamp with time zone", "date"},
    {"time without time zone", "time with time zone"},
    {"json", "jsonb"},
    {"character", "character varying", "text", "citext"},
)
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_DROP_LATER = "drop it one release after the last that uses it"
_ADD_LATER = "add it once no release is left that writes such rows"
#: Things that whoever names them can't do without.
_CALLED = frozenset({"function", "value", "schema"})
#: A digest of values that are all NULL.
EMPTY = "0"


@dataclass(frozen=True, slots=True)
class ReleaseBreak:
    """Something that the release before counts on, and that is not there any more."""

    saw: str
    instead: str
    """What to do so that both releases work."""
    names: tuple[str, ...]
    """Words of the statement that did it."""
    sure: bool = True
    """Whether whoever uses it fails; otherwise only some uses do."""


def breaks(before: Snapshot, after: Snapshot, dialect: str = "postgresql") -> list[ReleaseBreak]:
    """What the release before the migrations counts on and does not find after them."""
    of_relations = {
        name: list(_relation(name, columns, before, after, typed=dialect != "sqlite"))
        for name, columns in before.relations.items()
    }
    found = [one for several in of_relations.values() for one in several]
    gone = sorted(before.things - after.things)
    types = {name for kind, name, _ in gone if kind == "type"}
    for kind, name, table in gone:
        of_a_type_that_is_gone = kind == "value" and name.rpartition(" of ")[2] in types
        replaced = table in before.rows and table not in after.rows
        if not of_relations.get(table) and not replaced and not of_a_type_that_is_gone:
            bare = name.partition("(")[0].rpartition(".")[2]
            words = (table.rpartition(".")[2],) if table else (bare.rpartition(" of ")[2],)
            found.append(ReleaseBreak(f"{kind} {name} is gone", _DROP_LATER, words, sure=kind in _CALLED))
    for name, table in sorted(after.guards - before.guards):
        if table in before.relations and not of_relations[table] and not _is_of_new(name, table, before, after):
            saw, words = f"{name} is new: a row that breaks it is refused", (table.rpartition(".")[2],)
            found.append(ReleaseBreak(saw, _ADD_LATER, words, sure=False))
    return found


def _is_of_new(guard: str, table: str, before: Snapshot, after: Snapshot) -> bool:
    """Whether a constraint asks for a new column, which the release before leaves at NULL."""
    new = set(after.relations.get(table, ())) - set(before.relations[table])
    return any(re.search(rf"(?<![\w$]){re.escape(column)}(?![\w$])", guard) for column in new)


def _relation(
    name: str, columns: Mapping[str, ColumnShape], before: Snapshot, after: Snapshot, *, typed: bool
) -> Iterator[ReleaseBreak]:
    there, bare = after.relations.get(name), name.rpartition(".")[2]
    if there is None:
        new = renamed_table(name, before, after)
        instead = _DROP_LATER
        if new:
            view = f"CREATE VIEW {_sql(name)} AS SELECT * FROM {_sql(new)}"  # noqa: S608 - it is shown, not run
            instead = f"ALTER TABLE {_sql(name)} RENAME TO {_sql(new.rpartition('.')[2])}; {view}"
        yield ReleaseBreak(f"{name} is {f'called {new} now' if new else 'gone'}", instead, (bare,))
        return
    if not typed and name in before.rows and name not in after.rows:
        yield ReleaseBreak(
            f"{name} is a view now, which takes no rows without a trigger", _DROP_LATER, (bare,), sure=False
        )
    for column, shape in columns.items():
        if column not in there:
            yield _missing(name, column, shape, before, after)
        else:
            yield from _changed(name, column, shape, there[column], typed=typed)
    for column, shape in there.items():
        unfilled = column not in columns and shape.required and not shape.filled
        if unfilled and not renamed_from(name, column, before, after):
            saw = f"{name}.{column} is new, NOT NULL and without a default: a row without it can't be written"
            yield ReleaseBreak(saw, f"ALTER TABLE {_sql(name)} ADD COLUMN {_sql(column)} {shape.type}", (bare, column))


def _missing(name: str, column: str, shape: ColumnShape, before: Snapshot, after: Snapshot) -> ReleaseBreak:
    new, bare = renamed_column(name, column, before, after), name.rpartition(".")[2]
    if not new:
        return ReleaseBreak(f"{name}.{column} is gone", _DROP_LATER, (bare, column))
    instead = (
        f"ALTER TABLE {_sql(name)} ADD COLUMN {_sql(new)} {shape.type}, and write both until the old release is gone"
    )
    return ReleaseBreak(f"{name}.{column} is called {new} now", instead, (bare, column))


def _changed(name: str, column: str, was: ColumnShape, now: ColumnShape, *, typed: bool) -> Iterator[ReleaseBreak]:
    at, bare = f"{name}.{column}", name.rpartition(".")[2]
    if now.required and not was.required:
        default = "" if now.filled else ": a row without it can't be written"
        instead = f"ALTER TABLE {_sql(name)} ALTER COLUMN {_sql(column)} SET NOT NULL once no release writes NULL"
        yield ReleaseBreak(f"{at} takes no NULL any more{default}", instead, (bare, column), sure=not now.filled)
    if was.filled and not now.filled and now.required:
        instead = f"ALTER TABLE {_sql(name)} ALTER COLUMN {_sql(column)} DROP DEFAULT once every release writes it"
        yield ReleaseBreak(f"{at} has no default any more, and takes no NULL", instead, (bare, column))
    # SQLite takes any value in any column.
    if typed and (sure := _other_type(was.type, now.type)) is not None:
        saw = f"{at} is {now.type} and was {was.type}"
        new = f"ALTER TABLE {_sql(name)} ADD COLUMN {_sql(f'{column}_new')} {now.type}"
        instead = f"{new}, and write both until the old release is gone"
        yield ReleaseBreak(saw, instead, (bare, column), sure=sure)


def _other_type(was: str, now: str) -> bool | None:
    """Whether a change of type breaks who knew the old one; None when the new one takes all that the old one did."""
    if was == now:
        return None
    (old, old_sizes), (new, new_sizes) = _taken_apart(was), _taken_apart(now)
    wider = any(old in row and new in row and row.index(new) >= row.index(old) for row in _WIDER)
    as_large = not new_sizes or (bool(old_sizes) and all(a >= b for a, b in zip(new_sizes, old_sizes, strict=False)))
    if (wider or old == new) and as_large:
        return None
    return not (old == new or any(old in row and new in row for row in _NEAR))


def _taken_apart(kind: str) -> tuple[str, tuple[int, ...]]:
    """A type, and the numbers in its brackets."""
    sizes = re.search(r"\(([\d, ]+)\)", kind)
    bare = " ".join(re.sub(r"\([^)]*\)", " ", kind).lower().split())
    return bare, tuple(int(one) for one in sizes[1].split(",")) if sizes else ()


def _sql(name: str) -> str:
    """A name as SQL takes it."""
    return ".".join(one if _PLAIN.fullmatch(one) else '"' + one.replace('"', '""') + '"' for one in name.split("."))


def renamed_table(name: str, before: Snapshot, after: Snapshot) -> str:
    """What a table is called now: a new one with all its values; "" when there is none."""
    values = sorted(_sums_of(name, before).values())
    new = (one for one in after.rows if one not in before.rows and before.rows.get(name))
    return next((one for one in new if values and sorted(_sums_of(one, after).values()) == values), "")


def renamed_column(table: str, column: str, before: Snapshot, after: Snapshot) -> str:
    """What a column is called now: a new one of its table with all its values; "" when there is none."""
    value, was, now = before.sums.get(f"{table}.{column}"), _sums_of(table, before), _sums_of(table, after)
    if value in {None, EMPTY} or not before.rows.get(table) or before.rows[table] != after.rows.get(table):
        return ""
    return next((one for one, digest in now.items() if one not in was and digest == value), "")


def renamed_from(table: str, column: str, before: Snapshot, after: Snapshot) -> bool:
    """Whether a new column has the values of one that is gone."""
    now = _sums_of(table, after)
    return any(renamed_column(table, one, before, after) == column for one in _sums_of(table, before) if one not in now)


def _sums_of(table: str, snapshot: Snapshot) -> dict[str, str]:
    start = f"{table}."
    columns = {name.removeprefix(start): digest for name, digest in snapshot.sums.items() if name.startswith(start)}
    return {name: digest for name, digest in columns.items() if "." not in name}


def lost(before: Snapshot, after: Snapshot, production: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Values that are nowhere any more: `table.*` or `table.column`, and what was seen."""
    for table, rows in before.rows.items():
        many = max(rows, production.get(table, 0))
        if not many:
            continue
        if table not in after.rows:
            if not renamed_table(table, before, after):
                yield f"{table}.*", f"{table} is gone with {plural(many, 'row')}"
            continue
        for column in _sums_of(table, before):
            name = f"{table}.{column}"
            kept = name in after.sums or before.sums[name] == EMPTY or renamed_column(table, column, before, after)
            if not kept:
                yield name, f"{name} is gone with the values of {plural(many, 'row')}"


def cause(up: MigrationRun | None, names: tuple[str, ...]) -> str:
    """The last statement that speaks of some names, as ` by SQL in REVISION`; "" when none does."""
    words = [re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])", re.IGNORECASE) for name in names]
    for one in reversed(up.statements if up else ()):
        if not one.sql.upper().startswith(("SELECT", "PRAGMA", "SHOW")) and all(word.search(one.sql) for word in words):
            return f", by {short(one.sql)}{f' in {one.revision}' if one.revision else ''}"
    return ""


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
