"""A database file: what is wrong in it is told with its line and how to mend it, and no address is ever shown."""

import asyncio
import sqlite3
from dataclasses import replace
from datetime import date

import jsonschema
import psycopg
import pytest
import yaml
from sqlalchemy import make_url

from deployments.render import prefect_yaml, schema
from deployments.specs import database_specs
from deployments.validate import problems
from flows.__main__ import main
from flows.jobs.review_database import review_database
from roundsman.database.database_file import addresses, check_database, check_golden, expired, load_database
from roundsman.database.rules.promise import Database, as_site
from roundsman.database.rules.report import page
from roundsman.ledger.ledger import open_ledger
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Finding, Outcome, Verdict
from roundsman.site.rules.site_file import SiteFileError
from tests.alerts.telling import START, a_report, a_site, alerts, outbox, told, verdict

GOOD = """
database: shop
owner: content <content-oncall@example.com>
expected_result: Every query is quick, and a release can go back.
rollback: {note: the backup of last night, command: [make, db-restore]}
url: {env: SHOP_LIVE}
nodes: [{env: SHOP_STANDBY}]
folder: .
migrations: {golden: SHOP_GOLDEN, url: DATABASE_URL, smoke: [make, smoke]}
schedule: {review: "H 4 * * *", timezone: Europe/Berlin}
notify: {channels: [slack-webhook/ops]}
"""


@pytest.fixture
def written(tmp_path):
    (tmp_path / "alembic.ini").touch()

    def write(text=GOOD):
        path = tmp_path / "shop.yaml"
        path.write_text(text)
        return path

    return write


def test_a_database_file_is_read_and_is_a_deployment(written):
    promised = check_database(written())
    assert ("content", "make db-restore", 86400 * 14) == (promised.team, promised.back, promised.indexes.unused_after)
    (spec,) = database_specs([promised])
    made = spec.rendered()
    assert ("review-shop", {"database": "shop"}) == (made["name"], made["parameters"])
    assert ["roundsman", "owner:content", "database:shop", "job:review_database"] == made["tags"]
    assert "flows.jobs.review_database.review_database" == made["entrypoint"]
    assert [] == database_specs([promised.model_copy(update={"schedule": None})])


def test_its_schema_is_that_of_the_model():
    jsonschema.validate(yaml.safe_load(GOOD), schema(Database))
    with pytest.raises(jsonschema.ValidationError, match="'ownr' was unexpected"):
        jsonschema.validate({**yaml.safe_load(GOOD), "ownr": "x"}, schema(Database))


