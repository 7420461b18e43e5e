"""What to run instead of a statement that keeps others waiting."""

import pytest

from roundsman.database.rules.migration_advice import safer, safer_statement, split
from roundsman.database.rules.migration_facts import MigrationStatement

#: A statement on PostgreSQL, and what to run instead; "" when nothing is.
INSTEAD = [
    ("CREATE INDEX page_title ON page (title)", "CREATE INDEX CONCURRENTLY page_title ON page (title)"),
    ("create unique index if not exists one ON page (lower(title)) WHERE views > 3", "CREATE unique INDEX CONCURRENTLY if not exists one ON page (lower(title)) WHERE views > 3"),
    ("CREATE INDEX CONCURRENTLY one ON page (title)", ""),
    ('DROP INDEX "Page_title"', 'DROP INDEX CONCURRENTLY "Page_title"'),
    ("DROP INDEX IF EXISTS one, shop.two CASCADE", "DROP INDEX CONCURRENTLY IF EXISTS one; DROP INDEX CONCURRENTLY IF EXISTS shop.two"),
    ("DROP INDEX CONCURRENTLY one", ""),
    ("REINDEX TABLE page", "REINDEX TABLE CONCURRENTLY page"),
    ("REINDEX (VERBOSE) INDEX page_title", "REINDEX INDEX CONCURRENTLY page_title"),
    ("REINDEX INDEX CONCURRENTLY page_title", ""),
    ("REFRESH MATERIALIZED VIEW top_pages", "REFRESH MATERIALIZED VIEW CONCURRENTLY top_pages"),
    ("REFRESH MATERIALIZED VIEW CONCURRENTLY top_pages", ""),
    ("VACUUM FULL page", "VACUUM (ANALYZE) page"),
    ("VACUUM (FULL, ANALYZE) page", "VACUUM (ANALYZE) page"),
    ("VACUUM page", ""),
    ("CLUSTER page USING page_pkey", "pg_repack --table=page"),
    ("LOCK TABLE page", "LOCK TABLE page IN SHARE UPDATE EXCLUSIVE MODE NOWAIT"),
    ("LOCK page IN ACCESS EXCLUSIVE MODE", "LOCK TABLE page IN SHARE UPDATE EXCLUSIVE MODE NOWAIT"),
    ("LOCK TABLE page IN ROW EXCLUSIVE MODE", ""),
    ("TRUNCATE page", "DELETE FROM page, in batches; VACUUM page"),
    ("ALTER TYPE address ALTER ATTRIBUTE zip TYPE text CASCADE", "ALTER TYPE address ADD ATTRIBUTE zip_new text"),
    ("ALTER TYPE mood ADD VALUE 'calm'", ""),
    ("ALTER TABLE page ADD CONSTRAINT by_author FOREIGN KEY (author_id) REFERENCES author (id) ON DELETE CASCADE", "ALTER TABLE page ADD CONSTRAINT by_author FOREIGN KEY (author_id) REFERENCES author (id) ON DELETE CASCADE NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT by_author"),
    ("ALTER TABLE page ADD FOREIGN KEY(author_id) REFERENCES author", "ALTER TABLE page ADD CONSTRAINT page_author_id_fkey FOREIGN KEY (author_id) REFERENCES author NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT page_author_id_fkey"),
    ("ALTER TABLE page ADD FOREIGN KEY (author_id) REFERENCES author NOT VALID", ""),
    ("ALTER TABLE page ADD CONSTRAINT sane CHECK (views >= 0 AND title IN ('a, b', 'c'))", "ALTER TABLE page ADD CONSTRAINT sane CHECK (views >= 0 AND title IN ('a, b', 'c')) NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT sane"),
    ("ALTER TABLE page ADD CONSTRAINT sane CHECK (views >= 0) NOT VALID", ""),
    ("ALTER TABLE page VALIDATE CONSTRAINT sane", ""),
    ("ALTER TABLE ONLY shop.page ALTER COLUMN title SET NOT NULL", "ALTER TABLE shop.page ADD CONSTRAINT page_title_not_null CHECK (title IS NOT NULL) NOT VALID; ALTER TABLE shop.page VALIDATE CONSTRAINT page_title_not_null; ALTER TABLE shop.page ALTER COLUMN title SET NOT NULL; ALTER TABLE shop.page DROP CONSTRAINT page_title_not_null"),
    ("ALTER TABLE page ALTER title DROP NOT NULL", ""),
    ("ALTER TABLE page ALTER author_id TYPE bigint", "ALTER TABLE page ADD COLUMN author_id_new bigint; UPDATE page SET author_id_new = author_id::bigint WHERE author_id_new IS NULL, in batches; ALTER TABLE page DROP COLUMN author_id; ALTER TABLE page RENAME COLUMN author_id_new TO author_id"),
    ("ALTER TABLE page ALTER COLUMN title SET DATA TYPE numeric(10, 2) USING title::numeric", "ALTER TABLE page ADD COLUMN title_new numeric(10, 2); UPDATE page SET title_new = title::numeric WHERE title_new IS NULL, in batches; ALTER TABLE page DROP COLUMN title; ALTER TABLE page RENAME COLUMN title_new TO title"),
    ("ALTER TABLE page ADD CONSTRAINT of_title UNIQUE (title)", "CREATE UNIQUE INDEX CONCURRENTLY of_title ON page (title); ALTER TABLE page ADD CONSTRAINT of_title UNIQUE USING INDEX of_title"),
    ("ALTER TABLE page ADD UNIQUE (author_id, title)", "CREATE UNIQUE INDEX CONCURRENTLY page_author_id_title_key ON page (author_id, title); ALTER TABLE page ADD CONSTRAINT page_author_id_title_key UNIQUE USING INDEX page_author_id_title_key"),
    ("ALTER TABLE note ADD PRIMARY KEY (id)", "CREATE UNIQUE INDEX CONCURRENTLY note_pkey ON note (id); ALTER TABLE note ADD CONSTRAINT note_pkey PRIMARY KEY USING INDEX note_pkey"),
    ("ALTER TABLE note ADD CONSTRAINT k UNIQUE USING INDEX k", ""),
    ("ALTER TABLE page ADD COLUMN token uuid DEFAULT gen_random_uuid() NOT NULL", "ALTER TABLE page ADD COLUMN token uuid; ALTER TABLE page ALTER COLUMN token SET DEFAULT gen_random_uuid(); UPDATE page SET token = DEFAULT WHERE token IS NULL, in batches; ALTER TABLE page ADD CONSTRAINT page_token_not_null CHECK (token IS NOT NULL) NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT page_token_not_null; ALTER TABLE page ALTER COLUMN token SET NOT NULL; ALTER TABLE page DROP CONSTRAINT page_token_not_null"),
    ("ALTER TABLE page ADD editor integer REFERENCES author (id)", "ALTER TABLE page ADD COLUMN editor integer; ALTER TABLE page ADD CONSTRAINT page_editor_fkey FOREIGN KEY (editor) REFERENCES author (id) NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT page_editor_fkey"),
    ("ALTER TABLE page ADD slug text UNIQUE", "ALTER TABLE page ADD COLUMN slug text; CREATE UNIQUE INDEX CONCURRENTLY page_slug_key ON page (slug); ALTER TABLE page ADD CONSTRAINT page_slug_key UNIQUE USING INDEX page_slug_key"),
    ("ALTER TABLE page ADD slug text NOT NULL UNIQUE", "ALTER TABLE page ADD COLUMN slug text; UPDATE page SET slug = ... WHERE slug IS NULL, in batches; CREATE UNIQUE INDEX CONCURRENTLY page_slug_key ON page (slug); ALTER TABLE page ADD CONSTRAINT page_slug_key UNIQUE USING INDEX page_slug_key; ALTER TABLE page ADD CONSTRAINT page_slug_not_null CHECK (slug IS NOT NULL) NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT page_slug_not_null; ALTER TABLE page ALTER COLUMN slug SET NOT NULL; ALTER TABLE page DROP CONSTRAINT page_slug_not_null"),
    ("ALTER TABLE page ADD editor integer CONSTRAINT by_editor REFERENCES author (id) ON DELETE SET DEFAULT DEFAULT (1 + 2) NOT NULL", "ALTER TABLE page ADD COLUMN editor integer; ALTER TABLE page ALTER COLUMN editor SET DEFAULT (1 + 2); UPDATE page SET editor = DEFAULT WHERE editor IS NULL, in batches; ALTER TABLE page ADD CONSTRAINT by_editor FOREIGN KEY (editor) REFERENCES author (id) ON DELETE SET DEFAULT NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT by_editor; ALTER TABLE page ADD CONSTRAINT page_editor_not_null CHECK (editor IS NOT NULL) NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT page_editor_not_null; ALTER TABLE page ALTER COLUMN editor SET NOT NULL; ALTER TABLE page DROP CONSTRAINT page_editor_not_null"),
    ("ALTER TABLE page ADD age integer CHECK (age > 0)", "ALTER TABLE page ADD COLUMN age integer; ALTER TABLE page ADD CONSTRAINT page_age_check CHECK (age > 0) NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT page_age_check"),
    ("ALTER TABLE page ADD age integer DEFAULT random() * 9 CHECK (age IS NOT NULL AND abs(age) IN (1, 2))", "ALTER TABLE page ADD COLUMN age integer; ALTER TABLE page ALTER COLUMN age SET DEFAULT random() * 9; UPDATE page SET age = DEFAULT WHERE age IS NULL, in batches; ALTER TABLE page ADD CONSTRAINT page_age_check CHECK (age IS NOT NULL AND abs(age) IN (1, 2)) NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT page_age_check"),
    ("ALTER TABLE page ADD n bigserial", ""),
    ("ALTER TABLE page ADD n bigint GENERATED ALWAYS AS IDENTITY", ""),
    ("ALTER TABLE page ADD t text GENERATED ALWAYS AS (lower(title)) STORED", ""),
    ('ALTER TABLE page ALTER title TYPE varchar(9) COLLATE "C" USING title', 'ALTER TABLE page ADD COLUMN title_new varchar(9) COLLATE "C"; UPDATE page SET title_new = title WHERE title_new IS NULL, in batches; ALTER TABLE page DROP COLUMN title; ALTER TABLE page RENAME COLUMN title_new TO title'),
    ("UPDATE page p SET views = 0 FROM author a WHERE a.id = p.author_id", "UPDATE page p SET views = 0 FROM author a WHERE (a.id = p.author_id) AND p.id BETWEEN :first AND :last, 10000 rows at a time"),
    ("DELETE FROM page USING author WHERE author.id = author_id", "DELETE FROM page USING author WHERE (author.id = author_id) AND page.id BETWEEN :first AND :last, 10000 rows at a time"),
    ("ALTER TABLE page DETACH PARTITION page_2025", "ALTER TABLE page DETACH PARTITION page_2025 CONCURRENTLY"),
    ("ALTER TABLE page DETACH PARTITION page_2025 CONCURRENTLY", ""),
    ("ALTER TABLE page ATTACH PARTITION page_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')", "ALTER TABLE page_2026 ADD CONSTRAINT page_2026_bounds CHECK (KEY >= '2026-01-01' AND KEY < '2027-01-01' AND KEY IS NOT NULL) NOT VALID; ALTER TABLE page_2026 VALIDATE CONSTRAINT page_2026_bounds; ALTER TABLE page ATTACH PARTITION page_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"),
    ("ALTER TABLE page SET TABLESPACE fast", "pg_repack --table=page --tablespace=fast"),
    ("ALTER TABLE page SET LOGGED", "pg_repack --table=page"),
    ("ALTER TABLE page ADD a text, ALTER title SET NOT NULL", "ALTER TABLE page ADD COLUMN a text; UPDATE page SET a = ... WHERE a IS NULL, in batches; ALTER TABLE page ADD CONSTRAINT page_title_not_null CHECK (title IS NOT NULL) NOT VALID; ALTER TABLE page VALIDATE CONSTRAINT page_title_not_null; ALTER TABLE page ALTER COLUMN title SET NOT NULL; ALTER TABLE page DROP CONSTRAINT page_title_not_null"),
    ("SET lock_timeout = '1s'; CREATE INDEX one ON page (title);", "SET lock_timeout = '1s'; CREATE INDEX CONCURRENTLY one ON page (title)"),
    ("DO $$ BEGIN PERFORM 1; CREATE INDEX one ON page (title); END $$", "CREATE INDEX CONCURRENTLY one ON page (title)"),
    ("DO $$ DECLARE a int; BEGIN IF a > 1 THEN DROP INDEX one; END IF; END $$", "DROP INDEX CONCURRENTLY one"),
    ("DO $$ BEGIN FOR a IN SELECT 1 LOOP EXECUTE 'UPDATE page SET title = ''x'''; END LOOP; END $$", "UPDATE page SET title = 'x' WHERE id BETWEEN :first AND :last, 10000 rows at a time"),
    ("DO $$ BEGIN PERFORM 1; END $$", ""),
    ("UPDATE page SET views = 0", "UPDATE page SET views = 0 WHERE id BETWEEN :first AND :last, 10000 rows at a time"),
    ("UPDATE page SET views = 0 WHERE views IS NULL OR title = 'a'", "UPDATE page SET views = 0 WHERE (views IS NULL OR title = 'a') AND id BETWEEN :first AND :last, 10000 rows at a time"),
    ("DELETE FROM page_view WHERE views = 0", "DELETE FROM page_view WHERE (views = 0) AND seen BETWEEN :first AND :last, 10000 rows at a time"),
    ("INSERT INTO archive SELECT * FROM page", "INSERT INTO archive SELECT * FROM page, for a range of the source's key at a time"),
    ("INSERT INTO author VALUES (1, 'a')", ""),
    ("UPDATE alembic_version SET version_num='0002' WHERE alembic_version.version_num = '0001'", ""),
    ("SELECT 1", ""),
    ("ALTER TABLE page DROP COLUMN title", ""),
]  # fmt: skip
KEYS = {"page": ("id",), "page_view": ("seen", "page_id")}


