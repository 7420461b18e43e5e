"""Databases to review, as somebody else would have them."""

import os
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from roundsman.database.look_at_indexes import look
from roundsman.database.rules.judge_indexes import judge
from roundsman.database.rules.promise import Database

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)


def database(**more):
    told = {"database": "shop", "owner": "content <c@example.com>", "expected_result": "It is quick.", "rollback": {"note": "make db-restore"}, "url": {"env": "SHOP_LIVE"}}  # fmt: skip
    return Database(**{**told, **more})


def run(url, statements):
    """Run statements, each by itself."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(make_url(url).database, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
            # What a session counted it tells a second later, and to a table that was looked at meanwhile it is news.
            connection.execute("SELECT pg_stat_force_next_flush()")


def counted(url, asked):
    """Wait until the server's statistics, which come late, say what they should."""
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(600):
            if connection.execute(asked).fetchone()[0]:
                return
            threading.Event().wait(0.05)
    pytest.fail(f"the server never counted: {asked}")


def review(url, nodes=None, now=NOW, **more):
    """All findings on indexes that are no pass: claim's number, outcome, what was seen, what would mend it."""
    os.environ["SHOP_LIVE"] = url
    try:
        promised = database(**more)
        verdicts = judge(promised, look(promised), nodes or {}, now)
    finally:
        del os.environ["SHOP_LIVE"]
    return [
        (one.claim.partition("/")[2][:5], str(one.outcome), one.saw, one.wanted)
        for verdict in verdicts
        for one in verdict.findings
        if one.outcome != "pass"
    ]


def file(path: Path, statements=()) -> str:
    """An SQLite database with what some statements make; its URL."""
    url = f"sqlite:///{path}"
    run(url, statements)
    return url
