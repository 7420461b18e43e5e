"""What each kind of migration does to others, on 150,000 rows of PostgreSQL, and what is said of it."""

import threading

import pytest

from roundsman.database.rehearse_migrations import _rehearse
from roundsman.database.rules.judge_migrations import judge
from tests.database.migrating import Project, fill, outcomes, plan, told

PAGES = [
    "CREATE TABLE author (id integer PRIMARY KEY, name text)",
    "INSERT INTO author SELECT i, 'author ' || i FROM generate_series(1, 20000) i",
    "CREATE TABLE tag (id integer PRIMARY KEY, name text)",
    "INSERT INTO tag SELECT i, 'tag ' || i FROM generate_series(1, 40000) i",
    "CREATE TABLE page (id integer PRIMARY KEY, author_id integer, views integer, title text)",
    "INSERT INTO page SELECT i, i % 20000 + 1, i % 1000, 'page ' || i FROM generate_series(1, 150000) i",
    "CREATE INDEX page_views ON page (views)",
]
#: What it is called, what it does, how it is undone; what is no pass; and words of what was seen.
TABLE = [
    ("constant default", "ALTER TABLE page ADD kind text DEFAULT 'news'", "ALTER TABLE page DROP kind",
     {"db307-lock-timeout": "warn"},
     {"db303-reads": "AccessExclusiveLock", "db304-rewrites": "nothing", "db305-rows": "0 read, 0 written"}),
    ("lock_timeout", ["SET LOCAL lock_timeout = '2s'", "ALTER TABLE page ADD note text"], "ALTER TABLE page DROP note",
     {},
     {"db307-lock-timeout": "it is set"}),
    ("random default", "ALTER TABLE page ADD token uuid DEFAULT gen_random_uuid()", "ALTER TABLE page DROP token",
     {"db303-reads": "fail", "db303-writes": "fail", "db304-rewrites": "warn", "db305-rows": "warn", "db307-lock-timeout": "warn"},
     {"db303-reads": "with production's rows, by AccessExclusiveLock of ALTER TABLE page", "db304-rewrites": "page, page_pkey, page_views", "db305-rows": "read, 0 written"}),
    ("bigint", "ALTER TABLE page ALTER author_id TYPE bigint", "ALTER TABLE page ALTER author_id TYPE integer",
     {"db303-reads": "fail", "db303-writes": "fail", "db304-rewrites": "warn", "db305-rows": "warn", "db307-lock-timeout": "warn"},
     {"db303-reads": "AccessExclusiveLock", "db304-rewrites": "page, page_pkey, page_views"}),
    ("varchar", "ALTER TABLE tag ALTER name TYPE varchar(500)", "ALTER TABLE tag ALTER name TYPE text",
     {"db304-rewrites": "warn", "db305-rows": "warn", "db307-lock-timeout": "warn"},
     {"db303-reads": "tag: ", "db304-rewrites": "tag, tag_pkey", "db305-rows": "80000 read, 0 written"}),
    ("not null", "ALTER TABLE page ALTER title SET NOT NULL", "ALTER TABLE page ALTER title DROP NOT NULL",
     {"db303-reads": "fail", "db303-writes": "fail", "db305-rows": "warn", "db307-lock-timeout": "warn"},
     {"db303-reads": "AccessExclusiveLock", "db304-rewrites": "nothing", "db305-rows": "150000 read, 0 written"}),
    ("foreign key", "ALTER TABLE page ADD CONSTRAINT by_author FOREIGN KEY (author_id) REFERENCES author", "ALTER TABLE page DROP CONSTRAINT by_author",
     {"db303-writes": "fail", "db305-rows": "warn", "db307-lock-timeout": "warn"},
     {"db303-reads": "nobody waits", "db303-writes": "ShareRowExclusiveLock", "db304-rewrites": "nothing", "db305-rows": "170000 read"}),
    ("index", "CREATE INDEX page_title ON page (title)", "DROP INDEX page_title",
     {"db303-writes": "fail", "db305-rows": "warn", "db307-lock-timeout": "warn"},
     {"db303-reads": "nobody waits", "db303-writes": "by ShareLock of CREATE INDEX", "db304-rewrites": "nothing"}),
    ("concurrently", """
        with op.get_context().autocommit_block():
            op.execute("CREATE INDEX CONCURRENTLY page_author ON page (author_id)")
     """, "DROP INDEX page_author",
     {},
     {"db303-reads": "nobody waits", "db303-writes": "nobody waits"}),
    ("update while held", ["ALTER TABLE page ADD words integer", "UPDATE page SET words = length(title) WHERE id <= 100000"], "ALTER TABLE page DROP words",
     {"db303-reads": "fail", "db303-writes": "fail", "db305-rows": "warn", "db306-held": "warn", "db307-lock-timeout": "warn"},
     {"db304-rewrites": "nothing", "db305-rows": "100000 written", "db306-held": "AccessExclusiveLock on page held for"}),
    ("check", "ALTER TABLE page ADD CONSTRAINT sane CHECK (views >= 0)", "ALTER TABLE page DROP CONSTRAINT sane",
     {"db303-reads": "fail", "db303-writes": "fail", "db305-rows": "warn", "db307-lock-timeout": "warn"},
     {"db303-reads": "AccessExclusiveLock", "db304-rewrites": "nothing", "db305-rows": "150000 read, 0 written"}),
]  # fmt: skip


