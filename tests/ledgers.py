"""An open ledger for a test, on SQLite and on PostgreSQL."""

import shutil
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
def ledger(url, request):
    """An open ledger without a round in it."""
    if url.startswith("sqlite"):
        place = Path(url.removeprefix("sqlite:///"))
        place.parent.mkdir()
        shutil.copy(request.getfixturevalue("empty_ledger"), place)
    engine = open_ledger(url)
    yield engine
    engine.dispose()