WRONG = [
    ("owner: content <content-oncall@example.com>\n", "", ":1:1: owner: saw nothing; write who answers for it"),
    ("expected_result", "expects", "expects: saw the unknown key `expects`; did you mean `expected_result`?"),
    ("url: {env: SHOP_LIVE}", "url: postgresql://me:hush-1@db/shop", ":6:1: url: saw a login in an address in plain text; wanted `{env: NAME}`"),
    ("{env: SHOP_STANDBY}", "{env: SHOP_LIVE}", "nodes[0].env: saw 'SHOP_LIVE'; it is named already"),
    ("golden: SHOP_GOLDEN", "golden: SHOP_LIVE", "migrations.golden: saw 'SHOP_LIVE'; name a copy that is restored from the backup"),
    ("golden: SHOP_GOLDEN", "golden: SHOP_GOLDEN, env: {POSTGRES_SERVER: '{hots}'}", "no part {hots} of an address; wanted {url}, {host}, {port}, {user}, {password}, {database}, or text without braces"),
    ("golden: SHOP_GOLDEN", "golden: SHOP_GOLDEN, guard: off", "migrations.guard: saw"),
    ("golden: SHOP_GOLDEN", "golden: SHOP_GOLDEN, confg: alembic.ini", "did you mean `config`?"),
    ("golden: SHOP_GOLDEN", "golden: SHOP_GOLDEN, config: alembik.ini", "migrations.config: saw no file 'alembik.ini'; wanted Alembic's file, from"),
    ("golden: SHOP_GOLDEN", "golden: SHOP_GOLDEN, heads: none", "migrations.heads: saw 'none'; wanted a number from 1 on, or a list of branch labels"),
    ("golden: SHOP_GOLDEN", "golden: SHOP_GOLDEN, heads: 0", "migrations.heads: saw 0; wanted a number from 1 on, or a list of branch labels"),
    ("smoke: [", "accept: [{revision: abc, claim: db399, because: at night, until: 2026-12-31}], smoke: [", "migrations.accept[0].claim: saw 'db399'; wanted one of db302-time, db303-reads"),
    ("smoke: [", "accept: [{revision: abc, claim: db301, because: at night, until: 2026-12-31}], smoke: [", "migrations.accept[0].claim: saw 'db301'; wanted one of db302-time"),
    ("smoke: [", "accept: [{revision: abc, claim: db303, until: 2026-12-31}], smoke: [", "migrations.accept[0].because: saw nothing; write because; it is required"),
    ("smoke: [", "accept: [{revision: abc, claim: db303, because: at night}], smoke: [", "migrations.accept[0].until: saw nothing"),
    ("smoke: [", "accept: [{revision: abc, claim: db303, because: at night, until: soon}], smoke: [", "migrations.accept[0].until: saw 'soon'; wanted a day, such as 2027-01-31"),
    ("smoke: [", "accept: [{revision: abc, claim: db303, because: at night, until: 9999-12-31}], smoke: [", "migrations.accept[0].until: saw 9999-12-31; wanted 20"),
    ("folder: .", "indexes: {accept: {page: {because: at night, until: 9999-12-31}}}\nfolder: .", "indexes.accept.page.until: saw 9999-12-31; wanted 20"),
    ("folder: .", "indexes: {accept: {page: ''}}\nfolder: .", "indexes.accept.page.because: saw ''; write because"),
    ("folder: .", "queries: {file: alembic.ini, accept: [{query: latest, claim: db303, because: at night, until: 2026-12-31}]}\nfolder: .", "queries.accept[0].claim: saw 'db303'; wanted one of db200-planned"),
    ("folder: .", "folder: ../nowhere", "folder: saw no folder '../nowhere'; wanted the project's folder, from"),
    ("H 4 * * *", "99 4 * * *", "schedule.review: saw '99 4 * * *'; wanted hourly, daily, or a cron expression"),
    ("Europe/Berlin", "Mars/Base", "schedule.timezone: saw 'Mars/Base'; wanted a timezone"),
    (GOOD, "database: [", "YAML: saw"),
    (GOOD, "", "file: saw nothing; write at least database, owner, expected_result, rollback and url"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "says"), WRONG)
def test_what_is_wrong_is_told_with_its_line_and_how_to_mend_it(old, new, says, written):
    with pytest.raises(SiteFileError) as refused:
        check_database(written(GOOD.replace(old, new, 1)))
    assert says in str(refused.value)
    assert "hush" not in str(refused.value)


def test_what_is_accepted_is_read_and_what_was_accepted_is_a_warning(written):
    entry = "{revision: abc, claim: db303, because: at night, until: 2020-01-31}"
    promised = check_database(written(GOOD.replace("smoke: [", f"accept: [{entry}], smoke: [")))
    assert ["migrations.accept[0]: accepted until 2020-01-31 (at night), which is over; what it covers counts again"] == expired(promised, date(2026, 3, 1))  # fmt: skip
    assert [] == expired(promised, date(2020, 1, 31))
    jsonschema.validate(yaml.safe_load(GOOD) | {"indexes": {"accept": {"page": "at night", "tag": {"because": "at night", "until": "2027-01-31"}}}}, schema(Database))  # fmt: skip


def test_a_query_that_is_accepted_has_to_be_named(written, tmp_path):
    (tmp_path / "queries.sql").write_text("-- name: latest\nSELECT 1;")
    entry = "{query: newest, claim: db201, because: at night, until: 2026-12-31}"
    with pytest.raises(SiteFileError, match=r"queries.accept\[0\].query: saw 'newest'; wanted one of latest"):
        check_database(written(GOOD + f"queries: {{file: queries.sql, accept: [{entry}]}}\n"))
    check_database(written(GOOD + f"queries: {{file: queries.sql, accept: [{entry.replace('newest', 'latest')}]}}\n"))


def test_a_name_that_is_not_there_is_told():
    with pytest.raises(SiteFileError, match=r"deployments/databases/shop.yaml: file: saw no such file"):
        load_database("shop")


