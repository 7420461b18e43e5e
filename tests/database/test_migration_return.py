"""What is lost on the way up, what breaks the release before, and what is not as before on the way back."""

from dataclasses import replace

import pytest

from roundsman.database.rules.migration_facts import (
    ColumnShape,
    MigrationFacts,
    MigrationRun,
    MigrationStatement,
    Snapshot,
)
from roundsman.database.rules.migration_return import breaks, cause, judge_return, lost
from tests.database.migrating import plan

ID, TITLE, VIEWS = ColumnShape("integer", required=True, filled=True), ColumnShape("text"), ColumnShape("integer")
TABLE = {"id": ID, "title": TITLE, "views": VIEWS}
SUMS = {"page.id": "1", "page.title": "2", "page.views": "3"}


def database(relations=None, *, rows=None, sums=None, **more):
    """A database with one table of 1,000 pages, where nothing else is said."""
    relations = {"page": TABLE} if relations is None else relations
    rows = dict.fromkeys(relations, 1000) if rows is None else rows
    sums = SUMS if sums is None else sums
    rest = {"schema": (), "types": dict.fromkeys(sums, "text"), "statistics": frozenset(), "size": 0}
    return Snapshot(**(rest | {"rows": rows, "sums": sums, "relations": relations} | more))


BEFORE = database()


def table(**columns):
    """The table with other columns; None takes one away."""
    return {"page": {name: shape for name, shape in (TABLE | columns).items() if shape}}


