"""The file of named queries: what is a query, what is a parameter, and what is said of a wrong one."""

import pytest

from roundsman.database.rules.named_queries import read_queries
from roundsman.site.rules.site_file import SiteFileError

FILE = """
-- Queries of the shop.
-- name: latest_pages  params: {author: 42}  max_rows_examined: 2000  max_cost: 500.5  allow_scan: tag
SELECT id, title FROM page WHERE author_id = :author ORDER BY id DESC LIMIT 20;

-- name: by_words
-- params: {words: "it's", since: 2026-01-01}
-- allow_scan: [tag, kind]
SELECT ':no', "a:b", $q$ :none; $q$, '10%'::text -- :no; comment
FROM page WHERE title = :words AND made > :since::date AND :words <> '' /* :no; */
"""


def test_a_file_is_read():
    first, second = read_queries(FILE.replace("2026-01-01", "'2026-01-01'"), "shop.sql")
    limits = first.limits
    assert ("latest_pages", {"author": 42}, 2000, 500.5, ("tag",)) == (first.name, limits.params, limits.max_rows_examined, limits.max_cost, limits.allow_scan)  # fmt: skip
    assert first.sql.endswith("LIMIT 20")
    assert (("words", "since"), ("tag", "kind")) == (second.parameters, second.limits.allow_scan)
    spelled = second.spelled({"words": "$1", "since": "$2"}.__getitem__, lambda text: text.replace("%", "%%"))
    assert "title = $1 AND made > $2::date AND $1 <> ''" in spelled
    assert """':no', "a:b", $q$ :none; $q$, '10%%'::text -- :no; comment""" in spelled


def test_a_name_needs_no_blank_before_it():
    (query,) = read_queries("--name:latest  params: {a: 1}\nSELECT :a", "shop.sql")
    assert ("latest", {"a": 1}) == (query.name, query.limits.params)


def test_its_layout_does_not_make_it_another_query():
    one, two, three = (
        read_queries(f"-- name: a\n{sql}", "a.sql")[0] for sql in ("SELECT 1", "SELECT\n  1;", "SELECT 2")
    )
    assert one.digest == two.digest != three.digest


@pytest.mark.parametrize(
    ("written", "sql"),
    [
        ("SELECT 1;\n-- Of the next one.\n\n-- name: b\nSELECT 2", "SELECT 1"),
        ("SELECT 1; -- That is all; no more.", "SELECT 1"),
        ("SELECT 1;\n-- name:b\nSELECT 2", "SELECT 1"),
        ("SELECT 1 ;\n/* SELECT 2; */\n;;\n", "SELECT 1"),
        ("SELECT ';' -- One; alone.\nFROM page;", "SELECT ';' -- One; alone.\nFROM page"),
        ("VALUES(1)", "VALUES(1)"),
        ("SELECT*FROM page", "SELECT*FROM page"),
        ("(SELECT 1) UNION (SELECT 2)", "(SELECT 1) UNION (SELECT 2)"),
        ("(\n  (SELECT 1))", "(\n  (SELECT 1))"),
        ("/* all */select\n1", "/* all */select\n1"),
    ],
)
def test_comments_and_brackets_make_no_other_statement(written, sql):
    assert sql == read_queries(f"-- name: a\n{written}", "shop.sql")[0].sql


WRONG = [
    ("SELECT 1", "shop.sql:1: file: saw no named query; write `-- name: latest_pages"),
    ("-- name: a\nSELECT 1; DROP TABLE page", "shop.sql:1: a: saw more than one statement"),
    ("-- name: a\nDROP TABLE page", "a: saw a statement that begins with DROP; wanted select, with,"),
    ("-- name: a\nSELECT 1; -- and\nSELECT 2", "a: saw more than one statement"),
    ("-- name: a\n((DROP TABLE page))", "a: saw a statement that begins with DROP; wanted select, with,"),
    ("-- name: a\nSELECTED 1", "a: saw a statement that begins with SELECTED; wanted select, with,"),
    ("-- name: a\n'SELECT' 1", "a: saw a statement that begins with 'SELECT'; wanted select, with,"),
    ("-- name: a\n; -- nothing", "a: saw no SQL; write its statement below the name"),
    ("-- name: a\n-- nothing\n", "a: saw no SQL; write its statement below the name"),
    ("-- name: a\nSELECT :x", "a.params: saw no value for :x; write params: {x: ...}"),
    ("-- name: a  params: {x: 1}\nSELECT 1", "a.params: saw x, which is nowhere in the query; take it out"),
    ("-- name: a  params: {x: [1]}\nSELECT :x", "a.params.x: saw [1]; "),
    ("-- name: a  max_rows: 7\nSELECT 1", "a: saw the unknown key 'max_rows'; wanted one of name, params, max_rows_examined"),
    ("-- name: a  max_cost: cheap\nSELECT 1", "a.max_cost: saw 'cheap'; "),
    ("-- name: a  params: {x\nSELECT :x", "params: saw '{x'; wanted a value as YAML writes it"),
    ("-- name: a b\nSELECT 1", "name: saw 'a b'; wanted letters, digits"),
    ("-- name:a b\nSELECT 1", "name: saw 'a b'; wanted letters, digits"),
    ("-- name:\nSELECT 1", "name: saw nothing; wanted letters, digits"),
    ("\n-- name: a\nSELECT 1;\n-- name: a\nSELECT 2", "shop.sql:4: name: saw a again; give each query a name of its own"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "says"), WRONG)
def test_a_wrong_query_is_told_with_its_line_and_how_to_mend_it(text, says):
    with pytest.raises(SiteFileError) as refused:
        read_queries(text, "shop.sql")
    assert says in str(refused.value)