def test_a_variable_without_an_address_is_told_and_never_shown(written, monkeypatch):
    promised = check_database(written())
    monkeypatch.setenv("SHOP_LIVE", "postgresql//me:hush-1@db/shop")
    monkeypatch.setenv("SHOP_STANDBY", "mysql://me:hush-2@db/shop")
    monkeypatch.delenv("SHOP_GOLDEN", raising=False)
    with pytest.raises(SiteFileError) as refused:
        addresses(promised, "shop")
    told = str(refused.value)
    for said in ("url: saw text that is no database URL", "nodes: saw a URL of mysql", "migrations.golden: saw nothing", "set SHOP_GOLDEN where this runs"):  # fmt: skip
        assert said in told
    assert "hush" not in told


@pytest.mark.parametrize("spelling", ["127.0.0.1", "localhost", "socket", "a file's link"])
def test_live_as_golden_is_wrong_input_by_whatever_name(spelling, written, monkeypatch, request, tmp_path, capsys):
    if spelling == "a file's link":
        with sqlite3.connect(tmp_path / "live.db") as database:
            database.execute("CREATE TABLE page (id integer)")
        database.close()
        (tmp_path / "golden.db").symlink_to(tmp_path / "live.db")
        live, golden = (f"sqlite:///{tmp_path}/{name}.db" for name in ("live", "golden"))
    else:
        live = request.getfixturevalue("postgres_server").fresh()
        golden = live.replace("127.0.0.1", spelling)
        if spelling == "socket":
            url = make_url(live)
            with psycopg.connect(live) as connection:
                folder = connection.execute("SHOW unix_socket_directories").fetchone()[0]
            golden = f"postgresql://{url.username}:{url.password}@/{url.database}?host={folder}&port={url.port}"
    monkeypatch.setenv("SHOP_LIVE", live)
    monkeypatch.setenv("SHOP_STANDBY", live)
    monkeypatch.setenv("SHOP_GOLDEN", golden)
    path = written()
    with pytest.raises(
        SiteFileError, match=r"migrations.golden: saw the live database as golden.*; SHOP_GOLDEN and SHOP_LIVE lead"
    ):
        check_golden(check_database(path), "shop")
    monkeypatch.setattr("flows.commands.review_database.review", lambda *_: pytest.fail("a review was run"))
    assert 3 == main(["review-database", str(path)])
    assert "saw the live database as golden" in capsys.readouterr().err
    with pytest.raises(SiteFileError, match="saw the live database as golden"):
        asyncio.run(review_database.fn(str(path)))


def test_prefect_takes_its_deployment(written):
    specs = database_specs([check_database(written())])
    assert [] == list(problems(yaml.safe_load(prefect_yaml(specs))))


def test_a_review_is_told_and_ends_no_alert_of_a_site_of_the_same_name(written, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    engine = open_ledger()
    told(a_site("ops"), a_report(0, verdict()))
    site = as_site(check_database(written()))
    told(site, replace(a_report(1, verdict(check="indexes", subject="shop page")), site=site.site))
    told(site, replace(a_report(2, verdict(Outcome.PASS, check="indexes", subject="shop")), site=site.site))
    assert {"cache-headers /a": "firing", "indexes shop page": "resolved"} == {
        name: row.state for name, row in alerts(engine).items()
    }
    assert ["FIRING: site shop, cache-headers, /a", "FIRING: site database-shop, indexes, shop page"] == [
        row.subject for row in outbox(engine)
    ][:2]
    engine.dispose()


def test_a_changed_plan_stands_beside_the_one_before_on_the_page():
    now, before = "Sort > Seq Scan on page, cost 9 since today", "Index Scan using a|b on page, cost 1 as before"
    finding = Finding("query-plans/db202-changed", "", Outcome.FAIL, now, before)
    mend = Finding("indexes/db101-foreign-key", "", Outcome.WARN, "no index", "CREATE INDEX x; cost: 3 MB")
    verdicts = (Verdict("query-plans", "shop latest", "", "content", "", "", (finding, mend)),)
    text = page(Report("1", "shop", START, START, verdicts))
    assert "| Index Scan using a\\|b on page, cost 1 as before | Sort<br>Seq Scan on page, cost 9 since today |" in text
    assert "Fix: `CREATE INDEX x` (cost: 3 MB)." in text
