"""An open ledger for a test, on SQLite and on PostgreSQL."""

import shutil
from pathlib import Path

import pytest

from roundsman.ledger.ledger import open_ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path: Path) -> str:
    """The address of an empty database; of a copy of an empty ledger where that is what the test opens."""
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_server")
        return server.ledger() if "ledger" in request.fixturenames else server.fresh()
    place = tmp_path / "kept/ledger.db"
    if "ledger" in request.fixturenames:
        place.parent.mkdir()
        shutil.copy(request.getfixturevalue("empty_ledger"), place)
    return f"sqlite:///{place}"


@pytest.fixture
def ledger(url):
    """An open ledger without a round in it."""
    engine = open_ledger(url)
    yield engine
    engine.dispose()