NOT_NULL = ColumnShape("text", required=True)
RENAMED_VIEWS = database(table(views=None, seen=VIEWS), sums={"page.id": "1", "page.title": "2", "page.seen": "3"})
LATER = "drop it one release after the last that uses it"
RETYPED = "ALTER TABLE page ADD COLUMN {0}_new {1}, and write both until the old release is gone"
ALWAYS_WRITTEN = "ALTER TABLE page ALTER COLUMN title SET NOT NULL once no release writes NULL"
#: What there is after the migrations; what the release before misses, whether it is sure to, and what to do instead.
BREAKS = {
    "nothing changed": (BEFORE, []),
    "a new column that may stay empty": (database(table(note=TITLE)), []),
    "a new column with a default": (database(table(note=ColumnShape("text", required=True, filled=True))), []),
    "a new column that every row needs": (
        database(table(note=NOT_NULL)),
        [("page.note is new, NOT NULL and without a default: a row without it can't be written", True, "ALTER TABLE page ADD COLUMN note text")],
    ),
    "no table": (database({}), [("page is gone", True, LATER)]),
    "a table with another name": (
        database({"Article": TABLE}, sums={"Article.id": "1", "Article.title": "2", "Article.views": "3"}),
        [("page is called Article now", True, 'ALTER TABLE page RENAME TO "Article"; CREATE VIEW page AS SELECT * FROM "Article"')],
    ),
    "no column": (database(table(views=None), sums={"page.id": "1", "page.title": "2"}), [("page.views is gone", True, LATER)]),
    "a column with another name": (
        RENAMED_VIEWS,
        [("page.views is called seen now", True, "ALTER TABLE page ADD COLUMN seen integer, and write both until the old release is gone")],
    ),
    "a column that takes no NULL": (
        database(table(title=NOT_NULL)),
        [("page.title takes no NULL any more: a row without it can't be written", True, ALWAYS_WRITTEN)],
    ),
    "a column that takes no NULL and has a default": (
        database(table(title=ColumnShape("text", required=True, filled=True))),
        [("page.title takes no NULL any more", False, ALWAYS_WRITTEN)],
    ),
    "no default": (
        database(table(id=ColumnShape("integer", required=True))),
        [("page.id has no default any more, and takes no NULL", True, "ALTER TABLE page ALTER COLUMN id DROP DEFAULT once every release writes it")],
    ),
    "a wider type": (database(table(views=ColumnShape("bigint"))), []),
    "a near type": (
        database(table(views=ColumnShape("real"))),
        [("page.views is real and was integer", False, RETYPED.format("views", "real"))],
    ),
    "another type": (
        database(table(views=ColumnShape("text"))),
        [("page.views is text and was integer", True, RETYPED.format("views", "text"))],
    ),
    "less room": (
        database(table(title=ColumnShape("character varying(10)"))),
        [("page.title is character varying(10) and was text", False, RETYPED.format("title", "character varying(10)"))],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("after", "found"), BREAKS.values(), ids=BREAKS)
def test_what_the_release_before_counts_on_is_missed(after, found):
    assert found == [(one.saw, one.sure, one.instead) for one in breaks(BEFORE, after)]


@pytest.mark.parametrize(
    ("was", "now", "sure"),
    [
        ("smallint", "numeric", None),
        ("numeric(10, 2)", "numeric(12, 2)", None),
        ("numeric(10, 2)", "numeric(8, 2)", False),
        ("character varying(20)", "character varying", None),
        ("character varying(20)", "character varying(40)", None),
        ("character varying(40)", "character varying(20)", False),
        ("character varying", "character varying(20)", False),
        ("text", "citext", False),
        ("timestamp(3) without time zone", "timestamp with time zone", False),
        ("date", "text", True),
    ],
)
def test_a_type_that_holds_all_values_of_the_one_before_breaks_nobody(was, now, sure):
    before, after = (database({"page": {"value": ColumnShape(kind)}}) for kind in (was, now))
    assert ([] if sure is None else [sure]) == [one.sure for one in breaks(before, after)]


@pytest.mark.parametrize(
    ("after", "saw"),
    [
        (database(table(views=ColumnShape("text"))), []),
        (database(rows={}), ["page is a view now, which takes no rows without a trigger"]),
    ],
)
def test_sqlite_takes_any_value_in_any_column_and_no_rows_in_a_view(after, saw):
    assert saw == [one.saw for one in breaks(BEFORE, after, "sqlite")]


def test_a_column_with_another_name_is_not_new_as_well():
    after = replace(RENAMED_VIEWS, relations=table(views=None, seen=ColumnShape("integer", required=True)))
    assert ["page.views is called seen now"] == [one.saw for one in breaks(BEFORE, after)]


@pytest.mark.parametrize(
    ("gone", "found"),
    [
        ([("function", "slug(text)", "")], [("function slug(text) is gone", True, ("slug",))]),
        ([("type", "mood", "")], [("type mood is gone", False, ("mood",))]),
        ([("value", "sad of mood", "")], [("value sad of mood is gone", True, ("mood",))]),
        # The values go with their type.
        ([("type", "mood", ""), ("value", "sad of mood", "")], [("type mood is gone", False, ("mood",))]),
        ([("index", "public.page_title", "public.page")], [("index public.page_title is gone", False, ("page",))]),
    ],
)
def test_what_a_release_may_call_by_its_name_is_missed(gone, found):
    before = replace(BEFORE, things=frozenset(gone))
    assert found == [(one.saw, one.sure, one.names) for one in breaks(before, BEFORE)]


def test_what_belongs_to_a_table_that_is_missed_is_not_missed_beside_it():
    before = replace(BEFORE, things=frozenset({("index", "page_title", "page")}))
    assert ["page is gone"] == [one.saw for one in breaks(before, database({}))]


@pytest.mark.parametrize(
    ("guard", "relations", "saw"),
    [
        ("CHECK (views > 0)", None, ["CHECK (views > 0) is new: a row that breaks it is refused"]),
        # A column that the release before does not know stays NULL, which a constraint lets pass.
        ("CHECK (note <> '')", table(note=TITLE), []),
        # Its table is gone, which is said already.
        ("CHECK (views > 0)", {}, ["page is gone"]),
    ],
)
def test_a_new_constraint_refuses_rows_of_the_release_before(guard, relations, saw):
    after = database(relations, guards=frozenset({(guard, "page")}))
    assert saw == [one.saw for one in breaks(BEFORE, after)]


def test_a_constraint_of_a_new_table_concerns_nobody():
    assert [] == breaks(BEFORE, database(guards=frozenset({("CHECK (a > 0)", "note")})))


@pytest.mark.parametrize(
    ("after", "production", "found"),
    [
        (BEFORE, {}, []),
        (database({}), {}, [("page.*", "page is gone with 1000 rows")]),
        (database({}), {"page": 70_000}, [("page.*", "page is gone with 70000 rows")]),
        (database({"article": TABLE}, sums={"article.id": "1", "article.title": "2", "article.views": "3"}), {}, []),
        (database(sums={"page.id": "1", "page.title": "2"}), {}, [("page.views", "page.views is gone with the values of 1000 rows")]),
        (RENAMED_VIEWS, {}, []),
    ],
)  # fmt: skip
def test_values_that_are_nowhere_any_more_are_lost(after, production, found):
    assert found == list(lost(BEFORE, after, production))


@pytest.mark.parametrize("before", [database(rows={"page": 0}), database(sums={"page.title": "0"})])
def test_where_there_are_no_values_none_is_lost(before):
    assert [] == list(lost(before, database(sums={}), {}))


def run(*sql, error="", revisions=("1",)):
    return MigrationRun(tuple(MigrationStatement(one, 0, 0.1, "1") for one in sql), (), revisions, 0.1, error)


def test_the_last_statement_that_names_something_is_its_cause():
    up = run(
        "ALTER TABLE page ADD a", "ALTER TABLE page DROP COLUMN views", "SELECT views FROM page", "DROP TABLE pages"
    )
    assert ", by ALTER TABLE page DROP COLUMN views in 1" == cause(up, ("page", "Views"))
    assert "" == cause(up, ("page", "title"))
    assert "" == cause(None, ("page",))


WELL = MigrationFacts(
    "postgresql", before=BEFORE, up=run("ALTER TABLE page ADD note text"), upgraded=BEFORE, smoke="", down=run(),
    downgraded=BEFORE, again=run(), upgraded_again=BEFORE, once_more=run("SELECT 1"), after_all=BEFORE,
)  # fmt: skip
OTHER_VALUES = database(sums=SUMS | {"page.views": "4"})
FEWER_ROWS = database(rows={"page": 999}, sums=SUMS | {"page.views": "4"})
OTHER_SCHEMA = replace(BEFORE, schema=("page.note text",))
NO_VIEWS = database(table(views=None), sums={"page.id": "1", "page.title": "2"})
OLD, DOWN, SCHEMA = "db309-old-release", "db310-downgrade", "db310-schema"
DATA, BACK, SOUND, TWICE = "db311-data", "db311-data-after-downgrade", "db311-sound", "db312-second-upgrade"
#: What was otherwise than well, and what is said of it.
CASES = {
    "all is well": ({}, {}),
    "the upgrade fails": (
        {"upgraded": None},
        dict.fromkeys((OLD, DOWN, DATA), ("unknown", "not reached: the upgrade failed")),
    ),
    "the old release fails": ({"smoke": "it ended with 1"}, {OLD: ("fail", "it ended with 1")}),
    "the old release fails for want of a column": (
        {"smoke": "it ended with 1", "upgraded": NO_VIEWS, "upgraded_again": NO_VIEWS, "after_all": NO_VIEWS, "up": run("ALTER TABLE page DROP COLUMN views")},
        {
            OLD: ("fail", "it ended with 1 (page.views is gone, by ALTER TABLE page DROP COLUMN views in 1)"),
            DATA: ("fail", "page.views is gone with the values of 1000 rows, by ALTER TABLE page DROP COLUMN views in 1"),
        },
    ),
    "the old release is not tried": ({"smoke": None}, {OLD: ("warn", "no smoke test is written")}),
    "the old release is not tried and misses a column": (
        {"smoke": None, "upgraded": NO_VIEWS, "upgraded_again": NO_VIEWS, "after_all": NO_VIEWS},
        {
            OLD: ("fail", "no smoke test is written, and the old release breaks where it uses them: page.views is gone"),
            DATA: ("fail", "page.views is gone with the values of 1000 rows"),
        },
    ),
    "the old release is not tried and may miss a type": (
        {"smoke": None, "before": replace(BEFORE, things=frozenset({("type", "mood", "")}))},
        {OLD: ("warn", "no smoke test is written, and the old release may break: type mood is gone")},
    ),
    "values change": (
        {"upgraded": OTHER_VALUES, "upgraded_again": OTHER_VALUES, "after_all": OTHER_VALUES},
        {DATA: ("fail", "other values in page.views")},
    ),
    "values change with their type": (
        {"upgraded": replace(OTHER_VALUES, types=BEFORE.types | {"page.views": "real"}), "upgraded_again": OTHER_VALUES, "after_all": OTHER_VALUES},
        {},
    ),
    "rows go": (
        {"upgraded": FEWER_ROWS, "upgraded_again": FEWER_ROWS, "after_all": FEWER_ROWS, "up": run("DELETE FROM page")},
        {DATA: ("fail", "page has 999 rows, had 1000, by DELETE FROM page in 1")},
    ),
    "a file is broken": ({"upgraded": replace(BEFORE, broken=("row 7",))}, {SOUND: ("fail", "row 7")}),
    "there is no way back": (
        {"down": run(error="no such column", revisions=("2", "1")), "downgraded": None},
        {
            DOWN: ("fail", "no such column (in 1)"),
            **dict.fromkeys((SCHEMA, BACK), ("unknown", "not reached: the downgrade failed")),
        },
    ),
    "there is no script for the way back": (
        {"down": run(error="no script", revisions=()), "downgraded": None},
        {DOWN: ("fail", "no script"), **dict.fromkeys((SCHEMA, BACK), ("unknown", "not reached: the downgrade failed"))},
    ),
    "half the way back": ({"downgraded": OTHER_SCHEMA}, {SCHEMA: ("fail", "after up and down new: page.note text")}),
    "values are lost on the way back": ({"downgraded": OTHER_VALUES}, {BACK: ("fail", "other values in page.views")}),
    "it does not run up again": (
        {"again": run(error="it is there already"), "upgraded_again": None},
        {SCHEMA: ("fail", "up again: it is there already (in 1)")},
    ),
    "nobody ran it up again": ({"again": None}, {SCHEMA: ("fail", "up again: it was not run")}),
    "up again to another schema": (
        {"upgraded_again": OTHER_SCHEMA, "after_all": OTHER_SCHEMA},
        {SCHEMA: ("fail", "after up, down and up new: page.note text")},
    ),
    "a second upgrade fails": ({"once_more": run(error="twice")}, {TWICE: ("fail", "twice")}),
    "a second upgrade writes": ({"once_more": run("ANALYZE page")}, {TWICE: ("fail", "it ran ANALYZE page")}),
    "a second upgrade changes values": ({"after_all": OTHER_VALUES}, {TWICE: ("fail", "page.views")}),
    "a second upgrade changes the schema": ({"after_all": OTHER_SCHEMA}, {TWICE: ("fail", "new: page.note text")}),
    "nobody upgraded a second time": ({"once_more": None}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("otherwise", "wanted"), CASES.values(), ids=CASES)
def test_what_is_not_as_it_should_be_is_named(otherwise, wanted):
    found = judge_return(plan(), replace(WELL, **otherwise))
    named = {one.claim.partition("/")[2]: (str(one.outcome), one.saw) for one in found if one.outcome != "pass"}
    assert wanted == named


@pytest.mark.parametrize("lossy", [["page.views"], ["page.*"], ["page.id", "page.title", "page.views"]])
@pytest.mark.parametrize("after", [OTHER_VALUES, NO_VIEWS])
def test_what_is_written_as_lossy_may_change(lossy, after):
    facts = replace(WELL, upgraded=after, upgraded_again=after, after_all=after)
    assert ["pass"] == [str(one.outcome) for one in judge_return(plan(lossy=lossy), facts) if one.claim.endswith(DATA)]


@pytest.mark.parametrize(
    ("lossy", "outcome"),
    [(["page.*"], "pass"), (["page.id", "page.title", "page.views"], "pass"), (["page.id"], "fail")],
)
def test_a_table_may_go_once_all_of_it_is_written_as_lossy(lossy, outcome):
    found = judge_return(plan(lossy=lossy), replace(WELL, upgraded=database({}, sums={})))
    assert [outcome] == [str(one.outcome) for one in found if one.claim.endswith(DATA)]


def test_of_many_breaks_the_first_five_are_named():
    before = database({f"t{number}": TABLE for number in range(7)}, sums={})
    [old] = [one for one in judge_return(plan(), replace(WELL, before=before, upgraded=database({}, sums={}), smoke=None)) if one.claim.endswith(OLD)]  # fmt: skip
    assert old.saw.endswith("t0 is gone; t1 is gone; t2 is gone; t3 is gone; t4 is gone; and 2 more")


def test_a_database_of_sqlite_is_sound_when_nothing_new_is_wrong_with_it():
    broken = replace(BEFORE, broken=("row 7",))
    facts = replace(WELL, dialect="sqlite", before=broken, upgraded=broken)
    assert [("pass", "sound")] == [(str(one.outcome), one.saw) for one in judge_return(plan(), facts) if one.claim.endswith(SOUND)]  # fmt: skip