@pytest.fixture(scope="session")
def rehearsed(postgres_server, tmp_path_factory):
    """All of them at once, each in a transaction of its own: copies and checksums are what takes time."""
    golden = postgres_server.fresh()
    fill(golden, PAGES)
    project = Project(tmp_path_factory.mktemp("pages"))
    for says, up, down, *_ in TABLE:
        project.add(says, up, down)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_GOLDEN", golden)
        # So many that a read of the whole table is too long on any machine, and what reads nothing is not.
        promised = plan(rows={"page": 1_000_000_000, "tag": 80_000, "author": 20_000})
        facts = _rehearse("pages", promised, "", project.folder, threading.Event())
    return judge("pages", "content", promised, facts), facts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "says", "wanted", "saw"), [(place, row[0], *row[3:]) for place, row in enumerate(TABLE)]
)
def test_what_a_migration_does_to_others(rehearsed, place, says, wanted, saw):
    verdict = rehearsed[0][place]
    assert f"pages {place + 1:04} {says}" == verdict.subject
    assert wanted == outcomes(verdict)
    seen = told(verdict)
    assert {} == {name: seen[name] for name, words in saw.items() if words not in seen[name][1]}


@pytest.mark.slow
def test_they_can_all_be_taken_back(rehearsed):
    assert {"db308-statistics": "warn", "db302-time": "x"} | outcomes(rehearsed[0][-1]) == outcomes(rehearsed[0][-1])


#: A migration by its place, a claim that it breaks, and how what is wanted instead begins.
INSTEAD = [
    (2, "db304-rewrites", "ALTER TABLE page ADD COLUMN token uuid; ALTER TABLE page ALTER COLUMN token SET DEFAULT gen_random_uuid(); UPDATE page SET token = DEFAULT WHERE token IS NULL, in batches; cost: "),
    (3, "db303-reads", "ALTER TABLE page ADD COLUMN author_id_new bigint; "),
    (5, "db303-writes", "ALTER TABLE page ADD CONSTRAINT page_title_not_null CHECK (title IS NOT NULL) NOT VALID; "),
    (6, "db303-writes", "ALTER TABLE page ADD CONSTRAINT by_author FOREIGN KEY (author_id) REFERENCES author NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT by_author; cost: "),
    (7, "db303-writes", "CREATE INDEX CONCURRENTLY page_title ON page (title); cost: "),
    (7, "db307-lock-timeout", "SET lock_timeout = '2s'; CREATE INDEX CONCURRENTLY page_title ON page (title); cost: "),
    (9, "db305-rows", "UPDATE page SET words = length(title) WHERE (id <= 100000) AND id BETWEEN :first AND :last, 10000 rows at a time; cost: "),
    (9, "db306-held", "UPDATE page SET words = length(title) WHERE (id <= 100000) AND id BETWEEN :first AND :last, 10000 rows at a time; cost: "),
    (10, "db303-reads", "ALTER TABLE page ADD CONSTRAINT sane CHECK (views >= 0) NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT sane; cost: "),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("place", "claim", "instead"), INSTEAD)
def test_a_finding_has_the_safer_statement(rehearsed, place, claim, instead):
    (found,) = [one for one in rehearsed[0][place].findings if one.claim.endswith(claim)]
    assert found.wanted.startswith(instead), found.wanted