@pytest.mark.parametrize(("sql", "instead"), INSTEAD)
def test_a_statement_that_keeps_others_waiting_has_a_safer_one_with_its_own_names(sql, instead):
    advice = safer_statement(sql, "postgresql", KEYS)
    assert instead == (advice.sql if advice else "")
    assert advice is None or advice.cost


def test_a_column_that_rewrites_nothing_is_added_as_it_is():
    for column in ("kind text DEFAULT 'news'", "kind text NOT NULL DEFAULT 'news'", "kind text"):
        assert safer_statement(f"ALTER TABLE page ADD {column}", "postgresql", rewrites=False) is None
    advice = safer_statement(
        "ALTER TABLE page ADD kind text DEFAULT 'a' NOT NULL CHECK (kind > '')", "postgresql", rewrites=False
    )
    assert advice.sql.startswith(
        "ALTER TABLE page ADD COLUMN kind text DEFAULT 'a' NOT NULL; ALTER TABLE page ADD CONSTRAINT page_kind_check"
    )


@pytest.mark.parametrize(
    ("sql", "instead"),
    [
        ("CREATE INDEX one ON page (title)", "BEGIN IMMEDIATE; CREATE INDEX one ON page (title); COMMIT"),
        ("ALTER TABLE page DROP COLUMN title", "BEGIN IMMEDIATE; ALTER TABLE page DROP COLUMN title; COMMIT"),
        ("INSERT INTO _alembic_tmp_page (id) SELECT page.id FROM page", "ALTER TABLE page ADD COLUMN ... or RENAME COLUMN ... without batch mode, where that is all that changes"),
        ("UPDATE page SET views = 0", "UPDATE page SET views = 0 WHERE rowid BETWEEN :first AND :last, 10000 rows at a time"),
        ("VACUUM", "PRAGMA incremental_vacuum(1000), again and again"),
        ("DROP TABLE page", "BEGIN IMMEDIATE; DROP TABLE page; COMMIT"),
        ("DROP TABLE _alembic_tmp_page", ""),
        ("ALTER TABLE page ADD note text", ""),
    ],
)  # fmt: skip
def test_sqlite_has_other_ways(sql, instead):
    advice = safer_statement(sql, "sqlite", KEYS)
    assert instead == (advice.sql if advice else "")


def test_the_slowest_statements_come_first_and_each_is_named_once():
    statements = [MigrationStatement(f"CREATE INDEX {name} ON page (title)", 0, took) for name, took in (("a", 1), ("b", 3), ("b", 2), ("c", 0))]  # fmt: skip
    said = safer(statements, "postgresql", {})
    assert said.startswith("CREATE INDEX CONCURRENTLY b ON page (title); CREATE INDEX CONCURRENTLY a ON page (title); cost: it runs")  # fmt: skip
    assert " c " not in said
    assert "" == safer([MigrationStatement("SELECT 1", 0, 1)], "postgresql", {})


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("a; b;", ["a", "b"]),
        ("INSERT INTO t VALUES (';'); b", ["INSERT INTO t VALUES (';')", "b"]),
        ('a ";" ; b', ['a ";"', "b"]),
        ("DO $x$ a; b $x$; c", ["DO $x$ a; b $x$", "c"]),
        ("f(a; b)", ["f(a; b)"]),
        ("'never ends; b", ["'never ends", "b"]),
        ("", []),
    ],
)
def test_a_text_is_taken_apart_only_between_its_statements(sql, parts):
    assert parts == split(sql, ";")
