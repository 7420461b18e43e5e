"""An open ledger for a test, on SQLite and on PostgreSQL."""

from pathlib import Path

import pytest

from roundsman.ledger.ledger import open_ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kept/ledger.db"
    return request.getfixturevalue("postgres_server").fresh()


@pytest.fixture
def ledger(url):
    """An open ledger without a round in it."""
    engine = open_ledger(url)
    yield engine
    engine.dispose()
