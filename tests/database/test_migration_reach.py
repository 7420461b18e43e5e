"""What leads to a live database, and how it is attempt_messages what was tried."""

import base64

import pytest

from roundsman.database.rules.migration_reach import Address, ReachAttempt, attempt_messages, decoys, filled, withheld

LIVE = Address(frozenset({"db.example.com", "192.0.2.5"}), 6432, "shop_app", "s3cret-word", "shop_live")
LOCAL = Address(frozenset({"localhost", "127.0.0.1", "::1"}), 5432, "app", "app", "app")
FILE = Address(database="/srv/shop/live.db", file=True)

#: A variable, and whether it leads to the live database.
VARIABLES = [
    (LIVE, "ANYTHING", "postgresql+asyncpg://a:b@elsewhere/x", True),
    (LIVE, "ANYTHING", "postgres://a:b@192.0.2.5/x", True),
    (LIVE, "ANYTHING", "x=postgresql%3A%2F%2Fa%3Ab%40elsewhere%2Fx", True),
    (LIVE, "ANYTHING", base64.b64encode(b"postgresql://a:b@elsewhere/x").decode(), True),
    (LIVE, "ANYTHING", base64.b64encode(b"s3cret-word").decode(), True),
    (LIVE, "SETTINGS", '{"database": {"host": "db.example.com"}}', True),
    (LIVE, "SETTINGS", '{"password": "s3cret-word"}', True),
    (LIVE, "SERVER", "DB.example.com:6432", True),
    (LIVE, "SERVER", "other-db.example.com", False),
    (LIVE, "POSTGRES_DB", "shop_live", True),
    (LIVE, "DB_USER", "shop_app", True),
    (LIVE, "DB_PORT", "6432", True),
    (LIVE, "DSN", "host=elsewhere dbname=x", True),
    (LIVE, "ODBC", "Driver=x;Server=elsewhere", True),
    (LIVE, "DSN", "service=live", True),
    (LIVE, "PGSERVICE", "live", True),
    (LIVE, "PGHOST", "anything", True),
    (LIVE, "ROUNDSMAN_LEDGER_URL", "anything", True),
    (LIVE, "PREFECT_API_AUTH_STRING", "anything", True),
    (LIVE, "PATH", "/srv/db.example.com/bin", False),
    (LIVE, "HOME", "/home/shop_app", False),
    (LIVE, "REDIS_URL", "redis://cache/0", False),
    (LIVE, "SECRET_KEY", "unrelated", False),
    (LOCAL, "REDIS_URL", "redis://localhost/0", False),
    (LOCAL, "POSTGRES_SERVER", "localhost", True),
    (LOCAL, "DB_PASSWORD", "app", True),
    (LOCAL, "APP_NAME", "app", False),
    (LOCAL, "USER", "app", False),
    (FILE, "LIVE", "/srv/shop/live.db", True),
    (FILE, "LIVE", "file:/srv/shop/live.db?mode=rw", True),
    (FILE, "LIVE", "live.db", True),
    (FILE, "LIVE", "/srv/shop/olive.db", False),
]


@pytest.mark.parametrize(("live", "name", "value", "leads"), VARIABLES)
def test_a_variable_that_leads_to_live_is_withheld(live, name, value, leads):
    assert leads == bool(withheld({name: value}, [live]))


def test_the_use_of_a_whole_address_is_seen_all_the_same():
    environment = {"PROD_URL": "postgresql+psycopg://a:b@db.example.com/shop", "DB_USER": "shop_app", "LIVE": "file:/srv/shop/live.db?mode=rw"}  # fmt: skip
    found = decoys(environment, environment, [LIVE, FILE], "/scratch/decoy")
    assert {
        "PROD_URL": "postgresql+psycopg://prod-url.withheld:5432/live",
        "LIVE": "file:/scratch/decoy?mode=rw",
    } == found
    assert not withheld({"LIVE": found["LIVE"]}, [FILE])


#: What was seen, and what is attempt_messages.
TOLD = [
    ([], []),
    (
        [ReachAttempt("looked up", "db.example.com"), ReachAttempt("tried to reach", "the database x at db.example.com:5432", database=True)],
        ["the command tried to reach the database x at db.example.com:5432"],
    ),
    (
        [ReachAttempt("looked up", "cache.example.com", leg="the upgrade"), ReachAttempt("opened", "the file of the live database", database=True, leg="the smoke test")],
        ["the smoke test opened the file of the live database", "the upgrade looked up cache.example.com"],
    ),
    (
        [ReachAttempt("tried to reach", "192.0.2.7:80", leg=leg) for leg in ("the upgrade", "the downgrade", "the upgrade")],
        ["the upgrade and the downgrade tried to reach 192.0.2.7:80"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("attempts", "wanted"), TOLD)
def test_what_was_tried_is_told_once_and_databases_first(attempts, wanted):
    assert wanted == attempt_messages(attempts)


def test_parts_of_an_address_are_filled_in_and_are_no_templates_themselves():
    assert "h:1/{user}" == filled("{host}:{port}/{password}", {"host": "h", "port": "1", "password": "{user}"})
